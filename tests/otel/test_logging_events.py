"""Log records become events of the span around them, and errors mark it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

import aperf
import aperf.logging
import aperf.testing
from tests.opentelemetry_sdk import Collecting
from tests.otel_tree import Programs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan

    from aperf._recorder import Recorder
    from aperf.model import Span
    from tests.watched import LoopFactory

log = logging.getLogger("shop.cart")


@pytest.fixture
def theirs() -> Collecting:
    """The application's OpenTelemetry."""
    return Collecting()


@pytest.fixture(autouse=True)
def events() -> Iterator[None]:
    """Log records become events; no lines are shown."""
    with aperf.logging.install(stream=io.StringIO(), filter="off", span_events=True):
        yield


def request(theirs: Collecting, program: Any) -> ReadableSpan:
    """Run a program in a span of OpenTelemetry's; return that."""
    with theirs.provider.get_tracer("app").start_as_current_span("request"):
        program()
    [span] = [span for span in theirs.spans if span.name == "request"]
    return span


def test_event(theirs: Collecting) -> None:
    """An event is called like the message, and says who logged it, where, and what else."""
    extra = {"order": 7, "total": 1.5, "tags": ["a"], "big": 1 << 70, "none": None}

    def program() -> None:
        log.info("sold %d", 3, extra=extra)

    [event] = request(theirs, program).events
    assert "sold 3" == event.name
    assert {
        "level": "INFO",
        "logger": "shop.cart",
        "code.file.path": __file__,
        "code.line.number": program.__code__.co_firstlineno + 1,
        "code.function.name": "program",
        "order": 7,
        "total": 1.5,
        "tags": "['a']",
        "big": str(1 << 70),
        "none": "None",
    } == dict(event.attributes or {})


LEVELS = {
    logging.DEBUG: (0, StatusCode.UNSET),
    logging.INFO: (1, StatusCode.UNSET),
    logging.WARNING: (1, StatusCode.UNSET),
    logging.ERROR: (1, StatusCode.ERROR),
    logging.CRITICAL: (1, StatusCode.ERROR),
}


@pytest.mark.parametrize("level", LEVELS)
def test_levels(level: int, theirs: Collecting) -> None:
    """Whatever the filter of lines is, events begin at INFO, and errors mark the span."""
    span = request(theirs, lambda: log.log(level, "said"))
    assert LEVELS[level] == (len(span.events), span.status.status_code)
    assert span.status.description == ("said" if level >= logging.ERROR else None)


@pytest.mark.parametrize("status", [StatusCode.OK, StatusCode.ERROR])
def test_status_that_is_set(status: StatusCode, theirs: Collecting) -> None:
    """What the program has decided about the span stays."""

    def program() -> None:
        description = "own" if status is StatusCode.ERROR else None
        trace.get_current_span().set_status(status, description)
        log.error("failed")

    span = request(theirs, program)
    assert status is span.status.status_code
    assert "failed" != span.status.description


def test_exception(theirs: Collecting) -> None:
    """A logged exception is recorded as one, beside the message."""

    def program() -> None:
        try:
            raise KeyError("pear")
        except KeyError:
            log.exception("no such fruit")

    first, second = request(theirs, program).events
    assert ("no such fruit", "exception") == (first.name, second.name)
    assert "KeyError" == (second.attributes or {})["exception.type"]


def test_ended_and_other_spans(
    theirs: Collecting, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """In a span that has ended, does not record or is another process's, nothing happens."""
    ended = theirs.provider.get_tracer("app").start_span("ended")
    ended.end()
    remote = trace.NonRecordingSpan(trace.SpanContext(1, 2, is_remote=True))
    for span in (ended, remote, trace.INVALID_SPAN):
        with trace.use_span(span):
            log.error("failed")
    log.error("failed")
    assert "" == capsys.readouterr().err
    assert {"shop.cart"} == {record.name for record in caplog.records}


class Faulty(trace.NonRecordingSpan):
    """Raises, and logs meanwhile."""

    def is_recording(self) -> bool:
        log.error("is it recording?")
        raise RuntimeError


def test_faulty_span() -> None:
    """A span of another library may raise and log; neither disturbs."""
    with trace.use_span(Faulty(trace.SpanContext(1, 2, is_remote=False))):
        log.error("failed")


def test_two_installed(theirs: Collecting) -> None:
    """A record is added once, however often it is asked for."""
    with aperf.logging.install(stream=io.StringIO(), span_events=True):
        span = request(theirs, lambda: log.info("sold"))
    assert 1 == len(span.events)


def test_handler_alone(theirs: Collecting) -> None:
    """The handler may be given to a logger by the application itself, with filters and a level."""
    logger = logging.getLogger("alone")
    handler = aperf.logging.SpanEventHandler("ERROR")
    handler.addFilter(lambda record: "skip" not in record.getMessage())
    logger.addHandler(handler)
    logger.propagate = False

    def program() -> None:
        for message in ("failed", "skip this"):
            logger.warning(message)
            logger.error(message)

    try:
        assert ["failed"] == [event.name for event in request(theirs, program).events]
    finally:
        logger.removeHandler(handler)
        logger.propagate = True


# -------------------------------------------------------------------------------------- aperf's own


def events_of(span: Span) -> list[tuple[str, dict[str, Any]]]:
    """Return names and attributes of a span's events."""
    return [(event.name, dict(event.attributes)) for event in span.events]


@pytest.fixture
def captured(twin: type[Recorder]) -> aperf.testing.Capture:
    """Records, on either twin."""
    return aperf.testing.capture()


def test_user_span(captured: aperf.testing.Capture) -> None:
    """In an `aperf.span` the message is an attribute: names of events are to be few."""
    with captured, aperf.span("checkout"):
        log.info("sold %d", 3, extra={"order": 7})
    [(name, attributes)] = events_of(captured.span("checkout"))
    assert ("log", "sold 3", 7) == (name, attributes["message"], attributes["order"])
    assert ("INFO", "shop.cart", __file__) == (
        attributes["level"],
        attributes["logger"],
        attributes["code.file.path"],
    )


def test_error_in_a_user_span(captured: aperf.testing.Capture) -> None:
    """An error marks the span by an attribute; its exception is an event."""
    with captured:
        with aperf.span("one"):
            log.error("failed")
        with aperf.span("two"):
            try:
                raise KeyError("pear")
            except KeyError:
                log.exception("no such fruit")
    one, two = captured.span("one"), captured.span("two")
    assert ["log"] == [name for name, _ in events_of(one)]
    assert ["log", "exception"] == [name for name, _ in events_of(two)]
    assert "_OTHER" == dict(one.attributes)["error.type"]
    assert "KeyError" == dict(two.attributes)["error.type"]


def test_task(captured: aperf.testing.Capture) -> None:
    """Outside of user spans, it is the task's own span."""

    async def main() -> None:
        async with captured:
            await asyncio.create_task(child(), name="child")

    async def child() -> None:
        log.info("sold")

    asyncio.run(main())
    [task] = [each for each in captured.tasks if events_of(each)]
    assert "child" == dict(task.attributes)["asyncio.task.name"]
    assert ["sold"] == [attributes["message"] for _, attributes in events_of(task)]


def test_the_innermost_of_both(theirs: Collecting, captured: aperf.testing.Capture) -> None:
    """An OpenTelemetry span inside of an `aperf.span` gets what is logged in it."""
    with captured, aperf.span("outer"):
        assert ["inner"] == [e.name for e in request(theirs, lambda: log.info("inner")).events]
        log.info("after")
    [(_, attributes)] = events_of(captured.span("outer"))
    assert "after" == attributes["message"]


def test_task_in_a_trace_of_theirs(twin: type[Recorder], lazy_loop_factory: LoopFactory) -> None:
    """A task below a span of OpenTelemetry's gets its own events; lines have the same trace id."""
    stream = io.StringIO()
    programs = Programs(lazy_loop_factory)

    async def main() -> None:
        with programs.tracer.start_as_current_span("request"):
            await asyncio.create_task(child(), name="child")
            log.info("in request")

    async def child() -> None:
        log.info("in child")
        await asyncio.sleep(0)

    with aperf.logging.install(format="json", stream=stream):
        told = programs.run(main)
    assert ["in child"] == [
        attributes["message"] for _, attributes in events_of(told.task("child"))
    ]
    assert ["in request"] == [event.name for event in told.other("request").events]
    trace_id = f"{told.place('request')[0]:032x}"
    lines = map(json.loads, stream.getvalue().splitlines())
    assert [trace_id, trace_id] == [line["trace_id"] for line in lines]
