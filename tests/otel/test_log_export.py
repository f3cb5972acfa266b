"""Log records that leave as OTLP: what arrives, and which of them."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import aperf
import aperf.logging
from aperf.exporters import MemoryExporter
from aperf.otel import LogsExporter
from tests.exported_logs import exporting, logs_to
from tests.logs_receiver import grpc_logs_receiver, http_logs_receiver
from tests.receivers import ddapm
from tests.watched import run_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.logs_receiver import Arrived, LogsReceiver
    from tests.receivers import TestAgent

__all__ = ("ddapm",)

log = logging.getLogger("shop.cart")

both_protocols = pytest.mark.parametrize(
    ("receive", "protocol"),
    [(grpc_logs_receiver, "grpc"), (http_logs_receiver, "http/protobuf")],
    ids=["grpc", "http"],
)


@pytest.fixture(autouse=True)
def pristine() -> Iterator[None]:
    """Before and after, logging is as Python makes it, but for pytest's own handlers."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level, logging.lastResort, logging.Logger.callHandlers)
    yield
    after = (list(root.handlers), root.level, logging.lastResort, logging.Logger.callHandlers)
    assert before == after


def exported(
    program: Callable[[], object], *, settings: dict[str, Any] | None = None, **logs: Any
) -> list[Arrived]:
    """Run a program in a task of a session; return what arrives of its log."""

    async def main() -> None:
        async with exporting(logs_to(receiver.port, **logs), **(settings or {})) as session:
            program()
            assert await session.flush()
        statistics = session.statistics()
        assert (len(receiver.accepted), 0) == (statistics.exported_logs, statistics.dropped_logs)

    with grpc_logs_receiver() as receiver:
        run_plain(main())
    return receiver.accepted


def bodies(records: list[Arrived]) -> list[Any]:
    """Return the messages."""
    return [arrived.body for arrived in records]


# ----------------------------------------------------------------------------------- what arrives


@both_protocols
def test_everything_of_a_record(
    receive: Callable[[], AbstractContextManager[LogsReceiver]], protocol: str
) -> None:
    """Message, severity, place, thread, task, extra values, trace and session arrive."""
    tracer = TracerProvider().get_tracer("test")

    async def main() -> None:
        async with exporting(logs_to(receiver.port, protocol)) as session:
            with tracer.start_as_current_span("request") as span:
                log.warning("sold %d", 3, extra={"order": 7, "items": ["pear", {"n": 2}]})
            assert await session.flush()
        (arrived,) = receiver.accepted
        context, record = span.get_span_context(), arrived.record
        assert context.trace_id.to_bytes(16, "big") == record.trace_id
        assert context.trace_flags == record.flags

    with receive() as receiver:
        run_plain(main())
    (arrived,) = receiver.accepted
    record, attributes = arrived.record, arrived.attributes
    assert ("sold 3", "shop.cart") == (arrived.body, arrived.scope)
    assert (13, "WARNING") == (record.severity_number, record.severity_text)
    assert 0 <= record.observed_time_unix_nano - record.time_unix_nano < 60 * 10**9
    assert 8 == len(record.span_id)
    assert __file__ == attributes.pop("code.file.path")
    assert main.__code__.co_firstlineno + 3 == attributes.pop("code.line.number")
    assert attributes.pop("asyncio.task.name").startswith("Task-")
    assert isinstance(attributes.pop("thread.id"), int)
    assert {
        "code.function.name": "main",
        "thread.name": "MainThread",
        "order": 7,
        "items": ["pear", {"n": 2}],
    } == attributes
    assert {"service.name": "shop", "telemetry.sdk.name": "aperf"}.items() <= (
        arrived.resource.items()
    )
    (metadata,) = receiver.metadata
    assert metadata["user-agent"].startswith("aperf/")
    assert metadata.get("path") == (None if protocol == "grpc" else "/v1/logs")


@both_protocols
def test_headers_and_compression(
    receive: Callable[[], AbstractContextManager[LogsReceiver]], protocol: str
) -> None:
    """What the settings say of requests counts for log records as it does for spans."""
    with receive() as receiver:
        how = logs_to(receiver.port, protocol, compression="gzip", headers=(("x-key", "secret"),))
        with exporting(how):
            log.info("sold")
    ((arrived,), (metadata,)) = receiver.accepted, receiver.metadata
    assert ("sold", "secret") == (arrived.body, metadata["x-key"])
    assert metadata.get("content-encoding") == (None if protocol == "grpc" else "gzip")


def test_an_exception() -> None:
    """A logged exception is told by type, message and traceback; a stack stands beside it."""

    def program() -> None:
        try:
            dict[str, int]()["pear"]
        except KeyError:
            log.exception("no such fruit", stack_info=True)

    (arrived,) = exported(program)
    attributes = arrived.attributes
    assert ("KeyError", "'pear'") == (
        attributes["exception.type"],
        attributes["exception.message"],
    )
    assert attributes["exception.stacktrace"].endswith("KeyError: 'pear'")
    assert attributes["code.stacktrace"].startswith("Stack (most recent call last)")


@pytest.mark.parametrize(
    ("level", "number"),
    [(5, 4), (10, 5), (13, 8), (19, 8), (20, 9), (25, 12), (30, 13), (40, 17), (50, 21), (99, 24)],
)
def test_severity(level: int, number: int) -> None:
    """Levels of Python's have numbers of OpenTelemetry's, and so do those between them."""
    log.setLevel(1)
    try:
        (arrived,) = exported(lambda: log.log(level, "here"), settings={"log_filter": "shop=trace"})
    finally:
        log.setLevel(logging.NOTSET)
    assert number == arrived.record.severity_number


def test_in_no_trace() -> None:
    """What is logged outside of tasks and spans says nothing of a trace."""
    with grpc_logs_receiver() as receiver, exporting(logs_to(receiver.port)):
        log.info("outside")
    (arrived,) = receiver.accepted
    record = arrived.record
    assert (b"", b"", 0) == (record.trace_id, record.span_id, record.flags)


def test_in_a_trace_that_is_not_sampled() -> None:
    """It is told all the same, and that it is not sampled."""
    tracer = TracerProvider(sampler=ALWAYS_OFF).get_tracer("test")

    def program() -> None:
        with tracer.start_as_current_span("request"):
            log.info("inside")

    (arrived,) = exported(program)
    record = arrived.record
    assert (16, 8, 0) == (len(record.trace_id), len(record.span_id), record.flags & 1)


def test_in_spans_of_aperf() -> None:
    """Records belong to the `aperf.span` around them, else to the task, by the ids of the spans."""
    memory = MemoryExporter()

    async def main() -> None:
        logs = LogsExporter(logs_to(receiver.port), 5 * 10**9)
        async with aperf.session(enabled=True, exporters=[memory, logs]):
            await asyncio.create_task(child())

    async def child() -> None:
        log.info("child")
        with aperf.span("sale"):
            log.info("sale")

    with grpc_logs_receiver() as receiver:
        run_plain(main())
    expected = {
        span.name.rpartition(".")[2]: (
            span.trace_id.to_bytes(16, "big"),
            span.span_id.to_bytes(8, "big"),
            1,
        )
        for span in memory.spans
    }
    assert 2 == len(receiver.accepted)
    for arrived in receiver.accepted:
        record = arrived.record
        assert expected[arrived.body] == (record.trace_id, record.span_id, record.flags)


class Stubborn:
    """Cannot be shown."""

    def __str__(self) -> str:
        log.info("from inside")
        raise ValueError


def test_whatever_is_logged() -> None:
    """What has no counterpart is text; nothing of it raises, and what it logs itself stays out."""

    def program() -> None:
        log.info("%d", "x", extra={"big": 1 << 70, "odd": Stubborn(), "\ud800": "\udfff"})
        log.info({"event": "sold", "order": 7})
        log.info("mine", extra={"thread.name": "theirs"})

    first, second, third = exported(program)
    assert "TypeError" in first.body
    assert str(1 << 70) == first.attributes["big"]
    assert "its text raised ValueError" in first.attributes["odd"]
    assert "?" == first.attributes["?"]
    assert {"event": "sold", "order": 7} == second.body
    assert "MainThread" == third.attributes["thread.name"]


def test_limits() -> None:
    """There are no more attributes, and no longer ones, than the limits let through."""
    (arrived,) = exported(
        lambda: log.info("whole", extra={"text": "x" * 99, "texts": ["y" * 99], "more": 1}),
        attributes=8,
        attribute_length=4,
    )
    assert "whole" == arrived.body
    assert (8, 1) == (len(arrived.record.attributes), arrived.record.dropped_attributes_count)
    assert ("xxxx", ["yyyy"]) == (arrived.attributes["text"], arrived.attributes["texts"])


# ----------------------------------------------------------------------------------------- which


def test_the_filter() -> None:
    """What the filter keeps is exported, whether anybody shows it or not."""

    def program() -> None:
        log.info("kept")
        log.debug("too fine")
        logging.getLogger("urllib3").info("noise")
        logging.getLogger("shop.db").debug("wanted")

    logging.getLogger("shop.db").setLevel(logging.DEBUG)
    try:
        records = exported(program, settings={"log_filter": "info,shop.db=debug"})
    finally:
        logging.getLogger("shop.db").setLevel(logging.NOTSET)
    assert ["kept", "wanted"] == bodies(records)


def test_another_filter() -> None:
    """The filter of a session may be replaced."""

    async def main() -> None:
        async with exporting(logs_to(receiver.port)) as session:
            log.debug("no")
            session.set_filter(logs="debug")
            log.debug("yes")
            session.set_filter(logs="error")
            log.warning("no more")

    with grpc_logs_receiver() as receiver:
        run_plain(main())
    assert ["yes"] == receiver.bodies


def test_propagation_holds() -> None:
    """What a logger keeps from the root logger is not exported."""
    log.propagate = False
    try:
        records = exported(lambda: log.warning("private"))
    finally:
        log.propagate = True
    assert [] == records


def test_before_and_after() -> None:
    """Only what is logged while the session is open is exported."""
    with grpc_logs_receiver() as receiver:

        async def main() -> None:
            log.warning("before")
            async with exporting(logs_to(receiver.port)):
                log.warning("meanwhile")
            log.warning("after")

        run_plain(main())
    assert ["meanwhile"] == receiver.bodies


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> object:
    """The application has a LoggerProvider of its own."""
    from opentelemetry import _logs
    from opentelemetry.sdk._logs import LoggerProvider

    made = LoggerProvider()
    monkeypatch.setattr(_logs, "get_logger_provider", lambda: made)
    return made


@pytest.mark.usefixtures("provider")
def test_the_applications_own_provider() -> None:
    """Where the application exports its log itself, nothing is exported twice."""
    assert [] == exported(lambda: log.warning("theirs"))


def test_a_provider_that_comes_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """An application may set up OpenTelemetry's logs when the session has begun."""
    from opentelemetry import _logs
    from opentelemetry.sdk._logs import LoggerProvider

    assert not isinstance(_logs.get_logger_provider(), LoggerProvider)

    def program() -> None:
        log.warning("ours")
        made = LoggerProvider()
        monkeypatch.setattr(_logs, "get_logger_provider", lambda: made)
        log.warning("theirs")

    assert ["ours"] == bodies(exported(program))


def test_structlog() -> None:
    """Events of structlog's go the way of `logging`: rendered, or whole."""
    structlog.configure(
        processors=[structlog.stdlib.add_log_level, structlog.stdlib.render_to_log_kwargs],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    try:
        (arrived,) = exported(lambda: structlog.get_logger("shop.cart").info("sold", order=7))
        assert ("sold", 7) == (arrived.body, arrived.attributes["order"])
        structlog.configure(
            processors=[structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.stdlib.BoundLogger,
            cache_logger_on_first_use=False,
        )
        (arrived,) = exported(lambda: structlog.get_logger("shop.cart").info("sold", order=7))
        assert {"event": "sold", "order": 7} == arrived.body
        structlog.configure(processors=[structlog.processors.JSONRenderer()])
        (arrived,) = exported(lambda: structlog.get_logger("shop.cart").info("sold", order=7))
        assert {"event": "sold", "order": 7} == json.loads(arrived.body)
    finally:
        structlog.reset_defaults()


# ------------------------------------------------------------------------------ without a session


def ask(monkeypatch: pytest.MonkeyPatch, port: int, **variables: str) -> None:
    """Let the environment ask for the export."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_ENABLED", "true")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", f"http://127.0.0.1:{port}")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def wait_for_bodies(receiver: LogsReceiver, expected: list[str]) -> None:
    """Wait until so many records have arrived, and compare."""
    from tests.scripted_receiver import wait_until

    wait_until(lambda: len(receiver.accepted) >= len(expected))
    assert expected == receiver.bodies


def test_install(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`install` exports where the environment asks for it, until it is undone."""
    with grpc_logs_receiver() as receiver:
        ask(monkeypatch, receiver.port, OTEL_SERVICE_NAME="till")
        with aperf.logging.install(format="json", filter="warning") as handle:
            log.info("no")
            log.warning("first")
            handle.set_filter("info")
            log.info("second")
        log.warning("after")
        wait_for_bodies(receiver, ["first", "second"])
    assert "till" == receiver.accepted[0].resource["service.name"]
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    assert ["first", "second"] == [json.loads(line)["fields"]["message"] for line in lines]


def test_once_with_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `install` and a session, each record is sent once, and the session's filter decides."""

    async def main() -> None:
        with aperf.logging.install(filter="debug"):
            log.debug("before")
            async with aperf.session(enabled=True) as session:
                log.debug("no")
                log.info("in the session")
                assert await session.flush()
                assert session.statistics().exported_logs in (1, 2)  # "before" may be one of them
            log.debug("after")

    with grpc_logs_receiver() as receiver:
        ask(monkeypatch, receiver.port, APERF_SUMMARY="none", OTEL_BLRP_SCHEDULE_DELAY="0")
        run_plain(main())
        wait_for_bodies(receiver, ["before", "in the session", "after"])


def test_a_session_says_whose_records_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """`install` leaves it to an open session, say of `aperf run`, what the process is called."""

    async def main() -> None:
        async with aperf.session(enabled=True, service_name="till") as session:
            with aperf.logging.install():
                log.info("in the session")
                assert await session.flush()

    with grpc_logs_receiver() as receiver:
        ask(monkeypatch, receiver.port, APERF_SUMMARY="none", OTEL_SERVICE_NAME="shop")
        run_plain(main())
    assert ["till"] == [arrived.resource["service.name"] for arrived in receiver.accepted]


def test_a_bad_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bad variable is told, and records are shown all the same."""
    monkeypatch.setattr("aperf._stderr._told", set())
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_ENABLED", "perhaps")
    with aperf.logging.install(format="json", logger=logging.getLogger()):
        log.warning("here")
    error = capsys.readouterr().err
    assert "aperf: OTEL_EXPORTER_OTLP_LOGS_ENABLED: 'perhaps' is not accepted" in error
    assert "aperf: log records are not exported" in error
    assert '"message": "here"' in error


# ----------------------------------------------------------------------------- a real receiver


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_receiver_of_others(ddapm: TestAgent, protocol: str) -> None:
    """Datadog's test agent understands it."""
    ddapm.clear()
    url = ddapm.endpoint if protocol == "grpc" else ddapm.http_url
    settings = logs_to(int(url.rpartition(":")[2]), protocol)
    tracer = TracerProvider().get_tracer("test")

    async def main() -> str:
        async with exporting(settings) as session:
            with tracer.start_as_current_span("request") as span:
                log.info("sold %d", 3, extra={"order": 7})
            assert await session.flush()
        return f"{span.get_span_context().trace_id:032x}"

    trace_id = run_plain(main())
    (record,) = [each for each in ddapm.logs() if each.scope == "shop.cart"]
    assert ("sold 3", trace_id, 7) == (record.body, record.trace_id, record.attributes["order"])
    assert "shop" == record.resource["service.name"]
