"""User spans and what else a task did in a step, between the coroutines it did it in."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from aperf._recorder import PAIR, Kind, Value

from ._row import Row, Zone

if TYPE_CHECKING:
    from aperf.model import RecordTables

    from ._messages import Messages
    from ._sources import Sources
    from ._task import Happening, TaskView

__all__ = ("Spans", "value_of")

_OPEN, _CLOSE, _EVENT = int(Kind.OPEN), int(Kind.CLOSE), int(Kind.EVENT)
_ATTRIBUTE, _MESSAGE = int(Kind.ATTRIBUTE), int(Kind.MESSAGE)
_FAILURE, _MORE = int(Kind.FAILURE), int(Kind.MORE)
_TYPE: Final = 15  # the part of an ATTRIBUTE's flags that names its type


def value_of(flags: int, payload: bytes) -> object:
    """Return the value of an ATTRIBUTE; None of a sequence that begins, or of a stack."""
    kind = flags & _TYPE
    if kind == Value.BOOL:
        return bool(payload[0])
    if kind == Value.INT:
        return int.from_bytes(payload[:8], "little", signed=True)
    if kind == Value.FLOAT:
        return struct.unpack_from("<d", payload)[0]
    if kind == Value.STRING:
        return payload.rstrip(b"\0").decode("utf-8", "replace")
    return None


class Spans:
    """Draws user spans, on lanes and threads.

    Args:
        sources: gives locations.
        tables: gives names.
        messages: draws what is no zone.
    """

    def __init__(self, sources: Sources, tables: RecordTables, messages: Messages) -> None:
        self._sources = sources
        self._tables = tables
        self._messages = messages

    def play(self, task: TaskView, row: Row, happening: Happening, t_ns: int) -> None:
        """Draw what happened on a row, which the stream writes to."""
        kind = happening.kind
        if kind == _OPEN:
            self.open(task.spans, row, happening, t_ns, task.steps)
        elif kind == _CLOSE:
            self.close(task.spans, row, happening.b, t_ns)
        elif kind == _ATTRIBUTE:
            zone = task.spans.get(happening.b) if happening.b else row.open[0]
            if zone is not None and not happening.flags & Value.OF_EVENT:
                self._describe(row, zone, happening)
        elif kind == _EVENT:
            name = self._tables.name(happening.ref)
            if name != "exception":  # the task's FAILURE or the span's own attributes say more
                self._messages.show(t_ns, name, severity=1)
        elif kind == _MESSAGE:
            self._messages.record(happening, t_ns)
        elif kind in (_FAILURE, _MORE):
            self._messages.failure(happening, t_ns, str(task))

    def open(
        self, spans: dict[int, Zone], row: Row, happening: Happening, t_ns: int, step: int
    ) -> None:
        """OPEN: a span begins."""
        site = PAIR.unpack_from(happening.payload)[2]
        zone = spans[happening.b] = Zone(self._sources.span(happening.ref, site), step=step)
        row.begin(t_ns, zone)

    def close(self, spans: dict[int, Zone], row: Row, number: int, t_ns: int) -> None:
        """CLOSE: a span ends, in whatever order."""
        zone = spans.pop(number, None)
        if zone is not None and zone in row.open:
            row.remove([zone], t_ns)

    def _describe(self, row: Row, zone: Zone, happening: Happening) -> None:
        value = value_of(happening.flags, happening.payload)
        if value is None:
            return
        key = self._tables.name(happening.ref)
        if happening.flags & Value.ITEM and zone.texts:
            last, separator, before = zone.texts[-1].partition("=")
            if separator and last == key:
                zone.texts[-1] = f"{key}={before}, {value}"
                return
        zone.texts.append(f"{key}={value}")
