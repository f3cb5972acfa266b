"""The viewer's half: what it asks, when it ends, and where a real viewer would fail or crash."""

from __future__ import annotations

import struct
from typing import Any, Final

import lz4.block
import pytest

from aperf.protocol.tracy import VERSIONS, LocalProtocolError, QueryKind, RemoteProtocolError
from aperf.protocol.tracy._blocks import MAX_BLOCK, MAX_COMPRESSED, literal_block
from aperf.protocol.tracy._server import Server, ServerState, Source, StackFrame, Trace, Zone
from tests.tracy_bytes import (
    CODE_TRANSFER,
    ON_DEMAND,
    TID,
    RawClient,
    begin,
    end,
    frame,
    lock,
    on_thread,
    zone,
)
from tests.tracy_bytes import welcome as welcome_of

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


# ------------------------------------------------------------------------------------------- trace


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


def test_symbol_code() -> None:
    """Machine code is asked for if the client offers code; it is not kept."""
    client = RawClient(72, flags=CODE_TRANSFER)
    stack = client.event("CallstackPayload", struct.pack("<QQ", 98, 99))
    client.send(stack, client.event("CallstackSample", tid=TID))
    frames = (
        client.string("image")
        + client.event("CallstackFrameSize", id=number, count=1)
        + client.string("f")
        + client.string("f.c", "Second")
        + client.event("CallstackFrame", symbol=number, symbol_length=50)
        for number in (98, 99)
    )
    asked = client.send(*frames)
    code = [(QueryKind.SYMBOL_CODE, 98, 50), (QueryKind.SYMBOL_CODE, 99, 50)]
    assert code == [one for one in asked if one[0] is QueryKind.SYMBOL_CODE]
    owed = client.server.unanswered
    client.send(client.event("SymbolCode", bytes(50), id=99))
    client.send(client.event("AckSymbolCodeNotAvailable"))
    assert owed - 2 == client.server.unanswered
    assert () == client.server.trace.undiagnosed


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
