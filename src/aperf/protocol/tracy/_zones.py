"""Zones: nested stretches of time in a thread or fiber. The hot part of a stream."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from ._blocks import BLOCK
from ._forms import Forms
from ._layouts import layouts
from ._records import packer
from ._rows import Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ._strings import Strings

__all__ = ("Zones",)


class Zones(Rows):
    """Zones in the row that `thread`, `fiber_enter` and `fiber_leave` chose.

    Times are ns of one clock. In a row they should not go back; across rows any order will do.
    """

    __slots__ = (
        "_begin",
        "_end",
        "_forms",
        "_pack_begin",
        "_pack_end",
        "_pack_step",
        "_pack_zone",
    )

    def __init__(self, version: int, strings: Strings, *, strict: bool = False) -> None:
        super().__init__(version, strings, strict=strict)
        self._forms = Forms(version)
        # All is tried in the shortest form, which refuses times that it cannot hold: to ask first
        # would cost 50 ns each time, and times of more than 65 µs cannot be frequent.
        known = layouts(version)
        begin = known.get("ZoneBegin16") or known["ZoneBegin"]
        end = known.get("ZoneEnd16") or known["ZoneEnd"]
        self._begin, self._end = begin.number, end.number
        self._pack_begin, self._pack_end = packer(begin), packer(end)
        self._pack_zone = packer(begin, end)
        self._pack_step = packer(known["FiberEnter"], end, begin, known["FiberLeave"])

    def zone(self, start_ns: int, end_ns: int, source: int) -> None:
        """Add a zone that is over and has nothing in it.

        Args:
            start_ns: when it began.
            end_ns: when it ended.
            source: where it is, from `Strings.source`.

        Raises:
            LocalProtocolError: it ends before it begins (strict).
        """
        if end_ns < start_ns:
            end_ns = self._not_before(start_ns, end_ns)
        data, dt_ns, length_ns = self._data, start_ns - self._clock_ns, end_ns - start_ns
        try:
            data += self._pack_zone(self._begin, dt_ns, source, self._end, length_ns)
        except struct.error:  # see __init__
            if not self._put_long(self._forms.zone, dt_ns, source, length_ns):
                return
        self._clock_ns = end_ns
        self._seen = True
        if len(data) >= BLOCK:
            self._close_block()

    def zone_begin(self, t_ns: int, source: int, stack: Sequence[int] = ()) -> None:
        """Begin a zone inside of the innermost open one.

        Args:
            t_ns: when.
            source: where, from `Strings.source`.
            stack: the call stack, innermost first, from `Strings.frame`.
        """
        if stack:
            self._begin_with_stack(t_ns, source, stack)
            return
        data, dt_ns = self._data, t_ns - self._clock_ns
        try:
            data += self._pack_begin(self._begin, dt_ns, source)
        except struct.error:
            if not self._put_long(self._forms.begin, dt_ns, source):
                return
        self._clock_ns = t_ns
        self._seen = True
        self._starts.append(t_ns)
        if len(data) >= BLOCK:
            self._close_block()

    def _begin_with_stack(self, t_ns: int, source: int, stack: Sequence[int]) -> None:
        before = self._stack(stack, "Callstack")
        form, dt_ns = self._forms.narrow(t_ns - self._clock_ns)
        if self._put("ZoneBeginCallstack" + form, dt_ns, source, before=before):
            self._began(t_ns)

    def zone_end(self, t_ns: int) -> None:
        """End the innermost open zone.

        Raises:
            LocalProtocolError: none is open, or it ends before it begins (strict).
        """
        starts = self._starts
        if not starts:
            self._misuse("end a zone", "an open one in this row")
            return
        if t_ns < starts[-1]:
            t_ns = self._not_before(starts[-1], t_ns)
        data, dt_ns = self._data, t_ns - self._clock_ns
        try:
            data += self._pack_end(self._end, dt_ns)
        except struct.error:
            if not self._put_long(self._forms.end, dt_ns):
                return
        starts.pop()  # not before it is certain: a strict stream may have raised
        self._clock_ns = t_ns
        if len(data) >= BLOCK:
            self._close_block()

    def step(self, resume_ns: int, suspend_ns: int, fiber: int, group: int, source: int) -> None:
        """Run a fiber from the end of one wait to the begin of the next.

        That is: enter it and end its innermost zone, the wait, at `resume_ns`; begin a zone, the
        next wait, and leave at `suspend_ns`.

        Args:
            resume_ns: when it was resumed.
            suspend_ns: when it was suspended again.
            fiber: its id.
            group: of fibers that are shown side by side.
            source: of the next wait, from `Strings.source`.

        Raises:
            LocalProtocolError: as the single steps do (strict).
        """
        state = self._fibers.get(fiber)
        if (
            state is None
            or not self._grouped  # the viewer is so old that speed will not matter
            or not state.starts
            or state.thread is not None
            or self._thread.fiber is not None
            or not state.starts[-1] <= resume_ns <= suspend_ns
        ):
            self._step_in_parts(resume_ns, suspend_ns, fiber, group, source)
            return
        data, dt_ns, tid = self._data, resume_ns - self._clock_ns, self._tid
        length_ns = suspend_ns - resume_ns
        try:
            data += self._pack_step(
                self._enter, dt_ns, fiber, tid, group, self._end, 0,
                self._begin, length_ns, source, self._leave, 0, tid,
            )  # fmt: skip
        except struct.error:
            if not self._put_long(self._forms.step, dt_ns, fiber, tid, group, length_ns, source):
                return
        state.starts[-1] = self._clock_ns = suspend_ns
        self._seen = True
        if len(data) >= BLOCK:
            self._close_block()

    def _step_in_parts(
        self, resume_ns: int, suspend_ns: int, fiber: int, group: int, source: int
    ) -> None:
        if suspend_ns < resume_ns:
            suspend_ns = self._not_before(resume_ns, suspend_ns)
        self.fiber_enter(resume_ns, fiber, group)
        state = self._thread.fiber
        if state is None or state.id != fiber:  # there are too many
            return
        self.zone_end(resume_ns)
        self.zone_begin(suspend_ns, source)
        self.fiber_leave(suspend_ns)

    def end_all(self, t_ns: int) -> None:
        """End all zones of all rows, and leave all fibers."""
        for thread in list(self._threads.values()):
            if thread.starts or thread.fiber is not None:
                self.thread(thread.tid)
                if thread.fiber is not None:
                    self._end_row(t_ns)
                    self.fiber_leave(t_ns)
                self._end_row(t_ns)
        for fiber in self._fibers.values():
            if fiber.starts:
                self.fiber_enter(t_ns, fiber.id)
                self._end_row(t_ns)
                self.fiber_leave(t_ns)

    def _end_row(self, t_ns: int) -> None:
        while self._starts:
            self.zone_end(max(t_ns, self._starts[-1]))

    def _put_long(self, encode: Callable[..., bytes], *values: int) -> bool:
        """Append what did not fit into the shortest form; say whether it fits into another one."""
        try:
            self._data += encode(*values)
        except struct.error as error:
            self._misuse(f"{encode.__name__} with {values}", f"values that fit ({error})")
            return False
        return True

    def _began(self, t_ns: int) -> None:
        self._clock_ns = t_ns
        self._seen = True
        self._starts.append(t_ns)

    def _not_before(self, start_ns: int, end_ns: int) -> int:
        self._misuse(f"end at {end_ns}", f"a time from the begin, {start_ns}, on")
        return start_ns
