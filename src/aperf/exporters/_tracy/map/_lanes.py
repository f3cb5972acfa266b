"""Lanes: the fibers on which the tasks of one loop are drawn, each used again and again."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Final

from ._row import Row

if TYPE_CHECKING:
    from aperf.protocol.tracy import Stream, Strings

__all__ = ("MOST", "Lane", "Lanes")

#: Lanes of one loop. A viewer needs 64 KiB for each, and nobody reads more; further tasks are drawn
#: on the loop's thread, a zone for each step.
MOST: Final = 256
#: Lanes as threads, for what a viewer does not attribute to fibers (locks).
_PSEUDO_THREADS: Final = 0x8000_0000


class Lane:
    """A fiber with the zones that are open on it.

    Attributes:
        number: of the fiber.
        thread: what it is called where a viewer wants a thread.
        row: its zones.
    """

    __slots__ = ("_thread", "name", "number", "row")

    def __init__(self, number: int, name: str, stream: Stream) -> None:
        self.number = number
        self.name = name
        self.row = Row(stream)
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
        first: number of the first one; the others follow.
        loop: its name.
        stream: where they are drawn.
    """

    def __init__(self, first: int, loop: str, stream: Stream) -> None:
        self._first = first
        self._loop = loop
        self._stream = stream
        self._lanes: list[Lane] = []
        self._free: list[int] = []

    def take(self) -> Lane | None:
        """Return the first free lane; None when there are too many."""
        if self._free:
            return self._lanes[heapq.heappop(self._free)]
        count = len(self._lanes)
        if count >= MOST:
            return None
        number, name = self._first + count, f"{self._loop} · lane {count + 1:02}"
        self._stream.strings.fiber(number, name)
        lane = Lane(number, name, self._stream)
        self._lanes.append(lane)
        return lane

    def give_back(self, lane: Lane) -> None:
        """Let another task have a lane."""
        heapq.heappush(self._free, lane.number - self._first)
