"""Runs programs whose locks are watched, and says what was recorded of them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from aperf._instrument.locks import Locks
from aperf._recorder import Cold
from aperf._recorder._layout import Kind, LockFlag, LockOp
from tests.records import Record, decode, of_kind
from tests.watched import LoopFactory, Story, run

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from aperf._recorder import Recorder

__all__ = ("Contention", "Event", "contention", "contention_of", "drained", "installed")


class Event(NamedTuple):
    """One event of a lock."""

    op: str
    who: str  #: name of the task, identifier of the thread, "" for nobody
    lock: str  #: name it was announced by
    number: int
    shared: bool
    t_ns: int
    function: str  #: the place's, "" where none is told


@contextmanager
def installed(recorder: Recorder) -> Iterator[Locks]:
    """Watch locks while the block runs."""
    locks = Locks(recorder)
    locks.install(1)
    try:
        yield locks
    finally:
        locks.uninstall(1)


@dataclass(frozen=True, slots=True)
class Contention:
    """What was recorded of locks."""

    events: list[Event]

    @property
    def told(self) -> list[tuple[str, str]]:
        """What happened and whose doing it was, in the order of writing."""
        return [(event.op, event.who) for event in self.events]

    @property
    def locks(self) -> list[str]:
        """The names of the locks, in the order in which they were announced."""
        return [event.lock for event in self.events if event.op == "ANNOUNCE"]

    def of(self, who: str) -> list[str]:
        """Return what somebody did, in order."""
        return [event.op for event in self.events if event.who == who and event.op != "ANNOUNCE"]

    def most_holders(self) -> int:
        """Return how many held a lock at the same time, after checking that events make sense."""
        held: dict[int, list[str]] = {}
        waiting: set[tuple[int, str]] = set()
        most = 0
        for event in self.events:
            holders, who = held.setdefault(event.number, []), (event.number, event.who)
            match event.op:
                case "WAIT":
                    assert who not in waiting, event
                    waiting.add(who)
                case "OBTAIN" | "GIVE_UP":
                    assert who in waiting, event
                    waiting.remove(who)
                    if event.op == "OBTAIN":
                        holders.append(event.who)
                case "RELEASE":
                    assert event.who in holders, event
                    holders.remove(event.who)
            most = max(most, len(holders))
        assert not waiting, waiting
        return most


def contention(recorder: Recorder, records: list[Record]) -> Contention:
    """Return what records say of locks."""
    tasks = Story(records).names
    found = of_kind(records, Kind.LOCK)
    names = {
        record.a: recorder.cold.names.text(record.ref)
        for record in found
        if record.flags & 15 == LockOp.ANNOUNCE
    }
    events = []
    for record in found:
        op = LockOp(record.flags & 15)
        who = str(record.b) if record.flags & LockFlag.OF_THREAD else tasks.get(record.b, "")
        site = None if op is LockOp.ANNOUNCE else recorder.resolve(record.ref)
        function = "" if site is None else site[2][0][0].co_name
        shared = bool(record.flags & LockFlag.SHARED)
        lock = names[record.a]
        events.append(Event(op.name, who, lock, record.a, shared, record.t_ns, function))
    return Contention(events)


def contention_of(
    recorder_class: type[Recorder], program: Coroutine[Any, Any, object], loop_factory: LoopFactory
) -> Contention:
    """Run a program on a watched loop with watched locks, and return what was recorded of them."""
    recorder = recorder_class(Cold())
    with installed(recorder):
        story = run(recorder, program, loop_factory)
    return contention(recorder, story.records)


def drained(recorder: Recorder) -> Contention:
    """Return what was recorded of locks outside of any loop."""
    return contention(recorder, decode(recorder))
