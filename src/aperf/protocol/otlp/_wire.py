"""The wire format of Protocol Buffers, as far as OTLP needs it.

See https://protobuf.dev/programming-guides/encoding/ for all of this.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = (
    "FIXED32",
    "FIXED64",
    "LENGTH",
    "VARINT",
    "FieldValue",
    "fixed32",
    "fixed64",
    "length_delimited",
    "read_fields",
    "tag",
    "text",
    "varint",
)

VARINT: Final = 0
FIXED64: Final = 1
LENGTH: Final = 2
FIXED32: Final = 5

#: int for VARINT and fixed-width fields, bytes for LENGTH.
FieldValue: TypeAlias = int | bytes

_UINT64: Final = (1 << 64) - 1
_ONE_BYTE: Final = tuple(bytes((value,)) for value in range(0x80))


def varint(value: int) -> bytes:
    """Encode an integer of at most 64 bits; negative ones as their two's complement."""
    if 0 <= value < 0x80:
        return _ONE_BYTE[value]
    if 0 <= value < 0x4000:  # most lengths
        return bytes((value & 0x7F | 0x80, value >> 7))
    value &= _UINT64
    result = []
    while value >= 0x80:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    result.append(value)
    return bytes(result)


def tag(field: int, wire_type: int) -> bytes:
    """Encode what stands before each value."""
    key = field << 3 | wire_type
    return _ONE_BYTE[key] if key < 0x80 else varint(key)


def length_delimited(field: int, value: bytes) -> bytes:
    """Encode a field that holds bytes, a string or a message."""
    return tag(field, LENGTH) + varint(len(value)) + value


def fixed32(field: int, value: int) -> bytes:
    """Encode a field of type fixed32."""
    return tag(field, FIXED32) + struct.pack("<I", value)


def fixed64(field: int, value: int) -> bytes:
    """Encode a field of type fixed64."""
    return tag(field, FIXED64) + struct.pack("<Q", value & _UINT64)


def text(value: str) -> bytes:
    """Encode a string's content. What UTF-8 cannot express (lone surrogates) becomes "?"."""
    return value.encode("utf-8", "replace")


def read_fields(data: bytes) -> Iterator[tuple[int, FieldValue]]:
    """Yield the number and value of each field of a message.

    Raises:
        ValueError: the bytes are no message.
    """
    position = 0
    while position < len(data):
        key, position = _read_varint(data, position)
        value, position = _read_value(data, position, key & 7)
        yield key >> 3, value


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(data[position : position + 10]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value & _UINT64, position + index + 1
    raise ValueError(f"varint at byte {position} has no end")


def _read_value(data: bytes, position: int, wire_type: int) -> tuple[FieldValue, int]:
    if wire_type == VARINT:
        return _read_varint(data, position)
    if wire_type == LENGTH:
        length, position = _read_varint(data, position)
    elif wire_type in (FIXED32, FIXED64):
        length = 4 if wire_type == FIXED32 else 8
    else:
        raise ValueError(f"wire type {wire_type} before byte {position}, expected 0, 1, 2 or 5")
    end = position + length
    if end > len(data):
        raise ValueError(f"value at byte {position} ends at {end}, the message at {len(data)}")
    value = data[position:end]
    return (value if wire_type == LENGTH else int.from_bytes(value, "little")), end
