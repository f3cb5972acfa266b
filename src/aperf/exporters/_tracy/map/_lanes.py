"""Lanes: the fibers on which the tasks of one loop are drawn, each used again and again."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Final

from ._row import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aperf.protocol.tracy import Stream, Strings

__all__ = ("MOST", "MOST_OF_ALL", "Lane", "Lanes")

#: Lanes of one loop. A viewer needs 64 KiB for each, and nobody reads more; further tasks are drawn
#: on the loop's thread, a zone for each step.
MOST: Final = 256
#: Lanes of all loops: a viewer takes 65,535 rows, and a lane may be two (see `Lane.thread`).
MOST_OF_ALL: Final = 24_576
#: Lanes as threads, for what a viewer does not attribute to fibers (locks).
_PSEUDO_THREADS: Final = 0x8000_0000


class Lane:
    """A fiber with the zones that are open on it.

    Attributes:
        number: of the fiber.
        index: among the lanes of its loop.
        name: what a viewer calls it.
        row: its zones.
    """

    __slots__ = ("_thread", "index", "name", "number", "row")

    def __init__(self, number: int, index: int, name: str, row: Row) -> None:
        self.number = number
        self.index = index
        self.name = name
        self.row = row
        self._thread = 0

    def thread(self, strings: Strings) -> int:
        """Return a thread that stands for the lane."""
        if not self._thread:
            self._thread = _PSEUDO_THREADS + self.number
            strings.thread(self._thread, self.name)
        return self._thread


class Lanes:
    """The lanes of one loop.

    Args:
        numbers: of lanes, for all loops; when they end, there are no more.
        loop: its name.
        stream: where they are drawn.
        begin_ns: nothing is shown before.
    """

    def __init__(self, numbers: Iterator[int], loop: str, stream: Stream, begin_ns: int) -> None:
        self._numbers = numbers
        self._loop = loop
        self._stream = stream
        self._begin_ns = begin_ns
        self._lanes: list[Lane] = []
        self._free: list[int] = []

    def take(self) -> Lane | None:
        """Return the first free lane; None when there are too many."""
        if self._free:
            return self._lanes[heapq.heappop(self._free)]
        index = len(self._lanes)
        number = next(self._numbers, None) if index < MOST else None
        if number is None:
            return None
        name = f"{self._loop} · lane {index + 1:02}"
        self._stream.strings.fiber(number, name)
        lane = Lane(number, index, name, Row(self._stream, self._begin_ns))
        self._lanes.append(lane)
        return lane

    def give_back(self, lane: Lane) -> None:
        """Let another task have a lane."""
        heapq.heappush(self._free, lane.index)
