"""Await rows, many at a time: the hot path of the encoder.

Theory of operation. Nearly all rows are awaits of which nothing special is to be told. All bytes of
such a span that do not depend on its call site have fixed places, so that they can be filled in
column by column instead of span by span:

* The order of fields in a message is free, and a varint may be written longer than it has to be.
  So ``aperf.ready_ns`` always takes 8 bytes (7 bits in each). Counters of what was dropped, all 0,
  and the span kind pad the record to a multiple of 8.
* An array of n records is one record with empty cells, repeated; a `memoryview` that starts
  at a cell and steps by the length of a record then takes a whole column of the batch in one
  assignment, in C. Ids are big-endian on the wire and times little-endian: the one half is copied
  from the rows, the other from the rows with their bytes swapped.
* The 7-bit groups of all varints are spread at once, in one integer of 64 bits per row.
* The link to the waker comes last and is cut off where there is none.

What depends on the call site, the length of the span included, is put before each record: `Head`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from aperf.model import WIDTH, Category, Column, Detail, Template

from ._messages import (
    HAS_IS_REMOTE,
    KIND_INTERNAL,
    SAMPLED,
    SPAN_ID_HEAD,
    TRACE_ID_HEAD,
    WOKEN_BY_REST,
    SpanField,
)
from ._span import KEYS_OF_ROWS
from ._values import attribute, attributes
from ._wire import FIXED64, LENGTH, VARINT, fixed32, length_delimited, tag, text, varint

if TYPE_CHECKING:
    from array import array
    from collections.abc import Sequence

__all__ = ("MAX_ROWS", "RECORD_SIZE", "UNLINKED_SIZE", "Head", "head", "records")

#: Rows in one go: few enough to stay in the processor's cache with all that is made of them.
MAX_ROWS: Final = 512

#: The longest ready_ns whose varint fits 8 bytes: more than two years.
_MAX_READY_NS: Final = (1 << 56) - 1

_LITTLE_ENDIAN: Final = frozenset((Column.START, Column.END))

_READY: Final = attribute(SpanField.ATTRIBUTES, "aperf.ready_ns", _MAX_READY_NS)
_LINK_LENGTH: Final = len(TRACE_ID_HEAD) + 16 + len(SPAN_ID_HEAD) + 8 + len(WOKEN_BY_REST)

#: A record but for its first field: what is always the same, and cells of 8 bytes.
_UNLINKED: Final[tuple[bytes | Column, ...]] = (
    *(TRACE_ID_HEAD, Column.TRACE_HI, Column.TRACE_LO),
    *(SPAN_ID_HEAD, Column.SPAN),
    *(tag(SpanField.PARENT_SPAN_ID, LENGTH) + varint(8), Column.PARENT),
    *(tag(SpanField.START_TIME, FIXED64), Column.START),
    *(tag(SpanField.END_TIME, FIXED64), Column.END),
    fixed32(SpanField.FLAGS, SAMPLED | HAS_IS_REMOTE),
    *(_READY[:-8], Column.READY),
)
_LINK: Final[tuple[bytes | Column, ...]] = (
    tag(SpanField.LINKS, LENGTH) + varint(_LINK_LENGTH),
    *(TRACE_ID_HEAD, Column.LINK_HI, Column.LINK_LO),
    *(SPAN_ID_HEAD, Column.LINK_SPAN),
    WOKEN_BY_REST,
)


def _size(parts: Sequence[bytes | Column]) -> int:
    return sum(8 if isinstance(part, Column) else len(part) for part in parts)


_COUNTERS: Final = b"".join(
    tag(field, VARINT) + varint(0)
    for field in (SpanField.DROPPED_ATTRIBUTES, SpanField.DROPPED_EVENTS, SpanField.DROPPED_LINKS)
)


def _kind(padding: int) -> bytes:
    """Encode the field `kind`, and up to 7 bytes that say nothing.

    They are not all in `kind`: protobuf.js, which receivers in Node.js decode with, takes a varint
    of 32 bits for one of 10 bytes if it has more than 5.
    """
    value = bytes((KIND_INTERNAL | 0x80, 0)) if padding % 2 else varint(KIND_INTERNAL)
    return _COUNTERS[: padding // 2 * 2] + tag(SpanField.KIND, VARINT) + value


_FIRST: Final = _kind(-(2 + _size(_UNLINKED + _LINK)) % 8)
_PARTS: Final = (_FIRST, *_UNLINKED, *_LINK)

RECORD_SIZE: Final = _size(_PARTS)
UNLINKED_SIZE: Final = RECORD_SIZE - _size(_LINK)

_EMPTY: Final = b"".join(bytes(8) if isinstance(part, Column) else part for part in _PARTS)
_CELLS: Final = tuple(
    (_size(_PARTS[:index]), part) for index, part in enumerate(_PARTS) if isinstance(part, Column)
)


class Head(NamedTuple):
    """What stands before the records of one call site."""

    linked: bytes
    unlinked: bytes
    field: bytes  #: tag of the field whose value a span is
    static: bytes
    taken: frozenset[str]  #: keys that are set by the call site or by rows

    def extend(self, record: bytes, detail: Detail) -> tuple[bytes, ...] | None:
        """Return the span of a record with some attributes more; None if the detail says more."""
        if detail.events or detail.links or detail.status_message:
            return None
        if not self.taken.isdisjoint([key for key, _ in detail.attributes]):
            return None
        more = attributes(SpanField.ATTRIBUTES, detail.attributes)
        length = varint(len(self.static) + len(record) + len(more))
        return self.field, length, self.static, record, more


def head(field: int, template: Template) -> Head | None:
    """Encode what the spans of a call site share, as values of `field` that records complete.

    Returns:
        None if its rows have to be encoded one by one.
    """
    keys = {key for key, _ in template.attributes}
    if template.category is not Category.AWAIT or not KEYS_OF_ROWS.isdisjoint(keys):
        return None
    static = length_delimited(SpanField.NAME, text(template.name))
    static += attributes(SpanField.ATTRIBUTES, template.attributes)
    return Head(
        linked=tag(field, LENGTH) + varint(len(static) + RECORD_SIZE) + static,
        unlinked=tag(field, LENGTH) + varint(len(static) + UNLINKED_SIZE) + static,
        field=tag(field, LENGTH),
        static=static,
        taken=KEYS_OF_ROWS | keys,
    )


def records(rows: array[int]) -> bytes | None:
    """Return a record of `RECORD_SIZE` bytes for each of at most `MAX_ROWS` rows.

    Returns:
        None if a ready_ns does not fit.
    """
    ready = _spread(rows[Column.READY :: WIDTH])
    if ready is None:
        return None
    swapped = rows[:]
    swapped.byteswap()
    little, big = (rows, swapped) if sys.byteorder == "little" else (swapped, rows)
    count = len(rows) // WIDTH
    result = bytearray(_EMPTY * count)
    with memoryview(result) as target, memoryview(little) as low, memoryview(big) as high:
        end = (count - 1) * RECORD_SIZE + 8
        for offset, column in _CELLS:
            cells = target[offset : offset + end].cast("Q")[:: RECORD_SIZE // 8]
            if column is Column.READY:
                cells[:] = memoryview(ready).cast("Q")
            else:
                cells[:] = (low if column in _LITTLE_ENDIAN else high)[column::WIDTH]
    return bytes(result)


# ----------------------------------------------------------------------------- many varints at once


def _in_each_row(pattern: int) -> int:
    return int.from_bytes(pattern.to_bytes(8, "little") * MAX_ROWS, "little")


#: Spreads 56 bits over 8 bytes by halves: (which bits stay, which move up, and how far).
_SPREAD: Final = tuple(
    (_in_each_row(stay), _in_each_row(stay << width), shift)
    for stay, width, shift in (
        (0x0000_0000_0FFF_FFFF, 28, 4),
        (0x0000_3FFF_0000_3FFF, 14, 2),
        (0x007F_007F_007F_007F, 7, 1),
    )
)
_TOO_LARGE: Final = _in_each_row(0xFF << 56)
_MORE_FOLLOWS: Final = _in_each_row(0x0080_8080_8080_8080)


def _spread(column: array[int]) -> bytes | None:
    """Encode each number as a varint of 8 bytes, or return None if one does not fit."""
    if sys.byteorder == "big":
        column.byteswap()
    bits = int.from_bytes(column.tobytes(), "little")
    if bits & _TOO_LARGE:
        return None
    for stay, move, shift in _SPREAD:
        bits = bits & stay | (bits & move) << shift
    bits |= _MORE_FOLLOWS >> 64 * (MAX_ROWS - len(column))
    return bits.to_bytes(8 * len(column), "little")
