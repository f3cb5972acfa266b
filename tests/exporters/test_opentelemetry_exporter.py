from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.trace import (
    ConcurrentMultiSpanProcessor,
    ReadableSpan,
    SpanProcessor,
    TracerProvider,
)
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import aperf
from aperf.exporters.opentelemetry import OpenTelemetryExporter
from aperf.model import ExporterStatistics
from tests.opentelemetry_sdk import Blocking, Collecting, GateExporter, provider_of, set_global
from tests.otlp_batches import SESSION, a_batch, in_s
from tests.watched import run_plain, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aperf.model import Exporter


def started(
    provider: TracerProvider | None = None, queue_spans: int = 10_000
) -> OpenTelemetryExporter:
    """Return an exporter in a session."""
    exporter = OpenTelemetryExporter(provider, queue_spans=queue_spans)
    exporter.start(SESSION)
    return exporter


@pytest.fixture
def collecting() -> Collecting:
    """An application's provider."""
    return Collecting()


@pytest.fixture
def blocking(request: pytest.FixtureRequest) -> Iterator[Blocking]:
    """A processor that blocks at some stage until the test is over."""
    processor = Blocking(request.param)
    yield processor
    processor.released.set()


# ------------------------------------------------------------------------------------- delivery


async def work() -> None:
    """Be two tasks, one of them in a user span."""
    with aperf.span("order"):
        await asyncio.create_task(asyncio.sleep(0), name="child")


async def watched(exporter: Exporter) -> bool:
    """Work in a session; say whether all was delivered."""
    async with aperf.session(enabled=True, exporters=[exporter]) as session:
        await work()
        return await session.flush()


def test_spans_of_a_session(collecting: Collecting) -> None:
    """The application's processors get them beside its own, with the application's resource."""
    tracer = collecting.provider.get_tracer("shop", "1.0")
    tracer.start_span("own").end()
    assert run_plain(watched(OpenTelemetryExporter(collecting.provider)))
    assert {"own", "order", "sleep", "await Task"} <= set(collecting.names)
    assert {collecting.provider.resource} == {span.resource for span in collecting.spans}
    scopes = {span.name: span.instrumentation_scope for span in collecting.spans}
    assert ["shop", "aperf"] == [getattr(scopes[name], "name", "") for name in ("own", "order")]
    by_id = {span.context.span_id: span.name for span in collecting.spans}
    parents = {
        span.name: by_id.get(span.parent.span_id) for span in collecting.spans if span.parent
    }
    assert "order" == parents["sleep"]


def test_the_provider_lives_on(collecting: Collecting) -> None:
    """The end of a session is not the end of the application's provider."""
    assert run_plain(watched(OpenTelemetryExporter(collecting.provider)))
    collecting.exporter.clear()
    collecting.provider.get_tracer("shop").start_span("later").end()
    assert ["later"] == collecting.names


def test_only_sampled_spans(collecting: Collecting) -> None:
    """What was not sampled neither goes out nor counts."""
    exporter = started(collecting.provider)
    exporter.export(a_batch(3, sampled=False), in_s(5))
    exporter.export(a_batch(2), in_s(5))
    assert exporter.shutdown(in_s(5))
    assert ExporterStatistics(exported_spans=2) == exporter.statistics()
    assert [True, True] == [span.context.trace_flags.sampled for span in collecting.spans]


@pytest.mark.parametrize("distributor", [None, ConcurrentMultiSpanProcessor])
def test_all_processors(distributor: type[ConcurrentMultiSpanProcessor] | None) -> None:
    """Each of them gets each span, whichever way the provider distributes its own."""
    exporters = [InMemorySpanExporter(), InMemorySpanExporter()]
    options = {} if distributor is None else {"active_span_processor": distributor()}
    provider = provider_of(*map(SimpleSpanProcessor, exporters), **options)
    exporter = started(provider)
    exporter.export(a_batch(20), in_s(5))
    assert exporter.flush(in_s(5))
    late = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(late))
    exporter.export(a_batch(5), in_s(5))
    assert exporter.shutdown(in_s(5))
    assert [25, 25, 5] == [len(each.get_finished_spans()) for each in (*exporters, late)]


def test_neither_start_nor_suppression(collecting: Collecting) -> None:
    """Processors are told of ends alone, outside of any context: Logfire refuses spans else."""
    from opentelemetry import context

    seen: list[object] = []

    class Watching(SpanProcessor):
        def on_start(self, span: object, parent_context: object = None) -> None:
            seen.append("start")

        def on_end(self, span: ReadableSpan) -> None:
            seen.append(dict(context.get_current()))

    exporter = started(provider_of(Watching()))
    exporter.export(a_batch(1), in_s(5))
    assert exporter.shutdown(in_s(5))
    assert [{}] == seen


# ----------------------------------------------------------------------------- which provider


def test_the_provider_of_the_application(
    monkeypatch: pytest.MonkeyPatch, collecting: Collecting
) -> None:
    """It is found when it is set late; spans of before are held for it."""
    set_global(monkeypatch, None)
    exporter = started()
    exporter.export(a_batch(3), in_s(5))
    set_global(monkeypatch, collecting.provider)
    exporter.export(a_batch(2), in_s(5))
    assert exporter.flush(in_s(5))
    assert exporter.shutdown(in_s(5))
    assert 5 == len(collecting.spans)
    assert ExporterStatistics(exported_spans=5) == exporter.statistics()


def test_no_provider(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A flush neither waits for one nor pretends: it drops, counts and says no."""
    set_global(monkeypatch, None)
    exporter = started(queue_spans=10)
    exporter.export(a_batch(8), in_s(5))
    assert 3 == exporter.export(a_batch(3), in_s(5)).dropped  # there is room for 10
    begin_s = time.monotonic()
    assert not exporter.flush(in_s(20))
    assert 5 > time.monotonic() - begin_s
    assert 11 == exporter.statistics().dropped_spans
    assert exporter.flush(in_s(5))  # nothing was lost since
    assert not exporter.shutdown(in_s(5))
    assert "no TracerProvider" in caplog.text


def test_too_late_for_threads(monkeypatch: pytest.MonkeyPatch, collecting: Collecting) -> None:
    """A provider that is seen when the interpreter is about to exit is as good as none."""

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    set_global(monkeypatch, None)
    exporter = started()
    exporter.export(a_batch(3), in_s(5))
    set_global(monkeypatch, collecting.provider)
    monkeypatch.setattr(threading.Thread, "start", start)
    assert not exporter.shutdown(in_s(5))
    assert ExporterStatistics(dropped_spans=3) == exporter.statistics()


def test_other_providers_are_none(monkeypatch: pytest.MonkeyPatch, collecting: Collecting) -> None:
    """The API's, and one that is switched off; but a wrapper of the SDK's is looked through."""
    from opentelemetry.trace import NoOpTracerProvider, ProxyTracerProvider

    class Wrapper(NoOpTracerProvider):
        provider = collecting.provider

    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    disabled = TracerProvider(shutdown_on_exit=False)
    for useless in (ProxyTracerProvider(), NoOpTracerProvider(), disabled):
        with pytest.raises(aperf.ConfigurationError, match="enabled TracerProvider"):
            OpenTelemetryExporter(useless)
        set_global(monkeypatch, useless)
        exporter = started()
        exporter.export(a_batch(1), in_s(5))
        assert not exporter.shutdown(in_s(5))
    exporter = started(Wrapper())  # type: ignore[arg-type]
    exporter.export(a_batch(1), in_s(5))
    assert exporter.shutdown(in_s(5))
    assert 1 == len(collecting.spans)


def test_arguments() -> None:
    """What cannot be is said at once."""
    with pytest.raises(aperf.ConfigurationError, match="queue_spans is 0; 1 or more is accepted"):
        OpenTelemetryExporter(queue_spans=0)


def test_outside_of_a_session(collecting: Collecting) -> None:
    """Spans are dropped and counted."""
    exporter = OpenTelemetryExporter(collecting.provider)
    assert 2 == exporter.export(a_batch(2), in_s(5)).dropped
    assert 2 == exporter.statistics().dropped_spans
    assert not exporter.shutdown(in_s(5))


def test_forked_child(collecting: Collecting) -> None:
    """It leaves all to the parent, without a wait or a count."""
    exporter = started(collecting.provider)
    delivery = exporter._delivery
    assert delivery is not None
    exporter.forget_after_fork()
    assert ExporterStatistics() == exporter.statistics()
    assert exporter.shutdown(in_s(5))
    delivery.stop(in_s(5))  # in the parent


# ------------------------------------------------------------------------- processors at fault


class Refusing(SpanProcessor):
    """Raises for every span."""

    def on_end(self, span: ReadableSpan) -> None:
        raise KeyError(span.name)


def test_a_processor_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """The others get all spans nevertheless; those count as dropped, and one line tells why."""
    memory = InMemorySpanExporter()
    exporter = started(provider_of(Refusing(), SimpleSpanProcessor(memory)))
    exporter.export(a_batch(30), in_s(5))
    assert not exporter.flush(in_s(5))
    assert not exporter.shutdown(in_s(5))
    assert 30 == len(memory.get_finished_spans())
    statistics = exporter.statistics()
    assert (0, 30) == (statistics.exported_spans, statistics.dropped_spans)
    assert 0 < statistics.export_failures
    (record,) = (each for each in caplog.records if each.name == "aperf")
    assert "a span processor failed: KeyError: 'await sleep'" in record.getMessage()


@pytest.mark.parametrize("blocking", ["on_end"], indirect=True)
def test_a_processor_that_blocks(blocking: Blocking) -> None:
    """It costs neither whoever exports nor a deadline; what it has not taken is dropped."""
    exporter = started(provider_of(blocking), queue_spans=100)
    exporter.export(a_batch(50), in_s(5))
    assert blocking.entered.wait(20)
    begin_s = time.monotonic()
    assert 10 == exporter.export(a_batch(60), in_s(5)).dropped
    assert not exporter.flush(in_s(0.1))
    assert not exporter.shutdown(in_s(0.3))
    assert 5 > time.monotonic() - begin_s
    assert 110 == exporter.statistics().dropped_spans
    assert {"aperf-opentelemetry-spans"} == blocking.threads


@pytest.mark.parametrize("blocking", ["force_flush"], indirect=True)
def test_a_flush_that_blocks(blocking: Blocking) -> None:
    """Deadlines hold, whatever `force_flush` does with its own; spans still go out meanwhile."""
    memory = InMemorySpanExporter()
    exporter = started(provider_of(SimpleSpanProcessor(memory), blocking))
    exporter.export(a_batch(1), in_s(5))
    begin_s = time.monotonic()
    assert not exporter.flush(in_s(0.2))
    assert 5 > time.monotonic() - begin_s
    exporter.export(a_batch(2), in_s(5))
    until(lambda: 3 == len(memory.get_finished_spans()), "the spans")
    blocking.released.set()
    assert exporter.flush(in_s(10))
    assert exporter.shutdown(in_s(5))
    assert 3 == exporter.statistics().exported_spans


@pytest.mark.parametrize("answer", [False, OSError("gone")])
def test_a_flush_that_fails(answer: bool | Exception) -> None:
    """A no is passed on, though nothing is known to be lost."""

    class Doubtful(SpanProcessor):
        def force_flush(self, timeout_millis: int = 30000) -> bool:
            if isinstance(answer, Exception):
                raise answer
            return answer

    exporter = started(provider_of(Doubtful()))
    assert exporter.flush(in_s(5))  # of nothing
    exporter.export(a_batch(1), in_s(5))
    assert not exporter.flush(in_s(5))
    assert not exporter.shutdown(in_s(5))
    assert ExporterStatistics(exported_spans=1) == exporter.statistics()


def test_a_provider_that_was_shut_down(caplog: pytest.LogCaptureFixture) -> None:
    """Its processors ignore spans, so these count as dropped; nobody waits for them."""
    memory = InMemorySpanExporter()
    provider = provider_of(BatchSpanProcessor(memory))
    exporter = started(provider)
    exporter.export(a_batch(2), in_s(5))
    assert exporter.flush(in_s(5))
    provider.shutdown()
    exporter.export(a_batch(3), in_s(5))
    assert not exporter.flush(in_s(20))
    assert exporter.flush(in_s(20))
    exporter.shutdown(in_s(20))
    assert ExporterStatistics(exported_spans=2, dropped_spans=3) == exporter.statistics()
    assert "it is shut down" in caplog.text


# -------------------------------------------------------------------------- the batch processor


@pytest.mark.parametrize("is_wrapped", [False, True])
def test_a_full_queue_of_the_application(
    caplog: pytest.LogCaptureFixture, is_wrapped: bool
) -> None:
    """Half of it stays free for the application's own spans, and nothing of either is lost."""

    class Wrapper(SpanProcessor):
        def __init__(self, processor: SpanProcessor) -> None:
            self.processor = processor
            self.on_end = processor.on_end  # type: ignore[method-assign]
            self.force_flush = processor.force_flush  # type: ignore[method-assign]

    caplog.set_level(logging.INFO)
    gate = GateExporter()
    batch = BatchSpanProcessor(
        gate, max_queue_size=64, max_export_batch_size=16, schedule_delay_millis=60_000
    )
    provider = provider_of(Wrapper(batch) if is_wrapped else batch)
    exporter = started(provider)
    exporter.export(a_batch(300), in_s(5))
    assert gate.entered.wait(20)
    assert not exporter.flush(in_s(0.2))  # all that fits is in the queue now
    tracer = provider.get_tracer("shop")
    for _ in range(32):
        tracer.start_span("own").end()
    gate.opened.set()
    assert exporter.flush(in_s(20))
    assert exporter.shutdown(in_s(5))
    assert (32, 300) == (gate.names.count("own"), gate.names.count("await sleep"))
    assert not caplog.records
    provider.shutdown()


def test_a_small_queue_of_the_application() -> None:
    """It gets as much as it exports at a time, or it would wait for its timer each time."""
    gate = GateExporter()
    gate.opened.set()
    batch = BatchSpanProcessor(
        gate, max_queue_size=8, max_export_batch_size=8, schedule_delay_millis=60_000
    )
    provider = provider_of(batch)
    exporter = started(provider)
    exporter.export(a_batch(8), in_s(5))
    until(lambda: 8 == len(gate.names), "the export")
    assert exporter.shutdown(in_s(5))
    provider.shutdown()


# ------------------------------------------------------------------------------ no recursion


def test_an_exporter_with_a_loop_of_its_own() -> None:
    """Loops that it makes on aperf's threads are not watched: each span would make others."""
    memory = InMemorySpanExporter()

    class Asynchronous(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            asyncio.run(self._send(span))

        def force_flush(self, timeout_millis: int = 30000) -> bool:
            asyncio.run(asyncio.sleep(0))
            return True

        async def _send(self, span: ReadableSpan) -> None:
            await asyncio.sleep(0)
            memory.export([span])

    exporter = OpenTelemetryExporter(provider_of(Asynchronous()))
    with aperf.session(enabled=True, exporters=[exporter], loops="all") as session:
        asyncio.run(work())
        assert asyncio.run(session.flush())
    names = [span.name for span in memory.get_finished_spans()]
    assert 1 == names.count("work")
    assert not {"Asynchronous._send", "test_an_exporter_with_a_loop_of_its_own"} & set(names)
    assert not [name for name in names if "_send" in name]


# ------------------------------------------------------------------------------------ sampling


def test_the_provider_s_sampler(monkeypatch: pytest.MonkeyPatch) -> None:
    """It decides about roots, and others only while there is no provider."""
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBasedTraceIdRatio

    half = OpenTelemetryExporter(provider_of(sampler=ParentBasedTraceIdRatio(0.5))).sampler(None)
    assert half is not None
    assert [True, False] == [half((1 << 100) + low, "x") for low in (1, (1 << 64) - 1)]
    set_global(monkeypatch, None)
    sample = OpenTelemetryExporter().sampler(lambda trace_id, name: name == "wanted")
    assert sample is not None
    assert [True, False] == [sample(1, name) for name in ("wanted", "x")]
    set_global(monkeypatch, provider_of(sampler=ALWAYS_OFF))
    assert not sample(1, "wanted")


def test_a_sampler_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """It lets nothing through, as in the SDK, and one line says so."""
    from opentelemetry.sdk.trace.sampling import Sampler, SamplingResult

    class Broken(Sampler):
        def should_sample(self, *args: object, **kwargs: object) -> SamplingResult:
            raise ValueError("no idea")

        def get_description(self) -> str:
            return "Broken"

    sample = OpenTelemetryExporter(provider_of(sampler=Broken())).sampler(None)
    assert sample is not None
    assert [False, False] == [sample(number, "x") for number in (1, 2)]
    assert 1 == caplog.text.count("no idea")
