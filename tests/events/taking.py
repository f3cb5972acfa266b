"""Records events in a new recorder, as if a profiler were there, and reads them back."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from aperf._events import activate, deactivate
from aperf._recorder import Cold, Kind
from aperf._recorder._layout import GpuOp, MessageFlag
from tests.records import decode, of_kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aperf._recorder import Recorder
    from tests.records import Record

__all__ = ("Gpu", "Message", "gpu_events", "messages", "plots", "taking")


@contextmanager
def taking(
    recorder_class: type[Recorder], *, ring_slots: int = 1 << 16, faults: int = 0
) -> Iterator[Recorder]:
    """Record events in a new recorder; it must find so many faults of its own, by default none."""
    recorder = recorder_class(Cold(), ring_slots=ring_slots)
    recorder.armed = True
    activate(recorder)
    try:
        yield recorder
    finally:
        deactivate()
        recorder.armed = False
    assert faults == recorder.internal_errors


def plots(recorder: Recorder, *kinds: Kind) -> list[tuple[str, Record]]:
    """Take all records out of a recorder; return its plots with their names."""
    text = recorder.cold.names.text
    return [(text(record.ref), record) for record in of_kind(decode(recorder), Kind.PLOT)]


class Message(NamedTuple):
    """A message, put together from its records."""

    text: str
    severity: int
    color: int | None
    task: int
    t_ns: int


def messages(recorder: Recorder) -> list[Message]:
    """Take all records out of a recorder; return its messages."""
    found, data = [], b""
    for record in of_kind(decode(recorder), Kind.MESSAGE):
        data += record.payload
        if not record.flags & MessageFlag.MORE:
            color = record.b if record.flags & MessageFlag.COLORED else None
            text = data.rstrip(b"\0").decode()
            found.append(Message(text, record.flags & 0xF, color, record.a, record.t_ns))
            data = b""
    return found


class Gpu(NamedTuple):
    """A record of a device."""

    operation: GpuOp
    context: int
    name: str
    b: int
    record: Record


def gpu_events(recorder: Recorder) -> list[Gpu]:
    """Take all records out of a recorder; return those of devices."""
    text = recorder.cold.names.text
    return [
        Gpu(GpuOp(record.flags), record.a, text(record.ref), record.b, record)
        for record in of_kind(decode(recorder), Kind.GPU)
    ]
