"""Records become spans: a pure function of what was drained, without clock, thread or environment.

Theory of operation. The records of a task are its birth and its steps, in order. Between two steps
lies a wait: from the end of the one to the start of the next, of which the last part, from the
wake-up on, the task was ready and only the loop was busy. So each step closes one await span, and
the three times busy, ready and waiting are sums of neighbouring differences: they add up to the
lifetime to the nanosecond, whatever is recorded.

A row is made for each span as it ends. What a row refers to by index stands in `Tables`; ids are
pure functions (`aperf._ids`), so nothing has to be remembered of a span once it is a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aperf._ids import AWAITS, Ids
from aperf._recorder._layout import BIRTH, NARROW, PAIR, SLOT, Kind
from aperf.model import LongStep, ThreadInfo, TimeAnchor, UnfinishedTask

from ._bits import Birth, Context, Row, Step
from ._calls import Calls
from ._closings import Closings
from ._contexts import Contexts
from ._endings import Endings
from ._family import Family, Rules
from ._jobs import Jobs
from ._meter import StepMeter
from ._report import unfinished_tasks
from ._rows import Rows
from ._tasks import Tasks
from ._totals import Totals
from ._traces import Live, OpenSpan, Outer, TaskState
from ._user_spans import UserSpans

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ._tables import Tables

__all__ = ("Assembler",)

_WAIT_CANCELLED: Final = Step.WAIT_CANCELLED
_CANCELLED: Final = Step.WAIT_CANCELLED | Step.CANCELLED
_DONE: Final = Step.DONE
_FIRST: Final = Step.FIRST
_STEP, _CHAIN = int(Kind.STEP), int(Kind.CHAIN)


class Assembler:
    """Turns the records of one session into rows and statistics.

    Args:
        tables: names of what records refer to.
        ids: names traces and spans.
        anchor: ties the recorder's clock to wall time; may be renewed.
        rules: how spans hang together.
        rows: whether anybody wants rows; statistics are kept anyway.

    Attributes:
        steps: how many steps.
        suspensions: how many suspensions ended.
        live: the live tasks by number.
        unfinished: those that were live when the session ended.
    """

    def __init__(
        self, tables: Tables, ids: Ids, anchor: TimeAnchor, rules: Rules, *, rows: bool = True
    ) -> None:
        self.tables = tables
        self.totals = Totals()
        self.steps = self.suspensions = 0
        self._tasks = Tasks()
        self.live = self._tasks.live
        self._await_min_ns = rules.await_min_ns
        self._rest: dict[int, bytes] = {}
        self._step_ends: dict[int, int] = {}
        self.unfinished: tuple[UnfinishedTask, ...] = ()
        self.rows = Rows(tables, wanted=rows)
        self.family = Family(ids, anchor, rules)
        self._contexts = Contexts(self.live, self.family)
        self.users = UserSpans(self.live, tables, self.rows, self.family, self._contexts)
        self.calls = Calls(self.live, tables, self.rows, self.family)
        self._endings = Endings(self._tasks, tables, self.totals)
        self._jobs = Jobs(self._tasks, tables, self.rows, self.family)
        self._meter: StepMeter | None = None
        self._closings: Closings | None = None
        self._handlers: dict[int, Callable[[int, int, int, int, int, int, bytes], None]] = {
            Kind.WIDE: self._wide,
            Kind.BIRTH: self._birth,
            Kind.NAME: self._name,
            Kind.ABANDON: self._abandon,
            Kind.FAILURE: self._endings.failure,
            Kind.MORE: self._endings.more,
            Kind.OPEN: self.users.open,
            Kind.CLOSE: self.users.close,
            Kind.EVENT: self.users.event,
            Kind.ATTRIBUTE: self.users.attribute,
            Kind.SUBMIT: self._jobs.submitted,
            Kind.JOB: self._jobs.done,
            Kind.CONTEXT: self._contexts.context,
            Kind.LOST: self._lost,
        }
        if rules.calls:
            self._handlers |= {Kind.CALL: self.calls.ended, Kind.IN_CALL: self.calls.suspended}

    @property
    def tasks(self) -> int:
        """How many tasks were seen."""
        return self._tasks.count

    @property
    def awaits(self) -> int:
        """How many awaits ended: suspensions, and calls without one."""
        return self.suspensions + self.calls.awaits

    def names_tasks(self, ids: Ids) -> bool:
        """Say whether tasks become spans under these ids, each a child of whoever made it."""
        family = self.family
        is_child = family.rules.task_parent in (None, "child")
        return self.rows.wanted and is_child and family.ids is ids

    def measure(self) -> StepMeter:
        """Sum from now on also what only metrics show, and return where."""
        if self._meter is None:
            self._meter = self._jobs.meter = StepMeter()
        return self._meter

    def note_closings(self) -> Closings:
        """Note from now on what becomes of each span of a task or the program, and return where."""
        if self._closings is None:
            self._closings = self.users.closings = Closings(self.tables)
        return self._closings

    # ------------------------------------------------------------------------------------- input

    def feed(self, ring: int, data: bytes) -> None:
        """Take slots of one ring, in order; an event cut at the end waits for its rest."""
        rest = self._rest.pop(ring, None)
        if rest is not None:
            data = rest + data
        unpack, step, offset, end = NARROW.unpack_from, self._step, 0, len(data)
        while offset < end:
            t_ns, kind, slots, flags, ref, one, two, three, four = unpack(data, offset)
            if kind == _STEP:
                step(ring, t_ns, flags, ref, one, two, three, four)
                offset += SLOT
                continue
            if kind == _CHAIN:  # for those who take records: there is one for each suspension
                offset += SLOT
                continue
            following = offset + slots * SLOT
            if following > end:
                self._rest[ring] = data[offset:]
                return
            handler = self._handlers.get(kind)
            if handler is not None:  # a future kind is skipped
                payload = data[offset + SLOT : following]
                handler(ring, t_ns, flags, ref, one | two << 32, three | four << 32, payload)
            offset = following or end

    def add_thread(self, thread: ThreadInfo) -> None:
        """Name the thread of the next ring."""
        self.tables.threads.append(thread)

    # ------------------------------------------------------------------------------------- steps

    def _wide(
        self, ring: int, t_ns: int, flags: int, ref: int, a: int, b: int, payload: bytes
    ) -> None:
        ready_ns, busy_ns, _, _ = PAIR.unpack_from(payload)
        self._step(ring, t_ns, flags, ref, a, b, ready_ns, busy_ns)

    def _step(
        self,
        ring: int,
        t_ns: int,
        flags: int,
        site: int,
        number: int,
        waker: int,
        ready_ns: int,
        busy_ns: int,
    ) -> None:
        """One step of a task: close the wait before it, and account for its time. The hot path."""
        task = self.live.get(number)
        if task is None:
            task = self._unknown(number, t_ns - ready_ns, ring)
        since_ns = task.since_ns
        gap_ns = t_ns - since_ns
        if gap_ns < 0:  # it ran already when the session began: only the rest of it counts
            busy_ns = max(0, busy_ns + gap_ns)
            t_ns, gap_ns = since_ns, 0
            flags |= _FIRST
        if task.marks and self._closings is not None:
            self._closings.settle(task, gap_ns)
        if flags & _FIRST:
            ready_ns = gap_ns
            if flags & Step.EAGER:
                task.flags |= Row.EAGER
        else:
            if ready_ns > gap_ns:
                ready_ns = gap_ns
            waiting_ns = gap_ns - ready_ns
            task.waiting_ns += waiting_ns
            self.suspensions += 1
            template, entry = self.tables.wait(site)
            entry.waits.add(waiting_ns)
            entry.ready_ns += ready_ns
            if flags & _CANCELLED:
                self._endings.note_cancellation(task, waker, flags)
            if gap_ns >= self._await_min_ns:
                task.awaits += 1
                task.await_trace.spans += 1
                self.rows.spans += 1
                if self.rows.wanted:
                    self._await_row(task, template, since_ns, t_ns, ready_ns, waker, flags)
        task.ready_ns += ready_ns
        task.busy_ns += busy_ns
        task.steps += 1
        task.since_ns = end_ns = t_ns + busy_ns
        self.steps += 1
        self._step_ends[ring] = end_ns
        # An eager step lies within that of its creator, and waited for no loop.
        if self._meter is not None and not flags & Step.EAGER:
            self._meter.step(ring, ready_ns, busy_ns)
        if busy_ns > self.totals.long_steps.threshold_ns:
            self._long_step(task, site, t_ns, busy_ns)
        if flags & _DONE:
            self._end(task, end_ns, flags)
            return
        if task.open or task.outer is not None:
            task.wait()
        else:
            task.await_parent, task.await_trace = task.inside, task.trace
        if self.family.is_old(task.trace, end_ns):
            self._cut(task, end_ns)

    def _await_row(
        self,
        task: TaskState,
        template: int,
        start_ns: int,
        end_ns: int,
        ready_ns: int,
        waker: int,
        flags: int,
    ) -> None:
        trace = task.await_trace
        offset = trace.offset_ns
        row_flags = trace.flags
        if flags & _WAIT_CANCELLED or task.losses != self._tasks.losses:
            row_flags |= self._await_flags(task, flags)
        link_hi = link_lo = link_span = 0
        if waker and waker != task.id:
            by = self._tasks.known(waker)
            if by is not None:
                link_hi, link_lo, link_span = by.trace.hi, by.trace.lo, by.span
        self.rows.extend(
            (
                template,
                row_flags,
                trace.hi,
                trace.lo,
                self.family.ids.span(task.base, AWAITS + task.awaits),
                task.await_parent,
                start_ns + offset,
                end_ns + offset,
                task.id,
                0,
                ready_ns,
                end_ns - start_ns - ready_ns,
                0,
                0,
                0,
                0,
                link_hi,
                link_lo,
                link_span,
            )
        )

    def _await_flags(self, task: TaskState, flags: int) -> int:
        result = 0
        if flags & Step.WAIT_CANCELLED:
            result |= Row.CANCELLED
            if flags & Step.BY_TIMEOUT:
                result |= Row.TIMEOUT
            elif flags & Step.BY_CALLBACK:
                result |= Row.CALLBACK
        if task.losses != self._tasks.losses:
            task.losses = self._tasks.losses
            task.flags |= Row.INCOMPLETE
            result |= Row.INCOMPLETE
        return result

    def _long_step(self, task: TaskState, site: int, t_ns: int, busy_ns: int) -> None:
        place = self.tables.wait(site)[1].place if site else task.coroutine.place
        self.totals.long_steps.offer(
            LongStep(
                coroutine=task.coroutine.name,
                task=task.name,
                task_id=task.id,
                function=place.function,
                file=place.file,
                line=place.line,
                start_ns=t_ns + task.trace.offset_ns,
                duration_ns=busy_ns,
            )
        )

    # -------------------------------------------------------------------------- births and deaths

    def _birth(
        self, ring: int, t_ns: int, flags: int, ref: int, a: int, b: int, payload: bytes
    ) -> None:
        owner, seq, length, head = BIRTH.unpack_from(payload)
        task = self._new_task(a, ref, bool(flags & Birth.UNCODED), t_ns, ring)
        task.name = (head + payload[SLOT:])[:length].decode("utf-8", "replace")
        task.creator = b
        if flags & Birth.ADOPTED:
            task.flags |= Row.ADOPTED
        creator = self.live.get(b) if b else None
        # A span of the creator's own, or of no task at all: one that the creator itself inherited
        # lies above the creator already.
        opened = self.users.find(owner, seq) if seq and (not b or owner == b) else None
        outer = self._contexts.take(ring, a)
        if flags & Birth.ADOPTED:
            # Where it is suspended. Whether it has opened that span itself, nobody has seen.
            if outer is not None and not outer.flags & Context.ENDED:
                task.outer = outer if _is_innermost(outer, creator, opened) else None
            self.family.place(task, creator, opened, inherited=False)
            task.wait()
            return
        task.inherited = outer
        if flags & Birth.SUPPRESSED:
            self.family.root(task, flags=0)
            return
        if outer is not None and _is_innermost(outer, creator, opened):
            inherited = bool(flags & Birth.CALLBACK) and not self._is_attached(outer, ring)
            self.family.place(task, creator, outer, inherited=inherited)
            return
        inherited = (
            bool(flags & Birth.CALLBACK)
            and opened is not None
            and (opened.owner in self.live or opened.start_ns <= self._step_ends.get(ring, 0))
        )
        self.family.place(task, creator, opened, inherited=inherited)

    def _is_attached(self, outer: Outer, ring: int) -> bool:
        """Say whether a plain callback made a span current itself, instead of inheriting it."""
        if outer.flags & Context.REMOTE:
            return not outer.flags & Context.SEEN
        return outer.started_ns > self._step_ends.get(ring, 0)

    def _new_task(self, number: int, ref: int, uncoded: bool, t_ns: int, ring: int) -> TaskState:
        return self._tasks.begin(number, self.tables.coroutine(ref, uncoded), t_ns, ring)

    def _unknown(self, number: int, t_ns: int, ring: int) -> TaskState:
        """Make up a task whose birth was lost."""
        task = self._new_task(number, 0, False, t_ns, ring)
        task.flags |= Row.ADOPTED | Row.INCOMPLETE
        self.family.root(task)
        return task

    def _name(
        self, ring: int, t_ns: int, flags: int, ref: int, a: int, b: int, payload: bytes
    ) -> None:
        task = self.live.get(a)
        if task is not None:
            task.name = payload.rstrip(b"\0").decode("utf-8", "replace")

    def _abandon(
        self, ring: int, t_ns: int, flags: int, ref: int, a: int, b: int, payload: bytes
    ) -> None:
        task = self.live.get(a)
        if task is not None:
            self._account(task, t_ns, running=False, first=not task.steps)
            task.flags |= Row.UNFINISHED
            self._end(task, task.since_ns, 0)

    def _account(self, task: TaskState, t_ns: int, *, running: bool, first: bool) -> None:
        """Account for a task's time since its last record; there will be no other."""
        if task.marks and self._closings is not None:
            # Before a step that still runs it waited, too, but how long is not known.
            self._closings.settle(task, 0 if running else max(0, t_ns - task.since_ns))
        task.account(t_ns, running=running, first=first)

    def _end(self, task: TaskState, end_ns: int, flags: int) -> None:
        """A task is over: its last row, its part of the statistics."""
        self._tasks.end(task)
        message = self._endings.end(task, end_ns, flags)
        self.calls.abandon(task, end_ns)
        self.users.abandon(task, end_ns)
        self._close(task, message)
        if task.segment:
            self.family.rules.moves(task.id, 0)

    def _close(self, task: TaskState, message: str = "") -> None:
        """Close the task's segment: its row, and its sums into those of the coroutine."""
        task.coroutine.add(task.steps, task.busy_ns, task.ready_ns, task.waiting_ns)
        if task.losses != self._tasks.losses:
            task.losses = self._tasks.losses
            task.flags |= Row.INCOMPLETE
        self.rows.task(task, message)
        if self._closings is not None:
            self._closings.task(task)

    # ----------------------------------------------------------------------------------- segments

    def _cut(self, task: TaskState, t_ns: int) -> None:
        """Deliver what there is of a task, which goes on elsewhere, unless a user span is open."""
        opener = task.trace.opener
        if task.open or task.outer is not None or (opener is not None and not opener.closed):
            return
        flags = task.flags
        task.flags |= Row.SEGMENT
        calls = self.calls.cut(task, t_ns)
        self._close(task)
        task.flags = flags & ~Row.REMOTE_PARENT
        self.family.next_segment(task, self.live.get(task.creator), t_ns)
        self.calls.go_on(task, t_ns, calls)
        task.wait()

    def _lost(
        self, ring: int, t_ns: int, flags: int, ref: int, a: int, b: int, payload: bytes
    ) -> None:
        self._tasks.losses += 1

    # -------------------------------------------------------------------------------- begin and end

    def adopt(self, other: Assembler, t_ns: int) -> None:
        """Begin with the tasks that another session sees alive, as if they had been adopted now."""
        for known in list(other.live.values()):
            coroutine = self.tables.copy(known.coroutine, other.tables)
            task = self._tasks.begin(known.id, coroutine, t_ns, known.ring)
            task.name, task.steps = known.name, 0
            task.flags |= Row.ADOPTED
            self.family.root(task)
            self._contexts.copy(task, known)
            self.calls.adopt(other.calls, task, t_ns)
            task.wait()

    def finish(self, t_ns: int, live: Iterable[Live]) -> None:
        """End the session: what is still open ends now, and says so.

        Args:
            t_ns: the recorder's time.
            live: the recorder's view of the live tasks (`Recorder.live`).
        """
        states = {state[0]: Live(*state) for state in live}
        self.unfinished = unfinished_tasks(self.live.values(), states, self.tables, t_ns)
        for task in list(self.live.values()):
            state = states.get(task.id) or Live(task.id, 0, 0, not task.steps, False)
            if not (state.running or state.first):
                self._unfinished_await(task, state.site, t_ns)
            self._account(task, t_ns, running=state.running, first=state.first)
            task.flags |= Row.UNFINISHED
            self._end(task, task.since_ns, 0)
        self.users.finish(t_ns)

    def _unfinished_await(self, task: TaskState, site: int, t_ns: int) -> None:
        template, entry = self.tables.wait(site)
        task.awaits += 1
        self.suspensions += 1
        span = self.family.ids.span(task.base, AWAITS + task.awaits)
        waiting_ns = max(0, t_ns - task.since_ns)
        entry.waits.add(waiting_ns)
        self.rows.add(
            template, task.await_trace, span, task.await_parent, task.since_ns,
            task.since_ns + waiting_ns, flags=Row.UNFINISHED, task=task.id, waiting_ns=waiting_ns,
        )  # fmt: skip


def _is_innermost(outer: Outer, creator: TaskState | None, opened: OpenSpan | None) -> bool:
    """Say whether OpenTelemetry's span is further inside than whatever else a task is made in."""
    if creator is not None:
        return not (outer.is_at(creator.inherited) or creator.hides(outer))
    return opened is None or opened.around != outer.span
