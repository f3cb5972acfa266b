"""How tasks end: well, by an exception, by a cancellation and by whose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aperf.model import Event

from ._bits import Row, Step
from ._traces import link_to

if TYPE_CHECKING:
    from ._tables import Tables
    from ._tasks import Tasks
    from ._totals import Totals
    from ._traces import TaskState

__all__ = ("Endings",)


class Endings:
    """Works out the ends of tasks.

    Args:
        tasks: those of the session.
        tables: names of what records refer to.
        totals: where exceptions are counted.
    """

    def __init__(self, tasks: Tasks, tables: Tables, totals: Totals) -> None:
        self._tasks = tasks
        self._tables = tables
        self._totals = totals

    def failure(
        self, ring: int, t_ns: int, flags: int, ref: int, a: int, b: int, payload: bytes
    ) -> None:
        """FAILURE: the next step ends the task by this exception."""
        task = self._tasks.live.get(a)
        if task is not None:
            task.failure = (ref, payload)

    def more(
        self, ring: int, t_ns: int, flags: int, ref: int, a: int, b: int, payload: bytes
    ) -> None:
        """MORE: the exception's message goes on."""
        task = self._tasks.live.get(a)
        if task is not None and task.failure is not None:
            task.failure = (task.failure[0], task.failure[1] + payload)

    def note_cancellation(self, task: TaskState, waker: int, flags: int) -> None:
        """Remember who cancelled what the task waited for: it may end by it."""
        by = self._tasks.known(waker) if waker else None
        if by is not None and not by.flags & Row.CANCELLED:
            by = None
        if flags & Step.WAIT_CANCELLED:
            if not waker and not flags & (Step.BY_TIMEOUT | Step.BY_CALLBACK):
                return  # once more; what is known of the first time still holds
        elif by is None or by.cancelled_by == task.id:
            return  # it raised CancelledError itself
        task.flags &= ~(Row.TIMEOUT | Row.CALLBACK)
        task.cancelled_by = waker
        if flags & Step.BY_TIMEOUT:
            task.flags |= Row.TIMEOUT
        elif flags & Step.BY_CALLBACK:
            task.flags |= Row.CALLBACK
        if by is not None:
            # A child that was cancelled wakes its parent; who cancelled the child is meant.
            task.flags |= by.flags & (Row.TIMEOUT | Row.CALLBACK)
            if by.cancelled_by != task.id:
                task.cancelled_by = by.cancelled_by

    def end(self, task: TaskState, end_ns: int, flags: int) -> str:
        """Mark a task with the way it ended, and count that.

        Returns:
            what went wrong, "" for nothing.
        """
        coroutine = task.coroutine
        if not task.flags & Row.UNFINISHED:
            coroutine.finished += 1
            coroutine.lifetimes.add(end_ns - task.born_ns)
        if flags & Step.CANCELLED:
            coroutine.cancelled += 1
            self._cancelled(task)
        else:
            task.flags &= ~(Row.TIMEOUT | Row.CALLBACK)
        if not flags & Step.FAILED:
            return ""
        coroutine.errors += 1
        task.flags |= Row.ERROR
        return self._failed(task, end_ns)

    def _failed(self, task: TaskState, t_ns: int) -> str:
        site, text = task.failure or (0, b"")
        kind, _, message = text.rstrip(b"\0").decode("utf-8", "replace").partition("\0")
        kind = kind or "(unknown)"
        self._totals.exception(kind, task.coroutine.name, message)
        attributes = (
            ("exception.type", kind),
            ("exception.message", message),
            ("exception.stacktrace", f"{self._tables.stacktrace(site)}\n{kind}: {message}"),
        )
        task.settle()
        task.events.append(Event("exception", t_ns + task.trace.offset_ns, attributes))
        return f"{kind}: {message}" if message else kind

    def _cancelled(self, task: TaskState) -> None:
        task.flags |= Row.CANCELLED
        if task.flags & (Row.TIMEOUT | Row.CALLBACK):
            return
        by = self._tasks.known(task.cancelled_by) if task.cancelled_by else None
        if by is not None:
            task.attributes["aperf.cancelled_by"] = by.name or by.coroutine.name
            task.links.append(link_to(by.trace, by.span, "cancelled_by"))
