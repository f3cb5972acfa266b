"""Each record knows its trace, span and task, wherever it is formatted."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import logging.handlers
import queue
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import aperf
import aperf.logging
import aperf.testing
from aperf.model import SpanContext
from tests.opentelemetry_sdk import Collecting
from tests.programs import run_program

if TYPE_CHECKING:
    from collections.abc import Iterator


log = logging.getLogger("shop.cart")
SPAN_CONTEXT = trace.SpanContext(0xA1B2C3D4 << 96, 2, is_remote=True)


class Lines(io.StringIO):
    """A stream of lines in JSON."""

    def take(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Takes what is logged."""
    stream = Lines()
    with aperf.logging.install(format="json", stream=stream):
        yield stream


def test_trace_of_opentelemetry(lines: Lines) -> None:
    """In a span of OpenTelemetry's, also one that is not sampled, a record has its trace id."""
    for options in ({}, {"sampler": ALWAYS_OFF}):
        theirs = Collecting(**options)
        with theirs.provider.get_tracer("app").start_as_current_span("request") as span:
            log.info("sold")
        expected = f"{span.get_span_context().trace_id:032x}"
        assert expected == lines.take()[-1]["trace_id"]
    assert {"name": "request"} == lines.take()[0]["span"]


def test_remote_trace() -> None:
    """A trace that came with a request counts; text shows its first eight digits."""
    stream = io.StringIO()
    with (
        aperf.logging.install(format="compact", stream=stream),
        trace.use_span(trace.NonRecordingSpan(SPAN_CONTEXT)),
    ):
        log.info("sold")
    assert stream.getvalue().startswith("[a1b2c3d4] ")


def test_invalid_trace(lines: Lines) -> None:
    """A span that is not valid is none."""
    with trace.use_span(trace.INVALID_SPAN):
        log.info("sold")
    assert not {"trace_id", "span"} & set(lines.take()[0])


def test_trace_of_ours(monkeypatch: pytest.MonkeyPatch, lines: Lines) -> None:
    """What aperf knows of the trace counts first."""
    context = SpanContext(trace_id=0xFF, span_id=1)
    monkeypatch.setattr("aperf._spans.current_context", lambda: context, raising=False)
    with trace.use_span(trace.NonRecordingSpan(SPAN_CONTEXT)):
        log.info("sold")
    assert "0" * 30 + "ff" == lines.take()[0]["trace_id"]


@pytest.mark.usefixtures("twin")
def test_span_of_ours(lines: Lines) -> None:
    """A record has the name of the innermost span, be it aperf's or OpenTelemetry's."""
    tracer = Collecting().provider.get_tracer("app")
    with aperf.testing.capture(), aperf.span("outer"):
        log.info("in outer")
        with tracer.start_as_current_span("inner"):
            log.info("in inner")
    assert ["outer", "inner"] == [line["span"]["name"] for line in lines.take()]


class Raising:
    """A span that raises whatever it is asked."""

    def __getattr__(self, name: str) -> object:
        raise RuntimeError(name)


def test_faulty_span(monkeypatch: pytest.MonkeyPatch, lines: Lines) -> None:
    """A span that raises is none; all else is there."""
    monkeypatch.setattr("opentelemetry.trace.get_current_span", Raising)
    log.info("sold")
    [line] = lines.take()
    assert ("sold", "shop.cart") == (line["fields"]["message"], line["target"])
    assert "trace_id" not in line


def test_filter_by_a_span_of_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A directive may be about OpenTelemetry's span and its attributes; none raises."""
    stream = Lines()
    tracer = Collecting().provider.get_tracer("app")
    with aperf.logging.install(format="json", stream=stream, filter="warn,[{method=GET}]=debug"):
        for method in ("GET", "PUT"):
            with tracer.start_as_current_span("request", attributes={"method": method}):
                log.debug(method)
        monkeypatch.setattr("opentelemetry.trace.get_current_span", Raising)
        log.warning("sold")
    assert ["GET", "sold"] == [line["fields"]["message"] for line in stream.take()]


def test_task_names(lines: Lines) -> None:
    """Each task's records have its name, whatever that is."""

    async def child() -> None:
        log.info("sold")

    async def main() -> None:
        await asyncio.gather(
            asyncio.create_task(child(), name="Ann's"), asyncio.create_task(child(), name="a\nb")
        )
        asyncio.get_running_loop().call_soon(log.info, "in a callback")
        await asyncio.sleep(0)

    asyncio.run(main())
    assert ["Ann's", "a\nb", None] == [line["task"] for line in lines.take()]


def test_formatted_elsewhere() -> None:
    """A record that another thread formats still belongs to where it was made."""
    records: queue.SimpleQueue[Any] = queue.SimpleQueue()
    handler = logging.handlers.QueueHandler(records)
    handler.addFilter(aperf.logging.TraceContextFilter())
    log.addHandler(handler)
    try:
        with trace.use_span(trace.NonRecordingSpan(SPAN_CONTEXT)):
            log.warning("sold")
    finally:
        log.removeHandler(handler)
    found: list[str] = []
    record = records.get_nowait()
    form = aperf.logging.LineFormatter("json")
    thread = threading.Thread(target=lambda: found.append(form.format(record)))
    thread.start()
    thread.join()
    assert f"{SPAN_CONTEXT.trace_id:032x}" == json.loads(found[0])["trace_id"]
    assert record.trace_id == json.loads(found[0])["trace_id"]


def test_own_configuration() -> None:
    """All parts can be named in a configuration of the application's."""
    source = """
    import logging, logging.config
    logging.config.dictConfig({
        "version": 1,
        "filters": {"trace": {"()": "aperf.logging.TraceContextFilter"}},
        "formatters": {
            "line": {"()": "aperf.logging.LineFormatter", "format": "compact"},
            "own": {"format": "<%(trace_id)s> <%(task)s> %(message)s"},
        },
        "handlers": {
            "line": {"class": "logging.StreamHandler", "formatter": "line"},
            "own": {"class": "logging.StreamHandler", "formatter": "own", "filters": ["trace"]},
            "events": {"class": "aperf.logging.SpanEventHandler", "level": "ERROR"},
        },
        "root": {"handlers": ["line", "own", "events"]},
    })
    logging.error("sold")
    """
    done = run_program(source)
    line, own = done.stderr.splitlines()
    assert line.startswith("[--------] ")
    assert "<> <> sold" == own


# ---------------------------------------------------------------------------------------- structlog


def test_structlog_processor() -> None:
    """The processor adds what there is, and changes nothing else."""
    add = aperf.logging.add_trace_context
    assert {"event": "sold"} == add(None, "info", {"event": "sold"})

    async def main() -> Any:
        with trace.use_span(trace.NonRecordingSpan(SPAN_CONTEXT)):
            return add(SimpleNamespace(), "info", {"event": "sold"}), add(
                None, "info", {"event": "sold", "trace_id": "own", "task": "own"}
            )

    added, kept = asyncio.run(main())
    assert f"{SPAN_CONTEXT.trace_id:032x}" == added["trace_id"]
    assert added["task"].startswith("Task-")
    assert {"event": "sold", "trace_id": "own", "task": "own"} == kept


def test_structlog_itself() -> None:
    """Where structlog is installed, it takes the processor."""
    structlog = pytest.importorskip("structlog", reason="aperf does not depend on structlog")
    told: list[Any] = []

    def keep(logger: Any, name: str, event: Any) -> Any:
        told.append(dict(event))
        raise structlog.DropEvent

    logger = structlog.wrap_logger(
        None, processors=[aperf.logging.add_trace_context, keep], wrapper_class=None
    )
    with trace.use_span(trace.NonRecordingSpan(SPAN_CONTEXT)):
        logger.info("sold", order=7)
    assert [{"event": "sold", "order": 7, "trace_id": f"{SPAN_CONTEXT.trace_id:032x}"}] == told
