"""Attribute values as the payload of records."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from aperf._recorder._layout import MAX_TEXT, Value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ("MAX_ITEMS", "encode", "name_of", "pairs")

#: Elements kept of a sequence: each is a record, and nobody reads more in a list of spans.
MAX_ITEMS: Final = 64

_FLOAT: Final = struct.Struct("<d")
_LIMIT: Final = 1 << 63


def pairs(attributes: Mapping[str, object]) -> list[tuple[str, object]]:
    """Return keys and values; none of what is no mapping."""
    try:
        return [(name_of(key), value) for key, value in dict(attributes).items()]
    except Exception:
        return []


def encode(value: object) -> list[tuple[int, bytes]]:
    """Return the records that carry a value: type and payload of each.

    A sequence begins with a bare `Value.ITEM`, then come its elements. They are of one type: if
    not, all become text.
    """
    try:
        return _sequence(value) if isinstance(value, (list, tuple)) else [_scalar(value)]
    except Exception:  # a subclass that does not behave as what it claims to be
        return [(Value.STRING, _utf8(text_of(value)))]


def _sequence(value: Sequence[object]) -> list[tuple[int, bytes]]:
    value = value[:MAX_ITEMS]
    items = [_scalar(item) for item in value]
    if len({kind for kind, _ in items}) > 1:
        items = [(Value.STRING, _utf8(text_of(item))) for item in value]
    return [(Value.ITEM, b""), *((kind | Value.ITEM, payload) for kind, payload in items)]


def _scalar(value: object) -> tuple[int, bytes]:
    if isinstance(value, bool):
        return Value.BOOL, b"\1" if value else b"\0"
    if isinstance(value, int) and -_LIMIT <= value < _LIMIT:
        return Value.INT, int(value).to_bytes(8, "little", signed=True)
    if isinstance(value, float):
        return Value.FLOAT, _FLOAT.pack(value)
    return Value.STRING, _utf8(text_of(value))


def text_of(value: object) -> str:
    """Return a value as text, also one that cannot be printed."""
    try:
        # The text itself, not what a subclass (enum.Enum) shows of it.
        return str.__str__(value) if isinstance(value, str) else str(value)
    except Exception as fault:
        return f"<str() raised {type(fault).__name__}>"


def name_of(value: object) -> str:
    """Return a name or key; it stays in a table for ever, so it is cut like a value."""
    return (value if type(value) is str else text_of(value))[:MAX_TEXT]


def _utf8(text: str) -> bytes:
    """Return text in UTF-8, cut to `MAX_TEXT` bytes between two characters."""
    data = text[:MAX_TEXT].encode("utf-8", "replace")
    if len(data) <= MAX_TEXT:
        return data
    return data[:MAX_TEXT].decode("utf-8", "ignore").encode()
