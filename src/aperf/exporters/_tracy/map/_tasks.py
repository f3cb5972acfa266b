"""The live tasks: born, known from before the first record, or made up; and how they end."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from aperf._recorder import BIRTH, SLOT, BirthFlag

from ._row import Row, Zone
from ._sources import UNKNOWN, Chain, Source, Sources
from ._task import Happening, Roll, TaskView

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aperf.exporters._tracy._baseline import Baseline
    from aperf.model import RecordTables
    from aperf.protocol.tracy import Stream

    from ._plots import Plots
    from ._steps import Steps
    from ._thread import Thread, Threads

__all__ = ("Tasks",)

_UNCODED: Final = int(BirthFlag.UNCODED)
#: A wait that is not over is shown when it is so old.
OPEN_NS: Final = 100_000_000
#: Between two looks at which tasks are alive, in which their records must have come.
_LOOK_NS: Final = 2 * 10**9


class Tasks:
    """Knows the live tasks of one connection, and draws what happens to them outside of steps.

    Args:
        roll: the tasks by number; others look into it.
        stream: where to draw.
        tables: knows which tasks are alive.
        sources: gives locations.
        steps: draws the rest.
        threads: where loops run.
        plots: show how many there are.
    """

    def __init__(
        self,
        roll: Roll,
        stream: Stream,
        tables: RecordTables,
        sources: Sources,
        steps: Steps,
        threads: Threads,
        plots: Plots,
    ) -> None:
        self._roll = roll
        self.known = roll.live
        #: suspended tasks whose wait is not drawn yet, the longest one first
        self.suspended: dict[int, TaskView] = {}
        self._stream = stream
        self._tables = tables
        self._sources = sources
        self._steps = steps
        self._threads = threads
        self._count = plots.count("live tasks")
        self._is_doubtful = False
        self._gone: set[int] = set()
        self._look_ns = 0

    # ---------------------------------------------------------------------------------------- begin

    def birth(self, thread: Thread, event: Happening) -> None:
        """BIRTH."""
        _, _, length, head = BIRTH.unpack_from(event.payload)
        name = (head + event.payload[SLOT:])[:length].decode("utf-8", "replace")
        source = self._sources.function(event.ref, bool(event.flags & _UNCODED))
        task = self.known.get(event.a)
        if task is None:
            self._new(thread, event.a, source, name, event.t_ns)
            self._count.show_change(event.t_ns, len(self.known))
        else:  # another thread made it, and its first steps were read before
            task.source = source
            self._call(task, name)

    def _new(
        self, thread: Thread, number: int, source: Source, name: str, born_ns: int
    ) -> TaskView:
        lane = self._threads.lanes(thread).take()
        task = self.known[number] = TaskView(number, source, name, born_ns, lane, thread)
        return task

    def name(self, thread: Thread, event: Happening) -> None:
        """NAME."""
        task = self.known.get(event.a)
        if task is not None:
            self._call(task, event.payload.rstrip(b"\0").decode("utf-8", "replace"))

    def _call(self, task: TaskView, name: str) -> None:
        task.name = name
        if name and task.zone is not None:  # an eager task, say: it has begun without
            task.zone.describe("", name)

    def begin(self, baseline: Baseline, t_ns: int) -> None:
        """Draw the tasks that live when the records begin."""
        for number, born in baseline.born.items():
            thread = self._threads.of_ring(born.ring)
            source = self._sources.function(born.ref, bool(born.flags & _UNCODED), born.site)
            task = self._new(thread, number, source, born.name, max(born.t_ns, t_ns))
            if task.lane is not None:
                with self.entered(task, task.born_ns) as row:
                    self._steps.begin(row, task)
        self._count.show_change(t_ns, len(self.known))
        self._is_doubtful = bool(baseline.born)
        self._look_ns = 0

    def unknown(self, thread: Thread, number: int, t_ns: int) -> TaskView | None:
        """Make up a task, whose birth was lost; None if it has ended."""
        if number in self._roll.former:
            return None
        self._is_doubtful = True
        task = self._new(thread, number, self._sources.fixed(UNKNOWN), "", t_ns)
        task.since_ns = t_ns
        return task

    # ------------------------------------------------------------------------------------------ end

    def abandon(self, thread: Thread, event: Happening) -> None:
        """ABANDON."""
        task = self.known.get(event.a)
        if task is not None:
            self.end(task, event.t_ns)
            self._stream.thread(thread.number)
            self._count.show_change(event.t_ns, len(self.known))

    def end(self, task: TaskView, t_ns: int) -> None:
        """End a task outside of any step of its own."""
        if task.zone is not None:
            with self.entered(task, t_ns) as row:
                row.cut(0, t_ns)
        self.forget(task)

    def finished(self, task: TaskView, t_ns: int) -> None:
        """Its last step is drawn."""
        self.forget(task)
        self._count.show_change(t_ns, len(self.known))

    def forget(self, task: TaskView) -> None:
        """Let another task have its lane."""
        self._roll.leave(task)
        self.suspended.pop(task.number, None)
        if task.lane is not None and task.thread.lanes is not None:
            task.thread.lanes.give_back(task.lane)

    def close(self, t_ns: int) -> None:
        """End all of them."""
        for task in list(self.known.values()):
            self.end(task, t_ns)
        self._roll.former.clear()
        self._gone.clear()

    # -------------------------------------------------------------------------------- between steps

    @contextmanager
    def entered(self, task: TaskView, t_ns: int) -> Iterator[Row]:
        """Let the stream write to the lane of a task that has one."""
        lane, thread, stream = task.lane, task.thread, self._stream
        assert lane is not None
        t_ns = lane.row.at(t_ns)
        stream.thread(thread.number)
        stream.fiber_enter(t_ns, lane.number, thread.group)
        yield lane.row
        stream.fiber_leave(lane.row.last_ns)

    def rest(self, now_ns: int) -> None:
        """Draw waits that are not over; look now and then which tasks are alive, where in doubt."""
        if self._is_doubtful and now_ns >= self._look_ns:
            self._look_ns = now_ns + _LOOK_NS
            self._compare(now_ns)
        oldest_ns = now_ns - OPEN_NS
        due = []
        for task in self.suspended.values():
            if task.since_ns > oldest_ns:
                break
            due.append(task)
        for task in due:
            del self.suspended[task.number]
            if task.chain is not None:
                self._show_wait(task, task.chain)

    def doubt(self) -> None:
        """Records were lost: of the end of a task, perhaps."""
        self._is_doubtful = True

    def _show_wait(self, task: TaskView, chain: Chain) -> None:
        if task.zone is not None:
            with self.entered(task, task.since_ns) as row:
                task.waiting = Zone(chain.wait)
                row.begin(task.since_ns, task.waiting, stack=chain.stack)

    def _compare(self, now_ns: int) -> None:
        """End tasks that live no more, and draw the waits of those that have not run for long.

        The records of the end may not have come yet. So tasks are ended the second time only.
        """
        alive = set()
        for number, site, since_ns, is_first, runs in self._tables.live():
            alive.add(number)
            task = self.known.get(number)
            if task is not None and not (task.steps or task.waiting or is_first or runs):
                task.since_ns = since_ns
                self._show_wait(task, self._sources.chain(site, task.source.code))
        gone = self.known.keys() - alive
        for number in gone & self._gone:
            self.end(self.known[number], now_ns)
        self._count.show_change(now_ns, len(self.known))
        self._gone = gone - self._gone
        self._is_doubtful = bool(self._gone)
