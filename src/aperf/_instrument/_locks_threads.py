"""Locks for threads that tell of themselves."""

from __future__ import annotations

import sys
import threading

from . import _locks_active as active
from ._locks_calls import Calls

TYPE_CHECKING = False  # typing itself takes milliseconds to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, Literal

    from ._locks_timeline import LockRecording

__all__ = ("ThreadLock", "ThreadRLock")


class _ThreadLock:
    """What both locks of threads have in common."""

    __slots__ = ("__weakref__", "_calls", "_lock")

    def __init__(self, lock: Any, name: str | None) -> None:
        self._lock = lock
        self._calls = Calls(type(self).__qualname__, name, of_tasks=False, shared=False)

    def _is_mine(self) -> bool:
        """Say whether this thread has it, so that to acquire it again is no news."""
        raise NotImplementedError

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Acquire the lock.

        Args:
            blocking: whether to wait for it.
            timeout: how many seconds at most; -1 for ever.

        Returns:
            Whether it was obtained.
        """
        recording = active.recording
        if recording is None or self._is_mine():
            obtained: bool = self._lock.acquire(blocking, timeout)
            return obtained
        if not blocking:  # a look, not a wait
            obtained = self._lock.acquire(blocking, timeout)
            if obtained:
                self._calls.take(recording, sys._getframe(1))
            return obtained
        return self._wait(recording, lambda: self._lock.acquire(blocking, timeout))

    def _wait(self, recording: LockRecording, acquire: Callable[[], bool]) -> bool:
        wait = self._calls.wait(recording, sys._getframe(1))
        obtained = False
        try:
            obtained = acquire()
        finally:
            if wait is not None:
                wait.end(obtained=obtained)
        return obtained

    def release(self) -> None:
        """Release the lock."""
        timeline = self._calls.timeline
        if timeline is None:
            self._lock.release()
            return
        t_ns = timeline.now_ns()
        self._lock.release()
        if not self._is_mine():
            self._calls.release(timeline, t_ns, sys._getframe(1))

    def __enter__(self) -> bool:
        if active.recording is None:
            obtained: bool = self._lock.__enter__()
            return obtained
        return self.acquire()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<{type(self).__qualname__} around {self._lock!r}>"

    def _at_fork_reinit(self) -> None:
        self._lock._at_fork_reinit()


class ThreadLock(_ThreadLock):
    """A `threading.Lock` of which is recorded who waits for it and who has it.

    Args:
        name: what it is shown as; class and place of its first use if not given.
    """

    __slots__ = ()

    def __init__(self, name: str | None = None) -> None:
        super().__init__(threading.Lock(), name)

    def _is_mine(self) -> Literal[False]:
        return False  # whoever has it, to acquire it again is to wait

    def locked(self) -> bool:
        """Say whether anybody has it."""
        locked: bool = self._lock.locked()
        return locked


class ThreadRLock(_ThreadLock):
    """A `threading.RLock` of which is recorded who waits for it and who has it.

    Args:
        name: what it is shown as; class and place of its first use if not given.
    """

    __slots__ = ()

    def __init__(self, name: str | None = None) -> None:
        super().__init__(threading.RLock(), name)

    def _is_mine(self) -> bool:
        mine: bool = self._lock._is_owned()
        return mine

    # What threading.Condition asks of its lock.

    def _is_owned(self) -> bool:
        return self._is_mine()

    def _release_save(self) -> Any:
        timeline = self._calls.timeline
        t_ns = -1 if timeline is None else timeline.now_ns()
        state = self._lock._release_save()
        if timeline is not None:
            self._calls.release(timeline, t_ns, sys._getframe(1))
        return state

    def _acquire_restore(self, state: Any) -> None:
        def acquire() -> bool:
            self._lock._acquire_restore(state)
            return True

        recording = active.recording
        if recording is None:
            acquire()
        else:
            self._wait(recording, acquire)
