"""Draws the records of one connection, in the order in which they were written.

A step is one record, written when it ends, followed by the CHAIN of where the task is suspended
then. What the task did in between (user spans, messages) was written before. So everything is kept
until the CHAIN has come, and the step is then drawn in one go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aperf._recorder import NARROW, PAIR, SLOT, Kind, StepFlag
from aperf._recorder._layout import HEADER

from ._frames import Frames
from ._gpu import Gpu
from ._locks import Locks
from ._memory import Memory
from ._messages import WARNING, Messages, joined
from ._outside import Outside
from ._plots import Plots
from ._sources import Chain, Sources
from ._spans import Spans
from ._steps import Steps
from ._task import Happening, Roll, Step, TaskView
from ._tasks import Tasks
from ._thread import Thread, Threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from aperf.exporters._tracy._baseline import Baseline
    from aperf.model import RecordTables
    from aperf.protocol.tracy import Stream

__all__ = ("Mapper",)

_STEP, _CHAIN = int(Kind.STEP), int(Kind.CHAIN)
_FIRST, _DONE, _EAGER = int(StepFlag.FIRST), int(StepFlag.DONE), int(StepFlag.EAGER)
#: Kinds that have a second slot, without which nothing can be said.
_LONG: Final = frozenset({Kind.WIDE, Kind.BIRTH, Kind.OPEN, Kind.JOB})
#: Times are less than this, with room for durations.
_LAST_NS: Final = 1 << 61
#: What a task did in one step; the rest is left out.
_MOST_HAPPENED: Final = 10_000


class Mapper:
    """Draws records.

    Args:
        stream: takes what is drawn; its strings hand out numbers for names and places.
        tables: what the numbers in records mean.
        baseline: what was in force before the first record, and will be behind each gap.
    """

    def __init__(self, stream: Stream, tables: RecordTables, baseline: Baseline) -> None:
        self._stream = stream
        self._baseline = baseline
        self._begin_ns = baseline.begin_ns
        roll = Roll()
        self._live = live = roll.live
        self._sources = Sources(stream.strings, tables)
        self._messages = Messages(stream)
        self._spans = spans = Spans(self._sources, tables, self._messages)
        self._steps = Steps(self._sources, spans, roll)
        self._plots = plots = Plots(stream, tables)
        self._threads = threads = Threads(stream, tables, self._sources, plots, self._begin_ns)
        self._tasks = Tasks(roll, stream, tables, self._sources, self._steps, threads, plots)
        self._suspended = self._tasks.suspended
        self._outside = Outside(stream, self._sources, spans, roll, threads, plots)
        self._frames = Frames(stream, tables)
        self._locks = Locks(stream, self._sources, tables, live, threads)
        self._gpu = Gpu(stream, self._sources, tables)
        memory = Memory(stream, self._sources, tables)
        self._handlers: dict[int, Callable[[Thread, Happening], None]] = {
            Kind.WIDE: self._wide,
            Kind.BIRTH: self._birth,
            Kind.NAME: self._tasks.name,
            Kind.ABANDON: self._tasks.abandon,
            Kind.FAILURE: self._of_task,
            Kind.MESSAGE: self._message,
            Kind.OPEN: self._of_span,
            Kind.CLOSE: self._of_span,
            Kind.EVENT: self._of_span,
            Kind.ATTRIBUTE: self._of_span,
            Kind.JOB: self._outside.job,
            Kind.LOST: self._lost,
            Kind.PLOT: self._plots.record,
            Kind.FRAME: self._frames.frame,
            Kind.IMAGE: self._frames.image,
            Kind.LOCK: self._locks.record,
            Kind.MEMORY: memory.record,
            Kind.GPU: self._gpu.record,
            Kind.SAMPLE: self._stack,
        }
        self._resume(self._begin_ns)

    def _resume(self, t_ns: int) -> None:
        """Draw what is in force already when records begin, or begin again."""
        self._tasks.begin(self._baseline, t_ns)
        for ring, record in self._baseline.declared:
            thread = self._threads.of_ring(ring)
            since_ns, kind, _, flags, ref, a, b = HEADER.unpack_from(record)
            event = Happening(kind, max(since_ns, t_ns), flags, ref, a, b, record[SLOT:])
            self._handle(thread, event)
        for (owner, number), span in self._baseline.open.items():
            source = self._sources.span(span.name_ref, span.site, span.place)
            since_ns = max(span.t_ns, t_ns)
            task = self._live.get(owner)
            if task is None:
                thread = self._threads.of_ring(span.ring)
                self._outside.resume(thread, owner, number, source, since_ns)
            elif task.lane is not None:
                with self._tasks.entered(task, since_ns) as row:
                    self._spans.open(task, row, number, source, since_ns)

    # --------------------------------------------------------------------------------------- input

    def feed(self, ring: int, data: bytes) -> None:
        """Take slots of one ring, in order; an event cut at the end waits for its rest."""
        thread = self._threads.of_ring(ring)
        if thread.rest:
            data, thread.rest = thread.rest + data, b""
        self._stream.thread(thread.number)
        unpack, offset, end, begin_ns = NARROW.unpack_from, 0, len(data), self._begin_ns
        if not thread.since_ns and end:
            thread.since_ns = max(unpack(data)[0], begin_ns)
        while offset < end:
            t_ns, kind, slots, flags, ref, one, two, three, four = unpack(data, offset)
            if not begin_ns <= t_ns < _LAST_NS:  # a viewer has nothing before its begin
                if kind == _STEP:
                    four = max(four - max(begin_ns - t_ns, 0), 0)
                t_ns = min(max(t_ns, begin_ns), _LAST_NS)
            if kind == _STEP:
                self._step(thread, t_ns, flags, ref, one, two, three, four)
                offset += SLOT
                continue
            following = offset + (slots or 1) * SLOT
            if following > end:
                thread.rest = data[offset:]
                return
            a, b = one | two << 32, three | four << 32
            if kind == _CHAIN:
                self._chain(thread, ref, a, b)
            elif slots > 1 or kind not in _LONG:
                payload = data[offset + SLOT : following]
                self._handle(thread, Happening(kind, t_ns, flags, ref, a, b, payload))
            offset = following

    def _handle(self, thread: Thread, event: Happening) -> None:
        if thread.step is not None:
            self._settle(thread, None, 0)
        handler = self._handlers.get(event.kind)
        if handler is not None:  # a future kind is skipped
            handler(thread, event)

    # --------------------------------------------------------------------------------------- steps

    def _birth(self, thread: Thread, event: Happening) -> None:
        if thread.held:  # it has a loop
            self._outside.release(thread)
        self._tasks.birth(thread, event)

    def _wide(self, thread: Thread, event: Happening) -> None:
        ready_ns, busy_ns, _, _ = PAIR.unpack_from(event.payload)
        _, t_ns, flags, ref, a, b, _ = event
        ready_ns, busy_ns = min(ready_ns, _LAST_NS), min(busy_ns, _LAST_NS)
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
        task = self._live.get(number) or self._unknown(thread, number, t_ns - ready_ns)
        if task is None:
            return
        thread.step = Step(task, t_ns, t_ns + busy_ns, ready_ns, flags, waker, site)
        if flags & _DONE:
            self._settle(thread, None, 0)

    def _unknown(self, thread: Thread, number: int, t_ns: int) -> TaskView | None:
        """Make up a task, if it has not ended."""
        self._outside.disown(number, t_ns)
        self._outside.release(thread)
        return self._tasks.unknown(thread, number, t_ns)

    def _chain(self, thread: Thread, site: int, number: int, kept: int) -> None:
        step = thread.step
        if step is None:  # it was lost
            return
        if step.task.number == number:
            self._settle(thread, self._sources.chain(site, step.task.source.code), kept)
        else:
            self._settle(thread, None, 0)

    def _settle(self, thread: Thread, chain: Chain | None, kept: int) -> None:
        """Draw the step that has ended (see `Steps.on_lane`)."""
        step, thread.step = thread.step, None
        assert step is not None
        task, flags = step.task, step.flags
        if thread.iterations is not None and not flags & _EAGER:
            thread.iterations.step(step)
        task.steps += 1
        lane = task.lane
        if lane is None:
            if flags & _EAGER:  # it ran within a step that is drawn later
                task.happened.clear()
            else:
                if thread.iterations is not None:
                    thread.iterations.begin()
                self._steps.on_thread(thread.row, step)
        else:
            self._suspended.pop(task.number, None)
            if not task.since_ns:  # it has been suspended since before the first record
                task.since_ns = min(thread.since_ns, step.resume_ns)
            stream, row = self._stream, lane.row
            resume_ns, last_ns = step.resume_ns, row.last_ns
            resume_ns = resume_ns if resume_ns > last_ns else last_ns
            stream.fiber_enter(resume_ns, lane.number, thread.group)
            self._steps.on_lane(row, step, chain, kept)
            suspend_ns, last_ns = step.suspend_ns, row.last_ns
            stream.fiber_leave(suspend_ns if suspend_ns > last_ns else last_ns)
        if flags & _DONE:
            self._tasks.finished(task, step.suspend_ns)
            return
        task.since_ns, task.chain = step.suspend_ns, chain
        if lane is not None:
            self._suspended[task.number] = task

    # ------------------------------------------------------------------ what tasks and threads do

    def _of_task(self, thread: Thread, event: Happening) -> None:
        task = self._live.get(event.a)
        if task is not None and len(task.happened) < _MOST_HAPPENED:
            task.happened.append(event)

    def _message(self, thread: Thread, event: Happening) -> None:
        whole = joined(thread, event)
        if whole is None:
            return
        if whole.a in self._live:
            self._of_task(thread, whole)
        else:
            self._messages.record(whole, whole.t_ns)

    def _of_span(self, thread: Thread, event: Happening) -> None:
        """OPEN, CLOSE, EVENT, ATTRIBUTE: of a task, or of a thread."""
        if event.a in self._live:
            self._of_task(thread, event)
        else:
            self._outside.record(thread, event)

    def _stack(self, thread: Thread, event: Happening) -> None:
        number, stack = self._threads.number(event.a), self._sources.stack(event.ref)
        if number is not None and stack:
            self._stream.sample(event.t_ns, number, stack)

    def _lost(self, thread: Thread, event: Happening) -> None:
        thread.text = None
        self._tasks.doubt()
        self._messages.show(event.t_ns, f"aperf: {event.a} records were lost here", WARNING)

    # -------------------------------------------------------------------------- gaps, time, the end

    def gap(self, t_ns: int, records: int) -> None:
        """Begin anew: the viewer was too slow, and records were left out up to here."""
        t_ns = min(max(t_ns, self._begin_ns), _LAST_NS)
        self._close(t_ns)
        text = f"aperf: the viewer was too slow; {records} records were left out here"
        self._messages.show(t_ns, text, WARNING)
        self._resume(t_ns)

    def sample(self, now_ns: int) -> None:
        """Show what goes on right now: waits that are not over, loops that are idle, plots."""
        self._tasks.rest(now_ns)
        self._outside.rest(now_ns)
        self._locks.rest(now_ns)
        self._gpu.rest(now_ns)
        for thread in self._threads.all:
            if thread.iterations is not None:
                self._stream.thread(thread.number)
                thread.iterations.rest(now_ns)
        self._plots.sample(now_ns)

    def finish(self, t_ns: int) -> None:
        """Close everything: there will be no more."""
        self._close(min(max(t_ns, self._begin_ns), _LAST_NS))

    def _close(self, t_ns: int) -> None:
        for thread in self._threads.all:
            if thread.step is not None:
                self._stream.thread(thread.number)
                self._settle(thread, None, 0)
            thread.forget()
        self._tasks.close(t_ns)
        self._outside.close()
        self._locks.close(t_ns)
        self._gpu.close(t_ns)
        self._frames.close(t_ns)
        for thread in self._threads.all:
            self._stream.thread(thread.number)
            if thread.iterations is not None:
                thread.iterations.close()
            thread.row.cut(0, t_ns)
