"""Rows of the timeline: threads, and the fibers that threads carry."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from aperf.protocol.tracy._versions import QueryKind

from ._faults import InstrumentationFailure, Undiagnosed
from ._slot import Slot
from ._zones import ZoneList

if TYPE_CHECKING:
    from ._context import Context, Handlers
    from ._stacks import SentStack, Stacks
    from ._zones import Zone

__all__ = ("Region", "Row", "RowKey", "Rows")

#: A server numbers threads and fibers with 16 bits.
_MAX_ROWS: Final = 65_535


class RowKey(NamedTuple):
    """Which row: threads and fibers have ids of their own."""

    kind: Literal["thread", "fiber"]
    id: int


class Region(NamedTuple):
    """When a fiber ran, and on which thread; `end_ns` is None where it did not leave."""

    start_ns: int
    end_ns: int | None
    tid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A thread or a fiber.

    Attributes:
        name: what the client calls it.
        group: where the viewer puts it.
        zones: the zones that are in no other one.
        regions: when it ran, for a fiber.
    """

    name: str
    group: int = 0
    zones: tuple[Zone, ...] = ()
    regions: tuple[Region, ...] = ()


@dataclass(slots=True)
class _Growing:
    """A row while its events come in."""

    group: int = 0
    zones: ZoneList = field(default_factory=ZoneList)
    regions: list[Region] = field(default_factory=list)

    def leave(self, t_ns: int) -> None:
        """End the last region."""
        if self.regions:
            self.regions[-1] = self.regions[-1]._replace(end_ns=t_ns)


class Rows:
    """All rows, and which of them the next event belongs to."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._rows: dict[RowKey, _Growing] = {}
        self._entered: dict[int, RowKey] = {}
        self._stacks: defaultdict[RowKey, Slot[SentStack]] = defaultdict(lambda: Slot("call stack"))
        self.handlers: Handlers = {
            "FiberEnter": self._enter,
            "FiberLeave": self._leave,
            "ThreadGroupHint": self._group,
        }

    @property
    def here(self) -> RowKey:
        """The fiber that the thread is carrying, else the thread."""
        tid = self._context.tid
        return self._entered.get(tid) or RowKey("thread", tid)

    @property
    def next_stack(self) -> Slot[SentStack]:
        """The call stack of the next event in this row that has one."""
        return self._stacks[self.here]

    @property
    def any_open(self) -> bool:
        """Whether any row has a zone that has not ended."""
        return any(row.zones.is_open for row in self._rows.values())

    def known(self) -> _Growing | None:
        """Return the row of the next event, if there is one yet."""
        return self._rows.get(self.here)

    def current(self) -> _Growing:
        """Return the row of the next event."""
        return self._reach(self.here)

    def see_thread(self, tid: int) -> None:
        """Learn of a thread."""
        self._reach(RowKey("thread", tid))

    def picture(self, kind: str, stacks: Stacks) -> dict[int, Row]:
        """Return the threads, or the fibers, by id."""
        return {
            key.id: self._row(key, row, stacks)
            for key, row in self._rows.items()
            if key.kind == kind
        }

    def _row(self, key: RowKey, row: _Growing, stacks: Stacks) -> Row:
        return Row(
            name=self._context.texts.get(_NAMES[key.kind], key.id),
            group=row.group,
            zones=row.zones.picture(self._context.sources.get, stacks),
            regions=tuple(row.regions),
        )

    def _reach(self, key: RowKey) -> _Growing:
        row = self._rows.get(key)
        if row is None:
            if len(self._rows) == _MAX_ROWS:
                raise Undiagnosed(f"more than {_MAX_ROWS} threads and fibers")
            row = self._rows[key] = _Growing()
            self._context.texts.ask(_NAMES[key.kind], key.id)
        return row

    def _enter(self, *, dt: int, fiber: int, tid: int, group: int = 0) -> None:
        t_ns = self._context.thread_clock.advance(dt)
        self.see_thread(tid)
        key = RowKey("fiber", fiber)
        is_new = key not in self._rows
        row = self._reach(key)
        before = self._entered.get(tid)
        if before is not None:
            self._rows[before].leave(t_ns)
        self._entered[tid] = key
        row.regions.append(Region(t_ns, None, tid))
        if is_new:
            row.group = group

    def _leave(self, *, dt: int, tid: int) -> None:
        t_ns = self._context.thread_clock.advance(dt)
        if RowKey("thread", tid) not in self._rows:
            raise Undiagnosed(f"a fiber leaves thread {tid}, which does not exist")
        if tid not in self._entered:
            raise InstrumentationFailure(
                "Fiber execution stopped on a thread which is not executing a fiber."
            )
        self._rows[self._entered.pop(tid)].leave(t_ns)

    def _group(self, *, tid: int, group: int) -> None:
        row = self._rows.get(RowKey("thread", tid))
        if row is None:
            raise Undiagnosed(f"group of thread {tid}, which does not exist")
        row.group = group


_NAMES: Final = {"thread": QueryKind.THREAD_STRING, "fiber": QueryKind.FIBER_NAME}
