"""Steps of tasks: what they waited for, what they did, and what they wait in now.

When a coroutine began or ended within a step is not known. One that ended is shown to end where the
next thing begins that is known, and one that began, to begin where the last such thing ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aperf._recorder import PAIR, Kind, StepFlag

from ._row import Row, Zone
from ._sources import UNKNOWN

if TYPE_CHECKING:
    from ._sources import Chain, Sources
    from ._spans import Spans
    from ._task import Happening, Roll, Step, TaskView

__all__ = ("Steps",)

_OPEN, _CLOSE = int(Kind.OPEN), int(Kind.CLOSE)
_DONE, _FIRST = int(StepFlag.DONE), int(StepFlag.FIRST)
_CANCELLED: Final = int(StepFlag.CANCELLED)
#: Waits of a millisecond carry their stack and say who ended them.
LONG_NS: Final = 1_000_000
#: Being ready for so long without running is shown.
READY_NS: Final = 50_000
READY_COLOR: Final = 0xB0A030


class Steps:
    """Draws steps.

    Args:
        sources: gives locations.
        spans: draws what a task does in a step.
        roll: tasks that may have woken others.
    """

    def __init__(self, sources: Sources, spans: Spans, roll: Roll) -> None:
        self._sources = sources
        self._spans = spans
        self._roll = roll
        self._ready = sources.fixed("ready", READY_COLOR)

    def on_thread(self, row: Row, step: Step) -> None:
        """Draw a step of a task that has no lane, on the thread where it ran."""
        task, depth = step.task, len(row.open)
        happened, task.happened = task.happened, []
        if not happened:
            row.spot(step.resume_ns, step.suspend_ns, task.source)
            return
        task.zone = Zone(task.source)
        row.begin(step.resume_ns, task.zone, *filter(None, (task.name,)))
        for happening in happened:
            t_ns = min(max(happening.t_ns, step.resume_ns), step.suspend_ns)
            self._spans.play(task, row, happening, t_ns)
        row.cut(depth, step.suspend_ns)
        task.spans.clear()  # they would have to stay open between steps of others
        task.zone = None

    def on_lane(self, row: Row, step: Step, chain: Chain | None, kept: int) -> None:
        """Draw a step on its task's lane.

        Args:
            row: the lane's.
            step: what has ended.
            chain: where the task is suspended now; None if it has ended, or the record was lost.
            kept: how many of the outermost coroutines it was suspended in before.
        """
        task = step.task
        if task.zone is None:
            self.begin(row, task, chain)
        if not step.flags & _FIRST:
            if kept and chain is not None and task.chain is None and task.waiting is None:
                self._enter_kept(row, step, chain, kept)
            self._end_wait(row, step)
        t_ns = self._play(row, step, chain, kept) if task.happened else step.resume_ns
        if step.flags & _DONE:
            if step.flags & _CANCELLED:
                row.open[0].describe("", "cancelled")
            row.cut(0, step.suspend_ns)
            task.zone = None
        elif chain is not None:
            self._nest(row, step, chain, kept, t_ns)

    def begin(self, row: Row, task: TaskView, chain: Chain | None = None) -> None:
        """Begin the zone of a task on its lane's row."""
        if task.source.name == UNKNOWN and chain is not None and chain.root is not None:
            task.source = chain.root
        task.zone = Zone(task.source)
        row.begin(task.born_ns, task.zone, *filter(None, (task.name,)))

    def _enter_kept(self, row: Row, step: Step, chain: Chain, kept: int) -> None:
        """Open the coroutines that were there before the first step that is known."""
        count = sum(frame.place < kept for frame in chain.shown)
        self._enter(row, step, chain, count, step.task.since_ns or step.resume_ns)

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
        waker = self._roll.find(step.waker)
        if waker is not None and waker is not task:
            zone.describe("", f"woken by {waker}")
        row.remove([zone], resume_ns)

    # --------------------------------------------------------------------------- within the step

    def _play(self, row: Row, step: Step, chain: Chain | None, kept: int) -> int:
        """Draw what the task did; return when it did the last thing."""
        task, t_ns = step.task, step.resume_ns
        happened, task.happened = task.happened, []
        closed = {happening.b for happening in happened if happening.kind == _CLOSE}
        for happening in happened:
            t_ns = min(max(happening.t_ns, t_ns), step.suspend_ns)
            if happening.kind == _OPEN and chain is not None:
                stays = happening.b not in closed
                self._make_room(row, step, happening, chain, kept, t_ns, stays=stays)
            elif happening.kind == _CLOSE and happening.b in task.spans:
                depth = row.open.index(task.spans[happening.b]) + 1
                self._leave(row, step, kept, t_ns, depth)  # what was called in it has ended
            self._spans.play(task, row, happening, t_ns)
        return t_ns

    def _make_room(
        self,
        row: Row,
        step: Step,
        happening: Happening,
        chain: Chain,
        kept: int,
        t_ns: int,
        *,
        stays: bool,
    ) -> None:
        """Before a span begins: leave, or enter, the coroutines that lie around it.

        One that is still open at the end of the step (`stays`) is in a coroutine that is suspended
        there, and not in one of the same function that has ended.
        """
        code = self._sources.span(happening.ref, PAIR.unpack_from(happening.payload)[2]).code
        if code is None:
            return
        for position in range(len(row.open) - 1, -1, -1):
            zone = row.open[position]
            has_ended = zone.index >= kept and zone.step != step.task.steps
            is_coroutine = zone.index >= 0 or zone is step.task.zone
            if zone.source.code is code and is_coroutine and not (stays and has_ended):
                self._leave(row, step, kept, t_ns, position + 1)
                return
        for position, frame in enumerate(chain.shown):
            if frame.code is code and frame.place >= kept:
                self._leave(row, step, kept, t_ns, 0)
                self._enter(row, step, chain, position + 1, t_ns)
                return

    def _leave(self, row: Row, step: Step, kept: int, t_ns: int, depth: int) -> None:
        """Close the coroutines that have ended, above a depth."""
        number = step.task.steps
        gone = [zone for zone in row.open[depth:] if zone.index >= kept and zone.step != number]
        if gone:
            row.remove(gone, t_ns)

    def _enter(self, row: Row, step: Step, chain: Chain, count: int, t_ns: int) -> None:
        """Open the outermost coroutines of the chain, as far as they are not open yet."""
        known = {zone.index for zone in row.open}
        for frame in chain.shown[:count]:
            if frame.place not in known:
                row.begin(t_ns, Zone(frame.source, frame.place, step.task.steps))

    def _nest(self, row: Row, step: Step, chain: Chain, kept: int, t_ns: int) -> None:
        """Let the row show the coroutines that the task is suspended in."""
        before = step.task.chain
        if before is not None and kept == chain.depth == before.depth:
            return  # the same ones as before
        goes_on = bool(chain.shown) and chain.shown[-1].place >= kept
        self._leave(row, step, kept, t_ns if goes_on else step.suspend_ns, 1)
        self._enter(row, step, chain, len(chain.shown), t_ns)
