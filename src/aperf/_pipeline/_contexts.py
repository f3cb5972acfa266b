"""Spans of OpenTelemetry that are current in tasks: from their records to parents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aperf._recorder._layout import PAIR

from ._bits import Context, Row
from ._traces import OpenSpan, Outer, TaskState

if TYPE_CHECKING:
    from ._family import Family

__all__ = ("Contexts",)


class Contexts:
    """What OpenTelemetry shows in the tasks of one session.

    Args:
        live: the live tasks by number.
        family: knows traces.
    """

    def __init__(self, live: dict[int, TaskState], family: Family) -> None:
        self._live = live
        self._family = family
        #: by ring: what the next record is about, a birth or a user span outside of tasks
        self._coming: dict[int, tuple[int, Outer | None]] = {}

    def context(
        self, ring: int, t_ns: int, flags: int, ref: int, a: int, b: int, payload: bytes
    ) -> None:
        """CONTEXT: another span is current."""
        outer = None
        if not flags & Context.NONE:
            hi, lo, started_ns, _ = PAIR.unpack_from(payload)
            sampled = Row.SAMPLED if flags & Context.SAMPLED else 0
            outer = Outer(self._family.foreign(hi, lo, sampled, t_ns), b, flags, started_ns)
        task = self._live.get(a)
        if task is None:
            self._coming[ring] = a, outer
        elif outer is None or outer.is_at(task.inherited) or outer.flags & Context.ENDED:
            task.outer = None
        else:
            task.outer = outer

    def take(self, ring: int, number: int) -> Outer | None:
        """Return what is current where this task or thread begins something."""
        coming = self._coming.pop(ring, None) if self._coming else None
        return coming[1] if coming is not None and coming[0] == number else None

    def around(self, task: TaskState | None, ring: int, owner: int) -> Outer | None:
        """Return the span that is current where a user span begins."""
        return self.take(ring, owner) if task is None else task.outer or task.inherited

    def opened_in(
        self, task: TaskState | None, parent: OpenSpan | None, around: Outer | None
    ) -> Outer | None:
        """Return the span in which a user span begins, unless its parent is further inside."""
        if task is not None:
            return None if task.outer is None or task.hides(task.outer) else task.outer
        if around is None or around.flags & Context.ENDED:
            return None
        return None if parent is not None and parent.around == around.span else around

    def copy(self, task: TaskState, known: TaskState) -> None:
        """Let a task know what another session knows of it."""
        task.inherited, task.outer = self._copied(known.inherited), self._copied(known.outer)

    def _copied(self, outer: Outer | None) -> Outer | None:
        if outer is None:
            return None
        trace = outer.trace
        mine = self._family.foreign(trace.hi, trace.lo, trace.flags, trace.start_ns)
        return outer._replace(trace=mine)
