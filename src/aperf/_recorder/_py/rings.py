"""The rings of all threads."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from .ring import Ring

if TYPE_CHECKING:
    from aperf._recorder._cold import Cold

__all__ = ("Rings",)

#: Rings of threads that run no loop are smaller by this factor: they carry jobs and user spans
#: only.
SIDE_RING = 16
MIN_RING = 64  # slots; several of the largest events


class _Writer:
    """Lives as long as its thread writes to a ring."""

    __slots__ = ("_ended", "_ring")

    def __init__(self, ring: Ring, ended: deque[Ring]) -> None:
        self._ring = ring
        self._ended = ended

    def __del__(self) -> None:
        self._ended.append(self._ring)


class Rings:
    """Makes a ring for each thread that writes.

    Args:
        cold: knows threads, and is told when a ring is half full.
        slots: capacity of a loop's ring, a power of two.
    """

    __slots__ = ("_cold", "_ended", "_local", "_rings", "_slots")

    def __init__(self, cold: Cold, slots: int) -> None:
        self._cold = cold
        self._slots = max(MIN_RING, slots)
        self._rings: list[Ring] = []
        self._ended: deque[Ring] = deque()
        self._local = threading.local()

    def of_thread(self, *, loop: bool = True) -> Ring:
        """Return this thread's ring, made at its first use.

        Args:
            loop: whether a loop runs here; its ring is large, and takes the place of a small one.
        """
        ring: Ring | None = getattr(self._local, "ring", None)
        if ring is None or (loop and ring.slots < self._slots):
            slots = self._slots if loop else max(MIN_RING, self._slots // SIDE_RING)
            ring = Ring(slots, self._cold.thread(), self._cold.half_full, self._spare(slots))
            self._local.ring = ring
            self._local.writer = _Writer(ring, self._ended)
            self._rings.append(ring)
        return ring

    def known(self) -> Ring | None:
        """Return this thread's ring, None if it has none yet."""
        ring: Ring | None = getattr(self._local, "ring", None)
        return ring

    def _spare(self, slots: int) -> bytearray | None:
        """Return the memory of a ring whose thread has ended: threads may come and go."""
        for _ in range(len(self._ended)):
            try:
                ring = self._ended.popleft()
            except IndexError:
                break  # another thread was faster
            if ring.slots == slots and not ring.used:
                return ring.give_up()
            self._ended.append(ring)
        return None

    def drain(self, slots: int) -> list[tuple[int, bytes]]:
        """Take up to so many slots from each ring.

        Returns:
            (index of the ring, as in `threads`; the slots), for rings that held something.
        """
        return [(index, ring.take(slots)) for index, ring in enumerate(self._rings) if ring.used]

    def used(self) -> int:
        """Return how many slots wait in all rings together."""
        return sum(ring.used for ring in self._rings)

    def dropped(self) -> int:
        """Return how many events found their ring full."""
        return sum(ring.dropped for ring in self._rings)

    def threads(self) -> list[tuple[int, str]]:
        """Return identifier and name of each ring's thread, in the order of the rings."""
        return [ring.thread for ring in self._rings]
