"""Threads and fibers: the rows of the picture, and which of them events belong to."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from ._blocks import BLOCK
from ._layouts import layouts
from ._writer import Writer

if TYPE_CHECKING:
    from ._strings import Strings

__all__ = ("MAX_ROWS", "Rows")

#: Viewers number threads and fibers together, with 16 bits.
MAX_ROWS: Final = 65_535
#: The version in which entering a fiber names a group of rows.
_GROUPS_SINCE: Final = 68


class _Fiber:
    """A row of its own, which threads run."""

    __slots__ = ("id", "starts", "thread")

    def __init__(self, fiber: int) -> None:
        self.id = fiber
        self.starts: list[int] = []  #: begin of each open zone
        self.thread: _Thread | None = None  #: that runs it


class _Thread:
    """A row by itself, and what it runs."""

    __slots__ = ("fiber", "starts", "tid")

    def __init__(self, tid: int) -> None:
        self.tid = tid
        self.starts: list[int] = []
        self.fiber: _Fiber | None = None


class Rows(Writer):
    """Events of threads: which thread and fiber they belong to, and their running clock."""

    __slots__ = (
        "_clock_ns",
        "_enter",
        "_fibers",
        "_grouped",
        "_known",
        "_leave",
        "_pack_enter",
        "_pack_leave",
        "_seen",
        "_starts",
        "_thread",
        "_threads",
        "_tid",
    )

    def __init__(self, version: int, strings: Strings, *, strict: bool = False) -> None:
        super().__init__(version, strings, strict=strict)
        self._clock_ns = 0  # of the thread; the viewer resets it with each ThreadContext
        self._tid = 0
        self._thread = _Thread(0)
        self._starts = self._thread.starts  # of the row that gets the events
        self._threads = {0: self._thread}
        self._fibers: dict[int, _Fiber] = {}
        self._seen = False  # whether the viewer saw an event that makes the thread known
        self._known: set[int] = set()
        enter, leave = layouts(version)["FiberEnter"], layouts(version)["FiberLeave"]
        self._grouped = version >= _GROUPS_SINCE
        self._enter, self._pack_enter = enter.number, struct.Struct(enter.format).pack
        self._leave, self._pack_leave = leave.number, struct.Struct(leave.format).pack

    def thread(self, tid: int) -> None:
        """Let what follows belong to a thread, or to the fiber that it runs.

        Args:
            tid: 32 bits.

        Raises:
            LocalProtocolError: too many rows, or no such number (strict).
        """
        if tid == self._tid:
            return
        thread = self._threads.get(tid)
        if thread is None:
            if not self._has_room(f"thread {tid}"):
                return
            thread = _Thread(tid)
        if not self._put("ThreadContext", tid):
            return
        if self._seen:
            self._known.add(self._tid)
            self._seen = False
        self._threads[tid] = thread
        self._tid, self._thread, self._clock_ns = tid, thread, 0
        self._starts = (thread.fiber or thread).starts

    def thread_group(self, tid: int, group: int) -> None:
        """Show threads of a group side by side; viewers before 0.12 ignore it.

        Raises:
            LocalProtocolError: there was no event of the thread yet (strict).
        """
        if "ThreadGroupHint" not in self._records:
            return
        if tid in self._known or (tid == self._tid and self._seen):
            self._put("ThreadGroupHint", tid, group)
        else:  # the viewer would crash
            self._misuse(f"group of thread {tid}", "an event of the thread first")

    # ------------------------------------------------------------------------------------- fibers

    def fiber_enter(self, t_ns: int, fiber: int, group: int = 0) -> None:
        """Let the thread run a fiber: what follows on the thread belongs to it.

        Args:
            t_ns: when.
            fiber: its id; the name is asked for once (`Strings.fiber`).
            group: fibers of a group are shown side by side, in viewers since 0.11.1.

        Raises:
            LocalProtocolError: the fiber runs already, or there are too many rows (strict).
        """
        state = self._fibers.get(fiber)
        if state is None:
            if not self._has_room(f"fiber {fiber}"):
                return
            state = self._fibers[fiber] = _Fiber(fiber)
        elif state.thread is not None:
            self._misuse(f"enter fiber {fiber}", f"it not to run on thread {state.thread.tid}")
            self._leave_on(state.thread, t_ns)
        data, dt_ns = self._data, t_ns - self._clock_ns
        try:
            if self._grouped:
                data += self._pack_enter(self._enter, dt_ns, fiber, self._tid, group)
            else:
                data += self._pack_enter(self._enter, dt_ns, fiber, self._tid)
        except struct.error as error:
            self._misuse(f"enter fiber {fiber} at {t_ns}", f"values that fit ({error})")
            return
        thread = self._thread
        if thread.fiber is not None:  # a direct switch
            thread.fiber.thread = None
        self._clock_ns = t_ns
        self._seen = True
        thread.fiber, state.thread, self._starts = state, thread, state.starts
        if len(data) >= BLOCK:
            self._close_block()

    def fiber_leave(self, t_ns: int) -> None:
        """Give the thread back to itself; the fiber's zones stay open.

        Raises:
            LocalProtocolError: the thread runs no fiber (strict).
        """
        thread = self._thread
        fiber = thread.fiber
        if fiber is None:
            self._misuse(f"leave a fiber on thread {self._tid}", "a fiber that it runs")
            return
        data = self._data
        try:
            data += self._pack_leave(self._leave, t_ns - self._clock_ns, self._tid)
        except struct.error as error:
            self._misuse(f"leave fiber {fiber.id} at {t_ns}", f"a time that fits ({error})")
            return
        self._clock_ns = t_ns
        thread.fiber = fiber.thread = None
        self._starts = thread.starts
        if len(data) >= BLOCK:
            self._close_block()

    def _leave_on(self, thread: _Thread, t_ns: int) -> None:
        """Leave the fiber of any thread."""
        tid = self._tid
        self.thread(thread.tid)
        self.fiber_leave(t_ns)
        self.thread(tid)

    # ------------------------------------------------------------------------------------- limits

    def _has_room(self, what: str) -> bool:
        if len(self._threads) + len(self._fibers) < MAX_ROWS:
            return True
        self._misuse(what, f"at most {MAX_ROWS} threads and fibers")
        return False

    def _know(self, tid: int) -> bool:
        """Note a thread that an event makes known; say whether there is room for it."""
        if not self._number(tid):
            return False
        self._known.add(tid)
        return True

    def _number(self, tid: int) -> bool:
        """Note a thread that an event names; say whether there is room for it."""
        if tid not in self._threads:
            if not self._has_room(f"thread {tid}"):
                return False
            self._threads[tid] = _Thread(tid)
        return True
