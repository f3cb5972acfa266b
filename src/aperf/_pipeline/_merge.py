"""Several rings, one order of events."""

from __future__ import annotations

import heapq
from operator import itemgetter
from typing import TYPE_CHECKING

from aperf._recorder._layout import HEADER, NARROW, PAIR, SLOT, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("merge", "split")


def split(ring: int, data: bytes, slots: int) -> Iterator[tuple[int, bytes]]:
    """Cut the slots of one ring into pieces; the assembler joins events that are cut apart."""
    size = slots * SLOT
    for start in range(0, len(data), size):
        yield ring, data[start : start + size]


def merge(chunks: list[tuple[int, bytes]], slots: int) -> Iterator[tuple[int, bytes]]:
    """Yield what was drained from several rings in the order in which it was written.

    Rings are drained in one go, so whatever an event refers to stands in some chunk of this round
    or of an earlier one; here it is made to come first.

    Args:
        chunks: index of the ring and its slots.
        slots: how large a piece may be.
    """
    if len(chunks) == 1:
        yield from split(*chunks[0], slots)
        return
    for _, ring, data in heapq.merge(*(_events(*chunk) for chunk in chunks), key=itemgetter(0)):
        yield ring, data


def _events(ring: int, data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield (time of writing, ring, slots) of each event; never less than the one before."""
    offset, written_ns = 0, 0
    while offset < len(data):
        t_ns, kind, slots, _, _, _, _ = HEADER.unpack_from(data, offset)
        following = offset + max(slots, 1) * SLOT
        if kind == Kind.STEP:  # stamped with its begin, written at its end
            t_ns += NARROW.unpack_from(data, offset)[8]
        elif kind in (Kind.WIDE, Kind.JOB):
            t_ns += PAIR.unpack_from(data, offset + SLOT)[1]
        elif kind == Kind.CALL:
            t_ns += PAIR.unpack_from(data, offset + SLOT)[0]
        written_ns = max(written_ns, t_ns)
        yield written_ns, ring, data[offset:following]
        offset = following
