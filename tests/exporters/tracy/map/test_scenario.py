"""One program with everything in it looks the same in each version of the protocol."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

import pytest

from aperf._recorder._layout import FrameOp, GpuOp, Kind, LockOp, MemoryOp, StepFlag, Value
from aperf.exporters._tracy._baseline import Baseline
from aperf.protocol.tracy import VERSIONS
from tests.tracy_map import (
    CANCELLED,
    DONE,
    EAGER,
    FIRST,
    MS,
    MapTables,
    Script,
    fetch,
    get,
    lines,
    main,
    named,
    parse,
    sleep,
    worker,
)

if TYPE_CHECKING:
    from aperf.protocol.tracy._server import Trace

FAILED: Final = int(StepFlag.FAILED)
OTHER: Final = 2  #: ring of a second loop


def rich(version: int) -> Trace:
    """Run the program in a viewer of a version."""
    tables, known = MapTables(), Baseline()
    before = Script(version, tables=tables)
    before.feed = lambda data, ring=0: known.take(ring, data, tables)  # type: ignore[method-assign]
    before.birth(90, 10, fetch, "old")
    before.open(90, 1, 20, "since before", fetch)
    known.begin_ns = 1_000
    script = Script(version, tables=tables, baseline=known)
    _first_loop(script)
    _second_loop(script)
    _crowd(script)
    _devices(script)
    return script.finish(900 * MS)


def _first_loop(script: Script) -> None:
    wrapper = named("run.<locals>.wrapper", "/x/uvloop/__init__.py")
    script.birth(1, 1_100, main, "Task-1")
    # A coroutine called again from the same line, spans across suspensions, out of order.
    script.open(1, 1, 1_210, "outer", main)
    script.open(1, 2, 1_220, "inner", fetch)
    script.attribute(1, 1, 1_230, "n", Value.INT, struct.pack("<q", 3))
    script.birth(2, 1_240, worker, "eager")
    script.step(2, 1_240, 1_250, worker, sleep, flags=FIRST | EAGER)
    script.step(1, 1_200, 1_300, main, fetch, parse, sleep, flags=FIRST, ready_ns=100)
    script.close(1, 1, 1_420)
    script.step(1, 1_400, 1_500, main, fetch, parse, sleep, kept=2)
    script.close(1, 2, 1_610)
    script.message(1, 1_620, "said by the task", flags=3)
    script.step(1, 1_600, 1_700, main, fetch, get, kept=1)
    # Cancelled, failed, abandoned, and through a wrapper.
    for task, function in ((3, worker), (4, worker), (5, parse), (6, parse)):
        script.birth(task, 1_710, function, f"Task-{task}")
        at = (wrapper, parse, sleep) if task == 6 else (function, sleep)
        script.step(task, 1_720, 1_730, *at, flags=FIRST, ready_ns=5)
    script.step(3, 1_800, 1_810, flags=DONE | CANCELLED)
    script.failure(4, 1_815, "ValueError\0no good")
    script.step(4, 1_812, 1_820, flags=DONE | FAILED)
    script.put(Kind.ABANDON, 1_830, a=5)
    # A lock that two tasks want.
    for t_ns, operation, owner in (
        (1_840, LockOp.ANNOUNCE, 1), (1_841, LockOp.WAIT, 6), (1_840, LockOp.WAIT, 1),
        (1_840, LockOp.OBTAIN, 1), (1_850, LockOp.RELEASE, 1), (1_851, LockOp.OBTAIN, 6),
    ):  # fmt: skip
        script.lock(500, t_ns, int(operation), owner, name="Lock" if operation == 0 else "")
    script.step(6, 1_900, 1_910, flags=DONE)
    # Woken late, long, and blocking.
    script.step(1, 3 * MS, 60 * MS, main, sleep, kept=1, ready_ns=MS, waker=6)
    script.put(Kind.LOST, 60 * MS, a=7)
    script.step(2, 61 * MS, 62 * MS, flags=DONE, ready_ns=10)
    script.step(90, 63 * MS, 64 * MS, fetch, get, kept=1)
    script.step(70, 65 * MS, 66 * MS, parse, fetch, sleep, kept=2, ready_ns=1_000)
    script.mapper.sample(300 * MS)
    script.step(1, 400 * MS, 401 * MS, flags=DONE)


def _second_loop(script: Script) -> None:
    script.birth(50, 2_000, main, "Task-50", ring=OTHER)
    script.step(50, 2_100, 2_200, main, sleep, flags=FIRST, ring=OTHER)
    script.open(60, 1, 2_300, "in a job", parse, ring=1)
    script.close(60, 1, 2_320, ring=1)
    script.job(50, 2_250, 100, fetch, queue_ns=40)
    script.step(50, 2_400, 2_500, flags=DONE, ring=OTHER)


def _crowd(script: Script) -> None:
    for task in range(1_000, 1_260):
        script.birth(task, 500 * MS, worker, ring=OTHER)
        script.step(task, 501 * MS, 501 * MS, worker, sleep, flags=FIRST, ring=OTHER)


def _devices(script: Script) -> None:
    script.tables.pictures[1] = (4, 4, bytes(8), False)
    script.frame(FrameOp.MARK, 600 * MS)
    script.put(Kind.IMAGE, 600 * MS, a=1)
    script.frame(FrameOp.BEGIN, 601 * MS, "poll")
    script.frame(FrameOp.END, 602 * MS, "poll")
    script.put(Kind.PLOT, 603 * MS, ref=script.name("level"), a=42)
    script.memory(MemoryOp.ALLOCATE, 604 * MS, 0x1000, 64)
    script.memory(MemoryOp.FREE, 605 * MS, 0x1000)
    script.gpu(GpuOp.CONTEXT, 606 * MS, 5, name="gpu")
    for operation, t_ns, query in (
        (GpuOp.BEGIN, 607, 0), (GpuOp.BEGIN, 608, 2), (GpuOp.END, 609, 1), (GpuOp.END, 610, 3),
        (GpuOp.TIME, 611, 0), (GpuOp.TIME, 611, 1),
    ):  # fmt: skip
        script.gpu(operation, t_ns * MS, query, name=f"zone {query}")
    script.put(Kind.SAMPLE, 612 * MS, ref=script.tables.site(main, fetch), a=100)


#: What the newest version shows, and so all of them do.
ROWS: Final = {
    "MainThread": [
        "1200 1300 loop iteration",
        "1400 1500 loop iteration",
        "1600 1700 loop iteration",
        "1720 1730 loop iteration",
        "1800 1810 loop iteration",
        "1812 1820 loop iteration",
        "1900 1910 loop iteration",
        "3000000 60000000 loop iteration",
        "  3000000 60000000 blocked by main 'Task-1 (main)'",
        "61000000 62000000 loop iteration",
        "63000000 64000000 loop iteration",
        "65000000 66000000 loop iteration",
        "400000000 401000000 loop iteration",
    ],
    "MainThread · lane 01": [
        "1000 900000000 fetch 'old'",
        "  1000 900000000 since before",
        "    1100 63000000 await unknown",
        "    64000000 900000000 await Queue.get",
    ],
    "MainThread · lane 02": [
        "1100 401000000 main 'Task-1'",
        "  1210 1420 outer 'n=3'",
        "    1220 1420 fetch",
        "      1220 1420 inner",
        "        1230 1420 parse",
        "          1300 1400 await sleep",
        "  1420 1620 fetch",
        "    1420 1610 inner",
        "      1420 1610 parse",
        "        1500 1600 await sleep",
        "  1620 60000000 fetch",
        "    1700 3000000 await Queue.get 'woken by Task-6 (parse)'",
        "      2000000 3000000 ready",
        "  60000000 400000000 await sleep",
    ],
    "MainThread · lane 03": [
        "1240 62000000 worker 'eager'",
        "  1250 61000000 await sleep",
        "64999000 900000000 parse",
        "  64999000 900000000 fetch",
        "    64999000 65000000 await unknown",
        "    66000000 900000000 await sleep",
    ],
    "MainThread · lane 04": ["1710 1810 worker 'Task-3\\ncancelled'", "  1730 1800 await sleep"],
    "MainThread · lane 05": ["1710 1820 worker 'Task-4'", "  1730 1812 await sleep"],
    "MainThread · lane 06": ["1710 1830 parse 'Task-5'"],
    "MainThread · lane 07": ["1710 1910 parse 'Task-6'", "  1730 1900 await sleep"],
    "Other": [
        "2100 2200 loop iteration",
        "2400 2500 loop iteration",
        "501000000 501000000 loop iteration",
        *["  501000000 501000000 worker"] * 4,
    ],
    "Other · lane 01": [
        "2000 2500 main 'Task-50'",
        "  2200 2400 await sleep",
        "500000000 900000000 worker",
    ],
    "pool_0": ["2250 2350 fetch 'for Task-50 (main)'", "  2300 2320 in a job"],
}
MESSAGES: Final = [
    (1_620, "MainThread · lane 02", "said by the task"),
    (1_815, "MainThread · lane 05", "Task-4 (worker) failed: ValueError: no good"),
    (60 * MS, "MainThread", "the loop was blocked for 57 ms by Task-1 (main)"),
    (60 * MS, "MainThread", "aperf: 7 records were lost here"),
]


def shape(trace: Trace) -> dict[str, Any]:
    """Return what all versions can show."""
    return {
        "zones": lines((*trace.threads.values(), *trace.fibers.values())),
        "details": [(z.color, z.file, z.line, z.function, z.stack) for z in trace.zones()],
        "regions": {row.name: row.regions for row in trace.fibers.values()},
        "plots": {p.name: p.points for p in trace.plots if not p.name.startswith(("res", "garb"))},
        "messages": [(m.t_ns, m.row, m.text, m.color) for m in trace.messages],
        "frames": (trace.frame_sets, trace.frame_images),
        "locks": trace.locks,
        "pools": trace.pools,
        "gpu": trace.gpu,
        "samples": trace.samples,
    }


@pytest.fixture(scope="module")
def newest() -> Trace:
    """The program in the newest version."""
    return rich(VERSIONS[-1])


@pytest.mark.parametrize("version", VERSIONS)
def test_all_versions_show_the_same(version: int, newest: Trace) -> None:
    """Zones, texts, colours, stacks, regions, plots, messages, locks, memory, devices."""
    assert shape(newest) == shape(rich(version))


def test_the_tree_is_exact(newest: Trace) -> None:
    """To the nanosecond, on each lane and thread."""
    rows = lines((*newest.fibers.values(), *newest.threads.values()))
    crowd = {name: rows.pop(name) for name in list(rows) if name.startswith("Other · lane")}
    assert 256 == len(crowd)
    rows["Other · lane 01"] = crowd.pop("Other · lane 01")
    assert ROWS == rows
    assert [["500000000 900000000 worker"]] * 255 == list(crowd.values())


def test_messages_are_exact(newest: Trace) -> None:
    """In time, on the rows of those who said them."""
    rows = {"thread": newest.threads, "fiber": newest.fibers}
    said = [(m.t_ns, rows[m.row.kind][m.row.id].name, m.text) for m in newest.messages]
    assert MESSAGES == sorted(said, key=lambda message: message[0])


def test_what_else_was_recorded_is_there(newest: Trace) -> None:
    """Locks, frames, pictures, memory, devices, samples, plots."""
    [lock] = newest.locks
    assert ["wait", "obtain", "wait", "release", "obtain", "release"] == [
        event.operation for event in lock.events
    ]
    assert ["", "poll"] == [frames.name for frames in newest.frame_sets]
    assert 1 == len(newest.frame_images)
    assert [1, 1] == [len(newest.pools[0].allocations), len(newest.samples)]
    assert [1, 1] == [len(zones) for zones in newest.gpu[0].zones.values()]
    assert [(603 * MS, 42)] == [tuple(point) for point in newest.plot("level").points]
