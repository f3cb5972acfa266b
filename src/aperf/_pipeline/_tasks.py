"""The tasks of a session: those that live, and those that ended lately."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ._traces import TaskState

if TYPE_CHECKING:
    from ._totals import CoroutineEntry

__all__ = ("Tasks",)

#: Ended tasks remembered, so that whom they woke can name them: two generations of this size.
REMEMBERED: Final = 4_096


class Tasks:
    """Finds tasks by their number.

    Attributes:
        live: the live tasks by number.
        count: how many tasks there have been.
        losses: how many times records have been lost.
    """

    def __init__(self) -> None:
        self.live: dict[int, TaskState] = {}
        self.count = 0
        self.losses = 0
        self._ended: dict[int, TaskState] = {}
        self._ended_before: dict[int, TaskState] = {}

    def begin(self, number: int, coroutine: CoroutineEntry, t_ns: int, ring: int) -> TaskState:
        """Add a live task."""
        coroutine.tasks += 1
        self.count += 1
        task = self.live[number] = TaskState(number, coroutine, t_ns, ring)
        task.losses = self.losses
        return task

    def end(self, task: TaskState) -> None:
        """Let a task be one that ended lately."""
        del self.live[task.id]
        self._ended[task.id] = task
        if len(self._ended) >= REMEMBERED:
            self._ended_before, self._ended = self._ended, {}

    def known(self, number: int) -> TaskState | None:
        """Return a live task, or one that ended lately."""
        live = self.live.get(number)
        return live or self._ended.get(number) or self._ended_before.get(number)
