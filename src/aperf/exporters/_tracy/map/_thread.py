"""The threads of a program, and the loops that run on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._iterations import Iterations
from ._lanes import MOST, Lanes
from ._row import Row

if TYPE_CHECKING:
    from aperf.model import RecordTables
    from aperf.protocol.tracy import Stream

    from ._plots import Plots
    from ._sources import Sources
    from ._task import Step

__all__ = ("Thread", "Threads")


class Thread:
    """A ring's thread, and the loop that runs on it.

    Attributes:
        number: what it is to a viewer.
        name: its name.
        row: zones of the thread itself.
        group: where a viewer puts its lanes.
        lanes: where its tasks are drawn; None while it has had none.
        iterations: draws what its loop does; likewise.
        step: of a task; it has ended, and its CHAIN has not come yet.
    """

    __slots__ = ("group", "iterations", "lanes", "name", "number", "row", "step")

    def __init__(self, ring: int, number: int, name: str, row: Row) -> None:
        self.number = number
        self.name = name
        self.row = row
        self.group = ring + 1
        self.lanes: Lanes | None = None
        self.iterations: Iterations | None = None
        self.step: Step | None = None


class Threads:
    """Finds threads by their ring.

    Args:
        stream: where they are drawn.
        tables: knows them.
        sources: gives locations.
        plots: show what loops do.
    """

    def __init__(
        self, stream: Stream, tables: RecordTables, sources: Sources, plots: Plots
    ) -> None:
        self._stream = stream
        self._tables = tables
        self._sources = sources
        self._plots = plots
        self._numbers: dict[int, int] = {}
        self.all: list[Thread] = []

    def of_ring(self, ring: int) -> Thread:
        """Return the thread that writes to a ring."""
        threads = self.all
        while len(threads) <= ring:
            ident, name = self._tables.threads()[len(threads)]
            number = ident & 0x7FFF_FFFF or 1  # the upper half is for lanes
            while number in self._numbers.values():
                number = number % 0x7FFF_FFFF + 1
            self._numbers[ident] = number
            self._stream.strings.thread(number, name)
            threads.append(Thread(len(threads), number, name, Row(self._stream)))
        return threads[ring]

    def number(self, ident: int) -> int | None:
        """Return what a thread is to a viewer, by its identifier."""
        return self._numbers.get(ident)

    def lanes(self, thread: Thread) -> Lanes:
        """Return the lanes of a thread, on which a loop turns out to run."""
        if thread.lanes is None:
            first = 1 + (thread.group - 1) * MOST
            thread.lanes = Lanes(first, thread.name, self._stream)
            thread.iterations = Iterations(
                thread.row, thread.name, self._stream, self._sources, self._plots
            )
        return thread.lanes
