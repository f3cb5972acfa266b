"""The viewer's half: what it asks, when it ends, and where a real viewer would fail or crash."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import lz4.block
import pytest

from aperf.protocol.tracy import VERSIONS, LocalProtocolError, QueryKind, RemoteProtocolError
from aperf.protocol.tracy._blocks import MAX_BLOCK, MAX_COMPRESSED, literal_block
from aperf.protocol.tracy._server import Server, ServerState, Source, StackFrame, Trace, Zone
from tests.tracy_bytes import CODE_TRANSFER, IGNORES_MEMORY_FAULTS, ON_DEMAND, RawClient, frame
from tests.tracy_bytes import welcome as welcome_of

#: Returns events, one after the other.
Events: TypeAlias = Callable[[RawClient], bytes]

TID: Final = 7


def on_thread(client: RawClient, *events: bytes) -> bytes:
    """Return events of a thread."""
    return client.event("ThreadContext", tid=TID) + b"".join(events)


def begin(client: RawClient) -> bytes:
    """Return the begin of a zone."""
    return client.event("ZoneBegin", dt=1, source=5)


def end(client: RawClient) -> bytes:
    """Return the end of a zone."""
    return client.event("ZoneEnd", dt=1)


def zone(client: RawClient) -> bytes:
    """Return a whole zone."""
    return on_thread(client, begin(client), end(client))


# --------------------------------------------------------------------------------------- handshake


@pytest.mark.parametrize("version", VERSIONS)
def test_hello(version: int) -> None:
    """The viewer speaks first: eight letters and its version."""
    assert b"TracyPrf" + bytes([version, 0, 0, 0]) == Server(version).hello()


def test_unknown_version() -> None:
    """There is no viewer of a version that nobody speaks."""
    with pytest.raises(LocalProtocolError, match="version is 67; accepted: 63, 64"):
        Server(67)


@pytest.mark.parametrize(("status", "reason"), [(2, "not spoken"), (3, "another viewer")])
def test_refused(status: int, reason: str) -> None:
    """A client may refuse; then nothing is read any more."""
    server = Server(72)
    server.receive(bytes([status]) + b"whatever")
    assert (ServerState.REFUSED, False) == (server.state, server.is_reading)
    assert reason in server.refusal
    assert Trace() == server.trace


@pytest.mark.parametrize("status", [0, 4, 255])
def test_unknown_answer(status: int) -> None:
    """Any other answer is none, and breaks the connection for good."""
    server = Server(72)
    with pytest.raises(RemoteProtocolError, match=f"is {status}; accepted: 1, 2, 3"):
        server.receive(bytes([status]))
    with pytest.raises(RemoteProtocolError, match="broken"):
        server.receive(b"\1")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("flags", [0, ON_DEMAND])
def test_byte_by_byte(version: int, flags: int) -> None:
    """It does not matter in which pieces bytes arrive."""
    client = RawClient(version)
    server = Server(version)
    block = zone(client) + client.event("Terminate")
    for byte in b"\1" + welcome_of(version, flags=flags) + frame(literal_block(block)):
        server.receive(bytes([byte]))
    assert 1 == len(list(server.trace.zones()))


# ------------------------------------------------------------------------------------------ blocks


@pytest.mark.parametrize("size", [0, MAX_COMPRESSED + 1, 0xFFFF_FFFF])
def test_size_of_blocks(size: int) -> None:
    """A block has a size, and not more than a viewer has room for."""
    with pytest.raises(RemoteProtocolError, match=f"block of {size} bytes; accepted: 1"):
        RawClient(72).server.receive(struct.pack("<I", size))


def test_size_of_contents() -> None:
    """A block must not decode to more than a viewer has room for."""
    block = lz4.block.compress(bytes(MAX_BLOCK + 1), store_size=False)
    with pytest.raises(RemoteProtocolError, match="more than allowed"):
        RawClient(72).server.receive(frame(block))


def test_blocks_that_refer_to_others() -> None:
    """A block may repeat what was in the ones before it."""
    client = RawClient(72)
    data = zone(client) * 20
    client.send(data)
    again = lz4.block.compress(data, store_size=False, dict=data)
    assert len(again) < 30
    client.server.receive(frame(again))
    assert 40 == len(list(client.server.trace.zones()))


@pytest.mark.parametrize("version", VERSIONS)
def test_event_that_is_cut_off(version: int) -> None:
    """An event must not go on in the next block."""
    client = RawClient(version)
    for event in (begin(client), client.string("a text")):
        with pytest.raises(RemoteProtocolError, match="cut off by the end of its block"):
            RawClient(version).send(event[:-1])


@pytest.mark.parametrize("version", VERSIONS)
def test_unknown_event(version: int) -> None:
    """An event must have a number, and be one that is sent."""
    with pytest.raises(RemoteProtocolError, match="number 255 does not exist"):
        RawClient(version).send(b"\xff")
    client = RawClient(version)
    with pytest.raises(RemoteProtocolError, match="ExternalNameMetadata: is never sent"):
        client.send(client.event("ExternalNameMetadata"))


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("SourceLocationPayload", b"1234567"),
        ("SourceLocationPayload", bytes(8) + b"function\0file"),
        ("CallstackPayload", bytes(9)),
        ("CallstackAllocPayload", b""),
        ("CallstackAllocPayload", b"\1" + bytes(3)),
        ("CallstackAllocPayload", b"\1" + bytes(4) + b"\5\0abc"),
    ],
)
def test_malformed_payload(name: str, payload: bytes) -> None:
    """What follows an event must be well formed too."""
    client = RawClient(72)
    with pytest.raises(RemoteProtocolError, match=r"bytes|cut off"):
        client.send(client.event(name, payload))


# ----------------------------------------------------------------------------------------- queries


@pytest.mark.parametrize("version", VERSIONS)
def test_questions(version: int) -> None:
    """Each thing is asked for once, in the order in which it appeared, texts as they are known."""
    client = RawClient(version)
    asked = client.send(zone(client), zone(client))
    assert [(QueryKind.SOURCE_LOCATION, 5, 0), (QueryKind.THREAD_STRING, TID, 0)] == asked
    asked = client.send(
        client.event("SourceLocation", name=1, function=2, file=3, line=9, red=1),
        client.event("ThreadName", b"main", id=TID),
    )
    assert [(QueryKind.STRING, number, 0) for number in (1, 2, 3)] == asked
    assert 3 == client.server.unanswered
    [unnamed, _] = client.server.trace.zones()
    assert ("???", 9, 0x010000) == (unnamed.name, unnamed.line, unnamed.color)
    texts = {1: b"name", 2: b"function", 3: b"file"}
    assert [] == client.send(*(client.event("StringData", texts[id], id=id) for id in texts))
    assert 0 == client.server.unanswered
    [named, _] = client.server.trace.zones()
    assert ("name", "function", "file") == (named.name, named.function, named.file)
    assert "main" == client.server.trace.threads[TID].name


def test_credit() -> None:
    """No more queries are sent than may be without an answer."""
    server = Server(72, credit=3)
    client = RawClient(72)
    client.server = server
    server.receive(b"\1" + welcome_of(72))
    marks = [client.event("FrameMarkMsg", t=1, name=name) for name in range(1, 6)]
    assert [1, 2, 3] == [about for _, about, _ in client.send(*marks)]
    assert [] == client.send(client.event("KeepAlive"))
    answers = [client.event("FrameName", b"x", id=name) for name in (2, 1)]
    assert [4, 5] == [about for _, about, _ in client.send(*answers)]


@pytest.mark.parametrize(("version", "first"), [(65, "FRAME_NAME"), (66, "EXTERNAL_NAME")])
def test_urgent_questions(version: int, first: str) -> None:
    """Names go before call stacks; before version 66 those of other programs do not."""
    client = RawClient(version)
    asked = client.send(
        client.event("CallstackPayload", struct.pack("<Q", 99), id=0),
        client.event("ContextSwitch", new_tid=3),
        client.event("FrameMarkMsg", t=1, name=2),
    )
    kinds = [kind.name for kind, _, _ in asked]
    urgent = ["EXTERNAL_NAME", "FRAME_NAME"] if version >= 66 else ["FRAME_NAME"]
    assert first == kinds[0]
    assert [*urgent, "CALLSTACK_FRAME"] == kinds[: len(urgent) + 1]


def test_inlined_frames() -> None:
    """A frame may be answered with what was inlined into it, innermost first."""
    client = RawClient(76)
    stack = client.event("CallstackPayload", struct.pack("<Q", 99))
    client.send(on_thread(client, stack, client.event("Callstack")))
    client.send(client.event("ZoneBeginCallstack", source=1))
    asked = client.send(
        client.string("libx.so"),
        client.event("CallstackFrameSize", id=99, count=2),
        *(
            client.string(name)
            + client.string(f"{name}.c", "Second")
            + client.event("CallstackFrame", line=3, symbol=symbol, symbol_length=8)
            for name, symbol in (("inner", 0), ("outer", 1 << 40))
        ),
    )
    assert [(QueryKind.SYMBOL, 1 << 40, 0)] == asked
    client.send(
        client.string("outer.c") + client.event("SymbolInformation", line=2, symbol=1 << 40)
    )
    trace = client.server.trace
    [shown] = trace.zones()
    assert (StackFrame("inner", "inner.c", 3), StackFrame("outer", "outer.c", 3)) == shown.stack
    assert {1 << 40: ("outer.c", 2)} == trace.symbols
    assert () == trace.undiagnosed


def test_stack_with_texts() -> None:
    """A call stack may bring its texts along; nothing is asked then."""
    client = RawClient(72)
    payload = b"\1" + struct.pack("<IH", 5, 2) + b"fn" + struct.pack("<H", 4) + b"a.py"
    asked = client.send(
        on_thread(client, client.event("CallstackAllocPayload", payload)),
        client.event("CallstackAlloc"),
        client.event("ZoneBeginCallstack", source=1),
    )
    assert {QueryKind.SOURCE_LOCATION, QueryKind.THREAD_STRING} == {kind for kind, _, _ in asked}
    [shown] = client.server.trace.zones()
    assert (StackFrame("fn", "a.py", 5),) == shown.stack


@pytest.mark.parametrize("flags", [CODE_TRANSFER, 0])
def test_source_files(flags: int) -> None:
    """A file is asked for by its name, twelve bytes at a time, if the client offers files."""
    client = RawClient(72, flags=flags, executable_s=1)
    place = struct.pack("<II", 0, 1) + b"function\0a long name.py\0"
    asked = client.send(client.event("SourceLocationPayload", place))
    parts = [(QueryKind.DATA_TRANSFER, 15, 0), (QueryKind.SOURCE_CODE, 1, 0)]
    assert (parts if flags else []) == [one for one in asked if one[0] is not _PART]
    name = b"".join(
        struct.pack("<QI", about, extra) for kind, about, extra in asked if kind is _PART
    )
    assert (b"a long name.py\0".ljust(24, b"\0") if flags else b"") == name


_PART: Final = QueryKind.DATA_TRANSFER_PART


# -------------------------------------------------------------------------------------------- ends


@pytest.mark.parametrize("version", VERSIONS)
def test_end_of_the_program(version: int) -> None:
    """The trace is finished when nothing is open and all is answered; the client is told."""
    client = RawClient(version)
    client.send(client.event("FrameMarkMsg", t=1, name=2), on_thread(client, begin(client)))
    client.send(client.event("Terminate"))
    client.send(
        end(client),
        client.event("FrameName", b"x", id=2),
        client.event("ThreadName", b"x", id=TID),
        client.event("SourceLocation", function=3),
    )
    assert client.server.is_reading
    assert [(QueryKind.TERMINATE, 0, 0)] == client.send(client.event("StringData", b"x", id=3))
    assert ServerState.FINISHED is client.server.state
    client.server.receive(b"nobody reads this")


def test_crash() -> None:
    """A program that crashed leaves zones open."""
    client = RawClient(72)
    client.send(on_thread(client, client.string("?") + client.event("Message", t=1), begin(client)))
    answers = client.event("ThreadName", b"x", id=TID), client.event("SourceLocation")
    client.send(*answers, client.event("Crash"), client.event("Terminate"))
    assert ServerState.FINISHED is client.server.state
    assert [Zone(name="", start_ns=1, end_ns=None)] == list(client.server.trace.zones())


def test_terminate() -> None:
    """The viewer may end the connection itself."""
    client = RawClient(72)
    client.send(zone(client))
    assert bytes(13) == client.server.terminate()
    client.server.receive(b"nobody reads this")
    assert (ServerState.TERMINATED, b"") == (client.server.state, client.server.send())
    assert 1 == len(list(client.server.trace.zones()))


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


def lock(client: RawClient, *events: bytes) -> bytes:
    """Return a lock and its events."""
    return client.event("LockAnnounce", lock=1, t=1, source=5) + b"".join(events)


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


def test_sources_sent_along() -> None:
    """A source location may come with its zone; without a name it is called as its function."""
    client = RawClient(72)
    for name in (b"name", b""):
        place = struct.pack("<II", 0x123456, 7) + b"function\0file\0" + name
        client.send(
            client.event("SourceLocationPayload", place), client.event("ZoneBeginAllocSrcLoc")
        )
    [outer, inner] = client.server.trace.zones()
    assert ("name", "function", "file", 7, 0x123456) == _place(outer)
    assert ("function", "function", "file", 7, 0x123456) == _place(inner)


def _place(shown: Zone) -> tuple[Any, ...]:
    return shown.name, shown.function, shown.file, shown.line, shown.color


def test_plot() -> None:
    """A plot is found by its name."""
    client = RawClient(72)
    client.send(client.event("PlotDataInt", name=3, value=5))
    client.send(client.event("PlotName", b"queue", id=3))
    assert [(0, 5)] == list(client.server.trace.plot("queue").points)
    with pytest.raises(KeyError):
        client.server.trace.plot("another")


def test_unnamed_source() -> None:
    """A lock's place is unknown until it is answered."""
    client = RawClient(72)
    client.send(lock(client))
    [shown] = client.server.trace.locks
    assert Source("", "???", "???", 0) == shown.source
