"""Runs programs on a watched loop, and says which user spans they opened."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aperf._recorder import Cold, Kind, Value
from aperf._spans import SPAN_VAR, activate, deactivate, open_span
from tests.records import decode, value_of

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Iterator

    from aperf._recorder import Recorder
    from tests.records import Record
    from tests.watched import LoopFactory

__all__ = ("Seen", "named", "open_at_birth", "recording", "run", "seen", "seen_in")


@contextmanager
def recording(recorder_class: type[Recorder]) -> Iterator[Recorder]:
    """Record user spans in a new recorder; it must not find any fault of its own."""
    recorder = recorder_class(Cold(open_span=open_span), ring_slots=1 << 14, span_var=SPAN_VAR)
    recorder.armed = True
    activate(recorder)
    try:
        yield recorder
    finally:
        deactivate()
        recorder.armed = False
    assert 0 == recorder.internal_errors
    assert 0 == recorder.dropped()


@dataclass(slots=True)
class Seen:
    """A user span as it can be read out of the records."""

    name: str
    owner: int
    seq: int
    parent: tuple[int, int]
    place: int
    ends: list[int] = field(default_factory=list)  #: flags of each CLOSE; one is right
    attributes: dict[str, Any] = field(default_factory=dict)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @property
    def key(self) -> tuple[int, int]:
        """What others name as their parent."""
        return self.owner, self.seq


def run(
    recorder: Recorder,
    program: Coroutine[Any, Any, object],
    loop_factory: LoopFactory = asyncio.new_event_loop,
) -> None:
    """Run a program on a loop that is watched to its very end; it must not complain of anything."""

    def complain(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        complaints.append(context)

    def watched_loop() -> asyncio.AbstractEventLoop:
        loop = loop_factory()
        loop.set_exception_handler(complain)
        hook = recorder.hook(loop)
        hook.armed = True
        loop.create_task = hook.create_task  # type: ignore[method-assign]
        loop.call_soon = hook.call_soon  # type: ignore[method-assign, assignment]
        return loop

    complaints: list[dict[str, Any]] = []
    with asyncio.Runner(loop_factory=watched_loop) as runner:
        runner.run(program)
    assert [] == complaints


def seen(recorder: Recorder) -> list[Seen]:
    """Take the records out of a recorder; return the user spans, in order of their beginning."""
    return list(seen_in(recorder, decode(recorder)).values())


def seen_in(recorder: Recorder, records: Iterable[Record]) -> dict[tuple[int, int], Seen]:
    """Return the user spans that are in some records, by owner and seq."""
    spans: dict[tuple[int, int], Seen] = {}
    for record in sorted(records, key=lambda record: record.t_ns):
        text = recorder.cold.names.text
        key = record.a, record.b
        match record.kind:
            case Kind.OPEN:
                owner, seq, place, _ = record.pair
                spans[key] = Seen(text(record.ref), *key, (owner, seq), place)
            case Kind.CLOSE:
                spans[key].ends.append(record.flags)
            case Kind.EVENT:
                own = spans.setdefault(key, Seen("", *key, (0, 0), 0))
                own.events.append((text(record.ref), {}))
            case Kind.ATTRIBUTE:
                own = spans.setdefault(key, Seen("", *key, (0, 0), 0))
                of_event = record.flags & Value.OF_EVENT
                attributes = own.events[-1][1] if of_event else own.attributes
                value = value_of(record)
                if record.flags & Value.ITEM and record.flags & ~Value.OF_EVENT != Value.ITEM:
                    value = (*attributes[text(record.ref)], value)
                attributes[text(record.ref)] = value
    return spans


def named(spans: Iterable[Seen]) -> dict[str, Seen]:
    """Return spans by name."""
    return {span.name: span for span in spans}


def open_at_birth(records: Iterable[Record]) -> dict[int, tuple[int, int]]:
    """Return (owner, seq) of the span that was open when a task was made, by the task's number."""
    births = (record for record in records if record.kind is Kind.BIRTH)
    return {record.a: (record.birth.span_owner, record.birth.span_seq) for record in births}
