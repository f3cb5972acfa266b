"""What stands in for a lock of tasks that cannot tell of itself."""

from __future__ import annotations

import sys

from . import _locks_active as active
from ._locks_calls import Calls

TYPE_CHECKING = False  # typing itself takes milliseconds to import
if TYPE_CHECKING:
    from collections.abc import Awaitable
    from types import TracebackType
    from typing import Any

    from ._locks_timeline import LockRecording

__all__ = ("WatchedLock", "watch")


class WatchedLock:
    """A lock for tasks of which is recorded who waits for it and who has it; see `watch`."""

    def __init__(self, lock: Any, calls: Calls) -> None:
        self._lock = lock
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        if name == "_lock":  # a copy that is being made has none yet
            raise AttributeError(name)
        return getattr(self._lock, name)

    async def acquire(self, *args: Any, **kwargs: Any) -> Any:
        """Acquire the lock, as its own method does."""
        recording = active.recording
        if recording is None:
            return await self._lock.acquire(*args, **kwargs)
        return await self._wait(recording, self._lock.acquire(*args, **kwargs))

    def acquire_nowait(self, *args: Any, **kwargs: Any) -> Any:
        """Acquire the lock without a wait, as its own method does."""
        result = self._lock.acquire_nowait(*args, **kwargs)
        recording = active.recording
        if recording is not None:
            self._calls.take(recording, sys._getframe(1))
        return result

    def release(self, *args: Any, **kwargs: Any) -> Any:
        """Release the lock, as its own method does."""
        timeline = self._calls.timeline
        t_ns = -1 if timeline is None else timeline.now_ns()
        result = self._lock.release(*args, **kwargs)
        if timeline is not None:
            self._calls.release(timeline, t_ns, sys._getframe(1))
        return result

    async def __aenter__(self) -> Any:
        recording = active.recording
        if recording is None:
            return await self._lock.__aenter__()
        return await self._wait(recording, self._lock.__aenter__())

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> Any:
        timeline = self._calls.timeline
        t_ns = -1 if timeline is None else timeline.now_ns()
        result = await self._lock.__aexit__(exc_type, exception, traceback)
        if timeline is not None:
            self._calls.release(timeline, t_ns, sys._getframe(1))
        return result

    async def _wait(self, recording: LockRecording, awaitable: Awaitable[Any]) -> Any:
        wait = self._calls.wait(recording, sys._getframe(1))
        obtained = False
        try:
            result = await awaitable
            obtained = True
        finally:
            if wait is not None:
                wait.end(obtained=obtained)
        return result

    def __repr__(self) -> str:
        return f"<WatchedLock around {self._lock!r}>"


def watch(lock: Any, name: str | None = None, *, shared: bool = False) -> WatchedLock:
    """Return what stands in for a lock of tasks, and records who waits for it and who has it.

    Args:
        lock: with `acquire` and `release`, or with `async with`, such as anyio's.
        name: what it is shown as; class and place of its first use if not given.
        shared: whether several may hold it, as they may a semaphore.
    """
    kind = type(lock).__qualname__
    return WatchedLock(lock, Calls(kind, name, of_tasks=True, shared=shared))
