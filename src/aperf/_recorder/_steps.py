"""Recognising the callbacks by which asyncio runs a task.

A C task schedules a `TaskStepMethWrapper` (first step, bare yield, cancellation) or the built-in
method `task_wakeup`; a Python task schedules bound methods of itself. Everything else is somebody's
callback.
"""

from __future__ import annotations

from asyncio import tasks
from typing import Any, Final

__all__ = ("PY_STEPS", "STEP_TYPE", "task_of")

PY_TASK: Final[type] = tasks._PyTask  # type: ignore[attr-defined]
C_TASK: Final[type | None] = getattr(tasks, "_CTask", None)
#: Names of the methods by which a Python task runs.
PY_STEPS: Final = ("_Task__step", "_Task__wakeup", "__step", "__wakeup")


class _FakeLoop:
    """Catches what a task schedules when it is made."""

    callback: Any = None

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> None:
        self.callback = callback

    def get_debug(self) -> bool:
        return False


async def _nothing() -> None:
    pass


def _learn_step_type() -> type | None:
    """Return the type of the callback that starts a C task; it cannot be imported by name."""
    if C_TASK is None:
        return None
    loop, coroutine = _FakeLoop(), _nothing()
    # Named, because an unnamed task would use up a number: the program's first is to be Task-1.
    task = C_TASK(coroutine, loop=loop, name="aperf")
    callback = loop.callback
    task._log_destroy_pending = False
    coroutine.close()
    return type(callback)


STEP_TYPE: Final = _learn_step_type()
_BUILTIN: Final = type(len)
_METHOD: Final = type(_FakeLoop().get_debug)


def task_of(callback: Any) -> Any:
    """Return the task that this callback would run, or None."""
    kind = type(callback)
    if kind is STEP_TYPE:
        return callback.__self__
    if kind is _BUILTIN:
        if callback.__name__ == "task_wakeup":
            return callback.__self__
    elif kind is _METHOD and callback.__name__ in PY_STEPS:
        task = callback.__self__
        if isinstance(task, PY_TASK):
            return task
    return None
