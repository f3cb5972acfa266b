"""Frames, pictures, memory and devices, whatever the order in which threads are read."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

import pytest

from aperf._recorder._layout import FrameOp, GpuOp, Kind, MemoryOp
from aperf.exporters._tracy.map import _gpu
from tests.tracy_map import MS, Script

if TYPE_CHECKING:
    from aperf.protocol.tracy._server import GpuZone

MARK, BEGIN_FRAME, END_FRAME = int(FrameOp.MARK), int(FrameOp.BEGIN), int(FrameOp.END)
ALLOCATE, FREE = int(MemoryOp.ALLOCATE), int(MemoryOp.FREE)
CONTEXT, BEGIN, END = int(GpuOp.CONTEXT), int(GpuOp.BEGIN), int(GpuOp.END)
TIME, CALIBRATE = int(GpuOp.TIME), int(GpuOp.CALIBRATE)
PICTURE: Final = (4, 4, bytes(range(8)), True)


# ------------------------------------------------------------------------------------------- frames


def test_marks_end_frames() -> None:
    """Of the default set and of named ones."""
    script = Script()
    for t_ns in (10, 20):
        script.frame(MARK, t_ns)
    script.frame(MARK, 15, "physics")
    trace = script.finish()
    assert {"": (10, 20), "physics": (15,)} == {each.name: each.marks for each in trace.frame_sets}


def test_of_blocks_that_overlap_each_ends_where_the_next_begins() -> None:
    """Two tasks in one set: a viewer takes one at a time."""
    script = Script()
    for operation, t_ns in ((BEGIN_FRAME, 10), (END_FRAME, 20), (BEGIN_FRAME, 30),
                            (BEGIN_FRAME, 40), (END_FRAME, 50), (END_FRAME, 60)):  # fmt: skip
        script.frame(operation, t_ns, "poll")
    [frames] = script.finish().frame_sets
    assert [(10, 20), (30, 40), (40, 50)] == [tuple(frame) for frame in frames.sub_frames]


def test_a_set_is_what_came_first() -> None:
    """Marks among blocks are left out, and blocks among marks; the default set has no blocks."""
    script = Script()
    for operation, t_ns, name in (
        (BEGIN_FRAME, 10, "blocks"), (MARK, 15, "blocks"), (END_FRAME, 20, "blocks"),
        (MARK, 11, "marks"), (BEGIN_FRAME, 12, "marks"), (END_FRAME, 13, "marks"),
        (BEGIN_FRAME, 14, ""), (END_FRAME, 15, ""),
    ):  # fmt: skip
        script.frame(operation, t_ns, name)
    blocks, marks = script.finish().frame_sets
    assert [(10, 20)] == [tuple(frame) for frame in blocks.sub_frames]
    assert ((11,), ()) == (marks.marks, marks.sub_frames)


def test_frames_of_several_threads_are_in_order() -> None:
    """Threads are read one by one; time does not go back for that."""
    script = Script()
    script.frame(MARK, 100)
    script.frame(MARK, 50, ring=1)
    [frames] = script.finish().frame_sets
    assert (100, 100) == frames.marks


def test_a_block_that_is_open_at_the_end_ends_there() -> None:
    """Also at a gap."""
    script = Script()
    script.frame(BEGIN_FRAME, 10, "poll")
    script.mapper.gap(20, 1)
    script.frame(BEGIN_FRAME, 30, "poll")
    [frames] = script.finish(40).frame_sets
    assert [(10, 20), (30, 40)] == [tuple(frame) for frame in frames.sub_frames]


def test_a_frame_has_one_picture() -> None:
    """Of the frame that the last mark ended; not before the first one, and not what is gone."""
    script = Script()
    script.tables.pictures[1] = PICTURE
    script.put(Kind.IMAGE, 5, a=1)
    script.frame(MARK, 10)
    script.frame(MARK, 20)
    for number in (9, 1, 1):
        script.put(Kind.IMAGE, 25, a=number)
    [image] = script.finish().frame_images
    assert (1, *PICTURE[:2], PICTURE[3], PICTURE[2]) == (
        image.frame, image.width, image.height, image.flip, image.data,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------- memory


def test_memory_is_in_use_until_it_is_freed() -> None:
    """With the place that allocated it."""
    script = Script()
    script.memory(ALLOCATE, 10, 0x1000, 64)
    script.memory(FREE, 20, 0x1000, ring=1)
    [pool] = script.finish().pools
    [piece] = pool.allocations
    assert ("pool", 0x1000, 64, 10, 100, 20, 101, ["main"]) == (
        pool.name, piece.address, piece.size, piece.alloc_ns, piece.alloc_tid, piece.free_ns,
        piece.free_tid, [frame.function for frame in piece.stack],
    )  # fmt: skip


def test_what_is_freed_twice_or_was_never_allocated_is_left_out() -> None:
    """A viewer would stop there; each pool has addresses of its own."""
    script = Script()
    script.memory(FREE, 5, 1)
    script.memory(ALLOCATE, 10, 1, 64)
    script.memory(FREE, 15, 1, pool="other")
    script.memory(FREE, 20, 1)
    script.memory(FREE, 30, 1)
    trace = script.finish()
    assert [(10, 20)] == [
        (piece.alloc_ns, piece.free_ns) for pool in trace.pools for piece in pool.allocations
    ]


def test_an_address_that_is_allocated_twice_was_freed_before() -> None:
    """The record of that was lost, or comes from another thread; time does not go back."""
    script = Script()
    script.memory(ALLOCATE, 10, 1, 64)
    script.memory(ALLOCATE, 20, 1, 1 << 60)
    script.memory(FREE, 15, 1)
    [pool] = script.finish().pools
    assert [(10, 20, 64), (20, 20, (1 << 48) - 1)] == [
        (piece.alloc_ns, piece.free_ns, piece.size) for piece in pool.allocations
    ]


# ------------------------------------------------------------------------------------------ devices


def gpu_script() -> Script:
    """Return a program that has announced a device."""
    script = Script()
    script.gpu(CONTEXT, 1, 1_000, name="encoder")
    return script


def zone(script: Script, query: int, begin_ns: int, end_ns: int, *, ring: int = 0) -> None:
    """Hand work over, and be told the times at once: 1000 times those of the program."""
    script.gpu(BEGIN, begin_ns, query, name=f"zone {query}", ring=ring)
    script.gpu(END, end_ns, query + 1, ring=ring)
    times(script, query, end_ns, begin_ns * 1_000, end_ns * 1_000, ring=ring)


def times(script: Script, query: int, t_ns: int, begin: int, end: int, *, ring: int = 0) -> None:
    """Tell the times of a zone."""
    for which, time in ((0, begin), (1, end)):
        script.gpu(TIME, t_ns, query + which, rest=struct.pack("<q", time), ring=ring)


def told(zones: tuple[GpuZone, ...], depth: int = 0) -> list[str]:
    """Return zones, one a line: name, begin, end, and the device's begin and end."""
    found = []
    for each in zones:
        line = f"{each.source.name} {each.start_ns} {each.end_ns} {each.gpu_start} {each.gpu_end}"
        found += ["  " * depth + line, *told(each.children, depth + 1)]
    return found


def drawn(script: Script) -> dict[str, list[str]]:
    """End a program, and return the zones of its device by thread."""
    trace = script.finish()
    name = script.pair.strings.thread_name
    return {name(tid): told(zones) for tid, zones in trace.gpu[0].zones.items()}


def test_a_device_is_announced_by_each_thread_and_shown_once() -> None:
    """Times of devices are signed, in 64 bits."""
    script = Script()
    script.gpu(CONTEXT, 1, -5, name="encoder", rest=struct.pack("<dQ", 0.5, 8))
    script.gpu(CONTEXT, 2, -5, name="encoder", rest=struct.pack("<dQ", 0.5, 8), ring=1)
    script.gpu(CALIBRATE, 3, -7, rest=b"")
    script.gpu(CALIBRATE, 4, -7, context=9, rest=b"")
    [gpu] = script.finish().gpu.values()
    assert ("encoder", 8, 1, -5, 0.5) == (gpu.name, gpu.kind, gpu.t_ns, gpu.gpu_time, gpu.period_ns)
    assert [(-7, 3, None)] == [tuple(calibration) for calibration in gpu.calibrations]


def test_zones_that_nest_are_nested() -> None:
    """On the thread that handed the work over; the device's times come with them."""
    script = gpu_script()
    script.gpu(BEGIN, 10, 0, name="outer")
    zone(script, 2, 20, 30)
    zone(script, 4, 40, 50)
    script.gpu(END, 60, 1)
    times(script, 0, 70, 10_000, 60_000)
    zone(script, 0, 80, 90)
    assert {
        "MainThread": [
            "outer 10 60 10000 60000",
            "  zone 2 20 30 20000 30000",
            "  zone 4 40 50 40000 50000",
            "zone 0 80 90 80000 90000",
        ]
    } == drawn(script)


def test_zones_that_overlap_are_on_threads_that_are_made_up() -> None:
    """Two tasks of one loop; a viewer wants the zones of a thread to nest."""
    script = gpu_script()
    script.gpu(BEGIN, 10, 0, name="a")
    script.gpu(BEGIN, 20, 2, name="b")
    script.gpu(END, 30, 1)
    script.gpu(BEGIN, 35, 4, name="c")
    script.gpu(END, 40, 3)
    script.gpu(END, 50, 5)
    assert {
        "MainThread": ["a 10 30 None None", "c 35 50 None None"],
        "MainThread · 2": ["b 20 40 None None"],
    } == drawn(script)


def test_work_that_is_handed_over_for_long_is_drawn_meanwhile() -> None:
    """After 100 ms; it ends when it does."""
    script = gpu_script()
    script.gpu(BEGIN, 10, 0, name="long")
    script.mapper.sample(10 + 100 * MS)
    assert {100: ["long 10 None None None"]} == {
        tid: told(zones) for tid, zones in script.so_far().gpu[0].zones.items()
    }
    zone(script, 2, 20, 30)
    script.gpu(END, 300 * MS, 1)
    times(script, 0, 300 * MS, 1, 2)
    assert {
        "MainThread": ["long 10 300000000 1 2"],
        "MainThread · 2": ["zone 2 20 30 20000 30000"],
    } == drawn(script)


def test_what_comes_before_its_begin_is_kept_for_it() -> None:
    """The end, or a time, may be in the records of a thread that is read first."""
    script = gpu_script()
    times(script, 0, 50, 7, 8, ring=1)
    script.gpu(END, 40, 1, ring=1)
    script.gpu(BEGIN, 30, 0, name="late")
    assert {"MainThread": ["late 30 40 7 8"]} == drawn(script)


def test_what_belongs_to_a_begin_that_was_lost_is_left_out() -> None:
    """It is older than the next zone of the same query."""
    script = gpu_script()
    script.gpu(END, 10, 1)
    times(script, 0, 11, 1, 2)
    zone(script, 0, 20, 30)
    assert {"MainThread": ["zone 0 20 30 20000 30000"]} == drawn(script)


def test_queries_are_used_again_though_ends_or_times_were_lost() -> None:
    """The zone before ends where the next one begins, and has no times."""
    script = gpu_script()
    script.gpu(BEGIN, 10, 0, name="no end")
    script.gpu(BEGIN, 20, 0, name="no times")
    script.gpu(END, 30, 1)
    zone(script, 0, 40, 50)
    assert {
        "MainThread": [
            "no end 10 20 None None",
            "no times 20 30 None None",
            "zone 0 40 50 40000 50000",
        ]
    } == drawn(script)


def test_times_of_the_zone_before_may_be_read_after_the_next_begin() -> None:
    """They were told before that began, on another thread."""
    script = gpu_script()
    script.gpu(BEGIN, 10, 0, name="first")
    script.gpu(END, 20, 1)
    zone(script, 0, 40, 50)
    times(script, 0, 30, 1, 2, ring=1)
    assert {"MainThread": ["first 10 20 1 2", "zone 0 40 50 40000 50000"]} == drawn(script)


def test_zones_of_unknown_devices_are_left_out() -> None:
    """Their announcement was lost."""
    script = Script()
    zone(script, 0, 10, 20)
    assert {} == script.finish().gpu


def test_a_viewer_takes_256_devices() -> None:
    """Further ones are left out."""
    script = Script()
    for context in range(300):
        script.gpu(CONTEXT, 1, 0, context=context, name="many")
    assert 256 == len(script.finish().gpu)


def test_all_queries_may_wait_for_their_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too much is left out, until times come."""
    monkeypatch.setattr(_gpu, "_QUERIES", 5)
    script = gpu_script()
    for query in (0, 2, 4):
        script.gpu(BEGIN, 10 + query, query, name=f"zone {query}")
        script.gpu(END, 11 + query, query + 1)
    times(script, 0, 20, 1, 2)
    zone(script, 6, 30, 40)
    assert {
        "MainThread": [
            "zone 0 10 11 1 2",
            "zone 2 12 13 None None",
            "zone 6 30 40 30000 40000",
        ]
    } == drawn(script)


@pytest.mark.parametrize("operation", [CONTEXT, BEGIN, TIME])
def test_records_that_are_too_short_are_skipped(operation: int) -> None:
    """Nobody writes such ones; they must not break the drawing of others."""
    script = gpu_script()
    script.gpu(operation, 10, 0, rest=b"")
    script.memory(FREE, 5, 1)
    script.finish()
