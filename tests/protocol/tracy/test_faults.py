"""Where a real viewer would stop, crash, hang or show something wrong."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, TypeAlias

import pytest

from aperf.protocol.tracy import VERSIONS, QueryKind
from aperf.protocol.tracy._server import ServerState
from tests.tracy_bytes import (
    IGNORES_MEMORY_FAULTS,
    ON_DEMAND,
    TID,
    RawClient,
    begin,
    end,
    lock,
    on_thread,
    zone,
)

#: Returns events, one after the other.
Events: TypeAlias = Callable[[RawClient], bytes]


# ---------------------------------------------------------------------------------------- failures


def failures(client: RawClient) -> tuple[str, ...]:
    """Return why a real viewer would have stopped."""
    return client.server.trace.failures


def picture(client: RawClient, number: int) -> bytes:
    """Return a picture of a frame."""
    data = client.event("FrameImageData", bytes(8))
    return data + client.event("FrameImage", frame=number, width=4, height=4)


ALLOCATED_TWICE: Final = (
    "Memory allocation event was reported for an address that is already tracked and not freed."
)

FAILURES: Final[dict[str, tuple[Events, str]]] = {
    "end twice": (lambda c: zone(c) + end(c), "Zone is ended twice."),
    "end on a new thread": (lambda c: on_thread(c, end(c)), "Zone is ended twice."),
    "order": (
        lambda c: on_thread(c, c.event("ZoneValidation", id=3), begin(c), end(c)),
        "Invalid order of zone begin and end events.",
    ),
    "text": (
        lambda c: zone(c) + c.string("a") + c.event("ZoneText"),
        "Zone text transfer destination doesn't match active zone.",
    ),
    "text on a new thread": (
        lambda c: on_thread(c, c.string("a"), c.event("ZoneText")),
        "Zone text transfer destination doesn't match active zone.",
    ),
    "name": (
        lambda c: zone(c) + c.string("a") + c.event("ZoneName"),
        "Zone name transfer destination doesn't match active zone.",
    ),
    "color": (
        lambda c: zone(c) + c.event("ZoneColor"),
        "Zone color transfer destination doesn't match active zone.",
    ),
    "value": (
        lambda c: zone(c) + c.event("ZoneValue"),
        "Zone value transfer destination doesn't match active zone.",
    ),
    "leave": (
        lambda c: zone(c) + c.event("FiberLeave", tid=TID),
        "Fiber execution stopped on a thread which is not executing a fiber.",
    ),
    "alloc": (
        lambda c: 2 * c.event("MemAlloc", address=1),
        ALLOCATED_TWICE,
    ),
    "picture": (
        lambda c: picture(c, 3) + picture(c, 3),
        "Multiple frame images were sent for a single frame.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("flags", [0, ON_DEMAND])
@pytest.mark.parametrize("version", [63, 72, 82])
@pytest.mark.parametrize("name", FAILURES)
def test_failures(name: str, version: int, flags: int) -> None:
    """Where a real viewer stops, so does this one, in the same words, with the trace so far."""
    events, text = FAILURES[name]
    client = RawClient(version, flags=flags)
    asked = client.send(events(client) + zone(client))
    assert ((text,), ()) == (client.server.trace.failures, client.server.trace.undiagnosed)
    assert ServerState.FAILED is client.server.state
    assert [(QueryKind.TERMINATE, 0, 0)] == asked


def test_picture_of_an_earlier_frame() -> None:
    """A picture must be of a frame that there was since the viewer connected."""
    client = RawClient(72, flags=ON_DEMAND, frames=10)
    client.send(picture(client, 10), picture(client, 9))
    trace = client.server.trace
    assert [10] == [image.frame for image in trace.frame_images]
    assert ("picture of frame 9, which was over before the connection",) == trace.undiagnosed


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("flags", [0, ON_DEMAND, IGNORES_MEMORY_FAULTS])
def test_failures_by_mode(version: int, flags: int) -> None:
    """What never began may end where a client is connected to on demand, or says that it may."""
    client = RawClient(version, flags=flags)
    client.send(client.event("MemFree", address=1))
    free = "Memory free event without a matching allocation."
    assert (() if flags else (free,)) == client.server.trace.failures

    client = RawClient(version, flags=flags)
    client.send(client.event("FrameMarkMsgEnd", name=4))
    mismatch = "Discontinuous frame begin/end mismatch."
    fails = version <= 64 or flags != ON_DEMAND
    assert ((mismatch,) if fails else ()) == client.server.trace.failures

    client = RawClient(version, flags=flags)
    client.send(2 * client.event("MemAlloc", address=1))
    forgiven = version >= 82 and flags == IGNORES_MEMORY_FAULTS
    assert forgiven is (() == client.server.trace.failures)


@pytest.mark.parametrize("along", [False, True])
def test_too_many_sources(along: bool) -> None:
    """A viewer can number 32,767 source locations, and as many that are sent along."""
    client = RawClient(72)

    def sources(numbers: range) -> bytes:
        if along:
            return b"".join(
                client.event("SourceLocationPayload", struct.pack("<II", 0, number) + b"f\0g\0")
                + client.event("ZoneBeginAllocSrcLoc")
                for number in numbers
            )
        return b"".join(client.event("ZoneBegin", source=number) for number in numbers)

    for start in range(0, 32_767, 5_000):
        client.send(sources(range(start, min(start + 5_000, 32_767))))
    client.send(sources(range(5)))
    assert () == failures(client)
    client.send(sources(range(40_000, 40_001)))
    assert ("Too many source locations.",) == failures(client)


# ------------------------------------------------------------------------------------- undiagnosed


def device(client: RawClient, *events: bytes, tid: int = 0) -> bytes:
    """Return a GPU context and its events."""
    return client.event("GpuNewContext", context=1, period=1.0, tid=tid) + b"".join(events)


def gpu_begin(client: RawClient, query: int = 1) -> bytes:
    """Return the begin of a GPU zone."""
    return client.event("GpuZoneBeginSerial", tid=TID, query=query, context=1, source=5)


def hold(client: RawClient, tid: int) -> bytes:
    """Return all that a thread does with a lock."""
    wait, obtain = (client.event(f"Lock{what}", tid=tid, lock=1) for what in ("Wait", "Obtain"))
    return wait + obtain + client.event("LockRelease", lock=1)


UNDIAGNOSED: Final[dict[str, tuple[Events, str]]] = {
    "leave an unknown thread": (lambda c: c.event("FiberLeave", tid=3), "thread 3"),
    "end before the start": (
        lambda c: on_thread(c, begin(c), c.event("ZoneEnd", dt=-(1 << 40))), "reads as open"
    ),
    "text without a string": (lambda c: on_thread(c, begin(c), c.event("ZoneText")), "no string"),
    "two strings": (lambda c: c.string("a") + c.string("b"), "that no event used"),
    "no stack": (lambda c: c.event("ZoneBeginCallstack"), "no call stack"),
    "no source": (lambda c: c.event("ZoneBeginAllocSrcLoc"), "no source location"),
    "no name of the pool": (lambda c: c.event("MemAllocNamed"), "no name of a pool"),
    "no picture": (lambda c: c.event("FrameImage", width=4, height=4), "no picture"),
    "unknown lock": (lambda c: c.event("LockWait", lock=4, tid=1), "lock 4"),
    "name of an unknown lock": (lambda c: c.string("a") + c.event("LockName", lock=4), "lock 4"),
    "lock announced twice": (lambda c: 2 * lock(c), "announced twice"),
    "obtain without a wait": (
        lambda c: lock(c, c.event("LockObtain", lock=1, tid=3)), "did not wait"
    ),
    "release without a holder": (lambda c: lock(c, c.event("LockRelease", lock=1)), "nobody"),
    "release of a share": (
        lambda c: lock(c, c.event("LockSharedRelease", lock=1, tid=3)), "does not hold"
    ),
    "mark without an event": (
        lambda c: lock(c, c.event("LockMark", lock=1, tid=3)), "never waited"
    ),
    "time of a lock goes back": (
        lambda c: lock(c, hold(c, 3), c.event("LockWait", lock=1, tid=3, dt=-1)), "before that"
    ),
    "65 threads of a lock": (
        lambda c: lock(c, *(hold(c, tid) for tid in range(1, 65)), c.event("LockWait", lock=1)),
        "more than 64",
    ),
    "time of memory goes back": (
        lambda c: c.event("MemAlloc", address=1) + c.event("MemAlloc", address=2, dt=-1),
        "before that",
    ),
    "unknown device": (lambda c: gpu_begin(c), "context 1, which was not"),
    "device announced twice": (lambda c: 2 * device(c), "announced twice"),
    "end of no GPU zone": (
        lambda c: device(c, c.event("GpuZoneEndSerial", context=1, query=3)), "did not begin"
    ),
    "end that names a bound thread": (
        lambda c: device(
            c, gpu_begin(c), c.event("GpuZoneEndSerial", context=1, tid=TID, query=2), tid=TID
        ),
        "bound to one",
    ),
    "time of no query": (
        lambda c: device(c, c.event("GpuTime", context=1, query=3)), "not under way"
    ),
    "query used again": (lambda c: device(c, gpu_begin(c), gpu_begin(c)), "used again"),
    "frames with gaps and without": (
        lambda c: c.event("FrameMarkMsg", name=3) + c.event("FrameMarkMsgStart", name=3), "one set"
    ),
    "frame before the one before": (
        lambda c: c.event("FrameMarkMsg", t=5) + c.event("FrameMarkMsg", t=4), "before that"
    ),
    "frame before the first": (lambda c: c.event("FrameMarkMsg", t=-1), "before that"),
    "frame begun twice": (lambda c: 2 * c.event("FrameMarkMsgStart", name=3), "before the one"),
    "frame ended twice": (
        lambda c: c.event("FrameMarkMsgStart", name=3) + 2 * c.event("FrameMarkMsgEnd", name=3),
        "ends twice",
    ),
    "picture without pixels": (
        lambda c: c.event("FrameImageData") + c.event("FrameImage"), "picture of 0 x 0"
    ),
    "picture too short": (
        lambda c: c.event("FrameImageData", b"x") + c.event("FrameImage", width=4, height=4),
        "in 1 bytes",
    ),
    "plot of no format": (lambda c: c.event("PlotConfig", name=3, format=3), "format 3"),
    "answer that nobody asked for": (lambda c: c.event("StringData", b"", id=3), "STRING 3"),
    "frame that nobody announced": (
        lambda c: c.string("a") + c.string("b", "Second") + c.event("CallstackFrame"),
        "not announced",
    ),
    "65 frames with texts": (
        lambda c: c.event("CallstackAllocPayload", b"\x41" + 65 * bytes(8)), "65 frames"
    ),
}  # fmt: skip


@pytest.mark.parametrize("version", [63, 82])
@pytest.mark.parametrize("name", UNDIAGNOSED)
def test_undiagnosed(name: str, version: int) -> None:
    """What would harm a real viewer without a word is noted, and the rest goes on."""
    events, text = UNDIAGNOSED[name]
    client = RawClient(version)
    client.send(events(client) + client.event("ThreadContext", tid=99) + begin(client))
    trace = client.server.trace
    [fault] = trace.undiagnosed
    assert text in fault
    assert () == trace.failures
    assert 1 == len(trace.threads[99].zones)


def test_sections() -> None:
    """A section is entered once and left once."""
    client = RawClient(82)
    text = client.string("a section")
    client.send(2 * (text + client.event("SectionEnter", section=1)))
    client.send(client.event("SectionLeave", section=2))
    faults = ("section 1 entered twice", "section 2 left, and it was not entered")
    assert faults == client.server.trace.undiagnosed


@pytest.mark.parametrize("version", [69, 72, 82])
def test_group_of_an_unknown_thread(version: int) -> None:
    """A thread has to be known before it can be put into a group."""
    client = RawClient(version)
    client.send(client.event("ThreadGroupHint", tid=3))
    assert ("group of thread 3, which does not exist",) == client.server.trace.undiagnosed


def test_rows() -> None:
    """A viewer can number 65,535 threads and fibers."""
    client = RawClient(72)
    enters = [client.event("FiberEnter", fiber=fiber, tid=1) for fiber in range(65_534)]
    for start in range(0, len(enters), 5_000):
        client.send(*enters[start : start + 5_000])
    assert [] == list(client.server.trace.undiagnosed)
    client.send(client.event("FiberEnter", fiber=70_000, tid=1))
    assert ["more than 65535 threads and fibers"] == list(client.server.trace.undiagnosed)


def test_deep_zones() -> None:
    """Zones may be nested deeper than Python calls."""
    client = RawClient(72)
    client.send(on_thread(client, 8_000 * begin(client)))
    assert 8_000 == sum(1 for _ in client.server.trace.zones())


def test_fiber_on_two_threads() -> None:
    """A fiber that is entered elsewhere before it left keeps its first stretch open."""
    client = RawClient(72)
    enter: Callable[..., bytes] = lambda **at: client.event("FiberEnter", fiber=1, **at)  # noqa: E731
    leave: Callable[..., bytes] = lambda **at: client.event("FiberLeave", **at)  # noqa: E731
    client.send(enter(tid=1, dt=1), enter(tid=2, dt=1), leave(tid=1, dt=1), leave(tid=2, dt=1))
    spans = [(region.start_ns, region.end_ns) for region in client.server.trace.fibers[1].regions]
    assert [(1, None), (2, 4)] == spans
