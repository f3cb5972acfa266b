"""Events out of decoded blocks, by the table that the encoder is made from too."""

from __future__ import annotations

import struct
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aperf.protocol.tracy._errors import RemoteProtocolError
from aperf.protocol.tracy._layouts import SHORT, Layout, layouts

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("Decoder", "Record")

#: Where there are three forms of a time difference, each begins where the shorter one ends.
_AFTER_16: Final = 1 << 16
_AFTER_32: Final = _AFTER_16 + (1 << 32)

_FORMS: Final = "0123456789"


class Record(NamedTuple):
    """An event, whatever form it was sent in: names are those without 8, 16 and 32 at the end.

    Attributes:
        name: what it is.
        fields: its values by name; colours are one number, sizes too, and what follows an event is
            called `payload`.
    """

    name: str
    fields: dict[str, Any]


class Decoder:
    """Reads the events of one version of the protocol."""

    def __init__(self, version: int) -> None:
        self._rules = _rules(version)

    def records(self, block: bytes) -> Iterator[Record]:
        """Yield the events of a block.

        Raises:
            RemoteProtocolError: an event is unknown, or goes on behind the end of the block.
        """
        position, end = 0, len(block)
        while position < end:
            rule = self._rules.get(block[position])
            if rule is None:
                raise RemoteProtocolError(f"event number {block[position]} does not exist")
            try:
                record, position = rule.read(block, position)
            except struct.error:
                raise _cut_off(rule.name) from None
            if position > end:
                raise _cut_off(rule.name)
            yield record


@cache
def _rules(version: int) -> dict[int, _Rule]:
    table = layouts(version)
    return {layout.number: _Rule(name, table) for name, layout in table.items()}


def _cut_off(name: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"{name}: cut off by the end of its block")


class _Rule:
    """How one event is read."""

    def __init__(self, name: str, table: dict[str, Layout]) -> None:
        layout = table[name]
        self.name = name.rstrip(_FORMS)
        self._struct = struct.Struct(layout.format)
        self._names = [field for field, _ in layout.fields]
        self._has_payload = bool(layout.length)
        self._merges = "blue" in self._names or "size_low" in self._names
        has_forms = f"{self.name}16" in table
        self._shift = 0
        if has_forms:
            self._shift = {"16": 0, "32": _AFTER_16}.get(name[-2:], _AFTER_32)
        # The longer form of a string counts from where the shorter one ends.
        self._least = SHORT + 1 if f"{name}8" in table else 0

    def read(self, block: bytes, position: int) -> tuple[Record, int]:
        """Return the event at a position and where it ends."""
        values = self._struct.unpack_from(block, position)[1:]
        position += self._struct.size
        fields = dict(zip(self._names, values, strict=False))
        if self._shift and fields["dt"] >= 0:
            fields["dt"] += self._shift
        if self._merges:
            _merge(fields)
        if self._has_payload:
            length = values[-1] + self._least
            fields["payload"] = block[position : position + length]
            position += length
        return Record(self.name, fields), position


def _merge(fields: dict[str, Any]) -> None:
    """Make one number of those that the protocol splits."""
    if "blue" in fields:
        blue, green, red = fields.pop("blue"), fields.pop("green"), fields.pop("red")
        fields["color"] = red << 16 | green << 8 | blue
    else:
        fields["size"] = fields.pop("size_low") | fields.pop("size_high") << 32
