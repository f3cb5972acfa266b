"""One gRPC channel, and what the answers of a receiver mean.

This is the only module that speaks to gRPC. Importing it imports gRPC, which takes long: do it when
a session starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

import grpc

from aperf.protocol.otlp import decode_retry_delay_ns

from ._otlp_client import TRACES, Outcome, Signal, Verdict, read_pem, taken

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aperf._config import OtlpSettings

__all__ = ("GrpcClient", "target_of")


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


class GrpcClient:
    """Sends requests over one channel, which all threads share.

    Args:
        settings: where and how.
        user_agent: comes first in gRPC's own user agent.
        signal: what is sent.

    Raises:
        ConfigurationError: a certificate or key cannot be read.
    """

    def __init__(self, settings: OtlpSettings, user_agent: str, signal: Signal = TRACES) -> None:
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
        self._metadata = {key.lower(): value for key, value in settings.headers}
        # No serializers: requests are bytes already.
        self._export = self._channel.unary_unary(
            signal.method, request_serializer=None, response_deserializer=None
        )

    def send(self, request: bytes, timeout_s: float, headers: Mapping[str, str]) -> Outcome:
        """Send a request and wait for the answer."""
        metadata = tuple({**self._metadata, **headers}.items())
        try:
            response = self._export(request, timeout=timeout_s, metadata=metadata)
        except grpc.RpcError as error:
            return _outcome_of(error)
        except ValueError:  # its text would repeat the headers
            return Outcome(Verdict.REFUSED, "gRPC does not accept a header, or was closed")
        return taken(response)

    def close(self) -> None:
        """Cancel all calls and release the connection."""
        self._channel.close()

    def forget_after_fork(self) -> None:
        """Do nothing: not even closing is possible without threads that exist only elsewhere."""


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
        read_pem("certificate", settings.certificate),
        read_pem("client_key", settings.client_key),
        read_pem("client_certificate", settings.client_certificate),
    )
