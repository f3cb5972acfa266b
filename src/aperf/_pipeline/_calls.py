"""Awaited coroutines (`awaits="all"`): from their records to rows.

A coroutine that never suspended is one record, written when it is over. One that suspends is known
before: its IN_CALL says that it is open, so that the awaits in it have a parent already.

A call lies in what was innermost when it began: a user span that was opened since its parent call
began, else that call, else the task. The recorder keeps user spans and calls apart; their times
tell. User spans in turn lie in user spans and tasks only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aperf._ids import CALLS
from aperf._recorder._layout import PAIR

from ._bits import Call, Row

if TYPE_CHECKING:
    from ._family import Family
    from ._rows import Rows
    from ._tables import Tables
    from ._traces import OpenSpan, TaskState

__all__ = ("Calls",)


class OpenCall:
    """A coroutine that is awaited, in which its task has been suspended.

    Attributes:
        seq: its number within the task.
        site: number of the site of its code.
        template: of its span.
        start_ns: its begin, or that of the task's segment.
        holder: the innermost user span in which it began, or its task.
        span: id of its span.
        parent: id of its parent's.
    """

    __slots__ = ("holder", "parent", "seq", "site", "span", "start_ns", "template")

    def __init__(
        self, seq: int, site: int, template: int, start_ns: int, holder: TaskState | OpenSpan
    ) -> None:
        self.seq = seq
        self.site = site
        self.template = template
        self.start_ns = start_ns
        self.holder = holder
        self.span = self.parent = 0


class Calls:
    """The calls of one session.

    Args:
        live: the live tasks by number.
        tables: names of what records refer to.
        rows: where finished spans go.
        family: names spans.

    Attributes:
        awaits: how many ended without a suspension in them.
    """

    def __init__(
        self, live: dict[int, TaskState], tables: Tables, rows: Rows, family: Family
    ) -> None:
        self._live = live
        self._tables = tables
        self._rows = rows
        self._family = family
        self._min_ns = family.rules.await_min_ns
        self._open: dict[int, dict[int, OpenCall]] = {}
        self.awaits = 0

    # ------------------------------------------------------------------------------------- records

    def suspended(
        self, ring: int, t_ns: int, flags: int, ref: int, a: int, b: int, payload: bytes
    ) -> None:
        """IN_CALL: a call is open, and the innermost one (0: none is)."""
        task = self._live.get(a)
        if task is None:
            return
        if not b:
            task.inside = task.span
            for user in task.open:
                user.inside = user.span
            return
        calls = self._open.setdefault(a, {})
        call = calls.get(b)
        if call is None:
            call = calls[b] = self._new(task, b, ref, t_ns, payload)
        call.holder.inside = call.span

    def ended(
        self, ring: int, t_ns: int, flags: int, ref: int, a: int, b: int, payload: bytes
    ) -> None:
        """CALL: one is over."""
        task = self._live.get(a)
        if task is None:
            return  # closed after its task had ended, which closed it already
        if not flags & Call.SUSPENDED:
            self.awaits += 1
        calls = self._open.get(a)
        call = calls.pop(b, None) if calls else None
        if call is None:
            call = self._new(task, b, ref, t_ns, payload)
        else:
            call.holder.inside = call.parent
        self._row(task, call, t_ns + PAIR.unpack_from(payload)[0], _row_flags(flags))

    def _new(self, task: TaskState, seq: int, site: int, t_ns: int, payload: bytes) -> OpenCall:
        holder, parent = self._place(task, t_ns, payload)
        start_ns = max(t_ns, task.start_ns)  # it may have begun before the session
        call = OpenCall(seq, site, self._tables.call(site), start_ns, holder)
        call.parent, call.span = parent, self._span(task, seq)
        return call

    def _place(
        self, task: TaskState, t_ns: int, payload: bytes
    ) -> tuple[TaskState | OpenSpan, int]:
        """Return in what a new call began (see `OpenCall.holder`), and the id of its parent."""
        _, parent_seq, parent_start_ns, _ = PAIR.unpack_from(payload)
        for span in reversed(task.open):
            if parent_seq and span.start_ns <= parent_start_ns:
                break
            if span.start_ns <= t_ns:
                return span, span.span
        parent = self._open.get(task.id, {}).get(parent_seq)
        return (task if parent is None else parent.holder), self._span(task, parent_seq)

    def _span(self, task: TaskState, seq: int) -> int:
        """Return the id of a call's span; number 0 is the task's own."""
        return self._family.ids.span(task.base, CALLS + seq) if seq else task.span

    def _row(self, task: TaskState, call: OpenCall, end_ns: int, flags: int) -> None:
        if end_ns - call.start_ns >= self._min_ns:
            self._rows.add(
                call.template, call.holder.trace, call.span, call.parent, call.start_ns, end_ns,
                flags=flags, task=task.id,
            )  # fmt: skip

    # ---------------------------------------------------------------------------------------- tasks

    def cut(self, task: TaskState, t_ns: int) -> list[OpenCall]:
        """Deliver what there is of the open calls, in the segment that ends; innermost first."""
        calls = list(self._open.get(task.id, {}).values())[::-1]
        for call in calls:
            self._row(task, call, t_ns, Row.SEGMENT)
        return calls

    def go_on(self, task: TaskState, t_ns: int, calls: list[OpenCall]) -> None:
        """Let these calls go on in the task's next segment. No user span is open."""
        for call in reversed(calls):
            call.start_ns, call.holder = t_ns, task
            call.parent, call.span = task.inside, self._span(task, call.seq)
            task.inside = call.span

    def abandon(self, task: TaskState, t_ns: int) -> None:
        """Close what is open of a task that has ended, or whose session ends."""
        for call in reversed(self._open.pop(task.id, {}).values()):
            self._row(task, call, max(t_ns, call.start_ns), Row.UNFINISHED)

    def adopt(self, other: Calls, task: TaskState, t_ns: int) -> None:
        """Begin with the calls of a task that another session sees open."""
        known = other._open.get(task.id)
        if known:
            copies = [
                OpenCall(call.seq, call.site, self._tables.call(call.site), t_ns, task)
                for call in known.values()
            ]
            self._open[task.id] = {call.seq: call for call in copies}
            self.go_on(task, t_ns, copies[::-1])


def _row_flags(flags: int) -> int:
    result = 0
    if flags & Call.FAILED:
        result |= Row.ERROR
    if flags & Call.CANCELLED:
        result |= Row.CANCELLED
    return result
