"""Misuse: what would break a viewer is refused, or repaired so that none breaks."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import pytest

from aperf.protocol.tracy import VERSIONS, LocalProtocolError, Stream, Strings, _rows
from tests.tracy_pair import Pair

#: The name of a method and its arguments.
Call: TypeAlias = tuple[Any, ...]

#: The unnamed set of frames, an id of a text, and a place, which all viewers know.
DEFAULT: Final = 0
TEXT: Final = 1
PLACE: Final = 1

ANNOUNCE: Final = ("lock_announce", 1, 5, PLACE)
ANNOUNCE_SHARED: Final = ("lock_announce", 1, 5, PLACE, True)
CONTEXT: Final = ("gpu_context", 2, 0, 0)
PICTURE: Final = bytes(8)

#: What the last call is, in words; all calls; what was expected instead.
CASES: Final[dict[str, tuple[list[Call], str]]] = {
    "end of nothing": ([("zone_end", 5)], "an open one in this row"),
    "end before begin": ([("zone_begin", 5, PLACE), ("zone_end", 4)], "a time from the begin, 5"),
    "zone before its begin": ([("zone", 5, 4, PLACE)], "a time from the begin, 5"),
    "text of nothing": ([("zone_text", "text")], "an open one in this row"),
    "name of nothing": ([("zone_name", "name")], "an open one in this row"),
    "colour of nothing": ([("zone_color", 5)], "an open one in this row"),
    "value of nothing": ([("zone_value", 5)], "an open one in this row"),
    "text in another row": (
        [("zone_begin", 5, PLACE), ("fiber_enter", 6, 1), ("zone_text", "text")],
        "an open one in this row",
    ),
    "end in another row": (
        [("zone_begin", 5, PLACE), ("thread", 3), ("zone_end", 6)],
        "an open one in this row",
    ),
    "leave without fiber": ([("zone", 1, 2, PLACE), ("fiber_leave", 5)], "a fiber that it runs"),
    "leave on an unknown thread": ([("thread", 5), ("fiber_leave", 5)], "a fiber that it runs"),
    "enter twice": ([("fiber_enter", 5, 1), ("fiber_enter", 6, 1)], "not to run on thread 0"),
    "enter on two threads": (
        [("fiber_enter", 5, 1), ("thread", 3), ("fiber_enter", 6, 1)],
        "not to run on thread 0",
    ),
    "step of an idle lane": ([("step", 5, 6, 1, 0, PLACE)], "an open one in this row"),
    "step before the wait": (
        [
            ("fiber_enter", 5, 1),
            ("zone_begin", 9, PLACE),
            ("fiber_leave", 9),
            ("step", 8, 10, 1, 0, PLACE),
        ],
        "a time from the begin, 9",
    ),
    "step that ends before it begins": (
        [
            ("fiber_enter", 5, 1),
            ("zone_begin", 6, PLACE),
            ("fiber_leave", 7),
            ("step", 10, 9, 1, 0, PLACE),
        ],
        "a time from the begin, 10",
    ),
    "time of a zone": ([("zone", 1 << 64, 1 << 64, PLACE)], "values that fit"),
    "place of a zone": ([("zone_begin", 5, -1)], "values that fit"),
    "time of an end": ([("zone_begin", 5, PLACE), ("zone_end", 1 << 64)], "values that fit"),
    "place of a step": (
        [
            ("fiber_enter", 5, 1),
            ("zone_begin", 6, PLACE),
            ("fiber_leave", 7),
            ("step", 10, 11, 1, 0, -1),
        ],
        "values that fit",
    ),
    "group of a fiber": ([("fiber_enter", 5, -1)], "values that fit"),
    "time of a leave": ([("fiber_enter", 5, 1), ("fiber_leave", 1 << 64)], "a time that fits"),
    "thread that is no number": ([("thread", 1 << 32)], "values that fit"),
    "severity": ([("message", 1, "text", 6)], r"0 … 5"),
    "plot without name": ([("plot", 0, 1, 2)], "a name from Strings.text"),
    "format of a plot": ([("plot_config", TEXT, "bytes")], "one of .*'memory'"),
    "time of a message": ([("message", 1 << 63, "text")], "values that fit"),
    "frames without name": ([("frame_begin", 1, DEFAULT)], "that set is continuous"),
    "frame back in time": ([("frame_mark", 5), ("frame_mark", 4)], "a time from 5 on"),
    "end of no frame": ([("frame_end", 5, TEXT)], "one that has begun"),
    "frame end twice": (
        [("frame_begin", 5, TEXT), ("frame_end", 6, TEXT), ("frame_end", 7, TEXT)],
        "one that has begun",
    ),
    "frame in frame": (
        [("frame_begin", 5, TEXT), ("frame_begin", 6, TEXT)],
        "the one before to have ended",
    ),
    "mark in a set with gaps": (
        [("frame_begin", 5, TEXT), ("frame_end", 6, TEXT), ("frame_mark", 7, TEXT)],
        "begin and end, as of its frames before",
    ),
    "begin in a continuous set": (
        [("frame_mark", 5, TEXT), ("frame_begin", 6, TEXT)],
        "marks, as of its frames before",
    ),
    "picture of nothing": ([("frame_image", 1, 4, 4, PICTURE)], r"1 … 0 that has none"),
    "picture of the future": (
        [("frame_mark", 1), ("frame_image", 2, 4, 4, PICTURE)],
        r"1 … 1 that has none",
    ),
    "second picture": (
        [
            ("frame_mark", 1),
            ("frame_mark", 2),
            ("frame_image", 2, 4, 4, PICTURE),
            ("frame_image", 2, 4, 4, PICTURE),
        ],
        "that has none yet",
    ),
    "width of a picture": (
        [("frame_mark", 1), ("frame_image", 1, 6, 4, PICTURE)],
        "multiples of 4",
    ),
    "size of a picture": ([("frame_mark", 1), ("frame_image", 1, 8, 4, PICTURE)], "16"),
    "lock announced twice": ([ANNOUNCE, ANNOUNCE], "a number that no lock has had"),
    "lock announced again": (
        [ANNOUNCE, ("lock_terminate", 1, 6), ANNOUNCE],
        "a number that no lock has had",
    ),
    "name of no lock": ([("lock_name", 1, "name")], "one that was announced"),
    "end of no lock": ([("lock_terminate", 1, 5)], "one that was announced"),
    "wait for no lock": ([("lock_wait", 1, 3, 5)], "one that was announced"),
    "obtain no lock": ([("lock_obtain", 1, 3, 5)], "one that was announced"),
    "release no lock": ([("lock_release", 1, 3, 5)], "one that was announced"),
    "share no lock": ([("lock_shared_wait", 1, 3, 5)], "one that was announced"),
    "give up no lock": ([("lock_give_up", 1, 3, 5)], "one that was announced"),
    "mark no lock": ([("lock_mark", 1, 3, PLACE)], "one that was announced"),
    "lock after its end": (
        [ANNOUNCE, ("lock_terminate", 1, 6), ("lock_wait", 1, 3, 7)],
        "one that was announced",
    ),
    "wait twice": (
        [ANNOUNCE, ("lock_wait", 1, 3, 6), ("lock_wait", 1, 3, 7)],
        "it not to wait already",
    ),
    "lock back in time": ([ANNOUNCE, ("lock_wait", 1, 3, 4)], "a time from 5 on"),
    "obtain without wait": ([ANNOUNCE, ("lock_obtain", 1, 3, 6)], "a LockWait of the thread"),
    "obtain a held lock": (
        [
            ANNOUNCE,
            ("lock_wait", 1, 3, 6),
            ("lock_wait", 1, 4, 6),
            ("lock_obtain", 1, 3, 6),
            ("lock_obtain", 1, 4, 7),
        ],
        "thread 3 to release it first",
    ),
    "release a free lock": ([ANNOUNCE, ("lock_release", 1, 3, 6)], "it to be held"),
    "share an exclusive lock": ([ANNOUNCE, ("lock_shared_wait", 1, 3, 6)], "announced as shared"),
    "share without wait": (
        [ANNOUNCE_SHARED, ("lock_shared_obtain", 1, 3, 6)],
        "a LockSharedWait of the thread",
    ),
    "obtain instead of share": (
        [ANNOUNCE_SHARED, ("lock_shared_wait", 1, 3, 6), ("lock_obtain", 1, 3, 6)],
        "a LockWait of the thread",
    ),
    "return no share": ([ANNOUNCE_SHARED, ("lock_shared_release", 1, 3, 6)], "it to have one"),
    "give up without wait": ([ANNOUNCE, ("lock_give_up", 1, 3, 6)], "it to wait"),
    "mark of an idle thread": (
        [ANNOUNCE, ("lock_mark", 1, 3, PLACE)],
        "an event of the thread first",
    ),
    "thread 65 of a lock": (
        [ANNOUNCE, *(("lock_wait", 1, tid, 6) for tid in range(1, 66))],
        "one of the 64 threads",
    ),
    "allocate twice": (
        [("mem_alloc", 5, 3, 7, 10), ("mem_alloc", 6, 3, 7, 10)],
        "it to be freed first",
    ),
    "free nothing": ([("mem_free", 5, 3, 7)], "an address that is allocated"),
    "free twice": (
        [("mem_alloc", 5, 3, 7, 10), ("mem_free", 6, 3, 7), ("mem_free", 6, 3, 7)],
        "an address that is allocated",
    ),
    "free from another pool": (
        [("mem_alloc", 5, 3, 7, 10), ("mem_free", 6, 3, 7, TEXT)],
        "an address that is allocated",
    ),
    "memory back in time": (
        [("mem_alloc", 5, 3, 7, 10), ("mem_alloc", 4, 3, 8, 10)],
        "a time from 5 on",
    ),
    "discard nothing": ([("mem_discard", 5, 3, TEXT)], "one that something was allocated in"),
    "size of memory": ([("mem_alloc", 5, 3, 7, 1 << 48)], "values that fit"),
    "device twice": ([CONTEXT, CONTEXT], "a number that none has yet"),
    "number of a device": ([("gpu_context", 256, 0, 0)], "values that fit"),
    "name of no device": ([("gpu_name", 2, "name")], "one that was introduced"),
    "zone of no device": ([("gpu_begin", 5, 3, 0, 2, PLACE)], "one that was introduced"),
    "end on no device": ([("gpu_end", 5, 3, 0, 2)], "one that was introduced"),
    "time of no device": ([("gpu_time", 2, 0, 5)], "one that was introduced"),
    "calibrate no device": ([("gpu_calibration", 2, 5, 5, 5)], "one that was introduced"),
    "end of no device zone": ([CONTEXT, ("gpu_end", 5, 3, 0, 2)], "an open one"),
    "end of another thread's": (
        [CONTEXT, ("gpu_begin", 5, 3, 0, 2, PLACE), ("gpu_end", 6, 4, 1, 2)],
        "an open one",
    ),
    "time of nothing": ([CONTEXT, ("gpu_time", 2, 0, 5)], "one that was used"),
    "query used twice": (
        [CONTEXT, ("gpu_begin", 5, 3, 0, 2, PLACE), ("gpu_end", 6, 3, 0, 2)],
        "its time to come first",
    ),
    "sample of nothing": ([("sample", 5, 3, ())], "at least one frame"),
    "processor told twice": (
        [("cpu_topology", 0, 0, 0, 1), ("cpu_topology", 0, 0, 1, 1)],
        "that it is told once",
    ),
    "parameter without name": ([("param_setup", 1, 0, "int", 5)], "a name and one of"),
    "kind of a parameter": ([("param_setup", 1, TEXT, "float", 5)], "'trigger'"),
}

#: What only some versions have.
NEW_CASES: Final[dict[str, tuple[list[Call], str, int]]] = {
    "group of an unknown thread": (
        [("thread", 3), ("plot", TEXT, 1, 2), ("thread_group", 3, 1)],
        "an event of the thread first",
        67,
    ),
    "power of nothing": ([("sys_power", 5, 6, 0)], "a name from Strings.text", 64),
    "note of no query": ([CONTEXT, ("gpu_annotation", 2, 3, 0, 1, 1.0)], "one that was used", 76),
    "section twice": (
        [("section_enter", 5, 1, "text"), ("section_enter", 6, 1, "text")],
        "one that was not entered",
        82,
    ),
    "leave no section": ([("section_leave", 5, 1)], "one that was entered", 82),
}


def run(stream: Stream, calls: list[Call]) -> None:
    """Make the calls; the texts that they name exist."""
    stream.strings.text("text")
    for name, *arguments in calls:
        getattr(stream, name)(*arguments)


@pytest.mark.parametrize("version", [63, 72, 82])
@pytest.mark.parametrize(("calls", "expected"), CASES.values(), ids=CASES)
def test_strict(version: int, calls: list[Call], expected: str) -> None:
    """A strict stream refuses the last call and says what it expected, but takes those before."""
    stream = Stream(version, Strings(), strict=True)
    run(stream, calls[:-1])
    with pytest.raises(LocalProtocolError, match=f"expected .*{expected}"):
        run(stream, calls[-1:])


@pytest.mark.parametrize(("calls", "expected", "since"), NEW_CASES.values(), ids=NEW_CASES)
def test_strict_where_it_exists(calls: list[Call], expected: str, since: int) -> None:
    """What a version does not have is left out there, right or wrong, and refused elsewhere."""
    for version in VERSIONS:
        stream = Stream(version, Strings(), strict=True)
        run(stream, calls[:-1] if version >= since else calls)
        if version >= since:
            with pytest.raises(LocalProtocolError, match=expected):
                run(stream, calls[-1:])


@pytest.mark.parametrize("version", [63, 72, 82])
@pytest.mark.parametrize("case", [*CASES, *NEW_CASES])
def test_repaired(version: int, case: str) -> None:
    """A lenient stream counts, and the viewer finds nothing wrong."""
    calls = (CASES.get(case) or NEW_CASES[case])[0]
    pair = Pair(version, strict=False)
    run(pair.stream, calls)
    trace = pair.finish()
    exists = case in CASES or version >= NEW_CASES[case][2]
    assert exists == pair.stream.repairs
    assert () == trace.failures
    assert () == trace.undiagnosed


def test_too_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads and fibers beyond what a viewer numbers are left out, with all that happens there."""
    monkeypatch.setattr(_rows, "MAX_ROWS", 3)
    pair = Pair(72, strict=False)
    stream = pair.stream
    stream.thread(1)
    stream.fiber_enter(1, 1)
    stream.fiber_leave(2)
    stream.take()
    calls: list[Call] = [
        ("thread", 2),
        ("fiber_enter", 3, 2),
        ("step", 3, 4, 2, 0, PLACE),
        ("mem_alloc", 3, 2, 7, 10),
        ("sample", 3, 2, [1 << 32]),
    ]
    run(stream, calls)
    assert len(calls) == stream.repairs
    assert [] == stream.take()
    assert () == pair.finish().failures


def test_lock_used_by_many() -> None:
    """All that a thread too many does with a lock is left out; the others go on."""
    stream = Stream(72, Strings())
    stream.lock_announce(1, 0, PLACE)
    for tid in range(1, 66):
        stream.lock_wait(1, tid, tid)
        stream.lock_obtain(1, tid, tid)
        stream.lock_release(1, tid, tid)
    assert stream.repairs
    stream.strict = True
    stream.lock_wait(1, 3, 100)
    stream.lock_obtain(1, 3, 100)
    stream.lock_release(1, 3, 100)


def test_lock_given_up() -> None:
    """Whoever holds a lock that another one gives up still holds it."""
    stream = Stream(72, Strings(), strict=True)
    stream.lock_announce(1, 0, PLACE)
    for _ in range(2):
        stream.lock_wait(1, 3, 1)
        stream.lock_obtain(1, 3, 1)
    stream.lock_wait(1, 4, 2)
    stream.lock_give_up(1, 4, 3)
    for _ in range(2):
        stream.lock_release(1, 3, 5)
    with pytest.raises(LocalProtocolError, match="it to be held"):
        stream.lock_release(1, 3, 5)


def test_version() -> None:
    """A version that is not spoken is refused."""
    with pytest.raises(LocalProtocolError, match="version is 77, expected one of"):
        Stream(77, Strings())
