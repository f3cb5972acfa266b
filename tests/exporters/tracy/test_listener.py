"""Who may connect, and what becomes of those who may not: real sockets, misbehaving peers."""

from __future__ import annotations

import logging
import socket
import struct
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aperf.exporters._tracy import _listener
from aperf.protocol.tracy import VERSIONS
from aperf.protocol.tracy._server import ServerState
from tests.tracy_records import FakeTables, birth, chunk, step
from tests.tracy_viewer import Exporter, Scribe, Viewer, connected, exporting
from tests.watched import DEADLINE_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aperf.exporters._tracy._viewer import MapperFactory
    from aperf.exporters.tracy import TracyExporter


@pytest.fixture
def exporter() -> Iterator[TracyExporter]:
    """An exporter that listens, with one task recorded."""
    with exporting() as listening:
        listening.export(chunk(0, birth(1) + step(1), FakeTables(1_000)), 0)
        yield listening


def dial(exporter: TracyExporter, data: bytes = b"") -> socket.socket:
    """Connect as somebody who may not be a viewer, and say something."""
    peer = socket.create_connection(("127.0.0.1", exporter.port), DEADLINE_S)
    peer.sendall(data)
    return peer


def hello(version: int = 82) -> bytes:
    """Return what a viewer says first."""
    return b"TracyPrf" + struct.pack("<I", version)


def rest(peer: socket.socket) -> bytes:
    """Return what a peer is sent before it is cut off; it must be."""
    received = b""
    try:
        while data := peer.recv(1 << 16):
            received += data
    except ConnectionError:
        pass  # that is how it ends where it has not read everything
    finally:
        peer.close()
    return received


def works(exporter: TracyExporter, version: int = 82) -> None:
    """Assert that a viewer can connect and is shown everything."""
    with connected(exporter.port, version) as viewer:
        viewer.until_seen("STEP 1")


# ----------------------------------------------------------------------------------------- viewers


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_is_served(exporter: TracyExporter, version: int) -> None:
    """Whichever release the viewer is, it is shown what was recorded."""
    with connected(exporter.port, version) as viewer:
        viewer.until_seen("STEP 1")
        assert ["begin []", "BIRTH 1", "STEP 1"] == viewer.messages
        welcome = viewer.server.trace.welcome
    assert welcome is not None
    assert "program" == welcome.program
    assert "aperf 1.2.3" in welcome.host


def test_a_second_viewer_is_told_that_it_is_one_too_many(exporter: TracyExporter) -> None:
    """One viewer is served at a time; when it has left, the next one can connect."""
    with connected(exporter.port) as first:
        first.until_seen("STEP 1")
        with connected(exporter.port) as second:
            second.until(lambda: second.server.state is ServerState.REFUSED, "a refusal")
            assert "another viewer is connected" == second.server.refusal
        exporter.export(chunk(0, step(2), FakeTables(2_000)), 0)
        first.until_seen("STEP 2")
    works(exporter)
    assert 2 == exporter.counters().viewers


def test_a_viewer_of_another_version_is_refused_and_told_of(
    exporter: TracyExporter, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says, once for each version, which viewers can connect instead."""
    for version in (62, 62, 4_000_000_000):
        assert b"\x02" == rest(dial(exporter, hello(version)))
    lines = [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]
    assert 2 == len(lines)
    assert "protocol 62 wants" in lines[0]
    assert "0.9 (63)" in lines[0]
    assert "0.14 (82)" in lines[0]
    assert 3 == exporter.counters().refused
    works(exporter)


def test_viewers_may_come_and_go(exporter: TracyExporter) -> None:
    """Each connection begins anew with all that is remembered."""
    for number in range(2, 5):
        works(exporter)
        exporter.export(chunk(0, step(number), FakeTables(number)), 0)
    with connected(exporter.port) as viewer:
        viewer.until_seen("STEP 4")
        assert ["BIRTH 1", *(f"STEP {number}" for number in range(1, 5))] == viewer.messages[1:]


def test_a_viewer_may_vanish_in_the_middle(exporter: TracyExporter) -> None:
    """Neither a reset nor a closed connection keeps the next viewer from connecting."""
    exporter.export(chunk(0, step(5) * 20_000 + step(6), FakeTables(2_000)), 0)
    for linger in (False, True):
        viewer = Viewer(exporter.port)
        viewer.until_seen("STEP 1")
        if linger:
            reset = struct.pack("ii", 1, 0)
            viewer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        viewer.close()
        works(exporter)


def test_what_is_not_recorded_yet_comes_later() -> None:
    """A viewer may connect before the program has done anything."""
    with exporting() as exporter, connected(exporter.port) as viewer:
        viewer.until(lambda: viewer.server.state is ServerState.STREAMING, "a welcome")
        exporter.export(chunk(0, birth(9), FakeTables(10**15)), 0)
        viewer.until_seen("BIRTH 9")


def test_sources_are_offered_only_on_demand() -> None:
    """Viewers are not invited to ask for source files unless the user wants that."""
    for sources in (False, True):
        offering = Exporter(port=0, announce="none", sources=sources)
        with exporting(offering), connected(offering.port) as viewer:
            viewer.until(lambda: viewer.server.trace.welcome, "a welcome")
            welcome = viewer.server.trace.welcome
        assert welcome is not None
        assert sources == welcome.code_transfer


# ------------------------------------------------------------------------------------ other peers


@pytest.mark.parametrize("said", [b"", b"Tracy", hello()[:-1]])
def test_who_does_not_finish_the_hello_is_cut_off(
    exporter: TracyExporter, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    """A viewer says hello at once; others do not keep the connection for long."""
    monkeypatch.setattr(_listener, "HELLO_S", 0.05)
    assert b"" == rest(dial(exporter, said))
    assert 1 == exporter.counters().refused
    works(exporter)


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 12, hello() + b"x"])
def test_who_says_something_else_is_cut_off(exporter: TracyExporter, said: bytes) -> None:
    """What is not the protocol ends the connection at once."""
    assert b"" == rest(dial(exporter, said))
    assert 1 == exporter.counters().refused
    works(exporter)


def test_many_silent_peers_are_no_more_than_a_few(
    exporter: TracyExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Peers that say nothing use up little, and viewers can connect when they are gone."""
    monkeypatch.setattr(_listener, "HELLO_S", 0.3)
    with ExitStack() as stack:
        for _ in range(_listener.MOST_GREETED + 5):
            stack.enter_context(dial(exporter))
        until(lambda: exporter.counters().refused >= 5, "too many peers turned away")
        until(lambda: exporter.counters().refused == _listener.MOST_GREETED + 5, "all turned away")
    works(exporter)


@pytest.mark.parametrize("query", [16, 77, 255])
def test_a_query_that_there_is_not_ends_the_connection(exporter: TracyExporter, query: int) -> None:
    """A viewer that asks what no viewer asks is none."""
    viewer = Viewer(exporter.port)
    viewer.until_seen("STEP 1")
    viewer.socket.sendall(struct.pack("<BQI", query, 1, 1))
    viewer.until_cut_off()
    works(exporter)


FUZZ = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@FUZZ
@given(said=st.binary(max_size=200))
def test_any_first_bytes_do_no_harm(exporter: TracyExporter, said: bytes) -> None:
    """Whatever a peer says first, it is not served unless it is a viewer, and others are."""
    peer = dial(exporter, said)
    peer.shutdown(socket.SHUT_WR)
    assert rest(peer) in (b"", b"\x02", b"\x03")
    assert 0 == exporter.counters().faults


@FUZZ
@given(version=st.sampled_from(VERSIONS), said=st.binary(max_size=400), cut=st.integers(0, 400))
def test_any_bytes_after_the_hello_do_no_harm(
    exporter: TracyExporter, version: int, said: bytes, cut: int
) -> None:
    """Whatever a viewer asks, it is answered or cut off, and the next one is served."""
    peer = dial(exporter, hello(version))
    assert b"\x01" == peer.recv(1)
    try:
        peer.sendall(said[:cut])
        peer.sendall(said[cut:])
        peer.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # cut off already
    rest(peer)
    assert 0 == exporter.counters().faults


def test_after_all_that_viewers_are_served(exporter: TracyExporter) -> None:
    """A hundred peers that hang up at once leave nothing behind."""
    for _ in range(100):
        dial(exporter).close()
    until(lambda: exporter.counters().refused == 100, "all of them missed")
    works(exporter)


# ---------------------------------------------------------------------------------- our own faults


class Broken(Scribe):
    def feed(self, ring: int, data: bytes) -> None:
        raise ZeroDivisionError("broken")


class BrokenExporter(Exporter):
    def _mapper(self) -> MapperFactory:
        return Broken


def test_a_fault_of_ours_costs_the_connection_and_no_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What fails in drawing is counted, told once, and tried again with the next viewer."""
    with exporting(BrokenExporter(port=0, announce="none")) as exporter:
        exporter.export(chunk(0, step(1), FakeTables()), 0)
        for _ in range(2):
            Viewer(exporter.port).until_cut_off()
        until(lambda: exporter.counters().faults == 2, "both faults")
        assert 2 == exporter.statistics().export_failures
    told: list[Any] = [record for record in caplog.records if record.exc_info]
    assert 1 == len(told)


def test_a_fault_before_the_welcome_leaves_the_place_free(
    exporter: TracyExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also a viewer that could not even be welcomed is followed by the next one."""
    with monkeypatch.context() as breaking:
        breaking.setattr("aperf.exporters._tracy._viewer.Viewer._welcome", None)
        Viewer(exporter.port).until_cut_off()
        until(lambda: exporter.counters().faults == 1, "the fault")
    works(exporter)
