"""Streams, byte by byte: the same calls for the oldest version, one in the middle, the newest."""

from __future__ import annotations

import struct
from typing import Any, Final, TypeAlias

import lz4.block
import pytest

from aperf.protocol.tracy import VERSIONS, Stream, Strings
from aperf.protocol.tracy._blocks import MAX_BLOCK

#: The name of a method and its arguments.
Call: TypeAlias = tuple[Any, ...]

MIDDLE: Final = 1 << 16
LONG: Final = (1 << 16) + (1 << 32)


def written(stream: Stream) -> bytes:
    """Return the records of a stream."""
    return b"".join(
        lz4.block.decompress(frame[4:], uncompressed_size=MAX_BLOCK) for frame in stream.take()
    )


def pack(format: str, *values: float | bytes) -> bytes:
    """Pack values, little-endian, without padding."""
    return struct.pack("<" + format, *values)


#: A lane runs and waits.
IN_FIBER: Final[list[Call]] = [
    ("thread", 9),
    ("fiber_enter", 100, 2, 3),
    ("zone_begin", 110, 4),
    ("fiber_leave", 120),
    ("step", 200, 250, 2, 3, 5),
]

CASES: Final[list[tuple[list[Call], int, bytes]]] = [
    ([("zone", 10, 30, 5)], 63, pack("BqQBq", 15, 10, 5, 17, 20)),
    ([("zone", 10, 30, 5)], 76, pack("BqQBq", 15, 10, 5, 17, 20)),
    ([("zone", 10, 30, 5)], 82, pack("BHQBH", 21, 10, 5, 27, 20)),
    (
        [("zone", MIDDLE, 2 * MIDDLE + 1, 5)],
        82,
        pack("BIQBI", 20, 0, 5, 26, 1),
    ),
    (
        [("zone", LONG - 1, 2 * LONG - 1, 5)],
        82,
        pack("BIQBq", 20, (1 << 32) - 1, 5, 25, 0),
    ),
    ([("zone", LONG + 2, LONG + 3, 5)], 82, pack("BqQBH", 19, 2, 5, 27, 1)),
    ([("zone", -7, -7 + MIDDLE, 5)], 82, pack("BqQBI", 19, -7, 5, 26, 0)),
    (
        [("zone_begin", 10, 5), ("zone_end", 11 + MIDDLE), ("zone_begin", 0, 6)],
        82,
        pack("BHQ", 21, 10, 5) + pack("BI", 26, 1) + pack("BqQ", 19, -11 - MIDDLE, 6),
    ),
    (
        IN_FIBER,
        66,
        pack("BI", 59, 9)
        + pack("BqQI", 55, 100, 2, 9)
        + pack("BqQ", 15, 10, 4)
        + pack("BqI", 56, 10, 9)
        + pack("BqQIBqBqQBqI", 55, 80, 2, 9, 17, 0, 15, 50, 5, 56, 0, 9),
    ),
    (
        IN_FIBER,
        69,
        pack("BI", 59, 9)
        + pack("BqQIi", 55, 100, 2, 9, 3)
        + pack("BqQ", 15, 10, 4)
        + pack("BqI", 56, 10, 9)
        + pack("BqQIiBqBqQBqI", 55, 80, 2, 9, 3, 17, 0, 15, 50, 5, 56, 0, 9),
    ),
    (
        IN_FIBER,
        82,
        pack("BI", 75, 9)
        + pack("BqQIi", 68, 100, 2, 9, 3)
        + pack("BHQ", 21, 10, 4)
        + pack("BqI", 69, 10, 9)
        + pack("BqQIiBHBHQBqI", 68, 80, 2, 9, 3, 27, 0, 21, 50, 5, 69, 0, 9),
    ),
    ([("thread", 3), ("thread", 3)], 72, pack("BI", 61, 3)),
    # The thread's clock begins anew with each change; nothing else does.
    (
        [("zone", 5, 6, 1), ("thread", 3), ("zone", 7, 8, 1)],
        72,
        pack("BqQBqBIBqQBq", 15, 5, 1, 17, 1, 61, 3, 15, 7, 1, 17, 1),
    ),
    (
        [("zone_begin", 5, 1, [1 << 33, 9])],
        72,
        pack("BQHQQ", 106, 0, 16, 1 << 33, 9) + pack("B", 10) + pack("BqQ", 16, 5, 1),
    ),
    (
        [("zone_begin_inline", 5, "n", "f", "p", 3, 0x010203)],
        72,
        pack("BQH", 105, 0, 13) + b"\3\2\1\0\3\0\0\0f\0p\0n" + pack("Bq", 7, 5),
    ),
    (
        [("zone_color", 0x010203)],
        82,
        pack("BBBB", 81, 3, 2, 1),
    ),
    ([("zone_value", -1)], 82, pack("BQ", 82, (1 << 64) - 1)),
    ([("zone_text", "é")], 76, pack("BH2sB", 99, 2, b"\xc3\xa9", 0)),
    ([("zone_text", "é")], 82, pack("BB2sB", 112 + 2, 2, b"\xc3\xa9", 0)),
    ([("zone_name", "a" * 255)], 82, pack("BB255sB", 114, 255, b"a" * 255, 1)),
    ([("zone_name", "a" * 256)], 82, pack("BH256sB", 112, 0, b"a" * 256, 1)),
    ([("message", 5, "m", 4)], 76, pack("BHsBq", 99, 1, b"m", 2, 5)),
    ([("message", 5, "m", 4)], 82, pack("BBsBqB", 114, 1, b"m", 2, 5, 0x40)),
    (
        [("message", 5, "m", 3, 0x010203)],
        82,
        pack("BBsBqBBBB", 114, 1, b"m", 3, 5, 3, 2, 1, 0x30),
    ),
    ([("message_literal", 5, 7, 4)], 76, pack("BqQ", 78, 5, 7)),
    ([("message_literal", 5, 7, 4)], 82, pack("BqQ", 91, 5, 0x740)),
    ([("app_info", 5, "m")], 82, pack("BBsBq", 114, 1, b"m", 6, 5)),
    ([("plot", 3, 5, -7)], 72, pack("BQqq", 45, 3, 5, -7)),
    ([("plot", 3, 5, True)], 72, pack("BQqq", 45, 3, 5, 1)),
    ([("plot", 3, 5, 0.5)], 72, pack("BQqd", 47, 3, 5, 0.5)),
    ([("plot", 3, 5, 1 << 70)], 72, pack("BQqd", 47, 3, 5, 2.0**70)),
    ([("plot", 3, 5, 10**400)], 72, b""),
    ([("plot", 3, 5, float("nan"))], 72, b""),
    (
        [("plot_config", 3, "percentage", True, False, 0x010203)],
        72,
        pack("BQBBBI", 92, 3, 2, 1, 0, 0x030201),
    ),
    ([("frame_mark", 5)], 72, pack("BqQ", 69, 5, 0)),
    ([("mem_alloc", 5, 3, 9, (1 << 40) + 2)], 72, pack("BqIQIH", 25, 5, 3, 9, 2, 256)),
    (
        [("mem_alloc", 5, 3, 9, 1, 8, [1 << 33]), ("mem_free", 7, 3, 9, 8)],
        72,
        pack("BQHQB", 106, 0, 8, 1 << 33, 9)
        + pack("BQ", 100, 8)
        + pack("BqIQIH", 30, 5, 3, 9, 1, 0)
        + pack("BQ", 100, 8)
        + pack("BqIQ", 28, 2, 3, 9),
    ),
    ([("sample", 5, 3, [9])], 76, pack("BQHQBqI", 108, 0, 8, 9, 12, 5, 3)),
    ([("sample", 5, 3, [9])], 82, pack("BQHQBIH", 123, 0, 8, 9, 14, 3, 5)),
    ([("sample", MIDDLE, 3, [9])], 82, pack("BQHQBII", 123, 0, 8, 9, 13, 3, 0)),
    ([("sample", LONG, 3, [9])], 82, pack("BQHQBIq", 123, 0, 8, 9, 12, 3, 0)),
    ([("context_switch", 5, 1, 2, 3, 4, 6)], 72, pack("BqIIBBB", 48, 5, 1, 2, 3, 4, 6)),
    (
        [("context_switch", 5, 1, 2, 3, 4, 6)],
        74,
        pack("BqIIBBBBbb", 48, 5, 1, 2, 3, 4, 6, 0, 0, 0),
    ),
    ([("cpu_topology", 1, 2, 3, 4)], 66, pack("BIII", 95, 1, 3, 4)),
    ([("cpu_topology", 1, 2, 3, 4)], 82, pack("BIIII", 111, 1, 2, 3, 4)),
    ([("sys_power", 5, 6, 7)], 63, b""),
    ([("sys_power", 5, 6, 7)], 64, pack("BqQQ", 81, 5, 6, 7)),
    ([("section_enter", 5, 6, "m", 7)], 76, b""),
    ([("section_enter", 5, 6, "m", 7)], 82, pack("BBsBqIH", 114, 1, b"m", 70, 5, 6, 7)),
    ([("param_setup", 1, 2, "trigger", 0)], 76, b""),
    ([("param_setup", 1, 2, "trigger", 0)], 82, pack("BIQBi", 107, 1, 2, 2, 0)),
    ([("crash", 5, 6)], 82, pack("BqQB", 79, 5, 6, 78)),
    ([("keep_alive",)], 82, pack("B", 74)),
    ([("terminate", 9)], 82, pack("B", 73)),
]

#: What only an open zone can have.
_IN_ZONE: Final = ("zone_color", "zone_value", "zone_text", "zone_name")


@pytest.mark.parametrize(("calls", "version", "expected"), CASES)
def test_bytes(calls: list[Call], version: int, expected: bytes) -> None:
    """A call is written as the version has it."""
    stream = Stream(version, Strings(), strict=True)
    if calls[0][0] in _IN_ZONE:
        stream.zone_begin(0, 1)
        stream.take()
    for name, *arguments in calls:
        getattr(stream, name)(*arguments)
    assert expected == written(stream)


def test_locks() -> None:
    """Locks and devices share one clock, which no thread resets."""
    stream = Stream(72, Strings(), strict=True)
    stream.lock_announce(1, 50, 4)
    stream.lock_wait(1, 8, 60)
    stream.thread(8)
    stream.lock_obtain(1, 8, 70)
    stream.lock_mark(1, 8, 5)
    stream.gpu_context(2, 71, 900, tid=8)
    stream.gpu_begin(75, 8, 3, 2, 4)
    stream.lock_release(1, 8, 90)
    stream.gpu_end(95, 8, 4, 2)
    stream.gpu_time(2, 3, 950)
    stream.gpu_time(2, 4, 940)
    expected = (
        pack("BIqQB", 74, 1, 50, 4, 0)
        + pack("BIIq", 18, 8, 1, 60)
        + pack("BI", 61, 8)
        + pack("BIIq", 19, 8, 1, 10)
        + pack("BIIQ", 76, 8, 1, 5)
        + pack("BqqIfBBB", 81, 71, 900, 8, 1.0, 2, 0, 7)
        + pack("BqIHBQ", 40, 5, 8, 3, 2, 4)
        + pack("BIq", 20, 1, 15)
        # Of a device with one thread the end must not name it.
        + pack("BqIHB", 44, 5, 0, 4, 2)
        + pack("BqHB", 50, 950, 3, 2)
        + pack("BqHB", 50, -10, 4, 2)
    )
    assert expected == written(stream)


@pytest.mark.parametrize("version", VERSIONS)
def test_discard(version: int) -> None:
    """Viewers that cannot free a whole pool at once see each of its blocks freed."""
    stream = Stream(version, Strings(), strict=True)
    for address in (7, 8):
        stream.mem_alloc(1, 3, address, 10, 5)
    stream.take()
    stream.mem_discard(2, 3, 5)
    assert len(written(stream)) == (21 if version >= 72 else 2 * (9 + 21))
    stream.mem_alloc(3, 3, 7, 10, 5)


def test_end_all() -> None:
    """All that is open is ended before the stream is, in every row."""
    stream = Stream(72, Strings(), strict=True)
    for tid in (1, 2):
        stream.thread(tid)
        stream.zone_begin(10, 1)
        stream.fiber_enter(11, tid)
        stream.zone_begin(12, 1)
        stream.zone_begin(13, 1)
    stream.fiber_leave(14)
    stream.terminate(20)
    stream.terminate(20)  # nothing was left
    data = written(stream)
    assert data.endswith(bytes((59, 59)))
