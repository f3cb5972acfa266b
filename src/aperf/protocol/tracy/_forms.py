"""Zones and samples from version 78 on, with times as short as they allow.

Up to 65,535 ns, up to 2^32 ns more, or whatever: each form counts from where the shorter one ends.
Only negative times are sent as they are.
"""

from __future__ import annotations

from typing import Final

from ._layouts import layouts
from ._records import packer

__all__ = ("FORMS_SINCE", "Forms", "narrow")

FORMS_SINCE: Final = 78

#: Suffixes of the events' names, shortest form first.
_FORMS: Final = ("16", "32", "")
_SHORT: Final = 1 << 16
_MIDDLE: Final = _SHORT + (1 << 32)


def narrow(dt_ns: int) -> tuple[str, int]:
    """Return the suffix of the form that expresses a time, and the number it does so with."""
    if 0 <= dt_ns < _SHORT:
        return "16", dt_ns
    if _SHORT <= dt_ns < _MIDDLE:
        return "32", dt_ns - _SHORT
    return "", dt_ns if dt_ns < 0 else dt_ns - _MIDDLE


class Forms:
    """Encodes the events that come by the million."""

    __slots__ = ("_begins", "_ends", "_enter", "_leave", "_steps", "_zones")

    def __init__(self, version: int) -> None:
        known = layouts(version)
        begins = [known["ZoneBegin" + form] for form in _FORMS]
        ends = [known["ZoneEnd" + form] for form in _FORMS]
        enter, leave = known["FiberEnter"], known["FiberLeave"]
        self._enter, self._leave = enter.number, leave.number
        self._begins = [(packer(begin), begin.number) for begin in begins]
        self._ends = [(packer(end), end.number) for end in ends]
        self._zones = [
            (packer(begin, end), begin.number, end.number) for begin in begins for end in ends
        ]
        self._steps = [
            (packer(enter, ends[0], begin, leave), ends[0].number, begin.number) for begin in begins
        ]

    def zone(self, dt_ns: int, source: int, length_ns: int) -> bytes:
        """Begin a zone and end it."""
        form = 0  # not `narrow`: called three million times a second
        if dt_ns < 0:
            form = 6
        elif dt_ns >= _SHORT:
            form = 3 if dt_ns < _MIDDLE else 6
            dt_ns -= _SHORT if dt_ns < _MIDDLE else _MIDDLE
        if length_ns >= _SHORT:
            form += 1 if length_ns < _MIDDLE else 2
            length_ns -= _SHORT if length_ns < _MIDDLE else _MIDDLE
        pack, begin, end = self._zones[form]
        return pack(begin, dt_ns, source, end, length_ns)

    def begin(self, dt_ns: int, source: int) -> bytes:
        """Begin a zone."""
        form = 0
        if dt_ns < 0:
            form = 2
        elif dt_ns >= _SHORT:
            form = 1 if dt_ns < _MIDDLE else 2
            dt_ns -= _SHORT if dt_ns < _MIDDLE else _MIDDLE
        pack, number = self._begins[form]
        return pack(number, dt_ns, source)

    def end(self, dt_ns: int) -> bytes:
        """End a zone."""
        form = 0
        if dt_ns < 0:
            form = 2
        elif dt_ns >= _SHORT:
            form = 1 if dt_ns < _MIDDLE else 2
            dt_ns -= _SHORT if dt_ns < _MIDDLE else _MIDDLE
        pack, number = self._ends[form]
        return pack(number, dt_ns)

    def step(
        self, dt_ns: int, fiber: int, tid: int, group: int, length_ns: int, source: int
    ) -> bytes:
        """Enter a fiber, end a zone at once, begin another one later, and leave."""
        form = 0
        if length_ns >= _SHORT:
            form = 1 if length_ns < _MIDDLE else 2
            length_ns -= _SHORT if length_ns < _MIDDLE else _MIDDLE
        pack, end, begin = self._steps[form]
        return pack(
            self._enter, dt_ns, fiber, tid, group, end, 0, begin, length_ns, source,
            self._leave, 0, tid,
        )  # fmt: skip
