"""Plots: what aperf measures itself, and what the program plots."""

from __future__ import annotations

import gc
import os
import struct
from typing import TYPE_CHECKING, Final

from aperf._recorder import PlotFlag

if TYPE_CHECKING:
    from aperf.model import RecordTables
    from aperf.protocol.tracy import PlotFormat, Stream

    from ._task import Happening
    from ._thread import Thread

__all__ = ("Plot", "Plots")

_FLOAT, _MEMORY, _PERCENTAGE = PlotFlag.FLOAT, PlotFlag.MEMORY, PlotFlag.PERCENTAGE
_DOUBLE: Final = struct.Struct("<d")
_INTEGER: Final = struct.Struct("<q")


class Plot:
    """A plot that aperf draws itself."""

    __slots__ = ("_last", "_name", "_scale", "_stream")

    def __init__(self, stream: Stream, name: int, scale: float) -> None:
        self._stream = stream
        self._name = name
        self._scale = scale
        self._last: float | None = None

    def show(self, t_ns: int, value: float) -> None:
        """Add a point."""
        self._last = value
        self._stream.plot(self._name, t_ns, value if self._scale == 1 else value * self._scale)

    def show_change(self, t_ns: int, value: float) -> None:
        """Add a point, unless the last one says the same."""
        if value != self._last:
            self.show(t_ns, value)


class Plots:
    """The plots of one connection.

    Args:
        stream: where to draw.
        tables: give names.
    """

    def __init__(self, stream: Stream, tables: RecordTables) -> None:
        self._stream = stream
        self._strings = stream.strings
        self._tables = tables
        self._configured: set[int] = set()
        self._memory = self._plot("resident memory", "memory")
        self._collections = self._plot("garbage collections", "number")
        self._page = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096

    def _plot(self, name: str, format: PlotFormat, scale: float = 1) -> Plot:
        number = self._strings.text(name)
        self._configure(number, format, is_step=format == "number" and scale == 1)
        return Plot(self._stream, number, scale)

    def _configure(self, number: int, format: PlotFormat, *, is_step: bool) -> None:
        self._configured.add(number)
        self._stream.plot_config(number, format, step=is_step)

    def milliseconds(self, name: str) -> Plot:
        """Return a plot of durations, which are given in ns."""
        return self._plot(name, "number", 1e-6)

    def count(self, name: str) -> Plot:
        """Return a plot of numbers of things."""
        return self._plot(name, "number")

    def record(self, thread: Thread, event: Happening) -> None:
        """Draw a PLOT."""
        number = self._strings.text(self._tables.name(event.ref))
        if number not in self._configured:
            self._configure(number, _format(event.flags), is_step=False)
        raw = event.a.to_bytes(8, "little")
        value = _DOUBLE.unpack(raw)[0] if event.flags & _FLOAT else _INTEGER.unpack(raw)[0]
        self._stream.plot(number, event.t_ns, value)

    def sample(self, t_ns: int) -> None:
        """Look at the process: memory, garbage collections so far."""
        resident = self._resident()
        if resident is not None:
            self._memory.show(t_ns, resident)
        collections = sum(generation["collections"] for generation in gc.get_stats())
        self._collections.show_change(t_ns, collections)

    def _resident(self) -> int | None:
        try:
            with open("/proc/self/statm", "rb") as file:
                return int(file.read().split()[1]) * self._page
        except (OSError, IndexError, ValueError):
            return None  # no Linux


def _format(flags: int) -> PlotFormat:
    if flags & _MEMORY:
        return "memory"
    return "percentage" if flags & _PERCENTAGE else "number"
