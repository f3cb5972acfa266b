"""What a connected viewer gets: all of it in order, or a gap, and the end of the program."""

from __future__ import annotations

import socket
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final, TypeAlias

import pytest

from aperf._recorder._layout import Kind
from aperf.exporters._tracy import _sockets, _viewer
from aperf.exporters.tracy import LIVE_NS
from aperf.protocol.tracy._server import ServerState
from tests.tracy_records import FakeTables, birth, chunk, record, step
from tests.tracy_viewer import Exporter, Viewer, connected, exporting, in_ns
from tests.watched import DEADLINE_S, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aperf.exporters.tracy import TracyExporter

    Lazy: TypeAlias = Callable[[TracyExporter], Viewer]

#: Records that are drawn as much more than sockets buffer.
MUCH: Final = record(Kind.PLOT, 1_000) * 8_000


@contextmanager
def reading(viewer: Viewer) -> Iterator[None]:
    """Have a viewer read on a thread of its own while the block runs."""
    stop = threading.Event()

    def read() -> None:
        while viewer.is_open and not stop.is_set():
            viewer.read()

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def lazy() -> Iterator[Lazy]:
    """Connects a viewer that says hello and then reads nothing by itself."""
    with ExitStack() as stack:

        def connect(exporter: TracyExporter) -> Viewer:
            viewer = Viewer(exporter.port, buffer=1 << 12)
            stack.callback(viewer.close)
            until(lambda: exporter.counters().viewers, "the viewer")
            return viewer

        yield connect


def put(exporter: TracyExporter, data: bytes, t_ns: int = 1_000) -> None:
    """Export records in pieces, as the pipeline does."""
    tables = FakeTables(t_ns)
    for start in range(0, len(data), 1 << 10):
        exporter.export(chunk(0, data[start : start + (1 << 10)], tables), 0)


# ------------------------------------------------------------------------------------------ showing


def test_much_history_comes_whole_and_in_order() -> None:
    """Slices and blocks leave nothing out and repeat nothing."""
    with exporting() as exporter:
        put(exporter, b"".join(step(number) for number in range(1, 10_001)))
        with connected(exporter.port) as viewer:
            viewer.until_seen("STEP 10000")
            assert [f"STEP {number}" for number in range(1, 10_001)] == viewer.messages[1:]
        assert 0 == exporter.counters().dropped_records


def test_slices_are_as_long_as_the_pauses_of_a_busy_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where a pause takes longer than it should, a viewer catches up nevertheless."""
    slices: list[int] = []

    def oversleep(_: float) -> None:
        slices.append(sys._getframe(1).f_locals["self"]._slice_ns)
        time.sleep(0.005)

    monkeypatch.setattr(_viewer, "_sleep", oversleep)
    with exporting() as exporter:
        put(exporter, b"".join(step(number) for number in range(1, 3_001)))
        with connected(exporter.port) as viewer:
            viewer.until_seen("STEP 3000")
    first, *others = slices
    assert _viewer._SLICE_NS == first
    assert {_viewer._LONGEST_SLICE_NS} == set(others)


def test_records_are_wanted_sooner_while_a_viewer_looks_on() -> None:
    """Without one, the usual interval will do."""
    with exporting() as exporter:
        assert sys.maxsize == exporter.interval_ns
        with connected(exporter.port):
            until(lambda: LIVE_NS == exporter.interval_ns, "the viewer")
        until(lambda: sys.maxsize == exporter.interval_ns, "the end of the connection")


def test_live_records_follow_history() -> None:
    """What is recorded while a viewer is connected comes after what was before."""
    with exporting() as exporter:
        put(exporter, birth(1))
        with connected(exporter.port) as viewer:
            for number in range(1, 6):
                put(exporter, step(number))
                viewer.until_seen(f"STEP {number}")
            assert ["BIRTH 1", *(f"STEP {n}" for n in range(1, 6))] == viewer.messages[1:]


def test_what_went_before_is_known() -> None:
    """A task whose birth is no longer remembered is in the baseline that the mapper gets."""
    with exporting(Exporter(port=0, announce="none", history_bytes=1 << 16)) as exporter:
        put(exporter, birth(77, 5) + step(1) * 4_000 + step(2))
        with connected(exporter.port) as viewer:
            viewer.until_seen("STEP 2")
            assert "begin [77]" == viewer.messages[0]


# ------------------------------------------------------------------------------------- slow viewers


def test_a_slow_viewer_gets_a_gap_and_the_program_does_not_wait(lazy: Lazy) -> None:
    """Records that a viewer is too slow for are dropped and counted, and the viewer is told."""
    with exporting(Exporter(port=0, announce="none", history_bytes=1 << 17)) as exporter:
        viewer = lazy(exporter)
        longest_ns, t_ns = 0, 1_000
        while not exporter.counters().dropped_records:
            begin_ns = time.thread_time_ns()
            put(exporter, MUCH[:32_000], t_ns)
            longest_ns = max(longest_ns, time.thread_time_ns() - begin_ns)
            t_ns += 1
        put(exporter, birth(88) + step(2), t_ns)
        assert longest_ns < 500_000_000
        viewer.until_seen("STEP 2")
        gaps = [text for text in viewer.messages if text.startswith("gap ")]
        assert exporter.counters().gaps == len(gaps)
        dropped = sum(int(text.split()[1]) for text in gaps)
        assert exporter.counters().dropped_records == dropped


def test_a_viewer_that_takes_nothing_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, lazy: Lazy
) -> None:
    """A peer that is there but does not read does not keep the place for long."""
    monkeypatch.setattr(_sockets, "STALLED_S", 0.2)
    with exporting() as exporter:
        put(exporter, MUCH + step(2))
        lazy(exporter)

        def is_free() -> bool:
            with connected(exporter.port) as other:
                other.until(lambda: other.server.state is not ServerState.HANDSHAKE, "an answer")
                return other.server.state is not ServerState.REFUSED

        until(is_free, "the place of the viewer that takes nothing")


# -------------------------------------------------------------------------------------------- flush


def test_a_flush_waits_for_nobody_where_nobody_is() -> None:
    """Without a viewer everything is delivered at once."""
    with exporting() as exporter:
        put(exporter, step(1))
        assert exporter.flush(0)


def test_a_flush_waits_until_all_is_sent() -> None:
    """After a flush a viewer has, or will have, all that was recorded before."""
    with exporting() as exporter, connected(exporter.port) as viewer:
        viewer.until(lambda: viewer.server.state is ServerState.STREAMING, "a welcome")
        put(exporter, step(1) * 5_000 + step(2))
        with reading(viewer):
            assert exporter.flush(in_ns(DEADLINE_S))
        viewer.until_seen("STEP 2")


def test_a_flush_keeps_its_deadline(lazy: Lazy) -> None:
    """A viewer that takes nothing makes the flush tell the truth in time."""
    with exporting(end_s=0.1) as exporter:
        put(exporter, MUCH)
        lazy(exporter)
        assert not exporter.flush(in_ns(0.3))


# ------------------------------------------------------------------------------------------ the end


def test_a_viewer_gets_the_whole_trace_at_the_end() -> None:
    """A session that ends shows what is left, closes all that is open and says so."""
    with exporting() as exporter, connected(exporter.port) as viewer:
        viewer.until(lambda: viewer.server.state is ServerState.STREAMING, "a welcome")
        with reading(viewer):
            put(exporter, step(1) * 5_000 + step(2))
            assert exporter.shutdown(in_ns(DEADLINE_S))
            until(lambda: not viewer.server.is_reading, "the end of the trace")
        assert ServerState.FINISHED is viewer.server.state
        assert ["STEP 2", "finish"] == viewer.messages[-2:]


def test_the_end_does_not_wait_for_a_dead_viewer(lazy: Lazy) -> None:
    """A viewer that answers nothing costs the program its deadline, no more."""
    with exporting(end_s=0.1) as exporter:
        put(exporter, MUCH)
        lazy(exporter)
        begin_s = time.monotonic()
        assert not exporter.shutdown(in_ns(0.3))
        assert time.monotonic() - begin_s < DEADLINE_S / 2
        until(lambda: "aperf-tracy" not in {t.name for t in threading.enumerate()}, "its end")


def test_the_end_does_not_wait_longer_than_two_seconds(
    monkeypatch: pytest.MonkeyPatch, lazy: Lazy
) -> None:
    """However late the deadline is, a viewer that says nothing is let go after a while."""
    monkeypatch.setattr("aperf.exporters._tracy._service._LONGEST_END_NS", 200_000_000)
    with exporting() as exporter:
        lazy(exporter)
        begin_s = time.monotonic()
        assert not exporter.shutdown(in_ns(100 * DEADLINE_S))
        assert time.monotonic() - begin_s < DEADLINE_S


def test_the_end_without_a_viewer_takes_no_time() -> None:
    """Nobody is waited for where nobody is; a second end does nothing."""
    with exporting() as exporter:
        put(exporter, step(1))
        assert exporter.shutdown(0)
        assert exporter.shutdown(0)
        assert exporter.flush(0)
        exporter.export(chunk(0, step(2), FakeTables()), 0)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", exporter.port), DEADLINE_S)
