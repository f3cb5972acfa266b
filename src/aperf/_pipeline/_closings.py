"""Spans that have ended and what they spent their time on, for those who tell of each.

What a task waited before a step is known when the step is over, but a user span may open or close
in the middle of it. So these moments are marked, and looked at when the step's record comes.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from aperf.model import AttributeValue, Template, ThreadInfo

    from ._tables import Tables
    from ._traces import OpenSpan, TaskState, Trace

__all__ = ("Closing", "Closings", "Mark")

#: Spans that may wait for being told of; more are left out and counted.
MOST: Final = 16_384


class Closing(NamedTuple):
    """A task's span or one of the program's own that has ended."""

    template: Template
    trace_id: int
    end_ns: int  #: since 1970
    busy_ns: int  #: in which it ran
    idle_ns: int  #: in which it waited, also for the loop
    flags: int  #: as in rows of spans
    task: str  #: name of the task, "" outside of tasks
    thread: ThreadInfo
    attributes: dict[str, AttributeValue]


class Mark(NamedTuple):
    """A user span's begin, or its end, in a step of its task that is not over yet."""

    span: OpenSpan
    t_ns: int
    end_flags: int | None  #: None for the begin


class Closings:
    """Notes spans that have ended, until somebody takes them.

    Args:
        tables: what spans refer to.

    Attributes:
        dropped: how many spans were left out.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._noted: deque[Closing] = deque()
        self.dropped = 0

    def take(self) -> Closing | None:
        """Return the next one, None if there is none."""
        return self._noted.popleft() if self._noted else None

    def task(self, task: TaskState) -> None:
        """Note the end of a task, or of a segment of it."""
        idle_ns = task.ready_ns + task.waiting_ns
        self._note(
            task.coroutine.template, task.trace, task.since_ns, task.busy_ns, idle_ns,
            task.flags, task.name, task.ring + 1, task.attributes,
        )  # fmt: skip

    def opened(self, task: TaskState | None, span: OpenSpan) -> None:
        """Note the begin of a user span."""
        if task is not None:
            _mark(task, Mark(span, span.start_ns, None))

    def closed(self, task: TaskState | None, span: OpenSpan, t_ns: int, flags: int) -> None:
        """Note the end of a user span; outside of tasks nothing can wait in between."""
        if task is None:
            self._user(span, t_ns, flags, 0, "")
        else:
            _mark(task, Mark(span, t_ns, flags))

    def settle(self, task: TaskState, gap_ns: int) -> None:
        """Look at what was marked, now that it is known how long the task waited for its step.

        Args:
            task: it is accounted for until that wait.
            gap_ns: how long that was.
        """
        marks, task.marks = task.marks or (), None
        before_ns = task.ready_ns + task.waiting_ns
        for span, t_ns, end_flags in marks:
            idle_ns = before_ns + min(max(t_ns - task.since_ns, 0), gap_ns)
            if end_flags is None:
                span.idle_ns = idle_ns
            else:
                self._user(span, t_ns, end_flags, idle_ns - span.idle_ns, task.name)

    def _user(self, span: OpenSpan, t_ns: int, flags: int, idle_ns: int, task: str) -> None:
        end_ns = max(t_ns, span.start_ns)
        busy_ns = max(end_ns - span.start_ns - idle_ns, 0)
        self._note(
            span.template, span.trace, end_ns, busy_ns, idle_ns, flags | span.flags, task,
            span.thread, span.attributes,
        )  # fmt: skip

    def _note(
        self,
        template: int,
        trace: Trace,
        t_ns: int,
        busy_ns: int,
        idle_ns: int,
        flags: int,
        task: str,
        thread: int,
        attributes: dict[str, AttributeValue],
    ) -> None:
        if len(self._noted) >= MOST:
            self.dropped += 1
            return
        tables = self._tables
        self._noted.append(
            Closing(
                tables.templates[template],
                trace.hi << 64 | trace.lo,
                t_ns + trace.offset_ns,
                busy_ns,
                idle_ns,
                flags,
                task,
                tables.threads[thread],
                attributes,
            )
        )


def _mark(task: TaskState, mark: Mark) -> None:
    if task.marks is None:
        task.marks = []
    task.marks.append(mark)
