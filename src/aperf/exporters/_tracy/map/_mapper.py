"""Draws the records of one connection, in the order in which they were written.

A step is one record, written when it ends, followed by the CHAIN of where the task is suspended
then. What the task did in between (user spans, messages) was written before. So everything is kept
until the CHAIN has come, and the step is then drawn in one go: first what it waited for until it
ran, then which coroutines it left, what it did, and which coroutines it is in now.

When a coroutine began or ended within a step is not known. One that ended is shown to end where the
next thing begins that is known, and one that began, to begin where the last such thing ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aperf._recorder import BIRTH, NARROW, PAIR, SLOT, BirthFlag, Kind, LockFlag, LockOp, StepFlag

from ._devices import Devices
from ._iterations import Iterations
from ._lanes import MOST, Lanes
from ._locks import Locks
from ._messages import WARNING, Messages
from ._plots import Plots
from ._row import Row, Zone
from ._sources import UNKNOWN, Chain, Source, Sources
from ._spans import Spans
from ._task import Happening, Step, TaskView

if TYPE_CHECKING:
    from collections.abc import Callable

    from aperf.exporters._tracy._baseline import Baseline
    from aperf.model import RecordTables
    from aperf.protocol.tracy import Stream

__all__ = ("Mapper",)

_STEP: Final = int(Kind.STEP)
_CHAIN: Final = int(Kind.CHAIN)
_DONE, _FIRST, _EAGER = int(StepFlag.DONE), int(StepFlag.FIRST), int(StepFlag.EAGER)
_CANCELLED: Final = int(StepFlag.CANCELLED)
_UNCODED, _ADOPTED = int(BirthFlag.UNCODED), int(BirthFlag.ADOPTED)
#: Waits of a millisecond carry their stack and say who ended them.
LONG_NS: Final = 1_000_000
#: Being ready for so long without running is shown.
READY_NS: Final = 50_000
#: A wait that is not over is shown when it is so old.
OPEN_NS: Final = 100_000_000
READY_COLOR: Final = 0xB0A030


class _Thread:
    """A ring's thread, and the loop that runs on it."""

    __slots__ = ("group", "ident", "iterations", "lanes", "name", "number", "row", "step")

    def __init__(self, ring: int, ident: int, number: int, name: str, row: Row) -> None:
        self.ident = ident
        self.number = number
        self.name = name
        self.row = row
        self.group = ring + 1
        self.lanes: Lanes | None = None
        self.iterations: Iterations | None = None
        self.step: Step | None = None  #: it has ended; its CHAIN has not come yet


class Mapper:
    """Draws records.

    Args:
        stream: takes what is drawn; its strings hand out numbers for names and places.
        tables: what the numbers in records mean.
        baseline: the tasks that lived before the first record.
    """

    def __init__(self, stream: Stream, tables: RecordTables, baseline: Baseline) -> None:
        self._stream = stream
        self._strings = strings = stream.strings
        self._tables = tables
        self._baseline = baseline
        self._sources = Sources(strings, tables)
        self._messages = Messages(stream)
        self._spans = Spans(self._sources, tables, self._messages)
        self._plots = Plots(stream, strings)
        self._locks = Locks(stream, self._sources)
        self._devices = Devices(stream, strings, self._sources, tables)
        self._live = self._plots.count("live tasks")
        self._queue = self._plots.milliseconds("executor queue delay, ms")
        self._ready = self._sources.fixed("ready", READY_COLOR)
        self._threads: list[_Thread] = []
        self._numbers: dict[int, int] = {}
        self._tasks: dict[int, TaskView] = {}
        #: suspended tasks whose wait is not drawn yet, the longest one first
        self._suspended: dict[int, TaskView] = {}
        #: open user spans of threads: by owner, their ring and the spans by number
        self._owners: dict[int, tuple[int, dict[int, Zone]]] = {}
        self._rest: dict[int, bytes] = {}
        self._handlers: dict[int, Callable[[_Thread, Happening], None]] = {
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
            Kind.PLOT: self._plot,
            Kind.FRAME: self._frame,
            Kind.IMAGE: self._image,
            Kind.LOCK: self._lock,
            Kind.MEMORY: self._memory,
            Kind.GPU: self._gpu,
            Kind.SAMPLE: self._stack,
        }

    # --------------------------------------------------------------------------------------- input

    def feed(self, ring: int, data: bytes) -> None:
        """Take slots of one ring, in order; an event cut at the end waits for its rest."""
        rest = self._rest.pop(ring, None)
        if rest is not None:
            data = rest + data
        thread = self._thread(ring)
        self._stream.thread(thread.number)
        unpack, handlers, offset, end = NARROW.unpack_from, self._handlers, 0, len(data)
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
            if thread.step is not None and kind != _CHAIN:
                self._settle(thread, None, 0)
            handler = handlers.get(kind)
            if handler is not None:
                payload = data[offset + SLOT : following]
                a, b = one | two << 32, three | four << 32
                handler(thread, Happening(kind, t_ns, flags, ref, a, b, payload))
            offset = following or end

    def _thread(self, ring: int) -> _Thread:
        threads = self._threads
        while len(threads) <= ring:
            ident, name = self._tables.threads()[len(threads)]
            number = ident & 0x7FFF_FFFF or 1
            while number in self._numbers.values():
                number = number % 0x7FFF_FFFF + 1
            self._numbers[ident] = number
            self._strings.thread(number, name)
            threads.append(_Thread(len(threads), ident, number, name, Row(self._stream)))
        return threads[ring]

    def _loop(self, thread: _Thread) -> Lanes:
        """Return the lanes of a thread, which turns out to run a loop."""
        if thread.lanes is None:
            first = 1 + (thread.group - 1) * MOST
            thread.lanes = Lanes(first, thread.name, self._stream, self._strings)
            thread.iterations = Iterations(
                thread.row, thread.name, self._stream, self._sources, self._plots
            )
        return thread.lanes

    # ---------------------------------------------------------------------------------- birth, death

    def _birth(self, thread: _Thread, event: Happening) -> None:
        _, _, length, head = BIRTH.unpack_from(event.payload)
        name = (head + event.payload[SLOT:])[:length].decode("utf-8", "replace")
        source = self._sources.function(event.ref, bool(event.flags & _UNCODED))
        self._new_task(thread, event.a, source, name, event.t_ns)
        self._live.show_change(event.t_ns, len(self._tasks))

    def _new_task(
        self, thread: _Thread, number: int, source: Source, name: str, born_ns: int
    ) -> TaskView:
        lane = self._loop(thread).take()
        task = TaskView(number, source, name, born_ns, lane, thread.group - 1)
        self._tasks[number] = task
        return task

    def _task(self, thread: _Thread, number: int, t_ns: int) -> TaskView:
        """Return a task; one that was born before the first record is made up."""
        task = self._tasks.get(number)
        if task is None:
            born = self._baseline.born.get(number)
            if born is None:
                task = self._new_task(thread, number, self._sources.fixed(UNKNOWN), "", t_ns)
            else:
                source = self._sources.function(born.ref, bool(born.flags & _UNCODED))
                task = self._new_task(thread, number, source, born.name, born.t_ns)
        return task

    def _name(self, thread: _Thread, event: Happening) -> None:
        task = self._tasks.get(event.a)
        if task is not None:
            task.name = event.payload.rstrip(b"\0").decode("utf-8", "replace")

    def _abandon(self, thread: _Thread, event: Happening) -> None:
        task = self._tasks.get(event.a)
        if task is not None:
            self._end_elsewhere(task, event.t_ns)

    def _end_elsewhere(self, task: TaskView, t_ns: int) -> None:
        """End a task outside of any step of its own."""
        if task.lane is not None and task.lane.row.open:
            self._stream.thread(self._threads[task.loop].number)
            self._stream.fiber_enter(t_ns, task.lane.number, task.loop + 1)
            task.lane.row.cut(0, t_ns)
            self._stream.fiber_leave(t_ns)
        self._forget(task)

    def _forget(self, task: TaskView) -> None:
        del self._tasks[task.number]
        self._suspended.pop(task.number, None)
        lanes = self._threads[task.loop].lanes
        if task.lane is not None and lanes is not None:
            lanes.give_back(task.lane)

    # --------------------------------------------------------------------------------------- steps

    def _wide(self, thread: _Thread, event: Happening) -> None:
        ready_ns, busy_ns, _, _ = PAIR.unpack_from(event.payload)
        self._step(thread, event.t_ns, event.flags, event.ref, event.a, event.b, ready_ns, busy_ns)

    def _step(
        self,
        thread: _Thread,
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
        task = self._tasks.get(number) or self._task(thread, number, t_ns - ready_ns)
        thread.step = Step(task, t_ns, t_ns + busy_ns, ready_ns, flags, waker, site)
        if flags & _DONE:
            self._settle(thread, None, 0)

    def _chain(self, thread: _Thread, event: Happening) -> None:
        step = thread.step
        if step is None or step.task.number != event.a:
            return  # the step was lost
        self._settle(thread, self._sources.chain(event.ref, step.task.source.code), event.b)

    def _settle(self, thread: _Thread, chain: Chain | None, kept: int) -> None:
        """Draw the step that has ended.

        Args:
            thread: where it ran.
            chain: where the task is suspended now; None if it has ended, or the record was lost.
            kept: how many of the outermost coroutines it was suspended in before.
        """
        step, thread.step = thread.step, None
        assert step is not None
        task, stream = step.task, self._stream
        if thread.iterations is not None and not step.flags & _EAGER:
            thread.iterations.step(step)
        task.steps += 1
        self._suspended.pop(task.number, None)
        if task.lane is None:
            self._on_thread(thread, step)
        else:
            stream.fiber_enter(step.resume_ns, task.lane.number, thread.group)
            self._on_lane(task.lane.row, step, chain, kept)
            stream.fiber_leave(step.suspend_ns)
        if step.flags & _DONE:
            self._forget(task)
            self._live.show_change(step.suspend_ns, len(self._tasks))
            return
        task.since_ns, task.chain = step.suspend_ns, chain
        if task.lane is not None:
            self._suspended[task.number] = task

    def _on_thread(self, thread: _Thread, step: Step) -> None:
        """Draw a step of a task without a lane."""
        task, row, depth = step.task, thread.row, len(thread.row.open)
        happened, task.happened = task.happened, []
        if not happened:
            row.spot(step.resume_ns, step.suspend_ns, task.source)
            return
        row.begin(step.resume_ns, Zone(task.source), task.name)
        for happening in happened:
            t_ns = min(max(happening.t_ns, step.resume_ns), step.suspend_ns)
            self._spans.play(task, row, happening, t_ns)
        row.cut(depth, step.suspend_ns)
        task.spans.clear()  # they would have to stay open between steps of others

    def _on_lane(self, row: Row, step: Step, chain: Chain | None, kept: int) -> None:
        task = step.task
        if not row.open:
            row.begin(task.born_ns, Zone(task.source), *filter(None, (task.name,)))
            if not step.flags & _FIRST and task.since_ns == 0:
                kept = 0  # none of the coroutines is drawn yet
        if not step.flags & _FIRST:
            self._end_wait(row, step)
        cursor_ns = step.resume_ns
        happened, task.happened = task.happened, []
        for happening in happened:
            cursor_ns = min(max(happening.t_ns, cursor_ns), step.suspend_ns)
            if happening.kind == Kind.OPEN:
                self._make_room(row, step, happening, chain, kept, cursor_ns)
            self._spans.play(task, row, happening, cursor_ns)
        if step.flags & _DONE:
            if step.flags & _CANCELLED and row.open:
                row.open[0].texts.append("cancelled")
            row.cut(0, step.suspend_ns)
        elif chain is not None:
            self._nest(row, step, chain, kept, cursor_ns)

    def _end_wait(self, row: Row, step: Step) -> None:
        """Draw the wait before a step, or end it if it is drawn already."""
        task, resume_ns = step.task, step.resume_ns
        since_ns = task.since_ns or resume_ns
        is_long = resume_ns - since_ns >= LONG_NS
        is_ready = step.ready_ns >= READY_NS
        zone, task.waiting = task.waiting, None
        chain = task.chain or self._sources.chain(step.site, task.source.code)
        if zone is None:
            if not (is_long or is_ready):
                row.spot(since_ns, resume_ns, chain.wait)
                return
            zone = Zone(chain.wait)
            row.begin(since_ns, zone, stack=chain.stack if is_long else ())
        if is_ready:
            row.spot(max(since_ns, resume_ns - step.ready_ns), resume_ns, self._ready)
        waker = self._tasks.get(step.waker)
        if waker is not None and waker is not task:
            zone.texts.append(f"woken by {waker}")
        if row.open[-1] is zone:
            row.end(resume_ns)
        else:
            row.remove([zone], resume_ns)

    def _make_room(
        self,
        row: Row,
        step: Step,
        happening: Happening,
        chain: Chain | None,
        kept: int,
        t_ns: int,
    ) -> None:
        """Before a span begins: leave, or enter, the coroutines that lie around it."""
        code = self._sources.span(happening.ref, PAIR.unpack_from(happening.payload)[2]).code
        if code is None or chain is None:
            return
        for position in range(len(row.open) - 1, -1, -1):
            if row.open[position].source.code is code and row.open[position].index >= 0:
                self._leave(row, step, kept, t_ns, position + 1)
                return
        for position, frame in enumerate(chain.shown):
            if frame.code is code and frame.index >= kept:
                self._leave(row, step, kept, t_ns, 0)
                self._enter(row, step, chain, position + 1, t_ns)
                return

    def _leave(self, row: Row, step: Step, kept: int, t_ns: int, depth: int) -> bool:
        """Close the coroutines that have ended, above a depth; say whether there were any."""
        gone = [
            zone for zone in row.open[depth:] if zone.index >= kept and zone.step != step.task.steps
        ]
        if gone:
            row.remove(gone, t_ns)
        return bool(gone)

    def _enter(self, row: Row, step: Step, chain: Chain, count: int, t_ns: int) -> None:
        """Open the outermost coroutines of the chain, as far as they are not open yet."""
        known = {zone.index for zone in row.open if zone.index >= 0}
        for frame in chain.shown[:count]:
            if frame.index not in known:
                row.begin(t_ns, Zone(frame.source, frame.index, step.task.steps))

    def _nest(self, row: Row, step: Step, chain: Chain, kept: int, cursor_ns: int) -> None:
        """Let the row show the coroutines that the task is suspended in."""
        before = step.task.chain
        if kept == chain.depth and before is not None and before.depth == kept:
            return  # the same ones as before
        shown = chain.shown
        goes_on = bool(shown) and shown[-1].index >= kept
        self._leave(row, step, kept, cursor_ns if goes_on else step.suspend_ns, 1)
        if goes_on or len(row.open) <= len(shown):
            self._enter(row, step, chain, len(shown), cursor_ns)

    # --------------------------------------------------------------------- what tasks and threads do

    def _of_task(self, thread: _Thread, event: Happening) -> None:
        task = self._tasks.get(event.a)
        if task is not None:
            task.happened.append(event)

    def _message(self, thread: _Thread, event: Happening) -> None:
        task = self._tasks.get(event.a) if event.a else None
        if task is not None:
            task.happened.append(event)
        else:
            self._messages.record(event, event.t_ns)

    def _of_span(self, thread: _Thread, event: Happening) -> None:
        """OPEN, CLOSE, EVENT, ATTRIBUTE: of a task, or of a thread."""
        task = self._tasks.get(event.a)
        if task is not None:
            task.happened.append(event)
            return
        ring, spans = self._owners.get(event.a, (thread.group - 1, {}))
        if event.kind == Kind.OPEN:
            self._owners[event.a] = ring, spans
            self._spans.open(spans, thread.row, event, event.t_ns, 0)
        elif event.kind == Kind.CLOSE and ring == thread.group - 1:
            self._spans.close(spans, thread.row, event.b, event.t_ns)
            if not spans:
                self._owners.pop(event.a, None)

    def _job(self, thread: _Thread, event: Happening) -> None:
        queue_ns, run_ns, _, _ = PAIR.unpack_from(event.payload)
        source = self._sources.function(event.ref, bool(event.flags & 1))
        task = self._tasks.get(event.a)
        texts = (f"for {task}",) if task is not None else ()
        thread.row.spot(event.t_ns, event.t_ns + run_ns, source, texts)
        self._queue.show(event.t_ns, queue_ns)

    def _plot(self, thread: _Thread, event: Happening) -> None:
        self._plots.record(event.t_ns, event.flags, self._tables.name(event.ref), event.a)

    def _frame(self, thread: _Thread, event: Happening) -> None:
        self._devices.frame(event.t_ns, event.flags, event.ref)

    def _image(self, thread: _Thread, event: Happening) -> None:
        self._devices.image(event.a)

    def _memory(self, thread: _Thread, event: Happening) -> None:
        _, t_ns, flags, ref, a, b, payload = event
        self._devices.memory(thread.number, t_ns, flags, ref, a, b, payload)

    def _gpu(self, thread: _Thread, event: Happening) -> None:
        _, t_ns, flags, ref, a, b, payload = event
        self._devices.gpu(thread.number, t_ns, flags, ref, a, b, payload)

    def _stack(self, thread: _Thread, event: Happening) -> None:
        number = self._numbers.get(event.a)
        if number is not None:
            self._stream.sample(event.t_ns, number, self._sources.stack(event.ref))

    def _lock(self, thread: _Thread, event: Happening) -> None:
        if event.flags & 15 == LockOp.ANNOUNCE:
            name, shared = self._tables.name(event.ref), bool(event.flags & LockFlag.SHARED)
            self._locks.announce(event.t_ns, event.a, name, shared=shared)
            return
        number = thread.number
        if event.flags & LockFlag.OF_THREAD:
            number = self._numbers.get(event.b, number)
        else:
            task = self._tasks.get(event.b)
            if task is not None and task.lane is not None:
                number = task.lane.thread(self._strings)
        self._locks.record(event.t_ns, event.flags, event.a, number)

    def _lost(self, thread: _Thread, event: Happening) -> None:
        self._messages.show(event.t_ns, f"aperf: {event.a} records were lost here", WARNING)

    # -------------------------------------------------------------------------- gaps, time, the end

    def gap(self, t_ns: int, slots: int) -> None:
        """Close everything: the viewer was too slow, and records were left out up to here."""
        self._rest.clear()
        for thread in self._threads:
            thread.step = None
        self._close(t_ns)
        self._messages.show(
            t_ns, f"aperf: the viewer was too slow; {slots} records were left out here", WARNING
        )

    def sample(self, now_ns: int) -> None:
        """Show what goes on right now: waits that are not over, loops that are idle, plots."""
        oldest = now_ns - OPEN_NS
        for number, task in list(self._suspended.items()):
            if task.since_ns > oldest:
                break
            del self._suspended[number]
            self._show_wait(task)
        for thread in self._threads:
            if thread.iterations is not None:
                self._stream.thread(thread.number)
                thread.iterations.tick(now_ns)
        self._plots.sample(now_ns)

    def _show_wait(self, task: TaskView) -> None:
        chain = task.chain
        if task.lane is None or chain is None:
            return
        self._stream.thread(self._threads[task.loop].number)
        self._stream.fiber_enter(task.since_ns, task.lane.number, task.loop + 1)
        task.waiting = Zone(chain.wait)
        task.lane.row.begin(task.since_ns, task.waiting, stack=chain.stack)
        self._stream.fiber_leave(task.since_ns)

    def finish(self, t_ns: int) -> None:
        """Close everything: there will be no more."""
        for thread in self._threads:
            if thread.step is not None:
                self._stream.thread(thread.number)
                self._settle(thread, None, 0)
        self._close(t_ns)

    def _close(self, t_ns: int) -> None:
        for task in list(self._tasks.values()):
            self._end_elsewhere(task, t_ns)
        for thread in self._threads:
            self._stream.thread(thread.number)
            if thread.iterations is not None:
                thread.iterations.close()
            thread.row.cut(0, t_ns)
        self._owners.clear()
