"""Zones and samples, of which viewers since 0.14 take shorter forms.

Times up to 65,535 ns, up to 2^32 ns more, or whatever: each form counts from where the shorter one
ends. Only negative times are sent as they are. Before, there was one form for all times.
"""

from __future__ import annotations

from typing import Final

from ._layouts import layouts
from ._records import packer

__all__ = ("Forms",)

_SINCE: Final = 78
_SHORT: Final = 1 << 16
_LONG: Final = 1 << 32


class Forms:
    """Encodes the events that come by the million, whatever their times."""

    __slots__ = (
        "_begins", "_ends", "_enter", "_leave", "_split", "_steps", "_suffixes",
        "_zones",
    )  # fmt: skip

    def __init__(self, version: int) -> None:
        known = layouts(version)
        self._split = version >= _SINCE
        self._suffixes = ("16", "32", "") if self._split else ("", "", "")
        begins = [known["ZoneBegin" + suffix] for suffix in self._suffixes]
        ends = [known["ZoneEnd" + suffix] for suffix in self._suffixes]
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

    def narrow(self, dt_ns: int) -> tuple[str, int]:
        """Return the suffix of the form that takes a time, and the number it does so with."""
        form, dt_ns = self._narrow(dt_ns)
        return self._suffixes[form], dt_ns

    def _narrow(self, dt_ns: int) -> tuple[int, int]:
        if dt_ns < 0 or not self._split:
            return 2, dt_ns
        if dt_ns < _SHORT:
            return 0, dt_ns
        dt_ns -= _SHORT
        return (1, dt_ns) if dt_ns < _LONG else (2, dt_ns - _LONG)

    def zone(self, dt_ns: int, source: int, length_ns: int) -> bytes:
        """Begin a zone, `dt_ns` after what was before, and end it."""
        begin_form, dt_ns = self._narrow(dt_ns)
        end_form, length_ns = self._narrow(length_ns)
        pack, begin, end = self._zones[3 * begin_form + end_form]
        return pack(begin, dt_ns, source, end, length_ns)

    def begin(self, dt_ns: int, source: int) -> bytes:
        """Begin a zone."""
        form, dt_ns = self._narrow(dt_ns)
        pack, number = self._begins[form]
        return pack(number, dt_ns, source)

    def end(self, dt_ns: int) -> bytes:
        """End a zone."""
        form, dt_ns = self._narrow(dt_ns)
        pack, number = self._ends[form]
        return pack(number, dt_ns)

    def step(
        self, dt_ns: int, fiber: int, tid: int, group: int, length_ns: int, source: int
    ) -> bytes:
        """Enter a fiber of a group, end a zone at once, begin another one later, and leave."""
        form, length_ns = self._narrow(length_ns)
        pack, end, begin = self._steps[form]
        return pack(
            self._enter, dt_ns, fiber, tid, group, end, 0, begin, length_ns, source,
            self._leave, 0, tid,
        )  # fmt: skip
