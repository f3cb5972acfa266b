"""Locks: who waits for them and who holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ._serial import Serial

if TYPE_CHECKING:
    from ._strings import Strings

__all__ = ("MAX_LOCK_THREADS", "Locks")

#: A viewer crashes when a 65th thread uses a lock: it has one bit for each.
MAX_LOCK_THREADS: Final = 64
#: Viewers count in a byte how often a lock is held.
_MAX_DEPTH: Final = 255


class _Lock:
    __slots__ = ("depth", "holder", "last_ns", "shared", "shares", "threads", "waiting")

    def __init__(self, t_ns: int, *, shared: bool) -> None:
        self.shared = shared
        self.last_ns = t_ns
        self.threads: set[int] = set()  #: all that ever used it
        self.waiting: dict[int, str] = {}  #: the event by which each thread began to
        self.shares: dict[int, int] = {}  #: how many each thread has
        self.holder = 0
        self.depth = 0  #: how often the holder holds it; 0: it is free


class Locks(Serial):
    """Events of locks, each in ascending time.

    A lock belongs to threads, never to fibers: whoever is to appear as different holders needs
    different thread ids, which may be made up.
    """

    def __init__(self, version: int, strings: Strings, *, strict: bool = False) -> None:
        super().__init__(version, strings, strict=strict)
        self._locks: dict[int, _Lock] = {}
        self._ended_locks: set[int] = set()

    def lock_announce(self, lock: int, t_ns: int, source: int, shared: bool = False) -> None:
        """Introduce a lock; precedes all its other events.

        Args:
            lock: number of 32 bits that no other lock of this stream has had.
            t_ns: when it was made.
            source: where, from `Strings.source`.
            shared: whether it can be shared (`lock_shared_wait`).

        Raises:
            LocalProtocolError: the number is taken (strict).
        """
        if lock in self._locks or lock in self._ended_locks:
            self._misuse(f"announce lock {lock}", "a number that no lock has had")
        elif self._put("LockAnnounce", lock, t_ns, source, shared):
            self._locks[lock] = _Lock(t_ns, shared=shared)

    def lock_name(self, lock: int, text: str) -> None:
        """Name a lock.

        Raises:
            LocalProtocolError: it was not announced (strict).
        """
        if self._lock(lock, "name") is not None:
            self._put("LockName", lock, before=self._single(text))

    def lock_terminate(self, lock: int, t_ns: int) -> None:
        """Say that a lock is no more.

        Raises:
            LocalProtocolError: it was not announced (strict).
        """
        if self._lock(lock, "terminate") is not None and self._put("LockTerminate", lock, t_ns):
            del self._locks[lock]
            self._ended_locks.add(lock)

    # ----------------------------------------------------------------------------------- exclusive

    def lock_wait(self, lock: int, tid: int, t_ns: int) -> None:
        """Begin to wait for a lock.

        Args:
            lock: its number.
            tid: the thread that waits.
            t_ns: when.

        Raises:
            LocalProtocolError: it was not announced, the thread waits already, is the 65th to use
                it, or time goes back (strict).
        """
        state = self._lock(lock, "wait for")
        if state is not None:
            self._wait("LockWait", state, lock, tid, t_ns)

    def lock_obtain(self, lock: int, tid: int, t_ns: int) -> None:
        """Get a lock after waiting for it, however shortly; again if the thread has it already.

        Raises:
            LocalProtocolError: as for `lock_wait`; or the thread does not wait, or another one
                holds the lock (strict).
        """
        state = self._lock(lock, "obtain")
        if state is None or not self._has_waited("LockWait", state, lock, tid, t_ns):
            return
        if state.depth and state.holder != tid:
            self._misuse(
                f"obtain lock {lock} on thread {tid}", f"thread {state.holder} to release it first"
            )
            while state.depth:
                self.lock_release(lock, state.holder, t_ns)
        if state.depth == _MAX_DEPTH:
            self._misuse(f"obtain lock {lock} again", f"at most {_MAX_DEPTH} times")
        elif self._lock_event("LockObtain", state, lock, t_ns, (tid, lock)):
            state.waiting.pop(tid)
            state.holder = tid
            state.depth += 1

    def lock_release(self, lock: int, tid: int, t_ns: int) -> None:
        """Release a lock, on whichever thread: viewers see the end of the holder's hold.

        Raises:
            LocalProtocolError: it was not announced, nobody holds it, or time goes back (strict).
        """
        state = self._lock(lock, "release")
        if state is None:
            return
        if not state.depth:
            self._misuse(f"release lock {lock} on thread {tid}", "it to be held")
        elif self._lock_event("LockRelease", state, lock, t_ns, (lock,)):
            state.depth -= 1

    # -------------------------------------------------------------------------------------- shared

    def lock_shared_wait(self, lock: int, tid: int, t_ns: int) -> None:
        """Begin to wait for a share of a lock.

        Raises:
            LocalProtocolError: as for `lock_wait`, or the lock cannot be shared (strict).
        """
        state = self._lock(lock, "wait for a share of", shared=True)
        if state is not None:
            self._wait("LockSharedWait", state, lock, tid, t_ns)

    def lock_shared_obtain(self, lock: int, tid: int, t_ns: int) -> None:
        """Get a share of a lock after waiting for it.

        Raises:
            LocalProtocolError: as for `lock_shared_wait`, or the thread does not wait (strict).
        """
        state = self._lock(lock, "obtain a share of", shared=True)
        if state is None or not self._has_waited("LockSharedWait", state, lock, tid, t_ns):
            return
        if self._lock_event("LockSharedObtain", state, lock, t_ns, (tid, lock)):
            state.waiting.pop(tid)
            state.shares[tid] = state.shares.get(tid, 0) + 1

    def lock_shared_release(self, lock: int, tid: int, t_ns: int) -> None:
        """Return a share of a lock.

        A thread with several shares shows as one that has the lock until it returns the last.

        Raises:
            LocalProtocolError: as for `lock_shared_wait`, or the thread has no share (strict).
        """
        state = self._lock(lock, "release a share of", shared=True)
        if state is None:
            return
        shares = state.shares.get(tid, 0)
        if not shares:
            self._misuse(f"release a share of lock {lock} on thread {tid}", "it to have one")
        elif shares > 1 or self._lock_event(
            "LockSharedRelease", state, lock, t_ns, (lock,), (tid,)
        ):
            state.shares[tid] = shares - 1

    # ----------------------------------------------------------------------------- either of them

    def lock_give_up(self, lock: int, tid: int, t_ns: int) -> None:
        """Stop waiting for a lock, or for a share of it, without having got it.

        The protocol has no event for that. It is written as a hold that takes no time; whoever
        holds the lock meanwhile releases and obtains it again, in no time either.

        Raises:
            LocalProtocolError: it was not announced, the thread does not wait for it, or time goes
                back (strict).
        """
        state = self._lock(lock, "give up")
        if state is None:
            return
        waits_by = state.waiting.get(tid)
        if waits_by is None:
            self._misuse(f"give up lock {lock} on thread {tid}", "it to wait")
        elif waits_by == "LockSharedWait":
            self.lock_shared_obtain(lock, tid, t_ns)
            self.lock_shared_release(lock, tid, t_ns)
        else:
            holder, depth = state.holder, state.depth
            for _ in range(depth):
                self.lock_release(lock, holder, t_ns)
            self.lock_obtain(lock, tid, t_ns)
            self.lock_release(lock, tid, t_ns)
            for _ in range(depth):
                self.lock_wait(lock, holder, t_ns)
                self.lock_obtain(lock, holder, t_ns)

    def lock_mark(self, lock: int, tid: int, source: int) -> None:
        """Say where a thread's last wait for a lock, or hold of it, is.

        Raises:
            LocalProtocolError: the lock was not announced, or the thread has not used it (strict).
        """
        state = self._lock(lock, "mark")
        if state is None:
            return
        if tid in state.threads:
            self._put("LockMark", tid, lock, source)
        else:
            self._misuse(f"mark lock {lock} on thread {tid}", "an event of the thread first")

    # --------------------------------------------------------------------------------------- guard

    def _lock(self, lock: int, verb: str, *, shared: bool = False) -> _Lock | None:
        state = self._locks.get(lock)
        if state is None:
            self._misuse(f"{verb} lock {lock}", "one that was announced")
        elif shared and not state.shared:
            self._misuse(f"{verb} lock {lock}", "one that was announced as shared")
            return None
        return state

    def _wait(self, event: str, state: _Lock, lock: int, tid: int, t_ns: int) -> bool:
        if tid in state.waiting:
            self._misuse(f"wait for lock {lock} on thread {tid}", "it not to wait already")
            return False
        if tid not in state.threads:
            if len(state.threads) == MAX_LOCK_THREADS:
                self._misuse(
                    f"wait for lock {lock} on thread {tid}",
                    f"one of the {MAX_LOCK_THREADS} threads that have used it",
                )
                return False
            if not self._know(tid):
                return False
        if not self._lock_event(event, state, lock, t_ns, (tid, lock)):
            return False
        state.threads.add(tid)
        state.waiting[tid] = event
        return True

    def _has_waited(self, event: str, state: _Lock, lock: int, tid: int, t_ns: int) -> bool:
        """Whether a thread may obtain a lock: it has waited for it, or does so now."""
        waits_by = state.waiting.get(tid)
        if waits_by == event:
            return True
        self._misuse(f"obtain lock {lock} on thread {tid}", f"a {event} of the thread before")
        return waits_by is None and self._wait(event, state, lock, tid, t_ns)

    def _lock_event(
        self,
        event: str,
        state: _Lock,
        lock: int,
        t_ns: int,
        before: tuple[int, ...],
        after: tuple[int, ...] = (),
    ) -> bool:
        """Append an event, not before the one that precedes it; `before` and `after` its time."""
        if t_ns < state.last_ns:
            self._misuse(f"{event} of lock {lock} at {t_ns}", f"a time from {state.last_ns} on")
            t_ns = state.last_ns
        if not self._put(event, *before, t_ns - self._serial_ns, *after):
            return False
        self._serial_ns = state.last_ns = t_ns
        return True
