"""Locks: who waits for them, who holds them.

A viewer attributes what happens to a lock to threads, never to fibers, so each lane that has to do
with a lock stands for a thread, too. It knows no wait that is given up: such a wait is shown to end
as soon as the lock is free, with a hold of no duration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aperf._recorder import LockFlag, LockOp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aperf.model import RecordTables
    from aperf.protocol.tracy import Stream

    from ._sources import Sources
    from ._task import Happening, TaskView
    from ._thread import Thread, Threads

__all__ = ("Locks",)

_OP: Final = 15
_ANNOUNCE, _WAIT, _OBTAIN = int(LockOp.ANNOUNCE), int(LockOp.WAIT), int(LockOp.OBTAIN)
_RELEASE, _GIVE_UP, _TERMINATE = int(LockOp.RELEASE), int(LockOp.GIVE_UP), int(LockOp.TERMINATE)
_SHARED, _OF_THREAD = int(LockFlag.SHARED), int(LockFlag.OF_THREAD)


class Locks:
    """Draws the locks of one connection.

    Args:
        stream: where to draw.
        sources: gives locations.
        tables: give names.
        tasks: the live ones.
        threads: stand for themselves.
    """

    def __init__(
        self,
        stream: Stream,
        sources: Sources,
        tables: RecordTables,
        tasks: Mapping[int, TaskView],
        threads: Threads,
    ) -> None:
        self._stream = stream
        self._sources = sources
        self._tables = tables
        self._tasks = tasks
        self._threads = threads
        self._holders: dict[int, set[int]] = {}
        self._given_up: dict[int, list[int]] = {}

    def record(self, thread: Thread, event: Happening) -> None:
        """Draw a LOCK."""
        if event.flags & _OP == _ANNOUNCE:
            self._announce(event)
        elif event.a in self._holders:  # else it was announced before anything that is known
            self._happen(event.t_ns, event.flags, event.a, self._stand_in(thread, event))

    def _stand_in(self, thread: Thread, event: Happening) -> int:
        """Return the thread that stands for whoever has to do with the lock."""
        if event.flags & _OF_THREAD:
            return self._threads.number(event.b) or thread.number
        task = self._tasks.get(event.b)
        if task is None or task.lane is None:
            return thread.number
        return task.lane.thread(self._stream.strings)

    def _announce(self, event: Happening) -> None:
        name, shared = self._tables.name(event.ref), bool(event.flags & _SHARED)
        self._holders[event.a] = set()
        source = self._sources.fixed(name).id
        self._stream.lock_announce(event.a, event.t_ns, source, shared=shared)
        self._stream.lock_name(event.a, name)

    def _happen(self, t_ns: int, flags: int, lock: int, thread: int) -> None:
        holders, stream, operation = self._holders[lock], self._stream, flags & _OP
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
