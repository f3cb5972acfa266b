"""Attributes as OTLP's KeyValue and AnyValue (opentelemetry/proto/common/v1/common.proto)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from ._wire import LENGTH, VARINT, length_delimited, tag, text, varint

__all__ = (
    "INT64_MAX",
    "any_value",
    "attribute",
    "attributes",
    "text_attribute",
    "unsigned_attribute",
)

INT64_MAX: Final = (1 << 63) - 1

#: Lists in lists deeper than this are shown as text: a list may contain itself.
_MAX_DEPTH: Final = 8

_STRING, _BOOL, _INT, _DOUBLE, _ARRAY, _KVLIST, _BYTES = range(1, 8)
_KEY, _VALUE = 1, 2

_DOUBLE_TAG: Final = tag(_DOUBLE, 1)
_INT_TAG: Final = tag(_INT, VARINT)
_BOOL_TAG: Final = tag(_BOOL, VARINT)


def attributes(field: int, pairs: Iterable[tuple[str, object]]) -> bytes:
    """Encode key-value pairs as values of a repeated field."""
    return b"".join([attribute(field, key, value) for key, value in pairs])


def attribute(field: int, key: str, value: object) -> bytes:
    """Encode one pair as a value of a repeated field."""
    return length_delimited(field, _key(key) + length_delimited(_VALUE, any_value(value)))


@lru_cache(maxsize=1024)  # a program uses few keys, and each of them often
def _key(key: str) -> bytes:
    return length_delimited(_KEY, text(key))


def any_value(value: object, depth: int = 0) -> bytes:
    """Encode whatever a program may have set as an attribute; never raise.

    OTLP knows 64-bit integers only: larger ones travel as text. So does what has no counterpart.
    """
    match value:
        case str():
            return length_delimited(_STRING, text(value))
        case bool():
            return _BOOL_TAG + varint(value)
        case int() if -INT64_MAX - 1 <= value <= INT64_MAX:
            return _INT_TAG + varint(value)
        case float():
            return _DOUBLE_TAG + struct.pack("<d", value)
        case bytes() | bytearray() | memoryview():
            return length_delimited(_BYTES, bytes(value))
        case None:
            return b""
        case Mapping() if depth < _MAX_DEPTH:
            return length_delimited(_KVLIST, _pairs(value, depth + 1))
        case Sequence() if depth < _MAX_DEPTH:
            items = [length_delimited(1, any_value(item, depth + 1)) for item in value]
            return length_delimited(_ARRAY, b"".join(items))
    return length_delimited(_STRING, text(_shown(value)))


def _pairs(value: Mapping[object, object], depth: int) -> bytes:
    result = b""
    for key, item in value.items():
        name = _key(_shown(key))
        result += length_delimited(1, name + length_delimited(_VALUE, any_value(item, depth)))
    return result


def _shown(value: object) -> str:
    try:
        # str() refuses to write integers of thousands of digits in decimal.
        return hex(value) if isinstance(value, int) and value.bit_length() > 4096 else str(value)
    except Exception:  # the program's own __str__ may do anything
        return f"<{type(value).__qualname__}>"


def unsigned_attribute(field: int, key: str) -> Callable[[int], bytes]:
    """Return a function that encodes an attribute of this key and an unsigned value.

    All but the value and two lengths is encoded only once.
    """
    name = _key(key)
    heads = []
    for size in range(10):  # an int64 without a sign takes 1 to 9 bytes
        value_head = tag(_VALUE, LENGTH) + varint(1 + size) + _INT_TAG
        length = len(name) + len(value_head) + size
        heads.append(tag(field, LENGTH) + varint(length) + name + value_head)

    def encode(value: int) -> bytes:
        if value > INT64_MAX:
            return attribute(field, key, value)
        number = varint(value)
        return heads[len(number)] + number

    return encode


def text_attribute(field: int, key: str) -> Callable[[str], bytes]:
    """Return a function that encodes an attribute of this key and a string."""
    name = _key(key)

    def encode(value: str) -> bytes:
        content = length_delimited(_STRING, text(value))
        return length_delimited(field, name + length_delimited(_VALUE, content))

    return encode
