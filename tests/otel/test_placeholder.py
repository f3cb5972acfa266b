"""Programs that use OpenTelemetry's API and no SDK: their spans leave beside aperf's."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal

import grpc
import httpx
import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from opentelemetry.trace import Link, ProxyTracerProvider, SpanContext, SpanKind

import aperf
from aperf._config import Settings
from aperf.exporters import MemoryExporter, OtlpExporter
from aperf.exporters._opentelemetry_provider import application_provider
from aperf.exporters._program_spans import Outlet
from tests.opentelemetry_sdk import Collecting
from tests.scripted_http_receiver import scripted_http_receiver
from tests.scripted_receiver import (
    Answer,
    black_hole,
    refusing_port,
    scripted_receiver,
)
from tests.watched import run_plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from aperf._session import Session

#: Made long before any session, as libraries do.
EARLY = trace.get_tracer("early")

Protocol = Literal["grpc", "http/protobuf"]


class Received:
    """Where a session delivers to, and what has arrived there."""

    def __init__(self, receiver: Any, protocol: Protocol = "grpc") -> None:
        self.receiver = receiver
        self.exporter = OtlpExporter(f"http://127.0.0.1:{receiver.port}", protocol=protocol)

    @property
    def spans(self) -> Sequence[Span]:
        found: Sequence[Span] = self.receiver.accepted
        return found

    @property
    def names(self) -> list[str]:
        return sorted(span.name for span in self.spans)

    def the(self, name: str) -> Span:
        [span] = [span for span in self.spans if span.name == name]
        return span


@pytest.fixture
def received() -> Iterator[Received]:
    """A destination over gRPC."""
    with scripted_receiver() as receiver:
        yield Received(receiver)


@contextmanager
def receiving(protocol: Protocol) -> Iterator[Received]:
    """Run a receiver that speaks one of the protocols."""
    if protocol == "grpc":
        with scripted_receiver() as over_grpc:
            yield Received(over_grpc, protocol)
    else:
        with scripted_http_receiver() as over_http:
            yield Received(over_http, protocol)


def session(*exporters: Any, **settings: Any) -> Session:
    """Return a session with these destinations."""
    return aperf.session(
        enabled=True, exporters=exporters, settings=Settings(enabled=True, **settings)
    )


def slot() -> object:
    """Return what stands in the place of the program's provider."""
    provider: object = trace._TRACER_PROVIDER
    return provider


# --------------------------------------------------------------------------------------- one trace


async def child() -> None:
    """Open a span in a task."""
    with trace.get_tracer("late").start_as_current_span("inner"):
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_one_trace(protocol: Protocol) -> None:
    """Spans of both kinds arrive in one trace, each below the one that is around it."""

    async def main() -> None:
        async with session(told.exporter) as opened:
            with EARLY.start_as_current_span("outer"):
                await asyncio.create_task(child())
            assert await opened.flush()
            statistics = opened.statistics()
            assert (len(told.spans), 0) == (
                statistics.exported_spans,
                statistics.dropped_spans,
            )

    with receiving(protocol) as told:
        run_plain(main())
    outer, inner = told.the("outer"), told.the("inner")
    task, waiting = told.the("child"), told.the("await sleep")
    assert {outer.trace_id} == {span.trace_id for span in (inner, task, waiting)}
    assert b"" == outer.parent_span_id
    assert outer.span_id == task.parent_span_id
    assert task.span_id == inner.parent_span_id
    assert inner.span_id == waiting.parent_span_id
    assert outer.span_id == told.the("await Task").parent_span_id


def test_all_that_a_span_has(received: Received) -> None:
    """Attributes, events, links, status, kind and scope arrive, as of the session's service."""

    async def main() -> None:
        async with session(received.exporter, service_name="shop"):
            tracer = trace.get_tracer("library", "1.2", schema_url="https://example.org/1")
            linked = Link(SpanContext(5, 6, is_remote=True), {"why": "because"})
            with (
                suppress(ValueError),
                tracer.start_as_current_span(
                    "call", kind=SpanKind.CLIENT, attributes={"n": 1}, links=[linked]
                ) as span,
            ):
                span.set_attribute("words", ["a", "b"])
                span.add_event("sent", {"bytes": 3})
                raise ValueError("no")

    run_plain(main())
    span = received.the("call")
    assert {"n", "words"} == {pair.key for pair in span.attributes}
    assert ["sent", "exception"] == [event.name for event in span.events]
    assert [(5).to_bytes(16, "big")] == [link.trace_id for link in span.links]
    assert (Status.STATUS_CODE_ERROR, "ValueError: no") == (span.status.code, span.status.message)
    assert span.SPAN_KIND_CLIENT == span.kind
    [scope] = [
        scope
        for request in received.receiver.requests
        for resource in request.message.resource_spans
        for scope in resource.scope_spans
        if scope.scope.name == "library"
    ]
    assert ("1.2", "https://example.org/1") == (scope.scope.version, scope.schema_url)
    resources = {
        resource.resource.SerializeToString(deterministic=True)
        for request in received.receiver.requests
        for resource in request.message.resource_spans
    }
    assert 1 == len(resources), "aperf's spans and the program's are of one service"
    assert b"shop" in resources.pop()


def test_an_instrumentation(received: Received) -> None:
    """Requests of httpx, which uses the API alone, lie below the tasks that make them."""

    async def fetch(client: httpx.AsyncClient) -> None:
        await client.get("http://example.org/")

    async def answer(request: httpx.Request) -> httpx.Response:
        headers.append(request.headers["traceparent"])
        return httpx.Response(200)

    async def main() -> None:
        client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
        HTTPXClientInstrumentor.instrument_client(client)
        async with session(received.exporter), client:
            with EARLY.start_as_current_span("outer"):
                await asyncio.create_task(fetch(client))

    headers: list[str] = []
    run_plain(main())
    request = received.the("GET")
    [header] = headers
    assert f"00-{request.trace_id.hex()}-{request.span_id.hex()}" == header.rpartition("-")[0]
    tasks = {span.span_id: span for span in received.spans}
    assert received.the("outer").span_id == tasks[request.parent_span_id].parent_span_id


def test_what_is_there_looks_like_nothing(received: Received) -> None:
    """Who asks sees no provider of the SDK, as without a session, and neither does aperf."""

    async def main() -> None:
        async with session(received.exporter):
            assert isinstance(trace.get_tracer_provider(), ProxyTracerProvider)
            assert not hasattr(trace.get_tracer_provider(), "add_span_processor")
            assert application_provider() is None

    run_plain(main())


def test_decorated_functions(received: Received) -> None:
    """A function that was decorated before the session has a span each time it is called in it."""

    @EARLY.start_as_current_span("decorated")
    async def decorated() -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        await decorated()
        async with session(received.exporter):
            await decorated()
            await decorated()
        await decorated()

    run_plain(main())
    assert 2 == received.names.count("decorated")


def test_threads(received: Received) -> None:
    """Spans that threads end at the same time all arrive."""

    def work(number: int) -> None:
        for _ in range(50):
            with trace.get_tracer("threads").start_as_current_span(f"of {number}"):
                pass

    with session(received.exporter) as opened:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [50] * 8 == [received.names.count(f"of {number}") for number in range(8)]
    assert (400, 0) == (opened.statistics().exported_spans, opened.statistics().dropped_spans)


# -------------------------------------------------------------------------------------- who samples


def test_nothing_is_sampled(received: Received) -> None:
    """The session's sampler decides; what it refuses is not recorded."""

    async def main() -> None:
        async with session(received.exporter, sampler="always_off"):
            with EARLY.start_as_current_span("refused") as span:
                assert not span.is_recording()

    run_plain(main())
    assert [] == received.names


def test_the_parent_decides(received: Received) -> None:
    """A parent-based sampler follows what another process has decided."""

    async def main() -> None:
        async with session(received.exporter, sampler="parentbased_always_off"):
            for name, flags in (("kept", 1), ("refused", 0)):
                remote = SpanContext(7, 8, is_remote=True, trace_flags=trace.TraceFlags(flags))
                context = trace.set_span_in_context(trace.NonRecordingSpan(remote))
                EARLY.start_span(name, context).end()
            EARLY.start_span("refused").end()

    run_plain(main())
    assert ["kept"] == [name for name in received.names if name in ("kept", "refused")]


def test_a_share_is_sampled(received: Received) -> None:
    """A ratio of 0 lets none through, however it is told."""

    async def main() -> None:
        async with session(received.exporter, sampler="traceidratio", sampler_arg="0"):
            EARLY.start_span("refused").end()

    run_plain(main())
    assert "refused" not in received.names


# ------------------------------------------------------------------------------------ begin and end


def test_the_end_of_a_session(received: Received) -> None:
    """The place is free again, and tracers do nothing, those the API has kept included."""

    async def main() -> None:
        assert slot() is None
        kept: Any = None
        async with session(received.exporter):
            kept = trace.get_tracer("kept")
            unfinished = EARLY.start_span("unfinished")
        assert slot() is None
        for tracer in (EARLY, kept, trace.get_tracer("new")):
            span = tracer.start_span("too late")
            assert not span.is_recording()
            assert not span.get_span_context().is_valid
        unfinished.end()

    run_plain(main())
    assert not {"too late", "unfinished"} & set(received.names)


def test_sessions_one_after_the_other(received: Received) -> None:
    """Each gets what ends while it is open, from the tracers that an earlier one has seen."""

    async def main(receiver: Any, name: str) -> None:
        async with session(Received(receiver).exporter):
            with EARLY.start_as_current_span(name):
                await asyncio.sleep(0)

    with scripted_receiver() as other:
        for receiver, name in ((received.receiver, "first"), (other, "second")):
            run_plain(main(receiver, name))
        found = [span.name for span in other.accepted]
    assert "first" in received.names
    assert "second" not in received.names
    assert ("second" in found, "first" in found) == (True, False)


def test_several_destinations(received: Received) -> None:
    """All of them get the spans, those of a nested session while it is open."""

    async def main(outer: OtlpExporter, inner: OtlpExporter) -> None:
        async with session(received.exporter, outer):
            EARLY.start_span("before").end()
            async with session(inner):
                EARLY.start_span("within").end()
            assert isinstance(slot(), ProxyTracerProvider)
            EARLY.start_span("after").end()

    with scripted_receiver() as second, scripted_receiver() as third:
        run_plain(main(Received(second).exporter, Received(third).exporter))
        told = [
            [name for name in each.names if name in ("before", "within", "after")]
            for each in (received, Received(second), Received(third))
        ]
    everything = ["after", "before", "within"]
    assert [everything, everything, ["within"]] == told


def test_other_destinations_want_none() -> None:
    """Without OTLP nothing stands in."""

    async def main() -> None:
        async with session(MemoryExporter()):
            assert slot() is None
            assert not EARLY.start_span("nobody's").is_recording()

    run_plain(main())


@pytest.mark.parametrize(
    ("variable", "value"),
    [("OTEL_SDK_DISABLED", "True"), ("OTEL_PYTHON_TRACER_PROVIDER", "default_tracer_provider")],
)
def test_variables_that_name_a_provider(
    received: Received, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """Where OpenTelemetry is switched off, or told what to use, it is left alone."""
    monkeypatch.setenv(variable, value)

    async def main() -> None:
        async with session(received.exporter):
            assert slot() is None

    run_plain(main())


def test_an_application_s_provider_is_left_alone(
    received: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is one already, it stays, and gets its spans alone."""
    own = Collecting()
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", own.provider)

    async def main() -> None:
        async with session(received.exporter):
            assert slot() is own.provider
            trace.get_tracer("own").start_span("its own").end()

    run_plain(main())
    assert slot() is own.provider
    assert ["its own"] == own.names
    assert "its own" not in received.names


def test_a_later_provider_takes_over(
    received: Received, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Spans begun before end where they began, later ones at the new provider: none twice."""
    own = Collecting()
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", type(trace._TRACER_PROVIDER_SET_ONCE)())

    async def main() -> None:
        async with session(received.exporter):
            tracer = trace.get_tracer("of the placeholder")
            with tracer.start_as_current_span("before"), caplog.at_level(logging.WARNING):
                begun = EARLY.start_span("begun before")
                trace.set_tracer_provider(own.provider)
                for each in (tracer, EARLY, trace.get_tracer("new")):
                    each.start_span("after").end()
            begun.end()
        assert slot() is own.provider
        tracer.start_span("after").end()

    run_plain(main())
    assert [] == caplog.messages
    assert ["after"] * 4 == own.names
    assert {"before", "begun before"} < set(received.names)
    assert "after" not in received.names
    assert received.the("before").span_id == own.spans[0].parent.span_id.to_bytes(8, "big")  # type: ignore[union-attr]


# --------------------------------------------------------------------------------------- lost spans


def test_more_than_may_wait() -> None:
    """What there is no room for is dropped and counted; nobody waits."""
    outlet = Outlet(most=2)
    spans: list[Any] = [object(), object(), object()]
    for span in spans:
        outlet.put(span)
    assert (spans[:2], 1) == (outlet.take(), outlet.dropped)
    outlet.put(spans[2])
    assert (spans[2:], 1) == (outlet.take(), outlet.dropped)


def test_dropped_spans_are_counted(received: Received, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the session's counters too, and then a flush says no, once."""
    monkeypatch.setattr("aperf.exporters._program_spans._MOST_SPANS", 3)
    answers = []

    async def main() -> Session:
        async with session(received.exporter, export_interval_ns=3600 * 10**9) as opened:
            for _ in range(10):
                EARLY.start_span("one of many").end()
            answers.extend([await opened.flush(), await opened.flush()])
        return opened

    opened = run_plain(main())
    assert [False, True] == answers
    assert 7 == opened.statistics().dropped_spans
    assert 3 == received.names.count("one of many")


@pytest.mark.parametrize("peer", ["black hole", "refusing"])
def test_nobody_takes_them(peer: str) -> None:
    """Ending a span never waits, and what does not arrive is counted as dropped."""

    async def main(port: int) -> tuple[Session, float]:
        exporter = OtlpExporter(f"http://127.0.0.1:{port}", timeout_s=30)
        longest_s = 0.0
        async with session(exporter, shutdown_timeout_ns=500_000_000) as opened:
            EARLY.start_span("the SDK is imported").end()
            for _ in range(2000):
                begun_s = time.monotonic()
                EARLY.start_span("lost").end()
                longest_s = max(longest_s, time.monotonic() - begun_s)
        return opened, longest_s

    with black_hole() as hole:
        opened, longest_s = run_plain(main(hole if peer == "black hole" else refusing_port()))
    assert longest_s < 10
    statistics = opened.statistics()
    assert (2001 + statistics.spans, 0) == (statistics.dropped_spans, statistics.exported_spans)


def test_tried_again(received: Received) -> None:
    """A receiver that is not ready gets them later, once."""
    received.receiver.script[:] = [Answer(code=grpc.StatusCode.UNAVAILABLE)] * 2

    async def main() -> None:
        async with session(received.exporter) as opened:
            EARLY.start_span("again").end()
            assert await opened.flush()

    run_plain(main())
    assert 1 == received.names.count("again")


def test_a_receiver_that_wants_less_at_a_time(received: Received) -> None:
    """A request that is too large is sent in halves, in which nothing is missing."""
    received.receiver.script[:] = [Answer(code=grpc.StatusCode.RESOURCE_EXHAUSTED)]

    def main() -> None:
        with session(received.exporter):
            for number in range(5):
                trace.get_tracer(f"scope {number % 2}", "3").start_span(f"{number}").end()

    main()
    assert ["0", "1", "2", "3", "4"] == received.names
    scopes = {
        span.name: (scope.scope.name, scope.scope.version)
        for request in received.receiver.requests[1:]
        for resource in request.message.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }
    assert {str(number): (f"scope {number % 2}", "3") for number in range(5)} == scopes


def test_a_span_that_otlp_cannot_say(received: Received, caplog: pytest.LogCaptureFixture) -> None:
    """It is dropped and counted; the others arrive."""
    with caplog.at_level(logging.WARNING), session(received.exporter) as opened:
        for name in ("good", "no Unicode: \ud800", "good too"):
            EARLY.start_span(name).end()
    assert ["good", "good too"] == received.names
    assert (2, 1) == (opened.statistics().exported_spans, opened.statistics().dropped_spans)
    assert 1 == sum("cannot be encoded" in message for message in caplog.messages)
