"""Locks, memory and devices."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from aperf.protocol.tracy._server import (
    Allocation,
    GpuAnnotation,
    GpuCalibration,
    GpuContext,
    GpuZone,
    Lock,
    LockEvent,
    Pool,
)
from tests.tracy_cases.basics import FETCH, MAIN, PARSE, STACK, stack, symbols, thread

if TYPE_CHECKING:
    from aperf.protocol.tracy import Stream, Strings
    from tests.tracy_cases.basics import Case

__all__ = ("CASES",)


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


CASES: Final[tuple[Case, ...]] = (
    locks,
    shared_locks,
    given_up,
    memory,
    discarded_pools,
    gpu,
    gpu_of_one_thread,
)
