"""The Tracy exporter as a session sees it: where it listens, how it ends, what a fork leaves."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from aperf import ConfigurationError
from aperf._config import read_settings
from aperf.exporters import TracyExporter
from aperf.exporters._tracy._sockets import PORTS
from aperf.exporters.tracy import TracyStatistics
from aperf.model import Exporter as ExporterProtocol
from tests.tracy_records import FakeTables, birth, chunk, step
from tests.tracy_viewer import SESSION, Exporter, connected, exporting, in_ns
from tests.watched import DEADLINE_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that is taken, and so are the 19 behind it."""
    with ExitStack() as stack:
        first = 0
        while not first:
            with ExitStack() as attempt:
                candidate = random.randrange(20_000, 30_000)
                try:
                    for port in range(candidate, candidate + PORTS):
                        attempt.enter_context(listening(port))
                except OSError:
                    continue
                first = candidate
                stack.push(attempt.pop_all())
        yield first


def listening(port: int) -> socket.socket:
    """Take a port."""
    taking = socket.socket()
    try:
        taking.bind(("127.0.0.1", port))
        taking.listen()
    except OSError:
        taking.close()
        raise
    return taking


# ------------------------------------------------------------------------------------------- where


def test_it_is_an_exporter() -> None:
    """It has what a session asks of a destination, and takes records."""
    exporter = TracyExporter()
    assert isinstance(exporter, ExporterProtocol)
    assert "chunks" == exporter.consumes
    assert not exporter.needs_rows


def test_settings_say_where() -> None:
    """What the environment says is what the exporter does."""
    settings = read_settings(
        {"TRACY_ENABLED": "true", "TRACY_PORT": "1234", "TRACY_BIND": "0.0.0.0"}
    )
    assert "<TracyExporter 0.0.0.0:1234>" == repr(TracyExporter.from_settings(settings))


def test_it_says_where_it_listens(caplog: pytest.LogCaptureFixture) -> None:
    """One line in the log tells the port."""
    with caplog.at_level(logging.INFO, "aperf"), exporting() as exporter:
        [line] = [record.getMessage() for record in caplog.records if record.name == "aperf"]
        assert f"127.0.0.1, port {exporter.port}" in line


def test_the_next_free_port_is_taken() -> None:
    """Several programs can be watched on one machine."""
    with exporting() as first:
        second = Exporter(port=first.port, announce="none")
        with exporting(second):
            assert first.port < second.port < first.port + PORTS


def test_twenty_taken_ports_are_an_error(taken: int) -> None:
    """The message names the variable, the ports, and what to do."""
    exporter = Exporter(port=taken, announce="none")
    with pytest.raises(ConfigurationError, match=rf"TRACY_PORT is {taken}.*{taken + 19}"):
        exporter.start(SESSION)
    exporter.shutdown(0)


@pytest.mark.parametrize(
    ("bind", "complaint"),
    [("nowhere.invalid", "an IP address"), ("192.0.2.1", "cannot listen there")],
)
def test_an_address_that_is_none_of_ours_is_an_error(bind: str, complaint: str) -> None:
    """The message names the variable, and no name is looked up."""
    with pytest.raises(ConfigurationError, match=f"TRACY_BIND is '?{bind}'?.*{complaint}"):
        Exporter(port=0, bind=bind, announce="none").start(SESSION)


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": -1},
        {"port": 65_536},
        {"history_ns": -1},
        {"history_bytes": 10},
        {"announce": "everybody"},
    ],
)
def test_wrong_arguments_are_refused(wrong: dict[str, int]) -> None:
    """An argument that makes no sense is told at once, by its name."""
    [(name, value)] = wrong.items()
    with pytest.raises(ConfigurationError, match=f"{name} is {value!r};"):
        TracyExporter(**wrong)  # type: ignore[arg-type]


def test_other_machines_are_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever opens the port to the network is told that there is no authentication."""
    with exporting():
        pass
    assert "" == capsys.readouterr().err
    with exporting(Exporter(port=0, bind="0.0.0.0", announce="none")) as exporter:
        [line] = capsys.readouterr().err.splitlines()
    assert (
        f"TRACY_BIND is 0.0.0.0: viewers on other machines can connect to port {exporter.port}"
        in line
    )
    assert "no authentication" in line


# ------------------------------------------------------------------------------------------- cycles


def test_it_can_be_used_again() -> None:
    """Each session begins with nothing remembered and all counters at 0."""
    exporter = Exporter(port=0, announce="none")
    for number in (1, 2):
        with exporting(exporter):
            assert TracyStatistics() == exporter.counters()
            exporter.export(chunk(0, birth(number), FakeTables()), 0)
            with connected(exporter.port) as viewer:
                viewer.until_seen(f"BIRTH {number}")
                assert 2 == len(viewer.messages)
        assert 1 == exporter.counters().viewers


def test_outside_of_a_session_nothing_happens() -> None:
    """Neither before the start nor after the end does anything fail."""
    exporter = Exporter(port=0, announce="none")
    exporter.export(chunk(0, step(1), FakeTables()), 0)
    assert exporter.flush(0)
    assert exporter.shutdown(0)
    assert TracyStatistics() == exporter.counters()


def test_the_program_does_not_see_the_thread() -> None:
    """Tasks of the program keep the names that they would have without a viewer."""

    async def nothing() -> None:
        pass

    def number() -> int:
        loop = asyncio.new_event_loop()
        task = loop.create_task(nothing())
        loop.run_until_complete(task)
        loop.close()
        return int(task.get_name().removeprefix("Task-"))

    before = number()
    with exporting() as exporter, connected(exporter.port) as viewer:
        viewer.until(lambda: viewer.server.trace.welcome, "a welcome")
    assert before + 1 == number()


# --------------------------------------------------------------------------------------------- fork


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_lets_go() -> None:
    """The child closes what it inherited, so that port and viewer are the parent's alone."""
    with exporting() as exporter, connected(exporter.port) as viewer:
        viewer.until(lambda: viewer.server.trace.welcome, "a welcome")
        port = exporter.port
        to_child, to_parent = os.pipe(), os.pipe()
        pid = os.fork()  # each side closes the ends that it does not use, to see the other's end
        if not pid:
            status = 1
            os.close(to_child[1])
            os.close(to_parent[0])
            try:
                exporter.forget_after_fork()
                exporter.export(chunk(0, step(1), FakeTables()), 0)
                again = Exporter(port=port, announce="none")
                with exporting(again):
                    os.write(to_parent[1], again.port.to_bytes(2, "little"))
                    os.read(to_child[0], 1)
                status = 0
            finally:
                os._exit(status)
        os.close(to_child[0])
        os.close(to_parent[1])
        try:
            other_port = int.from_bytes(os.read(to_parent[0], 2), "little")
            assert other_port > port
            with connected(other_port) as other:
                other.until(lambda: other.server.trace.welcome, "the child's welcome")
            exporter.shutdown(in_ns(0))
            viewer.until_cut_off()
            until(lambda: not is_taken(port), "the port")
        finally:
            os.close(to_child[1])
            os.close(to_parent[0])
            _, status = os.waitpid(pid, 0)
    assert 0 == os.waitstatus_to_exitcode(status)


def is_taken(port: int) -> bool:
    """Say whether somebody listens at a port."""
    try:
        socket.create_connection(("127.0.0.1", port), DEADLINE_S).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_thread_that_cannot_start_leaves_no_port_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there can be no more threads, the exporter says so and lets go of its port."""

    def cannot(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    port = random.randrange(10_000, 20_000)
    monkeypatch.setattr(threading.Thread, "start", cannot)
    with pytest.raises(RuntimeError, match="can't start"):
        Exporter(port=port, announce="none").start(SESSION)
    assert not is_taken(port)
