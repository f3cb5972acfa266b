"""Log records that leave as OTLP: receivers that fail, and ends of all kinds."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

import grpc
import pytest

import aperf.otel._log_queue
from aperf._config import LogsSettings
from aperf.otel._log_queue import LogCounters, LogQueue
from aperf.protocol.otlp import EncodedLog
from tests.exported_logs import NEVER_NS, exporting, logs_to
from tests.logs_receiver import grpc_logs_receiver, http_logs_receiver
from tests.programs import run_program
from tests.scripted_receiver import black_hole, refusing_port, wait_until
from tests.watched import run_plain

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger("shop.cart")


@pytest.fixture(params=["refusing", "black hole"])
def dead_port(request: pytest.FixtureRequest) -> Iterator[int]:
    """A port where nobody takes anything."""
    if request.param == "refusing":
        yield refusing_port()
    else:
        with black_hole() as port:
            yield port


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_dead_receiver(dead_port: int, protocol: str, caplog: pytest.LogCaptureFixture) -> None:
    """The end waits for the shutdown timeout and no longer, and each loss is counted once.

    What is logged about it, at whatever level, is not to be exported in turn.
    """
    session = exporting(
        logs_to(dead_port, protocol, delay_ns=0),
        shutdown_timeout_ns=10**9,
        log_filter="trace",
        export_interval_ns=10**7,
    )

    async def main() -> float:
        async with session:
            for number in range(10):
                log.info("sold %d", number)
            assert not await session.flush(0.3)
            begin_s = time.monotonic()
        return time.monotonic() - begin_s

    root = logging.getLogger()
    before = root.level
    root.setLevel(1)
    try:
        duration_s = run_plain(main())
    finally:
        root.setLevel(before)
    assert duration_s < 5  # 1 s, and patience with the machine
    statistics = session.statistics()
    assert (0, 10) == (statistics.exported_logs, statistics.dropped_logs)
    ours = [r for r in caplog.records if r.name == "aperf" and "log records" in r.getMessage()]
    assert 1 == len(ours)
    wait_until(lambda: not any(each.name == "aperf-logs" for each in threading.enumerate()))


def test_a_full_queue() -> None:
    """More than there is room for is dropped and counted; the rest arrives."""

    async def main() -> None:
        async with exporting(settings) as session:
            for number in range(20):
                log.info("%d", number)
            assert 14 == session.statistics().dropped_logs
            assert not await session.flush()  # it tells of the loss once
            assert await session.flush()
        assert (6, 14) == (
            session.statistics().exported_logs,
            session.statistics().dropped_logs,
        )

    with grpc_logs_receiver() as receiver:
        settings = logs_to(receiver.port, queue_records=6, batch_records=100)
        run_plain(main())
    assert [str(number) for number in range(6)] == receiver.bodies


def test_a_lost_record_is_retried() -> None:
    """What a receiver cannot take now, it gets later."""

    async def main() -> None:
        async with exporting(logs_to(receiver.port)) as session:
            log.info("sold")
            assert await session.flush()
        assert (1, 0) == (session.statistics().exported_logs, session.statistics().export_failures)

    with grpc_logs_receiver(grpc.StatusCode.UNAVAILABLE) as receiver:
        run_plain(main())
    assert (2, ["sold"]) == (len(receiver.requests), receiver.bodies)


def test_refused(caplog: pytest.LogCaptureFixture) -> None:
    """What a receiver refuses is lost, counted, and told once for all in a row."""

    async def main() -> None:
        async with exporting(logs_to(receiver.port, "http/protobuf")) as session:
            for number in range(3):
                log.info("%d", number)
                assert (number == 2) == await session.flush()
        statistics = session.statistics()
        assert (1, 2, 2) == (
            statistics.exported_logs,
            statistics.dropped_logs,
            statistics.export_failures,
        )

    with http_logs_receiver(400, 403) as receiver:
        run_plain(main())
    warnings = [r.getMessage() for r in caplog.records if r.name == "aperf"]
    (line,) = warnings
    assert line.startswith(f"aperf: log records cannot be sent to http://127.0.0.1:{receiver.port}")
    assert "400" in line


def test_too_large() -> None:
    """A request that is too large is halved, once."""

    async def main() -> None:
        async with exporting(logs_to(receiver.port, "http/protobuf")) as session:
            for number in range(4):
                log.info("%d", number)
            assert await session.flush()

    with http_logs_receiver(413) as receiver:
        run_plain(main())
    assert (3, ["0", "1", "2", "3"]) == (len(receiver.requests), receiver.bodies)


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_rejected_in_part(protocol: str) -> None:
    """Records that a receiver says to have rejected are lost."""

    async def main() -> None:
        async with exporting(logs_to(receiver.port, protocol)) as session:
            for number in range(4):
                log.info("%d", number)
            assert not await session.flush()
        assert (3, 1) == (session.statistics().exported_logs, session.statistics().dropped_logs)

    with grpc_logs_receiver() if protocol == "grpc" else http_logs_receiver() as receiver:
        receiver.rejected = 1
        run_plain(main())


def test_batches() -> None:
    """Full batches leave at once, and none is larger."""

    async def main() -> None:
        async with exporting(logs_to(receiver.port, batch_records=2)):
            for number in range(5):
                log.info("%d", number)
            wait_until(lambda: len(receiver.accepted) == 4)

    with grpc_logs_receiver() as receiver:
        run_plain(main())
    counts = [
        len(request.resource_logs[0].scope_logs[0].log_records) for request in receiver.requests
    ]
    assert [2, 2, 1] == counts


# --------------------------------------------------------------------------------------- the queue


def entry(size: int = 1) -> EncodedLog:
    """Return a record that takes so many bytes."""
    return EncodedLog("shop", b"x" * size)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large records are dropped before small ones would be."""
    monkeypatch.setattr(aperf.otel._log_queue, "MAX_BYTES", 10)
    queue = LogQueue(LogsSettings(delay_ns=0))
    for _ in range(3):
        queue.put(entry(4))
    assert LogCounters(dropped=1) == queue.counters
    assert 2 == len(queue.take())
    queue.put(entry(10))
    assert LogCounters(dropped=1) == queue.counters


def test_requests_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch holds no more than receivers take, but at least one record."""
    monkeypatch.setattr(aperf.otel._log_queue, "REQUEST_BYTES", 10)
    queue = LogQueue(LogsSettings(delay_ns=0))
    for size in (11, 4, 6, 1):
        queue.put(entry(size))
    assert [1, 2, 1] == [len(queue.take()) for _ in range(3)]


def test_interrupted_by_itself() -> None:
    """A signal's handler or a finalizer that logs may interrupt who is logging."""
    queue = LogQueue(LogsSettings(delay_ns=NEVER_NS))

    class Late:
        """Logs when it is deleted."""

        def __del__(self) -> None:
            queue.put(entry())

    late = [Late()]
    with queue._changed:
        late.clear()
    assert 1 == queue.accepted


def test_after_the_end() -> None:
    """What comes after the end is dropped, and what is found out then changes nothing."""
    queue = LogQueue(LogsSettings(delay_ns=NEVER_NS))
    queue.put(entry())
    queue.end()
    queue.put(entry())
    assert [entry()] == queue.take()
    assert [] == queue.take()
    queue.seal()
    queue.count(exported=1)
    assert LogCounters(dropped=2, failures=1) == queue.counters  # one was in a request given up


# ------------------------------------------------------------------------------- ends of processes

ENVIRONMENT = {"OTEL_EXPORTER_OTLP_LOGS_ENABLED": "1", "APERF_SUMMARY": "none"}


def variables(port: int, **more: str) -> dict[str, str]:
    """Return an environment that asks for the export."""
    return {**ENVIRONMENT, "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": f"http://127.0.0.1:{port}", **more}


def test_the_end_of_a_process() -> None:
    """What was logged is delivered when the process ends, without anybody's doing."""
    program = """
        import logging, sys, aperf.logging
        aperf.logging.install(format="compact")
        logging.getLogger("shop").info("sold")
        loaded = [name for name in sys.modules if name.startswith("opentelemetry.sdk")]
        print(loaded)
    """
    with grpc_logs_receiver() as receiver:
        done = run_program(program, env=variables(receiver.port))
    assert ("[]\n", 0) == (done.stdout, done.code)
    assert 1 == len(done.stderr.splitlines())
    assert ["sold"] == receiver.bodies


def test_the_end_of_a_process_with_a_session() -> None:
    """What exit handlers log is delivered, too, while a session is open."""
    program = """
        import aperf, atexit, logging

        session = aperf.session(enabled=True)
        atexit.register(lambda: logging.warning("at exit"))
        session.__enter__()
        atexit.register(lambda: logging.warning("first at exit"))
    """
    with grpc_logs_receiver() as receiver:
        done = run_program(program, env=variables(receiver.port))
    assert 0 == done.code, done.stderr
    assert ["first at exit"] == receiver.bodies


def test_nothing_is_imported() -> None:
    """Who does not ask for the export does not pay for it."""
    program = """
        import sys, aperf.logging
        aperf.logging.install()
        print([name for name in sys.modules if "log_export" in name or "opentelemetry" in name])
    """
    assert "[]\n" == run_program(program).stdout


def test_aperf_run() -> None:
    """`aperf run` exports the log of a program that does nothing about it."""
    program = """
        import asyncio, logging

        async def main():
            logging.getLogger("shop").info("sold")

        asyncio.run(main())
    """
    with grpc_logs_receiver() as receiver:
        env = variables(receiver.port)
        done = run_program(program, env=env, options=["-m", "aperf", "run"])
    assert ("", "", 0) == done
    ((body, attributes),) = [(each.body, each.attributes) for each in receiver.accepted]
    assert ("sold", "Task-1") == (body, attributes["asyncio.task.name"])


def test_beside_the_applications_own_export() -> None:
    """An application that exports its log by OpenTelemetry's SDK sends each record once."""
    program = """
        import asyncio, logging, os, warnings, aperf

        warnings.simplefilter("ignore")  # the SDK's handler is deprecated
        from opentelemetry import _logs
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
        from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
        from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

        async def main():
            async with aperf.session(enabled=True):
                logging.warning("ours")
                provider = LoggerProvider()
                endpoint = os.environ["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"]
                exporter = OTLPLogExporter(endpoint=endpoint, insecure=True)
                provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
                _logs.set_logger_provider(provider)
                logging.getLogger().addHandler(LoggingHandler(logger_provider=provider))
                logging.warning("theirs")

        asyncio.run(main())
        provider = _logs.get_logger_provider()
        provider.force_flush()
        provider.shutdown()
    """
    with grpc_logs_receiver() as receiver:
        done = run_program(program, env=variables(receiver.port))
    assert 0 == done.code, done.stderr
    assert ["ours", "theirs"] == sorted(receiver.bodies)


def test_a_black_hole_at_the_end() -> None:
    """A receiver that never answers holds the process for the shutdown timeout, not longer."""
    program = """
        import logging, time, aperf.logging
        aperf.logging.install(format="compact")
        logging.getLogger("shop").info("sold")
        import atexit
        begin = time.monotonic()
        atexit._run_exitfuncs()
        print(time.monotonic() - begin < 20)
    """
    with black_hole() as port:
        done = run_program(program, env=variables(port, APERF_SHUTDOWN_TIMEOUT_S="0.5"))
    assert ("True\n", 0) == (done.stdout, done.code)


def test_fork() -> None:
    """A forked child leaves the export to its parent, and may begin its own."""
    program = """
        import logging, os, sys, warnings, aperf.logging
        warnings.simplefilter("ignore")
        aperf.logging.install(format="compact")
        log = logging.getLogger("shop")
        log.info("parent")
        child = os.fork()
        if not child:
            log.info("nobody's")
            with aperf.logging.install(format="json"):
                log.info("child")
            sys.exit()
        _, status = os.waitpid(child, 0)
        log.info("parent again")
        sys.exit(status)
    """
    with http_logs_receiver() as receiver:
        env = variables(receiver.port, OTEL_EXPORTER_OTLP_LOGS_PROTOCOL="http/protobuf")
        env["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"] += "/v1/logs"
        done = run_program(program, env=env)
    assert 0 == done.code, done.stderr
    assert ["child", "parent", "parent again"] == sorted(receiver.bodies)
