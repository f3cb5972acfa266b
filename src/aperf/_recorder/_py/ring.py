"""A bounded ring of slots with one writer, and a reader that takes what is there.

Writer and reader hold the GIL, so two counters that only grow say everything: `head` counts the
slots ever written, `tail` those ever read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aperf._recorder._layout import HEADER, NARROW, SLOT, URGENT, Kind, StepFlag

if TYPE_CHECKING:
    from collections.abc import Callable

    from .entry import Entry

__all__ = ("Pending", "Ring")

_STEP = int(Kind.STEP)
_STEPS = (_STEP, int(Kind.WIDE))
_DONE = int(StepFlag.DONE)


class Pending:
    """A birth that is under way: `call_soon` sees the task before `create_task` returns.

    Attributes:
        coroutine: what the task runs, None once it has been seen.
        id: its number.
        t_ns: when `create_task` was called.
        root: what its trace begins with, known early only if it may be eager.
    """

    __slots__ = ("coroutine", "id", "root", "t_ns")

    def __init__(self, coroutine: object, number: int, t_ns: int) -> None:
        self.coroutine: object | None = coroutine
        self.id = number
        self.t_ns = t_ns
        self.root = 0


class Ring:
    """The ring of one thread.

    Args:
        slots: capacity, a power of two.
        thread: identifier and name of the thread that writes.
        half_full: called when half of it waits to be read, once until it has been.
        memory: of an abandoned ring of the same capacity (see `give_up`).
    """

    __slots__ = (
        "_half_full",
        "_later",
        "_limit",
        "_lost",
        "_mask",
        "_writing",
        "buffer",
        "cause",
        "current",
        "dropped",
        "entry",
        "head",
        "leaving",
        "pending",
        "slots",
        "tail",
        "thread",
        "warned",
    )

    def __init__(
        self,
        slots: int,
        thread: tuple[int, str],
        half_full: Callable[[], None],
        memory: bytearray | None = None,
    ) -> None:
        self.buffer = bytearray(slots * SLOT) if memory is None else memory
        self.slots = slots
        self.thread = thread
        self._half_full = half_full
        self._mask = slots - 1
        self._limit = slots - slots // 8  # the last eighth is for what others depend on
        self._lost = 0
        self.head = 0
        self.tail = 0
        self.dropped = 0
        #: A signal handler or a finalizer may record in the middle of a write: its events wait.
        self._writing = False
        self._later: list[tuple[bytes, bytes]] = []
        #: whether the reader has been told that the ring is half full
        self.warned = False
        #: id of the task that runs on this thread, 0 for none
        self.current = 0
        #: of the task that began to run last on this thread
        self.entry: Entry | None = None
        #: while no task runs: id of the task whose end made this callback run
        self.cause = 0
        #: whether the frames of a task are being left one by one, innermost first (see monitor.py)
        self.leaving = False
        #: the birth that is under way, see hook.py
        self.pending: Pending | None = None

    def put(self, first: bytes, rest: bytes = b"") -> bool:
        """Write one event: its first slot, and further slots (padded with zeros to whole slots).

        Returns:
            False when there was no room; the loss is counted and marked in the ring as soon as
            there is.
        """
        if self._writing:
            self._later.append((first, rest))
            return True
        self._writing = True
        written = self._write(first, rest)
        self._writing = False
        if self._later:
            self.put(*self._later.pop(0))
        return written

    def _write(self, first: bytes, rest: bytes) -> bool:
        kind, count = first[8], first[9]
        urgent = kind in URGENT or (kind in _STEPS and first[10] & _DONE)
        head = self.head
        room = (self.slots if urgent else self._limit) - (head - self.tail)
        if self._lost:
            if room < count + 1:
                return self._drop()
            self._mark_loss(first)
            head += 1
        elif room < count:
            return self._drop()
        buffer, mask = self.buffer, self._mask
        at = (head & mask) * SLOT
        buffer[at : at + SLOT] = first
        for index in range(1, count):
            at = ((head + index) & mask) * SLOT
            buffer[at : at + SLOT] = rest[(index - 1) * SLOT : index * SLOT].ljust(SLOT, b"\0")
        self.head = head = head + count
        if (head - self.tail) * 2 > self.slots and not self.warned:
            self.warned = True
            self._half_full()
        return True

    def step(
        self,
        t_ns: int,
        flags: int,
        site: int,
        task: int,
        waker: int,
        ready_ns: int,
        busy_ns: int,
    ) -> None:
        """Write a STEP: `put` for the one event that is frequent.

        Raises:
            struct.error: a number does not fit; nothing has been written.
        """
        head = self.head
        if self._writing or self._lost or flags & _DONE or (head - self.tail) * 2 >= self.slots:
            self.put(NARROW.pack(t_ns, _STEP, 1, flags, site, task, waker, ready_ns, busy_ns))
            return
        self._writing = True
        at = (head & self._mask) * SLOT
        try:
            NARROW.pack_into(
                self.buffer, at, t_ns, _STEP, 1, flags, site, task, waker, ready_ns, busy_ns
            )
            self.head = head + 1
        finally:
            self._writing = False
        if self._later:
            self.put(*self._later.pop(0))

    def _drop(self) -> bool:
        self.dropped += 1
        self._lost += 1
        return False

    def _mark_loss(self, first: bytes) -> None:
        at = (self.head & self._mask) * SLOT
        t_ns = int.from_bytes(first[:8], "little")
        HEADER.pack_into(self.buffer, at, t_ns, Kind.LOST, 1, 0, 0, self._lost, 0)
        self.head += 1
        self._lost = 0

    def give_up(self) -> bytearray:
        """Return the memory of a ring that nobody writes to any more, and that has been read."""
        memory, self.buffer = self.buffer, bytearray()
        return memory

    @property
    def used(self) -> int:
        """Slots that wait for the reader."""
        return self.head - self.tail

    def take(self, slots: int) -> bytes:
        """Remove up to so many slots from the front and return them.

        An event may be cut at the end; its rest comes with the next call.
        """
        count = min(slots, self.used)
        begin = (self.tail & self._mask) * SLOT
        end = begin + count * SLOT
        size = len(self.buffer)
        data = bytes(self.buffer[begin:end])
        if end > size:
            data += bytes(self.buffer[: end - size])
        self.tail += count
        self.warned = self.used * 2 > self.slots
        return data
