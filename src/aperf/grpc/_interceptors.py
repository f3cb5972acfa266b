"""Makes the interceptors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, get_args

from aperf._errors import ConfigurationError
from aperf.otel import _grpc_client as client
from aperf.otel._grpc_conventions import Semconv
from aperf.otel._grpc_rpc import make_side
from aperf.otel._grpc_server import ServerInterceptor

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

__all__ = ("client_interceptors", "server_interceptors")

_TRACE_ID_KEY: Final = "x-request-trace-id"
_KEY: Final = re.compile(r"[0-9a-z_.-]+")


def server_interceptors(
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    include: Callable[[str], bool] | None = None,
    address: str | None = None,
    trace_id_key: str | None = _TRACE_ID_KEY,
    semconv: Semconv = "default",
) -> list[Any]:
    """Return the interceptors that make a SERVER span of every call that a server gets.

    Example:
        >>> server = grpc.aio.server(
        ...     interceptors=aperf.grpc.server_interceptors()
        ... )  # doctest: +SKIP

    Args:
        tracer_provider: where the spans go; None: OpenTelemetry's global provider, also if it is
            set later.
        meter_provider: where the metrics go; None: the global one.
        include: called with ``package.Service/Method``; calls for which it returns False are left
            alone, context and all.
        address: how clients know the server, as ``host:port``: ``server.address`` and
            ``server.port`` of spans and metrics.
        trace_id_key: the trailing metadata that tells clients the trace id; None: none does.
        semconv: the names: those that most instrumentations write, or, as in
            ``OTEL_SEMCONV_STABILITY_OPT_IN``, "rpc": the newer ones.

    Raises:
        ConfigurationError: an argument is none of the accepted values.
    """
    _check(semconv, trace_id_key, include, address)
    side = make_side(
        "server",
        tracer_provider=tracer_provider,
        meter_provider=meter_provider,
        include=include,
        target=address,
        semconv=semconv,
        trace_id_key=trace_id_key,
    )
    return [ServerInterceptor(side)]


def client_interceptors(
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    include: Callable[[str], bool] | None = None,
    address: str | None = None,
    trace_id_key: str | None = _TRACE_ID_KEY,
    semconv: Semconv = "default",
) -> list[Any]:
    """Return the interceptors that make a CLIENT span of every call over a channel.

    Args:
        tracer_provider: where the spans go; None: OpenTelemetry's global provider, also if it is
            set later.
        meter_provider: where the metrics go; None: the global one.
        include: called with ``package.Service/Method``; calls for which it returns False are left
            alone, context and all.
        address: what the channel was given, which interceptors are not told: ``server.address``
            and ``server.port`` of spans and metrics.
        trace_id_key: the metadata in which servers tell their trace id; None: do not look.
        semconv: the names, "default" or "rpc".

    Raises:
        ConfigurationError: an argument is none of the accepted values.
    """
    _check(semconv, trace_id_key, include, address)
    side = make_side(
        "client",
        tracer_provider=tracer_provider,
        meter_provider=meter_provider,
        include=include,
        target=address,
        semconv=semconv,
        trace_id_key=trace_id_key,
    )
    return [
        client.UnaryUnaryInterceptor(side),
        client.UnaryStreamInterceptor(side),
        client.StreamUnaryInterceptor(side),
        client.StreamStreamInterceptor(side),
    ]


def _check(
    semconv: str,
    trace_id_key: str | None,
    include: Callable[[str], bool] | None,
    address: str | None,
) -> None:
    if include is not None and not callable(include):
        accepted = "a function of package.Service/Method or None"
        raise ConfigurationError(f"include is {include!r}: accepted is {accepted}")
    if not isinstance(address, str | None):
        raise ConfigurationError(f"address is {address!r}: accepted is 'host:port' or None")
    if semconv not in get_args(Semconv):
        accepted = " or ".join(map(repr, get_args(Semconv)))
        raise ConfigurationError(f"semconv is {semconv!r}: accepted is {accepted}")
    if trace_id_key is not None and not _KEY.fullmatch(str(trace_id_key)):
        raise ConfigurationError(
            f"trace_id_key is {trace_id_key!r}: accepted are lower-case letters, digits, "
            "'_', '-' and '.', or None"
        )
