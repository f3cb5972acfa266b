"""Contention of asyncio's locks, semaphores, conditions and queues (docs/adr/0008).

Nothing happens before somebody has to wait: the one method that asyncio calls then is wrapped, and
only asyncio's own. What follows is told by the lock's queue of waiters, see `_locks_waiters`.
"""

from __future__ import annotations

import asyncio
import functools
import sys
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from . import _locks_active as active
from ._locks_timeline import LockRecording
from ._locks_waiters import LockWaiters, QueueWaiters, SemaphoreWaiters, Waiters

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

__all__ = ("Locks",)

#: The method that asks for the loop because it has to wait → where its waiters queue, what watches.
_QUEUES: Final[dict[str, tuple[str, type[Waiters]]]] = {
    "Lock.acquire": ("_waiters", LockWaiters),
    "Semaphore.acquire": ("_waiters", SemaphoreWaiters),
    "Queue.get": ("_getters", QueueWaiters),
    "Queue.put": ("_putters", QueueWaiters),
}
_MODULES: Final = frozenset({"asyncio.locks", "asyncio.queues"})
#: What has queues of its own. A condition's and a barrier's is that of their lock.
_CLASSES: Final = (asyncio.Lock, asyncio.Semaphore, asyncio.Queue)

#: Class, what we put there, what stood there before (None: nothing, it is inherited).
_patched: list[tuple[type, Any, Any]] = []


class Locks:
    """Records the contention of locks for one recorder. Counts the sessions that want it.

    While it is installed, the locks of `aperf.locks` record there, too.

    Args:
        recorder: where to record.
    """

    def __init__(self, recorder: Any) -> None:
        self._recorder = recorder
        self._recording: LockRecording | None = None
        self._wanted_by: set[int] = set()

    def install(self, session: int) -> None:
        """Watch on behalf of a session."""
        self._wanted_by.add(session)
        if self._recording is None:
            self._recording = LockRecording(self._recorder)
            active.begin(self._recording)
            if not _patched:
                for cls in _CLASSES:
                    _patch(cls)

    def uninstall(self, session: int) -> None:
        """Stop watching on behalf of a session."""
        if session in self._wanted_by:
            self._wanted_by.discard(session)
            if not self._wanted_by:
                self.forget()

    def forget(self) -> None:
        """Stop watching at once, as a forked child does."""
        self._wanted_by.clear()
        recording, self._recording = self._recording, None
        if recording is not None and active.end(recording):
            _unpatch()


def _patch(cls: Any) -> None:
    before = cls.__dict__.get("_get_loop")
    ours = _watching(cls._get_loop)
    cls._get_loop = ours
    _patched.append((cls, ours, before))


def _unpatch() -> None:
    """Undo it; a method that somebody else has replaced since stays theirs."""
    for cls, ours, before in _patched:
        if cls.__dict__.get("_get_loop") is ours:
            if before is None:
                del cls._get_loop  # type: ignore[attr-defined]
            else:
                cls._get_loop = before  # type: ignore[attr-defined]
    _patched.clear()


def _watching(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(original)
    def _get_loop(self: Any) -> Any:
        loop = original(self)
        recording = active.recording
        if recording is not None:
            try:
                _contended(self, recording, sys._getframe(1))
            except Exception:
                recording.fault()
        return loop

    return _get_loop


def _contended(lock: Any, recording: LockRecording, frame: FrameType) -> None:
    """Begin to watch a lock for which somebody is about to wait."""
    attribute, waiters_class = _QUEUES.get(frame.f_code.co_qualname, ("", Waiters))
    if not attribute or frame.f_globals.get("__name__") not in _MODULES:
        return  # somebody's subclass, which goes its own ways
    queue = getattr(lock, attribute)
    if isinstance(queue, Waiters):
        if queue.timeline is not None and queue.timeline.is_open:
            return
    elif type(queue) is not deque:
        return
    owner = recording.task()
    if owner[0]:
        name = recording.name_at(_kind(lock, attribute, frame), frame)
        timeline = recording.timeline(name, owner, shared=waiters_class.shared)
        if timeline is not None:
            waiters_class(queue).watch(lock, attribute, timeline)


def _kind(lock: Any, attribute: str, frame: FrameType) -> str:
    """Return the class of what the program uses: a condition's lock is shown as the condition."""
    if attribute == "_getters":
        return f"{type(lock).__qualname__}.get"
    if attribute == "_putters":
        return f"{type(lock).__qualname__}.put"
    used = lock
    outer: FrameType | None = frame
    while outer is not None and outer.f_globals.get("__name__") in _MODULES:
        used = outer.f_locals.get("self", used)
        outer = outer.f_back
    return type(used).__qualname__
