"""What the two ways to speak OTLP have in common: gRPC and HTTP.

Importing gRPC takes long, and whoever uses HTTP need not: each is loaded when it is asked for.
"""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from aperf._errors import ConfigurationError
from aperf.protocol.otlp import decode_response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aperf._config import OtlpSettings

__all__ = (
    "LOGS",
    "METRICS",
    "TRACES",
    "UNANSWERED",
    "Client",
    "Outcome",
    "Signal",
    "Verdict",
    "connect",
    "public_endpoint",
    "read_pem",
    "taken",
)

#: Why something is given up at the end of a session, if no attempt has failed before.
UNANSWERED: Final = "no answer by the end of the session"


class Verdict(enum.Enum):
    """What an answer asks the sender to do."""

    TAKEN = enum.auto()  #: nothing
    RETRY = enum.auto()  #: send the same again
    SPLIT = enum.auto()  #: send less at a time
    REFUSED = enum.auto()  #: give up


class Outcome(NamedTuple):
    """How one attempt to send a request ended."""

    verdict: Verdict
    reason: str = ""
    rejected_spans: int = 0  #: of a request that was taken
    retry_after_ns: int | None = None  #: what the receiver asked for


class Client(Protocol):
    """Sends requests, from any number of threads. Only blocking calls: they survive exit and fork.

    Nothing that it says repeats a header: headers hold credentials.
    """

    def send(self, request: bytes, timeout_s: float, headers: Mapping[str, str]) -> Outcome:
        """Send an ExportTraceServiceRequest and wait for the answer.

        Args:
            request: the message.
            timeout_s: until there is an answer, whatever it takes to get one.
            headers: for this request; they win over those of the settings.
        """

    def close(self) -> None:
        """Cancel all calls and release the connections."""

    def forget_after_fork(self) -> None:
        """Leave the connections to the parent, without a word to the receiver."""


class Signal(NamedTuple):
    """What is sent, by where it is sent to."""

    method: str  #: of gRPC
    path: str  #: of HTTP, where the endpoint names none


def _signal(name: str, service: str) -> Signal:
    return Signal(f"/opentelemetry.proto.collector.{service}/Export", f"/v1/{name}")


TRACES: Final = _signal("traces", "trace.v1.TraceService")
METRICS: Final = _signal("metrics", "metrics.v1.MetricsService")
LOGS: Final = _signal("logs", "logs.v1.LogsService")


def connect(settings: OtlpSettings, user_agent: str, signal: Signal = TRACES) -> Client:
    """Return the client that the settings ask for; it connects when it is first used.

    Raises:
        ConfigurationError: a certificate or key cannot be read.
    """
    if settings.protocol == "grpc":
        from ._otlp_grpc import GrpcClient

        return GrpcClient(settings, user_agent, signal)
    from ._otlp_http import HttpClient

    return HttpClient(settings, user_agent, signal)


def taken(response: bytes) -> Outcome:
    """Return the outcome of a request that was taken, perhaps not all of it."""
    try:
        partial = decode_response(response)
    except ValueError:  # whatever it says, it says that the request was taken
        partial = None
    if partial is None:
        return Outcome(Verdict.TAKEN)
    return Outcome(Verdict.TAKEN, partial.error_message, partial.rejected_spans)


def read_pem(name: str, path: str | None) -> bytes | None:
    """Return the contents of a file that a setting names.

    Raises:
        ConfigurationError: it cannot be read.
    """
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        message = f"OTLP {name} is {path!r} ({error.strerror}); a readable PEM file is accepted"
        raise ConfigurationError(message) from error


def public_endpoint(endpoint: str) -> str:
    """Return an endpoint without the name and password that it may contain."""
    scheme, separator, rest = endpoint.rpartition("://")
    authority, slash, path = rest.partition("/")
    return scheme + separator + authority.rpartition("@")[2] + slash + path
