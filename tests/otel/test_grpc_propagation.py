from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest
from opentelemetry import baggage, propagate, trace
from opentelemetry import context as contexts
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind

from aperf import ConfigurationError
from aperf.grpc import client_interceptors, server_interceptors
from tests.grpc_service import SERVICE, Telemetry, all_handlers, call, handler, run, serving
from tests.programs import run_program

if TYPE_CHECKING:
    from tests.watched import LoopFactory

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CLIENT = """
    import asyncio, json, sys
    import grpc, uvloop
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    import aperf.grpc

    async def main():
        interceptors = aperf.grpc.client_interceptors()  # the provider comes later
        exporter, provider = InMemorySpanExporter(), TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        trace.set_tracer_provider(provider)
        async with grpc.aio.insecure_channel(sys.argv[1], interceptors=interceptors) as channel:
            with trace.get_tracer("application").start_as_current_span("root"):
                for arity, request in json.loads(sys.argv[2]):
                    started = getattr(channel, arity)(f"/demo.v1.Catalog/{arity}")(
                        iter([request.encode()]) if arity.startswith("stream") else request.encode()
                    )
                    if arity.endswith("stream"):
                        async for _ in started:
                            pass
                    else:
                        await started
        print(json.dumps([
            [span.name, span.context.trace_id, span.context.span_id,
             span.parent and span.parent.span_id]
            for span in exporter.get_finished_spans()
        ]))

    uvloop.run(main()) if sys.argv[3] == "uvloop" else asyncio.run(main())
"""


async def echo(request: bytes, context: Any) -> bytes:
    """Answer with what was sent."""
    return request


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_two_processes(loop: str) -> None:
    """Spans of two processes make one trace: each call of the client holds that of the server."""
    telemetry = Telemetry()
    words = [("unary_unary", "1"), ("unary_stream", "2"), ("stream_stream", "3")]

    async def main() -> str:
        server = grpc.aio.server(interceptors=server_interceptors(**telemetry.providers))
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(SERVICE, all_handlers())]
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        arguments = (f"127.0.0.1:{port}", json.dumps(words), loop)
        done = await asyncio.to_thread(run_program, CLIENT, args=arguments)
        await server.stop(None)
        assert ("", 0) == (done.stderr, done.code)
        return done.stdout

    clients = {tuple(client) for client in json.loads(asyncio.run(main()))}
    (root,) = (client for client in clients if client[0] == "root")
    found = {
        (span.name, span.context.trace_id, span.parent and span.parent.span_id)
        for span in telemetry.spans(SpanKind.SERVER)
    }
    calls = clients - {root}
    assert {(f"{SERVICE}/{arity}", root[1]) for arity, _ in words} == {c[:2] for c in calls}
    assert {root[2]} == {client[3] for client in calls}
    assert {client[:3] for client in calls} == found


def test_without_a_provider(loop_factory: LoopFactory) -> None:
    """Where nobody has set a provider, a context is passed on as it came, and nothing is added."""
    seen: list[Any] = []

    async def main() -> None:
        async with serving(
            {"unary_unary": handler("unary_unary", passes_on)},
            server=server_interceptors(tracer_provider=trace.NoOpTracerProvider()),
            client=client_interceptors(tracer_provider=trace.NoOpTracerProvider()),
        ) as channel:
            assert () == (await call(channel, "unary_unary")).trailing
            contexts.attach(propagate.extract({"traceparent": TRACEPARENT}))
            assert () == (await call(channel, "unary_unary")).trailing

    async def passes_on(request: bytes, context: Any) -> bytes:
        outgoing: dict[str, str] = {}
        propagate.inject(outgoing)
        metadata = dict(context.invocation_metadata())
        seen.append((metadata.get("traceparent"), outgoing.get("traceparent")))
        seen.append(type(context).__module__)
        return request

    run(loop_factory, main())
    assert [(None, None), "grpc._cython.cygrpc", (TRACEPARENT, TRACEPARENT)] == seen[:3]


def test_baggage_and_tracestate() -> None:
    """Everything that the propagators know arrives, also through a call in between."""
    telemetry, seen = Telemetry(), []

    async def looks(request: bytes, context: Any) -> bytes:
        seen.append(baggage.get_baggage("customer"))
        seen.append(trace.get_current_span().get_span_context().trace_state.get("vendor"))
        return request

    async def main() -> None:
        async with serving(
            {"unary_unary": handler("unary_unary", looks)},
            server=server_interceptors(**telemetry.providers),
            client=client_interceptors(**telemetry.providers),
        ) as channel:
            carrier = {
                "traceparent": TRACEPARENT,
                "tracestate": "vendor=x",
                "baggage": "customer=7",
            }
            contexts.attach(propagate.extract(carrier))
            await call(channel, "unary_unary")
            await telemetry.until(spans=2)

    run(asyncio.new_event_loop, main())
    assert ["7", "x"] == seen
    assert {int(TRACEPARENT.split("-")[1], 16)} == {s.context.trace_id for s in telemetry.spans()}


def test_unsampled(lazy_loop_factory: LoopFactory) -> None:
    """Where nobody keeps the spans, calls are counted, and the trace id still goes both ways."""
    telemetry, seen = Telemetry(), []

    async def looks(request: bytes, context: Any) -> bytes:
        seen.append(dict(context.invocation_metadata())["traceparent"])
        return request

    async def main() -> None:
        providers = {**telemetry.providers, "tracer_provider": TracerProvider(sampler=ALWAYS_OFF)}
        async with serving(
            {**all_handlers(), "unary_unary": handler("unary_unary", looks)},
            server=server_interceptors(**providers),
            client=client_interceptors(**providers),
        ) as channel:
            ended = await call(channel, "unary_unary")
            assert dict(ended.trailing)["x-request-trace-id"] in seen[0]
            assert (b"first", b"first", b"x") == (
                await call(channel, "stream_stream", "x")
            ).responses
            while telemetry.in_flight("server"):
                await asyncio.sleep(0.01)

    run(lazy_loop_factory, main())
    assert 0 == int(seen[0][-2:], 16) & 1
    assert {0: 2} == telemetry.ended("server") == telemetry.ended("client")


def test_suppressed() -> None:
    """Nobody observes what OpenTelemetry asks not to observe, such as an exporter's own calls."""
    telemetry = Telemetry()

    async def main() -> None:
        async with serving(
            {"unary_unary": handler("unary_unary", echo)},
            client=client_interceptors(**telemetry.providers),
        ) as channel:
            key = contexts._SUPPRESS_INSTRUMENTATION_KEY
            contexts.attach(contexts.set_value(key, True))
            await call(channel, "unary_unary")

    run(asyncio.new_event_loop, main())
    assert ([], {}) == (telemetry.spans(), telemetry.ended("client"))


def test_include() -> None:
    """Calls of methods that are not included are left alone on either side."""
    telemetry, asked = Telemetry(), []

    def include(method: str) -> bool:
        asked.append(method)
        return not method.endswith("/unary_unary")

    async def main() -> None:
        async with serving(
            all_handlers(),
            server=server_interceptors(**telemetry.providers, include=include),
            client=client_interceptors(**telemetry.providers, include=include),
        ) as channel:
            assert () == (await call(channel, "unary_unary")).trailing
            await call(channel, "unary_stream")
            await telemetry.until(spans=2)

    run(asyncio.new_event_loop, main())
    assert [f"{SERVICE}/unary_unary"] * 2 + [f"{SERVICE}/unary_stream"] * 2 == asked
    assert {f"{SERVICE}/unary_stream"} == {span.name for span in telemetry.spans()}


class Faulty(SpanProcessor):
    """A processor that cannot cope with spans."""

    def __init__(self, at: str) -> None:
        self.at = at

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        if self.at == "start":
            raise RuntimeError("cannot start")

    def on_end(self, span: Any) -> None:
        if self.at == "end":
            raise RuntimeError("cannot end")


@pytest.mark.parametrize("at", ["start", "end"])
def test_faulty_processors(at: str, caplog: pytest.LogCaptureFixture) -> None:
    """A fault of the program's span processor is logged; calls do not notice."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Faulty(at))

    async def main() -> None:
        async with serving(
            {"unary_unary": handler("unary_unary", echo)},
            server=server_interceptors(tracer_provider=provider),
            client=client_interceptors(tracer_provider=provider),
        ) as channel:
            ended = await call(channel, "unary_unary", "x")
            assert ((b"x",), grpc.StatusCode.OK) == (ended.responses, ended.code)

    run(asyncio.new_event_loop, main())
    warnings = [r for r in caplog.records if r.name == "aperf" and r.levelno == logging.WARNING]
    assert 2 == len(warnings)


def test_headers_that_grpc_would_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be sent is left out, so that a propagator cannot break a call."""
    telemetry = Telemetry()
    seen: list[str] = []

    def inject(carrier: dict[str, str], context: object) -> None:
        carrier.update({"Upper-Case": "fine", "white space": "no", "value": "n\u00f6"})

    async def looks(request: bytes, context: Any) -> bytes:
        seen.extend(key for key, _ in context.invocation_metadata())
        return request

    async def main() -> None:
        async with serving(
            {"unary_unary": handler("unary_unary", looks)},
            client=client_interceptors(**telemetry.providers),
        ) as channel:
            assert grpc.StatusCode.OK is (await call(channel, "unary_unary")).code

    monkeypatch.setattr(propagate, "inject", inject)
    run(asyncio.new_event_loop, main())
    assert "upper-case" in seen
    assert not {"white space", "value"} & set(seen)


def test_faulty_propagators(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A propagator that fails is logged; calls go on, without a context."""
    telemetry = Telemetry()

    def fails(*_: object) -> None:
        raise RuntimeError("cannot propagate")

    async def main() -> None:
        async with serving(
            {"unary_unary": handler("unary_unary", echo)},
            server=server_interceptors(**telemetry.providers),
            client=client_interceptors(**telemetry.providers),
        ) as channel:
            assert (b"x",) == (await call(channel, "unary_unary", "x")).responses

    monkeypatch.setattr(propagate, "inject", fails)
    monkeypatch.setattr(propagate, "extract", fails)
    run(asyncio.new_event_loop, main())
    assert 2 == len([record for record in caplog.records if record.name == "aperf"])


@pytest.mark.parametrize("interceptors", [client_interceptors, server_interceptors])
def test_bad_arguments(interceptors: Any) -> None:
    """What cannot be meant is refused, with what is accepted."""
    with pytest.raises(ConfigurationError, match="'new': accepted is 'default' or 'rpc'"):
        interceptors(semconv="new")
    with pytest.raises(ConfigurationError, match="'X-Id': accepted are lower-case"):
        interceptors(trace_id_key="X-Id")
    with pytest.raises(ConfigurationError, match="include is 3: accepted is a function"):
        interceptors(include=3)
    with pytest.raises(ConfigurationError, match="address is 3: accepted is 'host:port'"):
        interceptors(address=3)


def test_new_names() -> None:
    """`semconv="rpc"` writes what the newer conventions ask for, and nothing of the older ones."""
    telemetry = Telemetry()

    async def main() -> None:
        async with serving(
            {"unary_unary": handler("unary_unary", echo)},
            server=server_interceptors(**telemetry.providers, semconv="rpc"),
            client=client_interceptors(**telemetry.providers, semconv="rpc"),
        ) as channel:
            await call(channel, "unary_unary")
            await call(channel, "unary_stream")
            await telemetry.until(spans=4)

    run(asyncio.new_event_loop, main())
    names = {name for span in telemetry.spans() for name in span.attributes or {}}
    assert not {"rpc.system", "rpc.service", "rpc.grpc.status_code"} & names
    first = telemetry.spans(SpanKind.CLIENT)[0].attributes or {}
    assert ("grpc", f"{SERVICE}/unary_unary", "OK") == (
        first["rpc.system.name"],
        first["rpc.method"],
        first["rpc.response.status_code"],
    )
    for side in ("server", "client"):
        metric = telemetry.metric(f"rpc.{side}.call.duration")
        assert "s" == metric.unit
        assert (0.005, 10) == (p := metric.data.data_points[0].explicit_bounds)[:: len(p) - 1]
        assert {"OK": 1, "UNIMPLEMENTED": 1} == telemetry.ended(side, "rpc.response.status_code")
