"""Draws the records of one connection, in the order in which they were written.

A step is one record, written when it ends, followed by the CHAIN of where the task is suspended
then. What the task did in between (user spans, messages) was written before. So everything is kept
until the CHAIN has come, and the step is then drawn in one go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aperf._recorder import BIRTH, NARROW, PAIR, SLOT, BirthFlag, Kind, StepFlag

from ._devices import Devices
from ._locks import Locks
from ._messages import WARNING, Messages
from ._plots import Plots
from ._row import Zone
from ._sources import UNKNOWN, Chain, Source, Sources
from ._spans import Spans
from ._steps import Steps
from ._task import Happening, Step, TaskView
from ._thread import Thread, Threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from aperf.exporters._tracy._baseline import Baseline
    from aperf.model import RecordTables
    from aperf.protocol.tracy import Stream

__all__ = ("Mapper",)

_STEP, _CHAIN = int(Kind.STEP), int(Kind.CHAIN)
_DONE, _EAGER = int(StepFlag.DONE), int(StepFlag.EAGER)
_UNCODED: Final = int(BirthFlag.UNCODED)
#: A wait that is not over is shown when it is so old.
OPEN_NS: Final = 100_000_000


class Mapper:
    """Draws records.

    Args:
        stream: takes what is drawn; its strings hand out numbers for names and places.
        tables: what the numbers in records mean.
        baseline: what was in force before the first record.
    """

    def __init__(self, stream: Stream, tables: RecordTables, baseline: Baseline) -> None:
        self._stream = stream
        self._baseline = baseline
        self._tasks: dict[int, TaskView] = {}
        self._sources = Sources(stream.strings, tables)
        self._messages = Messages(stream)
        self._spans = Spans(self._sources, tables, self._messages)
        self._steps = Steps(self._sources, self._spans, self._tasks)
        self._plots = Plots(stream, tables)
        self._threads = Threads(stream, tables, self._sources, self._plots)
        devices = Devices(stream, self._sources, tables)
        locks = Locks(stream, self._sources, tables, self._tasks, self._threads)
        self._live = self._plots.count("live tasks")
        self._queue = self._plots.milliseconds("executor queue delay, ms")
        #: suspended tasks whose wait is not drawn yet, the longest one first
        self._suspended: dict[int, TaskView] = {}
        #: open user spans of threads: by owner, the thread and the spans by number
        self._owners: dict[int, tuple[Thread, dict[int, Zone]]] = {}
        self._rest: dict[int, bytes] = {}
        self._handlers: dict[int, Callable[[Thread, Happening], None]] = {
            Kind.WIDE: self._wide,
            Kind.BIRTH: self._birth,
            Kind.NAME: self._name,
            Kind.ABANDON: self._abandon,
            Kind.FAILURE: self._of_task,
            Kind.MORE: self._of_task,
            Kind.MESSAGE: self._message,
            Kind.OPEN: self._of_span,
            Kind.CLOSE: self._of_span,
            Kind.EVENT: self._of_span,
            Kind.ATTRIBUTE: self._of_span,
            Kind.JOB: self._job,
            Kind.LOST: self._lost,
            Kind.CHAIN: self._chain,
            Kind.PLOT: self._plots.record,
            Kind.FRAME: devices.frame,
            Kind.IMAGE: devices.image,
            Kind.LOCK: locks.record,
            Kind.MEMORY: devices.memory,
            Kind.GPU: devices.gpu,
            Kind.SAMPLE: self._stack,
        }

    # --------------------------------------------------------------------------------------- input

    def feed(self, ring: int, data: bytes) -> None:
        """Take slots of one ring, in order; an event cut at the end waits for its rest."""
        rest = self._rest.pop(ring, None)
        if rest is not None:
            data = rest + data
        thread = self._threads.of_ring(ring)
        self._stream.thread(thread.number)
        unpack, offset, end = NARROW.unpack_from, 0, len(data)
        while offset < end:
            t_ns, kind, slots, flags, ref, one, two, three, four = unpack(data, offset)
            if kind == _STEP:
                self._step(thread, t_ns, flags, ref, one, two, three, four)
                offset += SLOT
                continue
            following = offset + slots * SLOT
            if following > end:
                self._rest[ring] = data[offset:]
                return
            payload = data[offset + SLOT : following]
            a, b = one | two << 32, three | four << 32
            self._handle(thread, Happening(kind, t_ns, flags, ref, a, b, payload))
            offset = following or end

    def _handle(self, thread: Thread, event: Happening) -> None:
        if thread.step is not None and event.kind != _CHAIN:
            self._settle(thread, None, 0)
        handler = self._handlers.get(event.kind)
        if handler is not None:  # a future kind is skipped
            handler(thread, event)

    # --------------------------------------------------------------------------------------- tasks

    def _birth(self, thread: Thread, event: Happening) -> None:
        _, _, length, head = BIRTH.unpack_from(event.payload)
        name = (head + event.payload[SLOT:])[:length].decode("utf-8", "replace")
        source = self._sources.function(event.ref, bool(event.flags & _UNCODED))
        self._new_task(thread, event.a, source, name, event.t_ns)
        self._live.show_change(event.t_ns, len(self._tasks))

    def _new_task(
        self, thread: Thread, number: int, source: Source, name: str, born_ns: int
    ) -> TaskView:
        lane = self._threads.lanes(thread).take()
        task = self._tasks[number] = TaskView(number, source, name, born_ns, lane, thread)
        return task

    def _unknown(self, thread: Thread, number: int, t_ns: int) -> TaskView:
        """Make up a task that was born before the first record."""
        born = self._baseline.born.get(number)
        if born is None:
            return self._new_task(thread, number, self._sources.fixed(UNKNOWN), "", t_ns)
        source = self._sources.function(born.ref, bool(born.flags & _UNCODED))
        return self._new_task(thread, number, source, born.name, born.t_ns)

    def _name(self, thread: Thread, event: Happening) -> None:
        task = self._tasks.get(event.a)
        if task is not None:
            task.name = event.payload.rstrip(b"\0").decode("utf-8", "replace")

    def _abandon(self, thread: Thread, event: Happening) -> None:
        task = self._tasks.get(event.a)
        if task is not None:
            self._end_elsewhere(task, event.t_ns)
            self._stream.thread(thread.number)

    def _end_elsewhere(self, task: TaskView, t_ns: int) -> None:
        """End a task outside of any step of its own."""
        if task.lane is not None and task.lane.row.open:
            self._stream.thread(task.thread.number)
            self._stream.fiber_enter(t_ns, task.lane.number, task.thread.group)
            task.lane.row.cut(0, t_ns)
            self._stream.fiber_leave(t_ns)
        self._forget(task)

    def _forget(self, task: TaskView) -> None:
        del self._tasks[task.number]
        self._suspended.pop(task.number, None)
        if task.lane is not None and task.thread.lanes is not None:
            task.thread.lanes.give_back(task.lane)

    # --------------------------------------------------------------------------------------- steps

    def _wide(self, thread: Thread, event: Happening) -> None:
        ready_ns, busy_ns, _, _ = PAIR.unpack_from(event.payload)
        _, t_ns, flags, ref, a, b, _ = event
        self._step(thread, t_ns, flags, ref, a, b, ready_ns, busy_ns)

    def _step(
        self,
        thread: Thread,
        t_ns: int,
        flags: int,
        site: int,
        number: int,
        waker: int,
        ready_ns: int,
        busy_ns: int,
    ) -> None:
        if thread.step is not None:
            self._settle(thread, None, 0)
        task = self._tasks.get(number) or self._unknown(thread, number, t_ns - ready_ns)
        thread.step = Step(task, t_ns, t_ns + busy_ns, ready_ns, flags, waker, site)
        if flags & _DONE:
            self._settle(thread, None, 0)

    def _chain(self, thread: Thread, event: Happening) -> None:
        step = thread.step
        if step is not None and step.task.number == event.a:  # else the step was lost
            self._settle(thread, self._sources.chain(event.ref, step.task.source.code), event.b)

    def _settle(self, thread: Thread, chain: Chain | None, kept: int) -> None:
        """Draw the step that has ended (see `Steps.on_lane`)."""
        step, thread.step = thread.step, None
        assert step is not None
        task = step.task
        if thread.iterations is not None and not step.flags & _EAGER:
            thread.iterations.step(step)
        task.steps += 1
        self._suspended.pop(task.number, None)
        if task.lane is None:
            self._steps.on_thread(thread.row, step)
        else:
            self._stream.fiber_enter(step.resume_ns, task.lane.number, thread.group)
            self._steps.on_lane(task.lane.row, step, chain, kept)
            self._stream.fiber_leave(step.suspend_ns)
        if step.flags & _DONE:
            self._forget(task)
            self._live.show_change(step.suspend_ns, len(self._tasks))
            return
        task.since_ns, task.chain = step.suspend_ns, chain
        if task.lane is not None:
            self._suspended[task.number] = task

    # ------------------------------------------------------------------ what tasks and threads do

    def _of_task(self, thread: Thread, event: Happening) -> None:
        task = self._tasks.get(event.a)
        if task is not None:
            task.happened.append(event)

    def _message(self, thread: Thread, event: Happening) -> None:
        task = self._tasks.get(event.a) if event.a else None
        if task is not None:
            task.happened.append(event)
        else:
            self._messages.record(event, event.t_ns)

    def _of_span(self, thread: Thread, event: Happening) -> None:
        """OPEN, CLOSE, EVENT, ATTRIBUTE: of a task, or of a thread."""
        task = self._tasks.get(event.a)
        if task is not None:
            task.happened.append(event)
            return
        where, spans = self._owners.get(event.a, (thread, {}))
        if event.kind == Kind.OPEN:
            self._owners[event.a] = where, spans
            self._spans.open(spans, thread.row, event, event.t_ns, 0)
        elif event.kind == Kind.CLOSE and where is thread:
            self._spans.close(spans, thread.row, event.b, event.t_ns)
            if not spans:
                self._owners.pop(event.a, None)

    def _job(self, thread: Thread, event: Happening) -> None:
        queue_ns, run_ns, _, _ = PAIR.unpack_from(event.payload)
        source = self._sources.function(event.ref, bool(event.flags & _UNCODED))
        task = self._tasks.get(event.a)
        texts = (f"for {task}",) if task is not None else ()
        thread.row.spot(event.t_ns, event.t_ns + run_ns, source, texts)
        self._queue.show(event.t_ns, queue_ns)

    def _stack(self, thread: Thread, event: Happening) -> None:
        number = self._threads.number(event.a)
        if number is not None:
            self._stream.sample(event.t_ns, number, self._sources.stack(event.ref))

    def _lost(self, thread: Thread, event: Happening) -> None:
        self._messages.show(event.t_ns, f"aperf: {event.a} records were lost here", WARNING)

    # -------------------------------------------------------------------------- gaps, time, the end

    def gap(self, t_ns: int, slots: int) -> None:
        """Close everything: the viewer was too slow, and records were left out up to here."""
        self._rest.clear()
        for thread in self._threads.all:
            thread.step = None
        self._close(t_ns)
        text = f"aperf: the viewer was too slow; {slots} records were left out here"
        self._messages.show(t_ns, text, WARNING)

    def sample(self, now_ns: int) -> None:
        """Show what goes on right now: waits that are not over, loops that are idle, plots."""
        oldest_ns = now_ns - OPEN_NS
        for number, task in list(self._suspended.items()):
            if task.since_ns > oldest_ns:
                break
            del self._suspended[number]
            self._show_wait(task)
        for thread in self._threads.all:
            if thread.iterations is not None:
                self._stream.thread(thread.number)
                thread.iterations.rest(now_ns)
        self._plots.sample(now_ns)

    def _show_wait(self, task: TaskView) -> None:
        chain = task.chain
        if task.lane is None or chain is None:
            return
        self._stream.thread(task.thread.number)
        self._stream.fiber_enter(task.since_ns, task.lane.number, task.thread.group)
        task.waiting = Zone(chain.wait)
        task.lane.row.begin(task.since_ns, task.waiting, stack=chain.stack)
        self._stream.fiber_leave(task.since_ns)

    def finish(self, t_ns: int) -> None:
        """Close everything: there will be no more."""
        for thread in self._threads.all:
            if thread.step is not None:
                self._stream.thread(thread.number)
                self._settle(thread, None, 0)
        self._close(t_ns)

    def _close(self, t_ns: int) -> None:
        for task in list(self._tasks.values()):
            self._end_elsewhere(task, t_ns)
        for thread in self._threads.all:
            self._stream.thread(thread.number)
            if thread.iterations is not None:
                thread.iterations.close()
            thread.row.cut(0, t_ns)
        self._owners.clear()
