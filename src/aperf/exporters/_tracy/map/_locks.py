"""Locks: who waits for them, who holds them.

A viewer attributes what happens to a lock to threads, never to fibers, so each lane that has to do
with a lock stands for a thread, too. It takes 64 threads for a lock; whoever is too much is shown
as the thread that the record comes from.

A lock is announced when somebody has to wait. Who held it then turns out at the release, and that
record is dated back. So what happens before it is kept and drawn in the order of time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

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
#: Locks that are shown; a viewer never forgets one.
MOST: Final = 1 << 14
#: Threads of one lock.
_MOST_THREADS: Final = 64
#: What happens before the first release is kept so long, and so much of it.
_KEPT_NS: Final = 100_000_000
_MOST_KEPT: Final = 256


class _Deed(NamedTuple):
    """What somebody does to a lock."""

    t_ns: int
    operation: int
    owner: tuple[int, int]
    thread: int  #: which stands for them
    site: int


class _Lock:
    """What a viewer knows of a lock.

    Attributes:
        number: the viewer's.
        shared: whether several may hold it.
        since_ns: when it was announced.
        last_ns: time of its latest event; a viewer wants them in order.
        kept: what has not been drawn; None once somebody has released it.
        waits: the thread that stands for each who waits.
        holds: who holds it, and the threads that stand for them.
        waiting: threads that are shown to wait.
        threads: all that stand, or ever stood, for somebody; for others there is no room.
    """

    __slots__ = (
        "holds",
        "kept",
        "last_ns",
        "number",
        "shared",
        "since_ns",
        "threads",
        "waiting",
        "waits",
    )

    def __init__(self, number: int, t_ns: int, *, shared: bool) -> None:
        self.number = number
        self.shared = shared
        self.since_ns = self.last_ns = t_ns
        self.kept: list[_Deed] | None = []
        self.waits: dict[tuple[int, int], int] = {}
        self.holds: list[tuple[tuple[int, int], int]] = []
        self.waiting: set[int] = set()
        self.threads: set[int] = set()

    def holds_as(self, thread: int) -> bool:
        """Say whether a thread is shown to hold it."""
        return any(held == thread for _, held in self.holds)


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
        self._locks: dict[int, _Lock] = {}
        self._count = 0

    def record(self, thread: Thread, event: Happening) -> None:
        """Draw a LOCK."""
        operation = event.flags & _OP
        if operation == _ANNOUNCE:
            self._announce(event)
            return
        lock = self._locks.get(event.a)
        if lock is None:  # it was announced before anything that is known
            return
        owner = event.b, event.flags & _OF_THREAD
        stand_in = self._stand_in(thread, lock, owner)
        deed = _Deed(event.t_ns, operation, owner, stand_in, event.ref)
        if lock.kept is None:
            self._do(lock, deed)
        else:
            lock.kept.append(deed)
            if operation in (_RELEASE, _TERMINATE) or len(lock.kept) >= _MOST_KEPT:
                self._catch_up(lock)
        if operation == _TERMINATE:
            self._end(lock, event.t_ns)
            self._stream.lock_terminate(lock.number, lock.last_ns)
            del self._locks[event.a]

    def _announce(self, event: Happening) -> None:
        if event.a in self._locks or self._count >= MOST:
            return
        self._count += 1
        name, shared = self._tables.name(event.ref), bool(event.flags & _SHARED)
        lock = self._locks[event.a] = _Lock(self._count, event.t_ns, shared=shared)
        source = self._sources.fixed(name).id
        self._stream.lock_announce(lock.number, event.t_ns, source, shared=shared)
        self._stream.lock_name(lock.number, name)

    def _stand_in(self, thread: Thread, lock: _Lock, owner: tuple[int, int]) -> int:
        """Return the thread that stands for whoever has to do with the lock."""
        number, of_thread = owner
        task = None if of_thread else self._tasks.get(number)
        found = self._threads.number(number) if of_thread else None
        if task is not None and task.lane is not None:
            found = task.lane.thread(self._stream.strings)
        if found not in lock.threads and len(lock.threads) >= _MOST_THREADS - 1:
            found = None
        found = found or thread.number
        if len(lock.threads) < _MOST_THREADS:
            lock.threads.add(found)
        return found

    # ---------------------------------------------------------------------------------------- time

    def rest(self, now_ns: int) -> None:
        """Draw what happens to locks that nobody has released for long."""
        for lock in self._locks.values():
            if lock.kept and now_ns - lock.kept[0].t_ns >= _KEPT_NS:
                self._catch_up(lock)

    def close(self, t_ns: int) -> None:
        """End all waits and holds: it is not known what became of them."""
        for lock in self._locks.values():
            self._catch_up(lock)
            self._end(lock, t_ns)

    def _catch_up(self, lock: _Lock) -> None:
        kept, lock.kept = lock.kept, None
        for deed in sorted(kept or (), key=lambda each: each.t_ns):
            self._do(lock, deed)

    def _end(self, lock: _Lock, t_ns: int) -> None:
        for owner in list(lock.waits):
            self._do(lock, _Deed(t_ns, _GIVE_UP, owner, 0, 0))
        for owner, _ in list(lock.holds):
            self._do(lock, _Deed(t_ns, _RELEASE, owner, 0, 0))

    # --------------------------------------------------------------------------------------- events

    def _do(self, lock: _Lock, deed: _Deed) -> None:
        """Draw one deed, unless it makes no sense."""
        lock.last_ns = max(lock.last_ns, deed.t_ns)
        if deed.operation == _WAIT:
            lock.waits[deed.owner] = deed.thread
            self._wait(lock, deed.thread)
            self._mark(lock, deed.thread, deed.site)
        elif deed.operation == _OBTAIN:
            self._obtain(lock, deed)
        elif deed.operation == _RELEASE:
            self._release(lock, deed.owner)
        elif deed.operation == _GIVE_UP:
            self._give_up(lock, deed.owner)

    def _wait(self, lock: _Lock, thread: int) -> None:
        """Show a thread to wait, unless it does, or holds the lock in the name of somebody else."""
        if thread in lock.waiting or (lock.holds_as(thread) and not lock.shared):
            return
        if thread not in lock.threads:
            return
        lock.waiting.add(thread)
        wait = self._stream.lock_shared_wait if lock.shared else self._stream.lock_wait
        wait(lock.number, thread, lock.last_ns)

    def _obtain(self, lock: _Lock, deed: _Deed) -> None:
        thread = lock.waits.pop(deed.owner, deed.thread)
        if not lock.shared:
            for owner, _ in list(lock.holds):  # the record of that was lost, or comes later
                self._release(lock, owner)
        self._wait(lock, thread)
        if thread not in lock.waiting:  # there are too many
            return
        lock.waiting.discard(thread)
        lock.holds.append((deed.owner, thread))
        obtain = self._stream.lock_shared_obtain if lock.shared else self._stream.lock_obtain
        obtain(lock.number, thread, lock.last_ns)
        self._mark(lock, thread, deed.site)
        self._wait_on(lock, thread)

    def _release(self, lock: _Lock, owner: tuple[int, int]) -> None:
        """End a hold: that of its owner, else the oldest one."""
        holds = lock.holds
        if not holds:
            return
        index = next((index for index, hold in enumerate(holds) if hold[0] == owner), 0)
        _, thread = holds.pop(index)
        release = self._stream.lock_shared_release if lock.shared else self._stream.lock_release
        release(lock.number, thread, lock.last_ns)
        self._wait_on(lock, thread)

    def _give_up(self, lock: _Lock, owner: tuple[int, int]) -> None:
        thread = lock.waits.pop(owner, None)
        if thread is None or thread in lock.waits.values():
            return
        if thread in lock.waiting:
            lock.waiting.discard(thread)
            self._stream.lock_give_up(lock.number, thread, lock.last_ns)

    def _wait_on(self, lock: _Lock, thread: int) -> None:
        """Let a thread go on to wait in the name of others."""
        if thread in lock.waits.values():
            self._wait(lock, thread)

    def _mark(self, lock: _Lock, thread: int, site: int) -> None:
        """Say where in the program that is."""
        place = self._sources.place(site) if site and thread in lock.threads else None
        if place is not None:
            self._stream.lock_mark(lock.number, thread, place.id)
