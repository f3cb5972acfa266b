"""Locks: who waits for them, who holds them.

A viewer attributes what happens to a lock to threads, never to fibers, so each lane that has to do
with a lock stands for a thread, too. It knows no wait that is given up: such a wait is shown to end
as soon as the lock is free, with a hold of no duration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aperf._recorder import LockFlag, LockOp

if TYPE_CHECKING:
    from aperf.protocol.tracy import Stream

    from ._sources import Sources

__all__ = ("Locks",)

_OP: Final = 15
_ANNOUNCE, _WAIT, _OBTAIN = int(LockOp.ANNOUNCE), int(LockOp.WAIT), int(LockOp.OBTAIN)
_RELEASE, _GIVE_UP, _TERMINATE = int(LockOp.RELEASE), int(LockOp.GIVE_UP), int(LockOp.TERMINATE)
_SHARED: Final = int(LockFlag.SHARED)


class Locks:
    """Draws the locks of one connection."""

    def __init__(self, stream: Stream, sources: Sources) -> None:
        self._stream = stream
        self._sources = sources
        self._holders: dict[int, set[int]] = {}
        self._given_up: dict[int, list[int]] = {}

    def announce(self, t_ns: int, lock: int, name: str, *, shared: bool) -> None:
        """ANNOUNCE: there is a lock from now on."""
        self._holders[lock] = set()
        self._stream.lock_announce(lock, t_ns, self._sources.fixed(name).id, shared=shared)
        self._stream.lock_name(lock, name)

    def record(self, t_ns: int, flags: int, lock: int, thread: int) -> None:
        """Draw a LOCK record of a lock that was announced."""
        holders, stream, operation = self._holders.get(lock), self._stream, flags & _OP
        if holders is None:
            return  # announced before anything that is known
        if operation == _TERMINATE:
            del self._holders[lock]
            self._given_up.pop(lock, None)
            stream.lock_terminate(lock, t_ns)
        elif flags & _SHARED:
            self._shared(t_ns, operation, lock, thread)
        elif operation == _WAIT:
            stream.lock_wait(lock, thread, t_ns)
        elif operation == _OBTAIN:
            holders.add(thread)
            stream.lock_obtain(lock, thread, t_ns)
        elif operation == _RELEASE:
            if holders:
                holders.clear()
                stream.lock_release(lock, thread, t_ns)
            for waiter in self._given_up.pop(lock, ()):
                self._touch(t_ns, lock, waiter)
        elif operation == _GIVE_UP:
            if holders:
                self._given_up.setdefault(lock, []).append(thread)
            else:
                self._touch(t_ns, lock, thread)

    def _touch(self, t_ns: int, lock: int, thread: int) -> None:
        self._stream.lock_obtain(lock, thread, t_ns)
        self._stream.lock_release(lock, thread, t_ns)

    def _shared(self, t_ns: int, operation: int, lock: int, thread: int) -> None:
        holders, stream = self._holders[lock], self._stream
        if operation == _WAIT:
            stream.lock_shared_wait(lock, thread, t_ns)
        elif operation == _OBTAIN:
            holders.add(thread)
            stream.lock_shared_obtain(lock, thread, t_ns)
        elif operation == _RELEASE:
            # Whoever releases a semaphore need not be who acquired it; a viewer wants a holder.
            holder = thread if thread in holders else next(iter(holders), None)
            if holder is not None:
                holders.discard(holder)
                stream.lock_shared_release(lock, holder, t_ns)
        elif operation == _GIVE_UP:
            stream.lock_shared_obtain(lock, thread, t_ns)
            stream.lock_shared_release(lock, thread, t_ns)
