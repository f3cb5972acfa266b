"""Writes records by hand, as a recorder would, and assembles them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aperf._ids import Ids, SequentialIds
from aperf._pipeline import Assembler, Rules, Tables
from aperf._recorder._layout import BIRTH, HEADER, NARROW, PAIR, SLOT, Hint, Kind, StepFlag
from aperf._recorder._names import Names
from aperf.model import Category, Span, ThreadInfo, TimeAnchor

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("DONE", "FIRST", "History", "Story")

FIRST = int(StepFlag.FIRST)
DONE = int(StepFlag.DONE)


async def sleeper() -> None:
    """Something with a code object."""


async def worker() -> None:
    """Something else with a code object."""


#: Numbers of sites that a history may name.
SITES: dict[int, Any] = {
    1: (0, None, ((sleeper.__code__, -1),)),
    2: (0, None, ((worker.__code__, -1),)),
    3: (int(Hint.FULL), None, ((sleeper.__code__, 0), (worker.__code__, 0))),
}


class Story:
    """What became of a history."""

    def __init__(self, assembler: Assembler) -> None:
        self.assembler = assembler
        batch = assembler.rows.take()
        self.spans: list[Span] = [] if batch is None else list(batch)

    def of(self, category: Category) -> list[Span]:
        """Return the spans of a category."""
        return [span for span in self.spans if span.category is category]

    @property
    def tasks(self) -> dict[int, Span]:
        """The last span of each task."""
        return {span.task_id or 0: span for span in self.of(Category.TASK)}

    @property
    def awaits(self) -> list[Span]:
        """The spans of awaits."""
        return self.of(Category.AWAIT)


class History:
    """The slots of one ring."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.names = Names()

    def _put(
        self, kind: Kind, t_ns: int, flags: int, ref: int, a: int, b: int, rest: bytes
    ) -> None:
        slots = 1 + -(-len(rest) // SLOT)
        self.data += HEADER.pack(t_ns, kind, slots, flags, ref, a, b)
        self.data += rest.ljust((slots - 1) * SLOT, b"\0")

    def birth(
        self,
        task: int,
        t_ns: int = 0,
        *,
        creator: int = 0,
        code: int = 1,
        name: str = "",
        span: tuple[int, int] = (0, 0),
        flags: int = 0,
    ) -> History:
        """Add the birth of a task."""
        text = name.encode()
        rest = BIRTH.pack(*span, len(text), text[:16]) + text[16:]
        self._put(Kind.BIRTH, t_ns, flags, code, task, creator, rest)
        return self

    def step(
        self,
        task: int,
        t_ns: int,
        busy_ns: int = 0,
        *,
        ready_ns: int = 0,
        waker: int = 0,
        site: int = 0,
        flags: int = 0,
    ) -> History:
        """Add a step of a task."""
        self.data += NARROW.pack(t_ns, Kind.STEP, 1, flags, site, task, waker, ready_ns, busy_ns)
        return self

    def wide(
        self, task: int, t_ns: int, busy_ns: int, *, ready_ns: int = 0, flags: int = 0
    ) -> History:
        """Add a step whose numbers are large."""
        self._put(Kind.WIDE, t_ns, flags, 0, task, 0, PAIR.pack(ready_ns, busy_ns, 0, 0))
        return self

    def failure(self, task: int, text: str, *, site: int = 2) -> History:
        """Add the exception that the next step ends with."""
        data = text.encode()
        self._put(Kind.FAILURE, 0, 0, site, task, len(data), data[:224])
        for start in range(224, len(data), 224):
            self._put(Kind.MORE, 0, 0, 0, task, 0, data[start : start + 224])
        return self

    def open(self, owner: int, seq: int, t_ns: int, name: str, parent: tuple[int, int]) -> History:
        """Add the begin of a user span."""
        rest = PAIR.pack(*parent, 2, 0)
        self._put(Kind.OPEN, t_ns, 0, self.names.intern(name), owner, seq, rest)
        return self

    def close(self, owner: int, seq: int, t_ns: int, flags: int = 0) -> History:
        """Add the end of a user span."""
        self._put(Kind.CLOSE, t_ns, flags, 0, owner, seq, b"")
        return self

    def job(self, task: int, number: int, t_ns: int, queue_ns: int, run_ns: int) -> History:
        """Add a job of an executor."""
        self._put(Kind.JOB, t_ns, 0, 2, task, number, PAIR.pack(queue_ns, run_ns, 0, 0))
        return self

    def record(
        self, kind: Kind, t_ns: int, *, flags: int, ref: int, a: int, b: int, rest: bytes
    ) -> History:
        """Add an event of any kind."""
        self._put(kind, t_ns, flags, ref, a, b, rest)
        return self

    def other(self, kind: Kind, t_ns: int, a: int, payload: bytes = b"") -> History:
        """Add an event of another kind."""
        self._put(kind, t_ns, 0, 0, a, 0, payload)
        return self

    def assembler(
        self,
        *,
        rows: bool = True,
        ids: Ids | None = None,
        sample: Callable[[int, str], bool] | None = None,
        **rules: Any,
    ) -> Assembler:
        """Return an assembler for it, without a record yet."""
        if sample is not None:
            rules["sample"] = sample
        assembler = Assembler(
            Tables(SITES.get, self.names.text),
            ids or SequentialIds(),
            TimeAnchor(0, 0),
            Rules(**rules),
            rows=rows,
        )
        assembler.add_thread(ThreadInfo(7, "MainThread"))
        assembler.add_thread(ThreadInfo(8, "pool_0"))
        return assembler

    def told(self, *, end_ns: int = 10**6, live: list[Any] | None = None, **how: Any) -> Story:
        """Assemble it to its end."""
        assembler = self.assembler(**how)
        assembler.feed(0, bytes(self.data))
        assembler.finish(end_ns, live or [])
        return Story(assembler)
