"""A service that does what its callers say, without generated code, and what is told of it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import grpc
import grpc.aio
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanKind

    from tests.watched import LoopFactory

__all__ = (
    "ARITIES",
    "HANDLERS",
    "SERVICE",
    "Ended",
    "Telemetry",
    "all_handlers",
    "call",
    "handler",
    "method",
    "run",
    "serving",
)

SERVICE: Final = "demo.v1.Catalog"
ARITIES: Final = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
DEADLINE_S: Final = 20.0  #: for what must happen anyway


class Ended(NamedTuple):
    """What a client sees of a call."""

    responses: tuple[bytes, ...]
    code: grpc.StatusCode
    details: str
    initial: tuple[Any, ...]
    trailing: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Providers of a test's own, and what went to them."""

    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    reader: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)
    providers: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        tracers = TracerProvider(shutdown_on_exit=False)
        tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        meters = MeterProvider([self.reader], shutdown_on_exit=False)
        self.providers.update(tracer_provider=tracers, meter_provider=meters)

    def spans(self, kind: SpanKind | None = None) -> list[ReadableSpan]:
        """Return the finished spans, in the order of their begin."""
        spans = [span for span in self.exporter.get_finished_spans() if kind in (None, span.kind)]
        return sorted(spans, key=lambda span: span.start_time or 0)

    def the_span(self, kind: SpanKind) -> ReadableSpan:
        """Return the only span of a kind."""
        (span,) = self.spans(kind)
        return span

    def ended(self, side: str, key: str = "rpc.grpc.status_code") -> dict[Any, int]:
        """Return how many calls the histogram of a side holds, by the value of an attribute."""
        ended: dict[Any, int] = {}
        for metric in self._metrics():
            if metric.name in (f"rpc.{side}.duration", f"rpc.{side}.call.duration"):
                for point in metric.data.data_points:
                    value = point.attributes.get(key)
                    ended[value] = ended.get(value, 0) + point.count
        return ended

    def in_flight(self, side: str) -> int:
        """Return how many calls are in flight."""
        name = f"rpc.{side}.active_requests"
        points = [p for m in self._metrics() if m.name == name for p in m.data.data_points]
        return sum(point.value for point in points)

    def metric(self, name: str) -> Any:
        """Return a metric."""
        (metric,) = (metric for metric in self._metrics() if metric.name == name)
        return metric

    def _metrics(self) -> list[Any]:
        data = self.reader.get_metrics_data()
        if data is None:
            return []
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics]
        return [metric for scope in scopes for metric in scope.metrics]

    async def until(self, spans: int) -> None:
        """Wait until so many spans have ended: a server is done after its client."""
        async with asyncio.timeout(DEADLINE_S):
            while len(self.exporter.get_finished_spans()) < spans:
                await asyncio.sleep(0.002)


# ------------------------------------------------------------------------------------- the service


#: One for each call whose handler came to wait for good, all requests being there.
waiting: Final[list[bytes]] = []


async def _act(word: bytes, context: Any) -> None:
    """End a call as a word of its client says, as in ``abort NOT_FOUND``."""
    how, _, name = word.decode().partition(" ")
    if how == "set":
        context.set_code(grpc.StatusCode[name])
        context.set_details("set by the handler")
    elif how == "abort":
        await context.abort(grpc.StatusCode[name], "aborted", (("why", "because"),))
    elif how == "raise":
        context.set_code(grpc.StatusCode[name])
        raise RuntimeError("failed")
    elif how == "wait":
        waiting.append(word)
        await asyncio.Event().wait()


async def _unary_unary(request: bytes, context: Any) -> bytes:
    await _act(request, context)
    return request


async def _unary_stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
    yield b"first"
    await _act(request, context)
    yield request


async def _stream_unary(requests: AsyncIterator[bytes], context: Any) -> bytes:
    *_, request = [request async for request in requests]
    await _act(request, context)
    return request


async def _stream_stream(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
    last = b""
    async for request in requests:
        last = request
        yield b"first"
    await _act(last, context)
    yield last


HANDLERS: Final[Mapping[str, Callable[..., Any]]] = {
    "unary_unary": _unary_unary,
    "unary_stream": _unary_stream,
    "stream_unary": _stream_unary,
    "stream_stream": _stream_stream,
}


def all_handlers() -> dict[str, Any]:
    """Return a service with a method of each arity."""
    return {arity: handler(arity, behavior) for arity, behavior in HANDLERS.items()}


def handler(arity: str, behavior: Callable[..., Any], **converters: Any) -> Any:
    """Return gRPC's handler for a function."""
    return getattr(grpc, f"{arity}_rpc_method_handler")(behavior, **converters)


def method(name: str) -> str:
    """Return the full name of a method."""
    return f"/{SERVICE}/{name}"


@asynccontextmanager
async def serving(
    handlers: Mapping[str, Any],
    *,
    server: Sequence[Any] = (),
    client: Sequence[Any] = (),
    maximum: int | None = None,
) -> AsyncIterator[grpc.aio.Channel]:
    """Serve methods, and give a channel to them.

    Args:
        handlers: by the name of their methods.
        server: interceptors.
        client: interceptors.
        maximum: how many calls the server takes at a time.
    """
    serves = grpc.aio.server(interceptors=server, maximum_concurrent_rpcs=maximum)
    serves.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, dict(handlers))])
    port = serves.add_insecure_port("127.0.0.1:0")
    await serves.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", interceptors=client) as channel:
            yield channel
    finally:
        await serves.stop(None)


# -------------------------------------------------------------------------------------- the client


async def _requests(word: bytes) -> AsyncIterator[bytes]:
    yield b"go on"
    yield word


async def call(
    channel: grpc.aio.Channel, arity: str, word: str = "", *, timeout: float | None = None
) -> Ended:
    """Make a call of the method that is named as its arity, and see how it ends."""
    starts = getattr(channel, arity)(method(arity))
    argument = _requests(word.encode()) if arity.startswith("stream") else word.encode()
    ongoing = starts(argument, timeout=timeout, metadata=(("sent-by", "the test"),))
    responses: list[bytes] = []
    try:
        if arity.endswith("stream"):
            async for response in ongoing:
                responses.append(response)
        else:
            responses.append(await ongoing)
    except grpc.aio.AioRpcError:
        pass
    return Ended(
        responses=tuple(responses),
        code=await ongoing.code(),
        details=await ongoing.details(),
        initial=tuple(await ongoing.initial_metadata()),
        trailing=tuple(await ongoing.trailing_metadata()),
    )


def run(loop_factory: LoopFactory, main: Coroutine[Any, Any, None]) -> None:
    """Run a test on a loop of some kind."""
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main)
