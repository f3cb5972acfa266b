"""What is known at the begin of the history, of records that are no longer in it.

A viewer may connect hours after a task was born. To show it, the birth must be known, and whatever
else is still in force: open spans, locks with those who hold or await them, devices. So when the
history drops its oldest records, they pass through here and leave their traces.

That happens on the exporter thread for every record, whether anybody ever connects or not. Steps
are most of them, and only those that end a task matter. They are found without a look at each:
bytes 8, 9 and 10 of a slot are the kind, the number of slots and the lower flags, so `data[8::32]`
are the kinds of all slots, to be searched by compiled code.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from aperf._recorder._layout import (
    BIRTH,
    HEADER,
    PAIR,
    SLOT,
    BirthFlag,
    GpuOp,
    Kind,
    LockOp,
    StepFlag,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from aperf.model import RecordTables, Site

__all__ = ("Baseline", "Born", "OpenSpan")

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

#: So many tasks, spans and locks are remembered each; the oldest are forgotten, and counted. A
#: viewer cannot show more tasks at a time. Where the ring was full the end of one may be missing.
MOST: Final = 1 << 16
#: Holders and waiters of one lock: a viewer takes no more.
MOST_OF_LOCK: Final = 64

_STEP, _DONE, _UNCODED = int(Kind.STEP), int(StepFlag.DONE), int(BirthFlag.UNCODED)
_GPU_CONTEXT = int(GpuOp.CONTEXT)
_LOCK_OP: Final = 15
_ANNOUNCE, _WAIT, _OBTAIN = int(LockOp.ANNOUNCE), int(LockOp.WAIT), int(LockOp.OBTAIN)
_RELEASE, _TERMINATE = int(LockOp.RELEASE), int(LockOp.TERMINATE)

#: Kinds that have one slot and leave no trace, but for the last step of a task.
_PASSING: Final = bytes(
    (Kind.STEP, Kind.CHAIN, Kind.PLOT, Kind.FRAME, Kind.IMAGE, Kind.SAMPLE, Kind.LOST)
)
_NOT_PASSING: Final = re.compile(b"[^" + re.escape(_PASSING) + b"]")
#: Flags of a step as 1 where it ends its task.
_ENDS: Final = bytes(int(bool(flags & _DONE)) for flags in range(256))
#: The task of a STEP.
_TASK: Final = struct.Struct("<16xI")


class Born(NamedTuple):
    """A task that is alive."""

    t_ns: int
    ring: int
    ref: int  #: site of the coroutine's code, or a name (UNCODED)
    flags: int  #: a set of `BirthFlag`
    creator: int
    name: str
    site: Site | None  #: what `ref` stood for: the recorder may have released it since


class OpenSpan(NamedTuple):
    """A user span that has not ended."""

    t_ns: int
    ring: int
    name_ref: int
    site: int
    place: Site | None  #: what `site` stood for


class _Lock:
    """A lock: its announcement, and the records of those who hold or await it now."""

    __slots__ = ("announcement", "states")

    def __init__(self) -> None:
        self.announcement: tuple[int, bytes] | None = None
        #: (owner, operation, ring, record), in order
        self.states: list[tuple[int, int, int, bytes]] = []

    def copy(self) -> _Lock:
        other = _Lock()
        other.announcement, other.states = self.announcement, self.states.copy()
        return other

    def leave(self, owner: int, *operations: int) -> bool:
        """Drop the last state of an owner that is one of these; say whether there was one."""
        for index in range(len(self.states) - 1, -1, -1):
            if self.states[index][0] == owner and self.states[index][1] in operations:
                del self.states[index]
                return True
        return False

    def release(self, owner: int) -> None:
        """End a hold. Whoever releases a semaphore need not be who obtained it."""
        if self.leave(owner, _OBTAIN):
            return
        for index, state in enumerate(self.states):
            if state[1] == _OBTAIN:
                del self.states[index]
                return


class Baseline:
    """What is in force at the begin of the history, or of what is read of it.

    Attributes:
        born: tasks alive, by number.
        open: user spans open, by owner and number.
        rests: of each ring, the begin of an event whose end is still in the history. It is read
            before the history is.
        events: how many events have passed.
        forgotten: how many tasks, spans and locks were too many to be remembered.
        begin_ns: time before which nothing can be shown; what is older begins there.
    """

    def __init__(self) -> None:
        self.born: dict[int, Born] = {}
        self.open: dict[tuple[int, int], OpenSpan] = {}
        self.rests: dict[int, bytes] = {}
        self.events = 0
        self.forgotten = 0
        self.begin_ns = 0
        self._locks: dict[int, _Lock] = {}
        self._devices: dict[int, tuple[int, bytes]] = {}

    @property
    def declared(self) -> list[tuple[int, bytes]]:
        """Records still in force, with their rings: announced locks, who has them, devices."""
        found = list(self._devices.values())
        for lock in self._locks.values():
            if lock.announcement is not None:
                found.append(lock.announcement)
                found += [(ring, record) for _, _, ring, record in lock.states]
        return found

    def oldest_ns(self, otherwise_ns: int) -> int:
        """Return the time of the oldest thing that is in force."""
        times = [born.t_ns for born in self.born.values()]
        times += [span.t_ns for span in self.open.values()]
        times += [HEADER.unpack_from(record)[0] for _, record in self.declared]
        times += [HEADER.unpack_from(rest)[0] for rest in self.rests.values()]
        return min(times, default=otherwise_ns)

    def assign(self, other: Baseline) -> None:
        """Become like another one, which goes on changing."""
        self.born, self.open = other.born.copy(), other.open.copy()
        self.rests = other.rests.copy()
        self.events, self.forgotten = other.events, other.forgotten
        self._locks = {number: lock.copy() for number, lock in other._locks.items()}
        self._devices = other._devices.copy()

    # -------------------------------------------------------------------------------- records pass

    def take(self, ring: int, data: bytes, tables: RecordTables) -> None:
        """Let the oldest slots of a ring pass."""
        rest = self.rests.pop(ring, None)
        if rest is not None:
            data = rest + data
        kinds = data[8::SLOT]
        position, end = 0, len(kinds)
        while position < end:
            other = _NOT_PASSING.search(kinds, position)
            stop = end if other is None else other.start()
            if stop > position:
                self._pass(data, kinds, position, stop)
            if other is None:
                return
            position = stop + max(data[stop * SLOT + 9], 1)
            event = data[stop * SLOT : position * SLOT]
            if position > end:
                self.rests[ring] = event
                return
            self.events += 1
            take = _TAKERS.get(kinds[stop])
            if take is not None:
                take(self, ring, event, tables)

    def _pass(self, data: bytes, kinds: bytes, position: int, stop: int) -> None:
        """Let events of one slot pass that leave no trace, unless a task ends with one."""
        self.events += stop - position
        ends = data[position * SLOT + 10 : stop * SLOT : SLOT].translate(_ENDS)
        index = ends.find(1)
        while index >= 0:
            if kinds[position + index] == _STEP:
                self.born.pop(_TASK.unpack_from(data, (position + index) * SLOT)[0], None)
            index = ends.find(1, index + 1)

    def _birth(self, ring: int, event: bytes, tables: RecordTables) -> None:
        t_ns, _, _, flags, ref, task, creator = HEADER.unpack_from(event)
        _, _, length, head = BIRTH.unpack_from(event, SLOT)
        name = (head + event[2 * SLOT :])[:length].decode("utf-8", "replace")
        self._bound(self.born)
        site = None if flags & _UNCODED else tables.resolve(ref)
        self.born[task] = Born(t_ns, ring, ref, flags, creator, name, site)

    def _name(self, ring: int, event: bytes, tables: RecordTables) -> None:
        task = HEADER.unpack_from(event)[5]
        born = self.born.get(task)
        if born is not None:
            name = event[SLOT:].rstrip(b"\0").decode("utf-8", "replace")
            self.born[task] = born._replace(name=name)

    def _wide(self, ring: int, event: bytes, tables: RecordTables) -> None:
        _, _, _, flags, _, task, _ = HEADER.unpack_from(event)
        if flags & _DONE:
            self.born.pop(task, None)

    def _abandon(self, ring: int, event: bytes, tables: RecordTables) -> None:
        self.born.pop(HEADER.unpack_from(event)[5], None)

    def _open(self, ring: int, event: bytes, tables: RecordTables) -> None:
        t_ns, _, _, _, ref, owner, seq = HEADER.unpack_from(event)
        site = PAIR.unpack_from(event, SLOT)[2]
        self._bound(self.open)
        self.open[owner, seq] = OpenSpan(t_ns, ring, ref, site, tables.resolve(site))

    def _close(self, ring: int, event: bytes, tables: RecordTables) -> None:
        *_, owner, seq = HEADER.unpack_from(event)
        self.open.pop((owner, seq), None)

    def _device(self, ring: int, event: bytes, tables: RecordTables) -> None:
        _, _, _, flags, _, context, _ = HEADER.unpack_from(event)
        if flags == _GPU_CONTEXT:
            self._bound(self._devices)
            self._devices[context] = ring, event

    def _lock(self, ring: int, event: bytes, tables: RecordTables) -> None:
        _, _, _, flags, _, number, owner = HEADER.unpack_from(event)
        operation = flags & _LOCK_OP
        if operation == _TERMINATE:
            self._locks.pop(number, None)
            return
        lock = self._locks.get(number)
        if lock is None:
            self._bound(self._locks)
            lock = self._locks[number] = _Lock()
        if operation == _ANNOUNCE:
            lock.announcement = ring, event
        elif operation == _RELEASE:
            lock.release(owner)
        else:  # of WAIT, OBTAIN and GIVE_UP each ends a wait
            lock.leave(owner, _WAIT)
            if operation in (_WAIT, _OBTAIN):
                lock.states.append((owner, operation, ring, event))
                del lock.states[:-MOST_OF_LOCK]

    def _bound(self, known: dict[_Key, _Value]) -> None:
        """Make room for one more."""
        if len(known) >= MOST:
            del known[next(iter(known))]
            self.forgotten += 1


_TAKERS: Final[dict[int, Callable[[Baseline, int, bytes, RecordTables], None]]] = {
    int(Kind.BIRTH): Baseline._birth,
    int(Kind.NAME): Baseline._name,
    int(Kind.WIDE): Baseline._wide,
    int(Kind.ABANDON): Baseline._abandon,
    int(Kind.OPEN): Baseline._open,
    int(Kind.CLOSE): Baseline._close,
    int(Kind.GPU): Baseline._device,
    int(Kind.LOCK): Baseline._lock,
}
