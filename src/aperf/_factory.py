"""A real task factory, for loops that cannot be shadowed and for factories composed by hand."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ._runtime import current

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ("task_factory",)


def task_factory(
    base: Callable[..., asyncio.Future[Any]] | None = None,
) -> Callable[..., asyncio.Future[Any]]:
    """Return a factory for `loop.set_task_factory` whose tasks are watched while a session is open.

    It sees births, steps and what is waited for, but not who woke a task: time between wake-up and
    resume counts as waiting. `Task.get_coro()` returns a wrapper. A loop that `aperf.session` or
    `aperf.instrument_loop` watches already is left to them, so that no task is counted twice.

    Args:
        base: a factory to make the tasks with; by default `asyncio.Task`.
    """

    def factory(
        loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **kwargs: Any
    ) -> asyncio.Future[Any]:
        runtime = current()
        if runtime is None or runtime.loops.is_watched(loop):
            return _make(base, loop, coro, kwargs)
        wrapper = runtime.recorder.wrap(coro, kwargs.get("name"), kwargs.get("context"))
        task = _make(base, loop, wrapper, kwargs)
        get_name = getattr(task, "get_name", None)
        if get_name is not None and kwargs.get("name") is None:
            wrapper.named(get_name())
        return task

    return factory


def _make(
    base: Callable[..., asyncio.Future[Any]] | None,
    loop: asyncio.AbstractEventLoop,
    coro: Any,
    kwargs: dict[str, Any],
) -> asyncio.Future[Any]:
    # uvloop passes eager_start=None always, also to factories that have never heard of it.
    if kwargs.get("eager_start", False) is None:
        del kwargs["eager_start"]
    if base is not None:
        return base(loop, coro, **kwargs)
    return asyncio.Task(coro, loop=loop, **kwargs)
