"""Stand-ins for the queues of waiters that asyncio's locks keep, once somebody has to wait.

asyncio asks and changes them exactly when something happens to the lock, so no method of a lock has
to be wrapped, and nothing is added to the frames in which a task waits. Which method it is that
asks is told by the frames that call.
"""

from __future__ import annotations

import sys
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import FrameType

    from ._locks_timeline import Owner, Timeline

__all__ = ("LockWaiters", "QueueWaiters", "SemaphoreWaiters", "Waiters")

_RELEASES: Final = frozenset({"Lock.release", "Semaphore.release"})


class Waiters(deque[Any]):
    """Futures of those who wait, and the record of it. A copy records nothing.

    Args:
        futures: of those who wait already.
    """

    __slots__ = ("_attribute", "_lock", "_waits", "timeline")

    #: Whether several may hold what is waited for.
    shared = True

    def __init__(self, futures: Iterable[Any] = ()) -> None:
        super().__init__(futures)
        self.timeline: Timeline | None = None
        self._lock: weakref.ref[Any] | None = None
        self._attribute = ""
        #: Who waits, and where. Those who did before are not among them.
        self._waits: dict[Any, tuple[Owner, int]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return deque, (list(self),)

    def watch(self, lock: Any, attribute: str, timeline: Timeline) -> None:
        """Stand in for the queue of a lock.

        Args:
            lock: the lock; not kept alive.
            attribute: where it has the queue.
            timeline: where to record.
        """
        self.timeline = timeline
        self._lock = weakref.ref(lock)
        self._attribute = attribute
        setattr(lock, attribute, self)

    def _retire(self) -> None:
        """Put a plain queue back in the place: nothing is recorded any more.

        Only done where asyncio looks up the queue anew for what it does next, on the lock's thread.
        """
        lock = None if self._lock is None else self._lock()
        self.timeline = None
        if lock is not None and getattr(lock, self._attribute, None) is self:
            setattr(lock, self._attribute, deque(self))

    def append(self, future: Any, /) -> None:
        """Begin a wait."""
        timeline = self.timeline
        if timeline is not None and timeline.is_open:
            # First, so that an interrupt in the middle of it leaves no dead waiter behind.
            try:
                self._begin(timeline, future, sys._getframe(1))
            except Exception:
                timeline.recording.fault()
        super().append(future)
        if timeline is not None and not timeline.is_open:
            self._retire()

    def _begin(self, timeline: Timeline, future: Any, frame: FrameType) -> None:
        owner = timeline.recording.task()
        if owner[0]:
            site = timeline.recording.site(frame)
            self._waits[future] = owner, site
            timeline.waits(owner, site)

    def remove(self, future: Any, /) -> None:
        """End a wait, whatever came of it."""
        super().remove(future)
        timeline = self.timeline
        if timeline is not None:
            try:
                self._end(timeline, future, sys._getframe(1))
            except Exception:
                timeline.recording.fault()

    def _end(self, timeline: Timeline, future: Any, frame: FrameType) -> None:
        wait = self._waits.pop(future, None)
        error = sys.exception()
        traceback = None if error is None else error.__traceback__
        # The exception that is handled here, not one in whose handler the program waits.
        if traceback is not None and traceback.tb_frame is frame:
            if wait is not None:
                timeline.gave_up(*wait)
        elif wait is not None:
            timeline.obtained(*wait)
        else:
            self._take(timeline, frame)

    def _take(self, timeline: Timeline, frame: FrameType) -> None:
        owner = timeline.recording.task()
        if owner[0]:
            timeline.obtained_at_once(owner, timeline.recording.site(frame))


class _Held(Waiters):
    """Those who wait for something that is held. asyncio asks whether there are any: see below."""

    __slots__ = ()

    def __bool__(self) -> bool:
        timeline = self.timeline
        if timeline is not None:
            if timeline.is_open:
                try:
                    self._asked(timeline, sys._getframe(1))
                except Exception:
                    timeline.recording.fault()
            else:
                self._retire()
        return len(self) > 0

    def _asked(self, timeline: Timeline, frame: FrameType) -> None:
        """Find out why: after a release, asyncio looks whom to wake."""
        caller = frame.f_back
        if caller is not None and caller.f_code.co_qualname in _RELEASES:
            recording = timeline.recording
            self._let_go(timeline, recording.task(), recording.site(caller), caller)

    def _let_go(self, timeline: Timeline, owner: Owner, site: int, release: FrameType) -> None:
        raise NotImplementedError

    def _is_free(self) -> bool:
        """Say whether nobody waits who could still get it."""
        return not len(self) or all(future.cancelled() for future in super().__iter__())


class LockWaiters(_Held):
    """Those who wait for a lock."""

    __slots__ = ("_held_before",)

    shared = False

    def watch(self, lock: Any, attribute: str, timeline: Timeline) -> None:
        self._held_before = bool(lock._locked)
        super().watch(lock, attribute, timeline)

    def __iter__(self) -> Iterator[Any]:
        """Before it is taken without a wait, asyncio looks whether all others have given up."""
        timeline = self.timeline
        if timeline is not None and timeline.is_open:
            try:
                frame = sys._getframe(1)
                if frame.f_code.co_qualname == "Lock.acquire" and self._is_free():
                    self._take(timeline, frame)
            except Exception:
                timeline.recording.fault()
        return super().__iter__()

    def _let_go(self, timeline: Timeline, owner: Owner, site: int, release: FrameType) -> None:
        # Whoever held it when it was announced was not known then, but this is them.
        held_before, self._held_before = self._held_before, False
        timeline.released(owner, site, held_before=held_before)


class SemaphoreWaiters(_Held):
    """Those who wait for a semaphore."""

    __slots__ = ()

    def _asked(self, timeline: Timeline, frame: FrameType) -> None:
        caller = frame.f_back
        if frame.f_code.co_qualname != "Semaphore.locked":
            super()._asked(timeline, frame)
        elif (
            caller is not None
            and caller.f_code.co_qualname == "Semaphore.acquire"
            and self._is_free()
        ):  # it has seats left, or nobody would have asked whether somebody waits
            self._take(timeline, caller)

    def _let_go(self, timeline: Timeline, owner: Owner, site: int, release: FrameType) -> None:
        # A semaphore may be released by whoever likes, but the end of an `async with` is the end of
        # a hold that its task has.
        block = release.f_back
        while block is not None and block.f_code.co_qualname.endswith("Semaphore.release"):
            block = block.f_back
        in_block = block is not None and block.f_code.co_name == "__aexit__"
        timeline.released(owner, site, held_before=in_block)


class QueueWaiters(Waiters):
    """Those who wait for an item of a queue, or for room in it.

    Nobody holds a queue: who is served obtains and releases it at the same time, which is when
    another task has put or got an item.
    """

    __slots__ = ()

    def popleft(self) -> Any:
        """Serve whoever has waited longest."""
        future = super().popleft()
        timeline = self.timeline
        if timeline is not None:
            try:
                self._serve(timeline, future, sys._getframe(1))
            except Exception:
                timeline.recording.fault()
        return future

    def _serve(self, timeline: Timeline, future: Any, frame: FrameType) -> None:
        wait = self._waits.pop(future, None)
        if wait is None:
            return
        if future.done() or frame.f_code.co_qualname == "Queue.shutdown":
            timeline.gave_up(*wait)
        else:
            owner, site = wait
            t_ns = timeline.now_ns()
            timeline.obtained(owner, site, t_ns)
            timeline.released(owner, site, t_ns)
