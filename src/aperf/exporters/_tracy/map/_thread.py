"""The threads of a program, and the loops that run on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._iterations import Iterations
from ._lanes import MOST_OF_ALL, Lanes
from ._row import Row

if TYPE_CHECKING:
    from aperf.model import RecordTables
    from aperf.protocol.tracy import Stream

    from ._plots import Plots
    from ._row import Zone
    from ._sources import Sources
    from ._task import Happening, Step

__all__ = ("Owner", "Thread", "Threads")


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
        since_ns: time of its first record; 0 if there was none yet.
        rest: the begin of an event that is cut.
        text: the begin of a message that goes on in its next record, and the time of that.
        held: what it did outside of tasks and may have done in a job that has not ended.
        runs_jobs: whether it is one of an executor.
    """

    __slots__ = (
        "group",
        "held",
        "iterations",
        "lanes",
        "name",
        "number",
        "rest",
        "row",
        "runs_jobs",
        "since_ns",
        "step",
        "text",
    )

    def __init__(self, ring: int, number: int, name: str, row: Row) -> None:
        self.number = number
        self.name = name
        self.row = row
        self.group = ring + 1
        self.lanes: Lanes | None = None
        self.iterations: Iterations | None = None
        self.step: Step | None = None
        self.since_ns = 0
        self.rest = b""
        self.text: tuple[int, bytes] | None = None
        self.held: list[Happening] = []
        self.runs_jobs = False

    def forget(self) -> None:
        """Drop what goes on in the next record: that will not come."""
        self.rest = b""
        self.step = self.text = None
        self.since_ns = 0


class Owner:
    """A thread as the owner of user spans, where no task runs.

    Attributes:
        thread: where they are drawn.
        spans: the open ones, by number.
        zone: there is none around them.
        steps: nor are there steps.
    """

    __slots__ = ("spans", "thread")

    zone: Zone | None = None
    steps = 0

    def __init__(self, thread: Thread) -> None:
        self.thread = thread
        self.spans: dict[int, Zone] = {}

    def __str__(self) -> str:
        return self.thread.name


class Threads:
    """Finds threads by their ring.

    Args:
        stream: where they are drawn.
        tables: knows them.
        sources: gives locations.
        plots: show what loops do.
        begin_ns: nothing is shown before.
    """

    def __init__(
        self,
        stream: Stream,
        tables: RecordTables,
        sources: Sources,
        plots: Plots,
        begin_ns: int,
    ) -> None:
        self._stream = stream
        self._tables = tables
        self._sources = sources
        self._plots = plots
        self._begin_ns = begin_ns
        self._by_ident: dict[int, Thread] = {}
        self._taken: set[int] = set()
        self._lane_numbers = iter(range(1, MOST_OF_ALL + 1))
        self.all: list[Thread] = []

    def of_ring(self, ring: int) -> Thread:
        """Return the thread that writes to a ring."""
        while len(self.all) <= ring:
            self._add()
        return self.all[ring]

    def _add(self) -> None:
        ring, known = len(self.all), self._tables.threads()
        ident, name = known[ring] if ring < len(known) else (0, f"thread {ring}")
        number = ident & 0x7FFF_FFFF or 1  # the upper half is for lanes
        while number in self._taken:  # systems use identifiers again
            number = number % 0x7FFF_FFFF + 1
        self._taken.add(number)
        self._stream.strings.thread(number, name)
        thread = self._by_ident[ident] = Thread(ring, number, name, self._row())
        self.all.append(thread)

    def _row(self) -> Row:
        return Row(self._stream, self._begin_ns)

    def number(self, ident: int) -> int | None:
        """Return what a thread is to a viewer, by its identifier."""
        if ident not in self._by_ident:
            while len(self.all) < len(self._tables.threads()):
                self._add()
        thread = self._by_ident.get(ident)
        return None if thread is None else thread.number

    def lanes(self, thread: Thread) -> Lanes:
        """Return the lanes of a thread, on which a loop turns out to run."""
        if thread.lanes is None:
            thread.lanes = Lanes(self._lane_numbers, thread.name, self._stream, self._begin_ns)
            thread.iterations = Iterations(
                thread.row, thread.name, self._stream, self._sources, self._plots
            )
        return thread.lanes
