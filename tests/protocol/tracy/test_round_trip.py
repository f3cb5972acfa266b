"""Whatever a program says, in any version, a viewer reads back as it was said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeAlias

import pytest

from aperf.protocol.tracy import VERSIONS, Stream, Strings
from aperf.protocol.tracy._server import (
    Allocation,
    AppInfo,
    ContextSwitch,
    Cpu,
    Crash,
    ExternalThread,
    FrameImage,
    FrameSet,
    GpuAnnotation,
    GpuCalibration,
    GpuContext,
    GpuZone,
    HardwareSample,
    Lock,
    LockEvent,
    Message,
    Parameter,
    Plot,
    PlotConfig,
    Point,
    Pool,
    Power,
    Region,
    Row,
    RowKey,
    Sample,
    Section,
    Source,
    StackFrame,
    SubFrame,
    Trace,
    Wakeup,
    Zone,
)
from tests.tracy_pair import WELCOME, Pair

#: Says something, and returns what is to be read, by attribute of the trace.
Case: TypeAlias = Callable[[Stream, Strings], dict[str, Any]]

_CASES: Final[list[Case]] = []


def case(says: Case) -> Case:
    """Add a case to those that are tried in every version."""
    _CASES.append(says)
    return says


MAIN: Final = 7
FETCH: Final = Source("", "fetch", "app.py", 12, 0x102030)
PARSE: Final = Source("parse the page", "parse", "lib/parser.py", 34)


def zone(source: Source, start_ns: int, end_ns: int, **more: Any) -> Zone:
    """Return a zone at a place, as it is read back."""
    at = {"function": source.function, "file": source.file, "line": source.line}
    name = source.name or source.function
    given = {"name": name, **at, "color": source.color, **more}
    return Zone(start_ns=start_ns, end_ns=end_ns, **given)


def thread(*zones: Zone, name: str = f"thread {MAIN}", **more: Any) -> Row:
    """Return the row of a thread."""
    return Row(name=name, zones=zones, **more)


FRAMES: Final = (("inner", "a.py", 3), ("outer", "b.py", 40))
STACK: Final = tuple(StackFrame(*frame) for frame in FRAMES)


def stack(strings: Strings) -> list[int]:
    """Return the ids of a call stack, which is read back as `STACK`."""
    return [strings.frame(*frame) for frame in FRAMES]


def symbols(strings: Strings) -> dict[int, tuple[str, int]]:
    """Return what is known of the functions of a call stack that was sent."""
    ids = [strings.frame_of(strings.frame(*frame)).symbol for frame in FRAMES]
    return dict(zip(ids, [(file, line) for _, file, line in FRAMES], strict=True))


# ------------------------------------------------------------------------------------ zones, fibers


@case
def nested_zones(stream: Stream, strings: Strings) -> dict[str, Any]:
    """Zones in zones, one without anything in it."""
    strings.thread(MAIN, "main")
    fetch, parse = strings.source(*FETCH), strings.source(*PARSE)
    stream.thread(MAIN)
    stream.zone_begin(100, fetch)
    stream.zone_begin(110, parse)
    stream.zone(120, 130, fetch)
    stream.zone_end(140)
    stream.zone(150, 160, parse)
    stream.zone_end(200)
    inner = zone(PARSE, 110, 140, children=(zone(FETCH, 120, 130),))
    outer = zone(FETCH, 100, 200, children=(inner, zone(PARSE, 150, 160)))
    return {"threads": {MAIN: thread(outer, name="main")}}


@case
def details(stream: Stream, strings: Strings) -> dict[str, Any]:
    """Texts, a name, a colour and a number of a zone."""
    stream.thread(MAIN)
    stream.zone_begin(1, strings.source(*FETCH))
    stream.zone_text("first line")
    stream.zone_text("ü" * 200)
    stream.zone_value((1 << 64) - 1)
    stream.zone_name("")
    stream.zone_name("GET /")
    stream.zone_color(0xA0B0C0)
    stream.zone_end(2)
    text = "\n".join(["first line", "ü" * 200, str((1 << 64) - 1)])
    shown = zone(FETCH, 1, 2, name="GET /", color=0xA0B0C0, text=text)
    return {"threads": {MAIN: thread(shown)}}


#: Just below, at and above the limits of the short forms of times, and beyond what 47 bits hold.
_LENGTHS: Final = (0, 1, 65_535, 65_536, 65_537, (1 << 32) + 65_535, (1 << 32) + 65_536, 1 << 40)


@case
def times(stream: Stream, strings: Strings) -> dict[str, Any]:
    """Zones of all lengths, at times that go forward and back."""
    fetch = strings.source(*FETCH)
    stream.thread(MAIN)
    zones = []
    for start in (*_LENGTHS, *reversed(_LENGTHS)):
        for length in _LENGTHS:
            stream.zone(start, start + length, fetch)
            stream.zone_begin(start, fetch)
            stream.zone_end(start + length)
            zones += [zone(FETCH, start, start + length)] * 2
    return {"threads": {MAIN: thread(*zones)}}


@case
def inline_place(stream: Stream, strings: Strings) -> dict[str, Any]:
    """Zones that bring their place along."""
    stream.thread(MAIN)
    for source, t_ns in ((PARSE, 100), (FETCH, 50)):
        stream.zone_begin_inline(t_ns, *source)
        stream.zone_end(1000)
    return {"threads": {MAIN: thread(zone(PARSE, 100, 1000), zone(FETCH, 50, 1000))}}


@case
def zone_with_stack(stream: Stream, strings: Strings) -> dict[str, Any]:
    """A zone that says who called."""
    stream.thread(MAIN)
    for start, length in ((70_000, 10), (5, 1 << 34), (3, 2)):
        stream.zone_begin(start, strings.source(*FETCH), stack(strings))
        stream.zone_end(start + length)
    spans = ((70_000, 70_010), (5, 5 + (1 << 34)), (3, 5))
    zones = [zone(FETCH, start, end, stack=STACK) for start, end in spans]
    return {"threads": {MAIN: thread(*zones)}, "symbols": symbols(strings)}


@case
def threads(stream: Stream, strings: Strings) -> dict[str, Any]:
    """Zones on several threads at once; each thread has its own clock."""
    fetch = strings.source(*FETCH)
    for tid, t_ns in ((0, 10), (0xFFFF_FFFF, 5), (0, 20), (0xFFFF_FFFF, 7)):
        stream.thread(tid)
        (stream.zone_begin(t_ns, fetch) if t_ns in (10, 5) else stream.zone_end(t_ns))
    return {
        "threads": {
            0: thread(zone(FETCH, 10, 20), name="thread 0"),
            0xFFFF_FFFF: thread(zone(FETCH, 5, 7), name="thread 4294967295"),
        }
    }


def group(stream: Stream, number: int) -> int:
    """Return what is read back of a fiber's group."""
    return number if stream.version >= 68 else 0


@case
def fibers(stream: Stream, strings: Strings) -> dict[str, Any]:
    """A fiber keeps its zones while the thread runs itself or another fiber."""
    strings.fiber(1, "lane 1")
    fetch, parse = strings.source(*FETCH), strings.source(*PARSE)
    stream.thread(MAIN)
    stream.zone_begin(5, parse)
    stream.fiber_enter(10, 1, 4)
    stream.zone_begin(10, fetch)
    stream.fiber_leave(20)
    stream.zone_end(25)
    stream.fiber_enter(30, 2, -1)
    stream.fiber_enter(40, 1, 4)
    stream.zone_end(50)
    stream.fiber_leave(50)
    lane = Row(
        name="lane 1",
        group=group(stream, 4),
        zones=(zone(FETCH, 10, 50),),
        regions=(Region(10, 20, MAIN), Region(40, 50, MAIN)),
    )
    other = Row(name="fiber 2", group=group(stream, -1), regions=(Region(30, 40, MAIN),))
    return {"threads": {MAIN: thread(zone(PARSE, 5, 25))}, "fibers": {1: lane, 2: other}}


@case
def steps(stream: Stream, strings: Strings) -> dict[str, Any]:
    """Steps of a task: each ends a wait and begins the next."""
    wait, other = strings.source(*FETCH), strings.source(*PARSE)
    stream.thread(MAIN)
    stream.fiber_enter(0, 1)
    stream.zone_begin(0, other)
    stream.zone_begin(0, wait)
    stream.fiber_leave(0)
    begin, waits, regions = 0, [], [Region(0, 0, MAIN)]
    for length in _LENGTHS:
        stream.step(begin + 7, begin + 7 + length, 1, 0, wait)
        waits.append(zone(FETCH, begin, begin + 7))
        begin += 7 + length
        regions.append(Region(begin - length, begin, MAIN))
    stream.fiber_enter(begin, 1)
    stream.zone_end(begin)
    stream.zone_end(begin)
    stream.fiber_leave(begin)
    regions.append(Region(begin, begin, MAIN))
    task = zone(PARSE, 0, begin, children=(*waits, zone(FETCH, begin, begin)))
    row = Row(name="fiber 1", zones=(task,), regions=tuple(regions))
    return {"threads": {MAIN: thread()}, "fibers": {1: row}}


@case
def migration(stream: Stream, strings: Strings) -> dict[str, Any]:
    """A fiber goes on on another thread."""
    for tid in (1, 2):
        stream.thread(tid)
        stream.fiber_enter(tid * 10, 5)
        stream.fiber_leave(tid * 10 + 5)
    regions = (Region(10, 15, 1), Region(20, 25, 2))
    names = {tid: thread(name=f"thread {tid}") for tid in (1, 2)}
    return {"threads": names, "fibers": {5: Row(name="fiber 5", regions=regions)}}


@case
def thread_groups(stream: Stream, strings: Strings) -> dict[str, Any]:
    """A thread can be put into a group, from version 67 on."""
    stream.thread(MAIN)
    stream.zone(1, 2, strings.source(*FETCH))
    stream.thread_group(MAIN, -3)
    number = -3 if stream.version >= 67 else 0
    return {"threads": {MAIN: thread(zone(FETCH, 1, 2), group=number)}}


# ---------------------------------------------------------------------------------- messages, plots


@case
def messages(stream: Stream, strings: Strings) -> dict[str, Any]:
    """Messages of all kinds, in a thread and in a fiber."""
    literal = strings.text("a literal")
    stream.thread(MAIN)
    stream.message(1, "plain")
    stream.message(3, "colour", 4, 0x123456)
    stream.message_literal(2, literal, 0)
    stream.message_literal(4, literal, 5, 0)
    stream.fiber_enter(5, 1)
    stream.message(6, "", stack=stack(strings))
    stream.message(7, "x" * 65_534, 1, 0xFFFFFF, stack(strings))
    stream.message_literal(8, literal, 3, None, stack(strings))
    stream.message_literal(9, literal, 3, 1, stack(strings))
    stream.fiber_leave(10)
    rows = [RowKey("thread", MAIN)] * 4 + [RowKey("fiber", 1)] * 4
    texts = ["plain", "colour", "a literal", "a literal", "", "x" * 65_534] + ["a literal"] * 2
    colors = [None, 0x123456, None, 0, None, 0xFFFFFF, None, 1]
    severities = [2, 4, 0, 5, 2, 1, 3, 3] if stream.version >= 77 else [None] * 8
    stacks: list[tuple[StackFrame, ...]] = [()] * 4 + [STACK] * 4
    parts = zip([1, 3, 2, 4, 6, 7, 8, 9], rows, texts, severities, colors, stacks, strict=True)
    return {
        "messages": tuple(
            Message(t_ns=t, row=row, text=text, severity=severity, color=color, stack=frames)
            for t, row, text, severity, color, frames in parts
        ),
        "threads": {MAIN: thread()},
        "fibers": {1: Row(name="fiber 1", regions=(Region(5, 10, MAIN),))},
        "symbols": symbols(strings),
    }


@case
def app_info(stream: Stream, strings: Strings) -> dict[str, Any]:
    """What a program says of itself."""
    stream.app_info(3, "version 1\nof it")
    return {"app_info": (AppInfo(3, "version 1\nof it"),)}


@case
def plots(stream: Stream, strings: Strings) -> dict[str, Any]:
    """Plots of integers and of other numbers, also of those that cannot be drawn."""
    queue, load = strings.text("queue"), strings.text("load")
    stream.thread(MAIN)
    stream.plot(queue, 10, 3)
    stream.plot_config(load, "percentage", step=True, fill=False, color=0x112233)
    stream.plot(load, 5, 0.1)
    stream.plot(load, 6, float("nan"))
    stream.plot(load, 7, float("-inf"))
    stream.plot(queue, 20, -(1 << 63))
    stream.plot(queue, 15, 1 << 63)
    stream.plot_config(queue, "number")
    stream.plot_config(strings.text("heap"), "memory")
    points = (Point(10, 3), Point(20, -(1 << 63)), Point(15, float(1 << 63)))
    return {
        "plots": (
            Plot(name="queue", config=PlotConfig("number", False, True, 0), points=points),
            Plot(
                name="load",
                config=PlotConfig("percentage", True, False, 0x112233),
                points=(Point(5, 0.1),),
            ),
            Plot(name="heap", config=PlotConfig("memory", False, True, 0)),
        )
    }


@case
def frames(stream: Stream, strings: Strings) -> dict[str, Any]:
    """Marks of the default set and of another one, frames with gaps, pictures, refreshes."""
    network, tick = strings.text("network"), strings.text("tick")
    picture = bytes(range(16))
    for t_ns in (10, 20, 30):
        stream.frame_mark(t_ns)
    stream.frame_mark(5, tick)
    for t_ns in (1, 3):
        stream.frame_begin(t_ns, network)
        stream.frame_end(t_ns + 1, network)
    stream.frame_begin(9, network)
    stream.frame_image(2, 8, 4, picture, flip=True)
    stream.frame_image(1, 4, 4, picture[:8])
    stream.frame_vsync(11, 2)
    gaps = (SubFrame(1, 2), SubFrame(3, 4), SubFrame(9, None))
    return {
        "frame_sets": (
            FrameSet(name="", marks=(10, 20, 30)),
            FrameSet(name="tick", marks=(5,)),
            FrameSet(name="network", sub_frames=gaps),
        ),
        "frame_images": (
            FrameImage(1, 8, 4, True, picture),
            FrameImage(0, 4, 4, False, picture[:8]),
        ),
        "vsyncs": ((11, 2),),
    }


# ----------------------------------------------------------------------------------- locks, memory


@case
def locks(stream: Stream, strings: Strings) -> dict[str, Any]:
    """Who waited for a lock and who had it, where, and how it was called."""
    stream.lock_announce(1, 5, strings.source(*PARSE))
    stream.lock_name(1, "the lock")
    stream.lock_wait(1, 7, 10)
    stream.lock_mark(1, 7, strings.source(*FETCH))
    stream.lock_obtain(1, 7, 10)
    stream.lock_wait(1, 8, 20)
    stream.lock_release(1, 7, 30)
    stream.lock_obtain(1, 8, 31)
    stream.lock_mark(1, 8, strings.source(*PARSE))
    stream.lock_release(1, 8, 40)
    stream.lock_terminate(1, 50)
    events = (
        LockEvent(10, "wait", 7, FETCH),
        LockEvent(10, "obtain", 7),
        LockEvent(20, "wait", 8),
        LockEvent(30, "release", 7),
        LockEvent(31, "obtain", 8, PARSE),
        LockEvent(40, "release", 8),
    )
    lock = Lock(
        id=1, name="the lock", source=PARSE, announced_ns=5, terminated_ns=50, events=events
    )
    return {"locks": (lock,), "threads": {7: thread(), 8: thread(name="thread 8")}}


@case
def shared_locks(stream: Stream, strings: Strings) -> dict[str, Any]:
    """Several have a share of a lock, then one has all of it."""
    stream.lock_announce(2, 0, strings.source(*PARSE), shared=True)
    stream.lock_shared_wait(2, 1, 1)
    stream.lock_shared_wait(2, 2, 2)
    stream.lock_shared_obtain(2, 2, 3)
    stream.lock_shared_obtain(2, 1, 4)
    stream.lock_shared_release(2, 2, 5)
    stream.lock_wait(2, 3, 6)
    stream.lock_shared_release(2, 1, 7)
    stream.lock_obtain(2, 3, 8)
    stream.lock_release(2, 3, 9)
    events = (
        LockEvent(1, "shared wait", 1),
        LockEvent(2, "shared wait", 2),
        LockEvent(3, "shared obtain", 2),
        LockEvent(4, "shared obtain", 1),
        LockEvent(5, "shared release", 2),
        LockEvent(6, "wait", 3),
        LockEvent(7, "shared release", 1),
        LockEvent(8, "obtain", 3),
        LockEvent(9, "release", 3),
    )
    lock = Lock(id=2, source=PARSE, shared=True, announced_ns=0, events=events)
    names = {tid: thread(name=f"thread {tid}") for tid in (1, 2, 3)}
    return {"locks": (lock,), "threads": names}


@case
def given_up(stream: Stream, strings: Strings) -> dict[str, Any]:
    """A wait that ends without the lock: a hold that takes no time, between those of the holder."""
    stream.lock_announce(1, 0, strings.source(*PARSE))
    stream.lock_wait(1, 1, 1)
    stream.lock_obtain(1, 1, 1)
    stream.lock_wait(1, 2, 2)
    stream.lock_give_up(1, 2, 5)
    stream.lock_release(1, 1, 9)
    events = (
        LockEvent(1, "wait", 1),
        LockEvent(1, "obtain", 1),
        LockEvent(2, "wait", 2),
        LockEvent(5, "release", 1),
        LockEvent(5, "obtain", 2),
        LockEvent(5, "release", 2),
        LockEvent(5, "wait", 1),
        LockEvent(5, "obtain", 1),
        LockEvent(9, "release", 1),
    )
    lock = Lock(id=1, source=PARSE, announced_ns=0, events=events)
    return {
        "locks": (lock,),
        "threads": {tid: thread(name=f"thread {tid}") for tid in (1, 2)},
    }


@case
def memory(stream: Stream, strings: Strings) -> dict[str, Any]:
    """Allocations and frees in pools with and without a name, with and without call stacks."""
    cache, big = strings.text("cache"), (1 << 48) - 1
    stream.mem_alloc(10, 1, 0x10, 5)
    stream.mem_alloc(5, 2, 0x10, big, cache)
    stream.mem_alloc(11, 1, 0x20, 6, stack=stack(strings))
    stream.mem_alloc(12, 1, 1 << 63, 7, cache, stack(strings))
    stream.mem_free(20, 2, 0x10)
    stream.mem_free(21, 1, 0x10, cache)
    stream.mem_free(22, 2, 0x20, stack=stack(strings))
    stream.mem_free(23, 2, 1 << 63, cache, stack(strings))
    stream.mem_alloc(24, 1, 0x10, 0)
    first = Allocation(address=0x10, size=5, alloc_ns=10, alloc_tid=1, free_ns=20, free_tid=2)
    named = Allocation(address=0x10, size=big, alloc_ns=5, alloc_tid=2, free_ns=21, free_tid=1)
    stacked = Allocation(
        address=0x20, size=6, alloc_ns=11, alloc_tid=1, free_ns=22, free_tid=2, stack=STACK,
        free_stack=STACK,
    )  # fmt: skip
    last = Allocation(address=0x10, size=0, alloc_ns=24, alloc_tid=1)
    both = replace(stacked, address=1 << 63, size=7, alloc_ns=12, free_ns=23)
    return {
        "pools": (
            Pool(name="", allocations=(first, stacked, last)),
            Pool(name="cache", allocations=(named, both)),
        ),
        "threads": {tid: thread(name=f"thread {tid}") for tid in (1, 2)},
        "symbols": symbols(strings),
    }


@case
def discarded_pools(stream: Stream, strings: Strings) -> dict[str, Any]:
    """Everything in a pool is freed at once; one by one where there is no event for that."""
    for pool, frames in (("cache", []), ("arena", stack(strings))):
        stream.mem_alloc(1, 1, 0x20, 5, strings.text(pool))
        stream.mem_alloc(2, 1, 0x10, 6, strings.text(pool))
        stream.mem_discard(3, 2, strings.text(pool), frames)
    first = Allocation(address=0x20, size=5, alloc_ns=1, alloc_tid=1, free_ns=3, free_tid=2)
    second = replace(first, address=0x10, size=6, alloc_ns=2)
    stacked = tuple(replace(one, free_stack=STACK) for one in (first, second))
    return {
        "pools": (
            Pool(name="cache", allocations=(first, second)),
            Pool(name="arena", allocations=stacked),
        ),
        "threads": {tid: thread(name=f"thread {tid}") for tid in (1, 2)},
        "symbols": symbols(strings),
    }


# --------------------------------------------------------------------------------------------- GPU


@case
def gpu(stream: Stream, strings: Strings) -> dict[str, Any]:
    """Nested zones of a device that two threads use, with its times, a name and a stack."""
    fetch, parse = strings.source(*FETCH), strings.source(*PARSE)
    stream.gpu_context(3, 50, 1_000, period_ns=0.5, kind=8, calibrated=True)
    stream.gpu_name(3, "copy engine")
    stream.gpu_begin(100, 1, 0, 3, fetch)
    stream.gpu_begin(90, 2, 2, 3, parse, stack(strings))
    stream.gpu_begin_inline(105, 1, 4, 3, *PARSE)
    stream.gpu_end(110, 1, 5, 3)
    stream.gpu_end(120, 1, 1, 3)
    for query, ticks in ((0, 1_100), (4, 1_120), (5, 1_090), (1, 1_200), (2, 900)):
        stream.gpu_time(3, query, ticks)
    stream.gpu_calibration(3, 130, 1_300, 15)
    inner = GpuZone(source=PARSE, tid=1, start_ns=105, end_ns=110, gpu_start=1_120, gpu_end=1_090)
    outer = GpuZone(
        source=FETCH, tid=1, start_ns=100, end_ns=120, gpu_start=1_100, gpu_end=1_200,
        children=(inner,),
    )  # fmt: skip
    unended = GpuZone(source=PARSE, tid=2, start_ns=90, gpu_start=900, stack=STACK)
    context = GpuContext(
        id=3, name="copy engine", kind=8, t_ns=50, gpu_time=1_000, period_ns=0.5, calibrated=True,
        zones={1: (outer,), 2: (unended,)},
        calibrations=(GpuCalibration(1_300, 130, 15),),
    )  # fmt: skip
    return {"gpu": {3: context}, "symbols": symbols(strings)}


@case
def gpu_of_one_thread(stream: Stream, strings: Strings) -> dict[str, Any]:
    """A device that belongs to a thread, with what newer versions know of it."""
    stream.gpu_context(0, 0, 0, tid=MAIN)
    stream.gpu_begin(1, MAIN, 10, 0, strings.source(*FETCH))
    stream.gpu_end(2, MAIN, 11, 0)
    stream.gpu_annotation_name(0, -4, "bytes")
    stream.gpu_annotation(0, MAIN, 10, -4, 2.5)
    stream.gpu_time_sync(0, 9, 8)
    is_new = stream.version >= 76
    context = GpuContext(
        id=0,
        kind=7,
        tid=MAIN,
        t_ns=0,
        gpu_time=0,
        zones={MAIN: (GpuZone(source=FETCH, tid=MAIN, start_ns=1, end_ns=2),)},
        calibrations=(GpuCalibration(8, 9),) if stream.version >= 65 else (),
        annotations=(GpuAnnotation("bytes", 2.5, MAIN, 10),) if is_new else (),
    )
    return {"gpu": {0: context}}


# ----------------------------------------------------------------------------- samples, the program


@case
def samples(stream: Stream, strings: Strings) -> dict[str, Any]:
    """Call stacks of running threads, at times that go forward and back."""
    frames = stack(strings)
    at = (0, 65_535, 131_071, 1 << 33, 5, 1 << 40)
    for t_ns in at:
        stream.sample(t_ns, MAIN, frames)
    return {
        "samples": tuple(Sample(t_ns, MAIN, STACK) for t_ns in at),
        "threads": {MAIN: thread()},
        "symbols": symbols(strings),
    }


@case
def processors(stream: Stream, strings: Strings) -> dict[str, Any]:
    """What the kernel and the processors tell."""
    stream.context_switch(10, 0, 21, 1, 2, 3)
    stream.context_switch(8, 21, 0, 1)
    stream.thread_wakeup(9, 21, 3)
    stream.thread_process(21, 600)
    stream.cpu_topology(1, 2, 3, 4)
    counted = (
        "CpuCycle", "InstructionRetired", "CacheReference", "CacheMiss", "BranchRetired",
        "BranchMiss",
    )  # fmt: skip
    for number, event in enumerate(counted):
        stream.hardware_sample(number, event, 1 << 40)  # type: ignore[arg-type]
    kinds = ("cycle", "instruction", "cache reference", "cache miss", "branch", "branch miss")
    return {
        "context_switches": (ContextSwitch(10, 0, 21, 1, 2, 3), ContextSwitch(8, 21, 0, 1)),
        "wakeups": (Wakeup(9, 21),),
        "processes": {21: 600},
        "cpus": (Cpu(1, 3, 4, 2 if stream.version >= 69 else 0),),
        "hardware_samples": tuple(
            HardwareSample(kind, number, 1 << 40) for number, kind in enumerate(kinds)
        ),
        "external_threads": {21: ExternalThread("tests", "thread 21")},
    }


@case
def sections(stream: Stream, strings: Strings) -> dict[str, Any]:
    """Stretches of the program's life, in the versions that show them."""
    stream.section_setup(4, "phases")
    stream.section_enter(10, 1, "start", 4)
    stream.section_enter(20, 2, "work")
    stream.section_leave(30, 1)
    if stream.version < 81:
        return {}
    started = Section(1, "start", 4, 10, 30)
    return {"categories": {4: "phases"}, "sections": (started, Section(2, "work", 0, 20))}


@case
def machine(stream: Stream, strings: Strings) -> dict[str, Any]:
    """The load of the processors, power, parameters."""
    name = strings.text("package 0")
    stream.sys_time(5, 12.5)
    stream.sys_power(6, 1 << 50, name)
    stream.param_setup(1, strings.text("level"), "int", -5)
    stream.param_setup(2, strings.text("fast"), "bool", 1)
    stream.param_setup(3, strings.text("now"), "trigger", 0)
    parameters = {1: Parameter("level", 0, -5), 2: Parameter("fast", 1, 1)}
    if stream.version >= 82:
        parameters[3] = Parameter("now", 2, 0)
    power = (Power(6, "package 0", 1 << 50),) if stream.version >= 64 else ()
    return {"cpu_load": ((5, 12.5),), "power": power, "parameters": parameters}


@case
def crash(stream: Stream, strings: Strings) -> dict[str, Any]:
    """How the program crashed."""
    stream.crash(9, strings.text("out of luck"))
    return {"crash": Crash(9, "out of luck")}


# ------------------------------------------------------------------------------------------- all


def _matrix() -> list[Any]:
    return [
        pytest.param(version, says, id=f"{version}-{says.__name__}")
        for version in VERSIONS
        for says in _CASES
    ]


@pytest.mark.parametrize(("version", "says"), _matrix())
def test_reads_what_was_said(version: int, says: Case) -> None:
    """What is said is read back, no more and no less, in every version."""
    pair = Pair(version)
    expected = says(pair.stream, pair.strings)
    trace = pair.finish()
    assert trace.welcome is not None
    assert Trace(welcome=trace.welcome, **expected) == trace
    assert 0 == pair.stream.repairs


@pytest.mark.parametrize("version", VERSIONS)
def test_all_in_one(version: int) -> None:
    """All of that on one connection, in pieces of seven bytes, is understood too."""
    pair = Pair(version, piece=7)
    for says in (nested_zones, fibers, messages, plots, locks, gpu, samples):
        says(pair.stream, pair.strings)
    trace = pair.finish()
    assert () == trace.failures + trace.undiagnosed
    assert 8 == len(trace.messages)


@pytest.mark.parametrize("version", VERSIONS)
def test_welcome(version: int) -> None:
    """What a program says of itself is read, cut to the room there is."""
    welcome = replace(
        WELCOME, begin_ns=17, program="ü" * 40, host="a\nb", sampling_period_ns=9, executable_s=11
    )
    received = Pair(version, welcome=welcome).server.trace.welcome
    assert received is not None
    assert (17, 17) == (received.begin_ns, received.first_frame_ns)
    assert (1_700_000_000, 4321, 11) == (received.epoch_s, received.pid, received.executable_s)
    assert ("ü" * 31, "a\nb") == (received.program, received.host)
    assert (9, True, False) == (
        received.sampling_period_ns, received.on_demand, received.code_transfer
    )  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
def test_source_files(version: int) -> None:
    """A viewer gets the texts of the files that places and frames name, if that is allowed."""
    texts = {"app.py": b"import this\n", "a.py": "ä = 1".encode()}
    welcome = replace(WELCOME, executable_s=1, code_transfer=True)
    pair = Pair(version, Strings(sources=texts.get), welcome=welcome)
    nested_zones(pair.stream, pair.strings)
    zone_with_stack(pair.stream, pair.strings)
    assert {"app.py": "import this\n", "a.py": "ä = 1"} == pair.finish().sources


@pytest.mark.parametrize("version", VERSIONS)
def test_parameters(version: int) -> None:
    """What the viewer's user changes arrives."""
    pair = Pair(version)
    for index, value in ((0, 5), (3, -1), (2, -(1 << 31))):
        pair.server.set_parameter(index, value)
    pair.stream.keep_alive()
    pair.exchange()
    assert {0: 5, 3: -1, 2: -(1 << 31)} == pair.stream.parameters


@pytest.mark.parametrize("version", VERSIONS)
def test_next_viewer(version: int) -> None:
    """A viewer that connects after another one gets all names again."""
    strings = Strings()
    for _ in range(2):
        pair = Pair(version, strings)
        expected = messages(pair.stream, pair.strings)
        trace = pair.finish()
        assert expected["messages"] == trace.messages
        assert expected["fibers"] == trace.fibers


@pytest.mark.parametrize("version", VERSIONS)
def test_open_zones(version: int) -> None:
    """The end of the program ends what is open, on threads and on fibers."""
    pair = Pair(version)
    fetch = pair.strings.source(*FETCH)
    for fiber in (1, 2):
        pair.stream.thread(fiber)
        pair.stream.zone_begin(5, fetch)
        pair.stream.fiber_enter(10, fiber)
        pair.stream.zone_begin(10, fetch)
    pair.stream.fiber_leave(20)
    trace = pair.finish(100)
    ends = [(zone.start_ns, zone.end_ns) for zone in trace.zones()]
    assert [(5, 100), (5, 100), (10, 100), (10, 100)] == ends
