"""One gRPC channel, and what the answers of a receiver mean.

This is the only module that speaks to gRPC. Importing it imports gRPC, which takes long: do it when
a session starts.
"""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast
from urllib.parse import urlsplit

import grpc

from aperf._errors import ConfigurationError
from aperf.protocol.otlp import decode_response, decode_retry_delay_ns

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aperf._config import OtlpSettings

__all__ = ("Client", "Outcome", "Verdict", "target_of")

_METHOD: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

# https://opentelemetry.io/docs/specs/otlp/#failures; RESOURCE_EXHAUSTED has rules of its own.
_RETRYABLE: Final = frozenset(
    (
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    )
)


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


class Client:
    """Sends requests, from any number of threads. Only blocking calls: they survive exit and fork.

    Args:
        settings: where and how.
        user_agent: comes first in gRPC's own user agent.

    Raises:
        ConfigurationError: a certificate or key cannot be read.
    """

    def __init__(self, settings: OtlpSettings, user_agent: str) -> None:
        target, insecure = target_of(settings.endpoint, settings.insecure)
        options = (
            ("grpc.primary_user_agent", user_agent),
            # A connection of our own: the program may close, fork or trace its own channels.
            ("grpc.use_local_subchannel_pool", 1),
            # gRPC waits up to two minutes before it looks for a lost receiver again.
            ("grpc.initial_reconnect_backoff_ms", 200),
            ("grpc.max_reconnect_backoff_ms", 5000),
        )
        gzip = settings.compression == "gzip"
        compression = grpc.Compression.Gzip if gzip else grpc.Compression.NoCompression
        if insecure:
            self._channel = grpc.insecure_channel(target, options, compression)
        else:
            credentials = _credentials(settings)
            self._channel = grpc.secure_channel(target, credentials, options, compression)
        self._metadata = tuple((key.lower(), value) for key, value in settings.headers)
        # No serializers: requests are bytes already.
        self._export = self._channel.unary_unary(
            _METHOD, request_serializer=None, response_deserializer=None
        )

    def send(self, request: bytes, timeout_s: float) -> Outcome:
        """Send an ExportTraceServiceRequest and wait for the answer."""
        try:
            response = self._export(request, timeout=timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            return _outcome_of(error)
        except ValueError as error:  # the channel is closed, or gRPC does not accept a header
            return Outcome(Verdict.REFUSED, str(error))
        try:
            partial = decode_response(response)
        except ValueError:  # whatever it says, it says that the request was taken
            partial = None
        if partial is None:
            return Outcome(Verdict.TAKEN)
        return Outcome(Verdict.TAKEN, partial.error_message, partial.rejected_spans)

    def close(self) -> None:
        """Cancel all calls and release the connection."""
        self._channel.close()


def _outcome_of(error: grpc.RpcError) -> Outcome:
    code = error.code()
    reason = f"{code.name}: {error.details()}"
    retry_after_ns = _retry_after_ns(error)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        # With a hint it means "later", without one "never as much as this".
        verdict = Verdict.SPLIT if retry_after_ns is None else Verdict.RETRY
    else:
        verdict = Verdict.RETRY if code in _RETRYABLE else Verdict.REFUSED
    return Outcome(verdict, reason, retry_after_ns=retry_after_ns)


def _retry_after_ns(error: grpc.RpcError) -> int | None:
    metadata = cast("Iterable[tuple[str, Any]]", error.trailing_metadata() or ())
    for key, value in metadata:
        if key == "grpc-status-details-bin":
            try:
                return decode_retry_delay_ns(value)
            except ValueError:
                return None
    return None


def target_of(endpoint: str, insecure: bool | None) -> tuple[str, bool]:
    """Return gRPC's name of an endpoint, and whether to go there without TLS.

    The scheme decides, as in OpenTelemetry's Python SDK; only where there is none does `insecure`.
    """
    url = urlsplit(endpoint)
    if url.netloc and url.scheme in ("http", "https"):
        return url.netloc, url.scheme == "http"
    return endpoint, bool(insecure)


def _credentials(settings: OtlpSettings) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        _read("certificate", settings.certificate),
        _read("client_key", settings.client_key),
        _read("client_certificate", settings.client_certificate),
    )


def _read(name: str, path: str | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        message = f"OTLP {name} is {path!r} ({error.strerror}); a readable PEM file is accepted"
        raise ConfigurationError(message) from error
