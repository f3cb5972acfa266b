"""Locks: who waited for them and who had them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from ._faults import Undiagnosed

if TYPE_CHECKING:
    from ._context import Context, Handlers
    from ._rows import Rows
    from ._sources import Source

__all__ = ("Lock", "LockEvent", "LockOperation", "Locks")

LockOperation: TypeAlias = Literal[
    "wait", "obtain", "release", "shared wait", "shared obtain", "shared release"
]

#: A server has one bit for each thread; with one more it crashes.
_MAX_THREADS: Final = 64


class LockEvent(NamedTuple):
    """Something that a thread did with a lock, and where, if it said so."""

    t_ns: int
    operation: LockOperation
    tid: int
    source: Source | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A lock.

    Attributes:
        id: its number.
        name: what it was called later; "" if it was not.
        source: where it was made.
        shared: whether several can hold it.
        announced_ns: from when on it is known.
        terminated_ns: until when; None for open end.
        events: all that happened to it.
    """

    id: int
    name: str = ""
    source: Source
    shared: bool = False
    announced_ns: int
    terminated_ns: int | None = None
    events: tuple[LockEvent, ...] = ()


@dataclass(slots=True, kw_only=True)
class _Growing:
    source: int
    shared: bool
    announced_ns: int
    name: str = ""
    terminated_ns: int | None = None
    events: list[LockEvent] = field(default_factory=list)
    #: By index of the event.
    marks: dict[int, int] = field(default_factory=dict)
    waiting: list[int] = field(default_factory=list)
    holders: list[int] = field(default_factory=list)
    tids: set[int] = field(default_factory=set)

    def add(self, t_ns: int, operation: LockOperation, tid: int) -> None:
        if self.events and t_ns < self.events[-1].t_ns:
            raise Undiagnosed("time of a lock's event before that of the event before it")
        if len(self.tids | {tid}) > _MAX_THREADS:
            raise Undiagnosed(f"lock with more than {_MAX_THREADS} threads")
        self.tids.add(tid)
        self.events.append(LockEvent(t_ns, operation, tid))

    def last_entry(self, tid: int) -> int | None:
        """Return the index of the last wait or obtain of a thread."""
        for index in reversed(range(len(self.events))):
            event = self.events[index]
            if event.tid == tid and not event.operation.endswith("release"):
                return index
        return None


class Locks:
    """The events of locks. All but the release of an exclusive lock name a thread."""

    def __init__(self, context: Context, rows: Rows) -> None:
        self._context = context
        self._rows = rows
        self._locks: dict[int, _Growing] = {}
        self.handlers: Handlers = {
            "LockAnnounce": self._announce,
            "LockName": self._name,
            "LockTerminate": self._terminate,
            "LockMark": self._mark,
            "LockWait": partial(self._wait, operation="wait"),
            "LockObtain": partial(self._obtain, operation="obtain"),
            "LockRelease": self._release,
            "LockSharedWait": partial(self._wait, operation="shared wait"),
            "LockSharedObtain": partial(self._obtain, operation="shared obtain"),
            "LockSharedRelease": self._shared_release,
        }

    def picture(self) -> tuple[Lock, ...]:
        """Return the locks in the order in which they were announced."""
        return tuple(self._lock(number, lock) for number, lock in self._locks.items())

    def _lock(self, number: int, lock: _Growing) -> Lock:
        get = self._context.sources.get
        marks = {index: get(source) for index, source in lock.marks.items()}
        return Lock(
            id=number,
            name=lock.name,
            source=get(lock.source),
            shared=lock.shared,
            announced_ns=lock.announced_ns,
            terminated_ns=lock.terminated_ns,
            events=tuple(
                event._replace(source=marks.get(index)) for index, event in enumerate(lock.events)
            ),
        )

    def _announce(self, *, lock: int, t: int, source: int, kind: int) -> None:
        if lock in self._locks:
            raise Undiagnosed(f"lock {lock} announced twice")
        self._context.sources.ask(source)
        self._locks[lock] = _Growing(source=source, shared=bool(kind), announced_ns=t)

    def _known(self, lock: int) -> _Growing:
        known = self._locks.get(lock)
        if known is None:
            raise Undiagnosed(f"event of lock {lock}, which was not announced")
        return known

    def _name(self, *, lock: int) -> None:
        name = self._context.text.take()
        self._known(lock).name = name

    def _terminate(self, *, lock: int, t: int) -> None:
        self._known(lock).terminated_ns = t

    def _mark(self, *, tid: int, lock: int, source: int) -> None:
        known = self._known(lock)
        index = known.last_entry(tid)
        if index is None:
            raise Undiagnosed(f"mark of lock {lock} by thread {tid}, which never waited for it")
        self._context.sources.ask(source)
        known.marks[index] = source

    def _wait(self, *, tid: int, lock: int, dt: int, operation: LockOperation) -> None:
        t_ns = self._context.serial_clock.advance(dt)
        self._rows.see_thread(tid)
        known = self._known(lock)
        known.add(t_ns, operation, tid)
        known.waiting.append(tid)

    def _obtain(self, *, tid: int, lock: int, dt: int, operation: LockOperation) -> None:
        t_ns = self._context.serial_clock.advance(dt)
        known = self._known(lock)
        if tid not in known.waiting:
            raise Undiagnosed(f"lock {lock} obtained by thread {tid}, which did not wait for it")
        known.add(t_ns, operation, tid)
        known.waiting.remove(tid)
        known.holders.append(tid)

    def _release(self, *, lock: int, dt: int) -> None:
        t_ns = self._context.serial_clock.advance(dt)
        known = self._known(lock)
        if not known.holders:
            raise Undiagnosed(f"lock {lock} released, and nobody holds it")
        known.add(t_ns, "release", known.holders[-1])
        known.holders.pop()

    def _shared_release(self, *, lock: int, dt: int, tid: int) -> None:
        t_ns = self._context.serial_clock.advance(dt)
        known = self._known(lock)
        if tid not in known.holders:
            raise Undiagnosed(f"lock {lock} released by thread {tid}, which does not hold it")
        known.add(t_ns, "shared release", tid)
        known.holders.remove(tid)
