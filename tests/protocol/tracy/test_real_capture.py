"""Real servers of Tracy take what we say, all of it, and find nothing wrong."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from aperf.protocol.tracy import VERSIONS, Connection, Refusal, Strings
from aperf.protocol.tracy._blocks import literal_block
from tests.tracy_bytes import RawClient, frame
from tests.tracy_capture import CAPTURES, Captured, capture
from tests.tracy_cases.every import CASES
from tests.tracy_pair import WELCOME, Pair
from tests.tracy_socket import listening, read_hello

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aperf.protocol.tracy import Stream, Welcome
    from tests.tracy_cases.basics import Case

SECOND: Final = 10**9


@pytest.fixture(params=range(len(CAPTURES)))
def executable(request: pytest.FixtureRequest) -> Path:
    """One of the capture tools."""
    number: int = request.param
    return CAPTURES[number]


def run(
    executable: Path,
    directory: Path,
    says: Callable[[Stream, Strings], object],
    *,
    strings: Strings | None = None,
    strict: bool = True,
    welcome: Welcome = WELCOME,
) -> Captured:
    """Let a program say something to a capture tool and end; return what that made of it."""
    strings = strings or Strings("tests")
    with listening() as listener, capture(executable, listener.port, directory) as captured:
        with listener.viewer(strings, strict=strict, welcome=welcome) as viewer:
            says(viewer.stream, strings)
            viewer.finish()
        return captured.result()


def count(version: int, says: Callable[[Stream, Strings], object]) -> int:
    """Return how many zones our own half reads of what a program says."""
    pair = Pair(version)
    says(pair.stream, pair.strings)
    return sum(1 for _ in pair.finish().zones())


@pytest.mark.skipif(
    sys.platform != "linux", reason="the tests require a capture tool on Linux only"
)
def test_there_are_captures() -> None:
    """The tests' requirements bring a capture tool; without it nothing below would run."""
    assert CAPTURES
    assert [] == [path for path in CAPTURES if not path.is_file()]


@pytest.mark.parametrize("says", CASES, ids=lambda says: says.__name__)
def test_case(executable: Path, tmp_path: Path, says: Case) -> None:
    """Something of everything that can be said is taken, and all zones are there."""
    captured = run(executable, tmp_path, says)
    assert (0, "") == (captured.exit_code, captured.failure), captured.output
    assert count(72, says) == captured.zones
    assert (tmp_path / "out.tracy").stat().st_size


def tasks(stream: Stream, strings: Strings) -> None:
    """Let three lanes run ten thousand short tasks, one after the other, some 60 s ago."""
    task, wait = (strings.source(name, name, "app.py", 1) for name in ("task", "await sleep"))
    stream.thread(1)
    for number in range(10_000):
        t_ns, lane = number * 1_000, number % 3 + 1
        stream.fiber_enter(t_ns, lane, 1)
        stream.zone_begin(t_ns, task)
        stream.zone_text(f"task {number}")
        stream.zone_begin(t_ns + 100, wait)
        stream.fiber_leave(t_ns + 100)
        stream.step(t_ns + 200, t_ns + 300, lane, 1, wait)
        stream.fiber_enter(t_ns + 500, lane, 1)
        stream.zone_end(t_ns + 500)
        stream.zone_end(t_ns + 600)
        stream.fiber_leave(t_ns + 600)


def test_history(executable: Path, tmp_path: Path) -> None:
    """What happened before a viewer connected is shown: many tasks, and frames up to now."""

    def says(stream: Stream, strings: Strings) -> None:
        tasks(stream, strings)
        for second in (61, 62):
            stream.frame_mark(second * SECOND)

    captured = run(executable, tmp_path, says, welcome=replace(WELCOME, now_ns=61 * SECOND))
    assert (0, 30_000, "") == captured[:3], captured.output


def test_next_viewer(executable: Path, tmp_path: Path) -> None:
    """A viewer that connects after another one gets all it asks for, names included."""
    strings = Strings("tests")
    for _ in range(2):
        captured = run(executable, tmp_path, tasks, strings=strings)
        assert (0, 30_000, "") == captured[:3], captured.output


def test_zone_left_open(executable: Path, tmp_path: Path) -> None:
    """When the program just goes away, the viewer has what it was sent, open zones too."""
    strings = Strings("tests")
    with listening() as listener, capture(executable, listener.port, tmp_path) as started:
        with listener.viewer(strings) as viewer:
            viewer.stream.thread(1)
            viewer.stream.zone_begin(5, strings.source("", "main", "app.py", 1))
            viewer.stream.zone(6, 7, strings.source("", "part", "app.py", 2))
            viewer.exchange()
        captured = started.result()
    assert (0, 2, "") == captured[:3], captured.output


def test_crash(executable: Path, tmp_path: Path) -> None:
    """A program that crashed is not waited for."""
    strings = Strings("tests")

    def says(stream: Stream, strings: Strings) -> None:
        stream.thread(1)
        stream.zone_begin(5, strings.source("", "main", "app.py", 1))
        stream.crash(6, strings.text("out of luck"))

    captured = run(executable, tmp_path, says, strings=strings)
    assert (0, 1, "") == captured[:3], captured.output


def test_limits(executable: Path, tmp_path: Path) -> None:
    """As many places as there may be, the longest text, and zones nested a thousand deep."""

    def says(stream: Stream, strings: Strings) -> None:
        stream.thread(1)
        for line in range(33_000):
            stream.zone(line, line, strings.source("", "function", "app.py", line))
            if not line % 8:
                stream.zone_begin_inline(line, "", "function", "app.py", line)
                stream.zone_end(line)
        for depth in range(1_000):
            stream.zone_begin(40_000 + depth, strings.source("", "function", "app.py", 1))
        stream.zone_text("x" * 100_000)
        stream.message(50_000, "ä" * 100_000)

    captured = run(executable, tmp_path, says)
    assert (0, 33_000 + 33_000 // 8 + 1_000, "") == captured[:3], captured.output


def _mistakes(stream: Stream, strings: Strings) -> None:
    """Do what would make a viewer stop, crash or hang."""
    source = strings.source("", "main", "app.py", 1)
    stream.thread(5)
    stream.zone_text("on a thread that nobody knows")
    stream.thread_group(77, 1)
    stream.zone_end(1)
    stream.zone(5, 4, source)
    stream.fiber_leave(6)
    stream.fiber_enter(7, 1)
    stream.thread(6)
    stream.fiber_enter(8, 1)
    stream.zone_end(9)
    stream.lock_wait(1, 5, 10)
    stream.lock_announce(1, 11, source)
    for tid in range(100):
        stream.lock_wait(1, tid, 12)
        stream.lock_obtain(1, tid, 12)
    stream.lock_release(1, 5, 13)
    stream.lock_mark(1, 1_000, source)
    stream.mem_free(14, 5, 1)
    stream.mem_alloc(15, 5, 1, 1)
    stream.mem_alloc(16, 5, 1, 1)
    stream.frame_end(17, strings.text("frames"))
    stream.frame_image(3, 4, 4, b"")
    stream.gpu_begin(18, 5, 1, 1, source)
    stream.gpu_context(1, 19, 0)
    stream.gpu_end(20, 5, 1, 1)
    stream.gpu_time(1, 9, 21)
    stream.gpu_begin(22, 800, 1, 1, source)
    stream.thread_group(800, 1)
    stream.zone(23, 24, source)


def test_mistakes(executable: Path, tmp_path: Path) -> None:
    """A stream that is not strict lets nothing through that would harm a viewer."""
    captured = run(executable, tmp_path, _mistakes, strict=False)
    assert (0, 2, "") == captured[:3], captured.output


def test_failure_is_noticed(executable: Path, tmp_path: Path) -> None:
    """A capture tool says why it stopped: else the tests above would show nothing."""
    with listening() as listener, capture(executable, listener.port, tmp_path) as started:
        with listener.viewer(Strings()) as viewer:
            client = RawClient(viewer.connection.version)
            twice = client.event("ZoneBegin", source=1) + 2 * client.event("ZoneEnd", dt=1)
            viewer.send(frame(literal_block(twice)))
            viewer.exchange()
        captured = started.result()
    assert (1, "Zone is ended twice.") == captured[1:3], captured.output


@pytest.mark.parametrize("refusal", Refusal)
def test_refused(executable: Path, tmp_path: Path, refusal: Refusal) -> None:
    """A viewer that is refused says so and writes nothing."""
    connection = Connection(Strings())
    with listening() as listener, capture(executable, listener.port, tmp_path) as started:
        with listener.accept() as accepted:
            connection.receive(read_hello(accepted))
            accepted.sendall(connection.refuse(refusal))
        captured = started.result()
    assert connection.version in VERSIONS
    assert captured.exit_code
    assert None is captured.zones
    assert not started.file.exists()
