"""Locks whose contention profilers show.

asyncio's own locks, semaphores, conditions and queues need nothing: they are watched where they
are. For threads, `ThreadLock` and `ThreadRLock` take the place of `threading.Lock` and
`threading.RLock`; for what other libraries make, there is `watch`::

    import aperf.locks

    cache_lock = aperf.locks.ThreadLock("cache")
    seats = aperf.locks.watch(anyio.CapacityLimiter(10), "seats", shared=True)

While nothing records them, they cost a branch.
"""

from __future__ import annotations

from ._instrument._locks_threads import ThreadLock, ThreadRLock
from ._instrument._locks_watched import WatchedLock, watch

__all__ = ("ThreadLock", "ThreadRLock", "WatchedLock", "watch")
