"""Reads what a recorder has written, for tests that look at records as they are."""

from __future__ import annotations

import struct
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple, Protocol

from aperf._recorder._layout import BIRTH, HEADER, NARROW, PAIR, SLOT, Kind, Value

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("Birth", "Record", "decode", "decode_ring", "of_kind", "value_of")


class Drainable(Protocol):
    """Either twin of the recorder."""

    def drain(self, slots: int, /) -> list[tuple[int, bytes]]: ...


class Birth(NamedTuple):
    """What the payload of a BIRTH says."""

    span_owner: int
    span_seq: int
    name: str


class Record(NamedTuple):
    """One event. The last four are those of a STEP or a WIDE one, 0 for all others."""

    kind: Kind
    flags: int
    ref: int
    a: int
    b: int
    payload: bytes  #: whole slots: padded with zeros
    t_ns: int
    ring: int  #: index of the ring that it came from
    task: int = 0
    waker: int = 0
    ready_ns: int = 0
    busy_ns: int = 0

    @property
    def pair(self) -> tuple[int, int, int, int]:
        """The second slot, of kinds where it holds four numbers."""
        one, two, three, four = PAIR.unpack(self.payload[:SLOT])
        return one, two, three, four

    @property
    def birth(self) -> Birth:
        """The payload of a BIRTH."""
        owner, seq, length, head = BIRTH.unpack(self.payload[:SLOT])
        return Birth(owner, seq, (head + self.payload[SLOT:])[:length].decode())

    @property
    def text(self) -> str:
        """The payload as text."""
        return self.payload.rstrip(b"\0").decode()


def decode(recorder: Drainable) -> list[Record]:
    """Take all records out of a recorder, ring by ring, each in the order of writing."""
    rings: defaultdict[int, bytes] = defaultdict(bytes)
    while chunks := recorder.drain(1 << 20):
        for index, data in chunks:
            rings[index] += data
    return [record for index in sorted(rings) for record in decode_ring(rings[index], index)]


def decode_ring(data: bytes, ring: int = 0) -> list[Record]:
    """Split what one ring held into its records."""
    records = []
    while data:
        size = data[9] * SLOT
        assert 0 < size <= len(data), f"a record of {size} bytes where {len(data)} are left"
        records.append(_record(data[:size], ring))
        data = data[size:]
    return records


def _record(data: bytes, ring: int) -> Record:
    t_ns, number, _, flags, ref, a, b = HEADER.unpack(data[:SLOT])
    kind, payload = Kind(number), data[SLOT:]
    if kind is Kind.STEP:
        *_, task, waker, ready_ns, busy_ns = NARROW.unpack(data)
        return Record(kind, flags, ref, 0, 0, payload, t_ns, ring, task, waker, ready_ns, busy_ns)
    if kind is Kind.WIDE:
        ready_ns, busy_ns, _, _ = PAIR.unpack(payload)
        return Record(kind, flags, ref, a, b, payload, t_ns, ring, a, b, ready_ns, busy_ns)
    return Record(kind, flags, ref, a, b, payload, t_ns, ring)


def of_kind(records: Iterable[Record], *kinds: Kind) -> list[Record]:
    """Return the records of some kinds."""
    return [record for record in records if record.kind in kinds]


def value_of(record: Record) -> object:
    """Return the value of an ATTRIBUTE; () for the beginning of a sequence."""
    payload = record.payload
    match record.flags & ~(Value.ITEM | Value.OF_EVENT):
        case 0:
            return ()
        case Value.STRING:
            return record.text
        case Value.BOOL:
            return payload[0] == 1
        case Value.INT:
            return int.from_bytes(payload[:8], "little", signed=True)
        case Value.SITE:
            return int.from_bytes(payload[:8], "little")
        case Value.FLOAT:
            (number,) = struct.unpack("<d", payload[:8])
            return float(number)
    raise AssertionError(f"type of a value: {record.flags}")
