"""User spans and what else a task did in a step, between the coroutines it did it in."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, Protocol

from aperf._recorder import PAIR, Kind, Value

from ._row import DEEPEST, Row, Zone

if TYPE_CHECKING:
    from aperf.model import RecordTables

    from ._messages import Messages
    from ._sources import Source, Sources
    from ._task import Happening

__all__ = ("Spans", "value_of")

_OPEN, _CLOSE, _EVENT = int(Kind.OPEN), int(Kind.CLOSE), int(Kind.EVENT)
_ATTRIBUTE, _MESSAGE = int(Kind.ATTRIBUTE), int(Kind.MESSAGE)
_FAILURE: Final = int(Kind.FAILURE)
_TYPE: Final = 15  # the part of an ATTRIBUTE's flags that names its type


def value_of(flags: int, payload: bytes) -> object:
    """Return the value of an ATTRIBUTE; None of a sequence that begins, or of a stack."""
    kind = flags & _TYPE
    if not payload:
        return None
    if kind == Value.BOOL:
        return bool(payload[0])
    if kind == Value.INT:
        return int.from_bytes(payload[:8], "little", signed=True)
    if kind == Value.FLOAT:
        return struct.unpack_from("<d", payload)[0]
    if kind == Value.STRING:
        return payload.rstrip(b"\0").decode("utf-8", "replace")
    return None


class _Owner(Protocol):
    """A task or a thread: who has opened spans."""

    @property
    def spans(self) -> dict[int, Zone]: ...

    @property
    def zone(self) -> Zone | None: ...

    @property
    def steps(self) -> int: ...


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

    def play(self, owner: _Owner, row: Row, happening: Happening, t_ns: int) -> None:
        """Draw what happened on a row, which the stream writes to."""
        kind = happening.kind
        if kind == _OPEN:
            site = PAIR.unpack_from(happening.payload)[2]
            source = self._sources.span(happening.ref, site)
            self.open(owner, row, happening.b, source, t_ns)
        elif kind == _CLOSE:
            self.close(owner, row, happening.b, t_ns)
        elif kind == _ATTRIBUTE:
            zone = owner.spans.get(happening.b) if happening.b else owner.zone
            if zone is not None and not happening.flags & Value.OF_EVENT:
                self._describe(zone, happening)
        elif kind == _EVENT:
            name = self._tables.name(happening.ref)
            if name != "exception":  # the task's FAILURE or the span's own attributes say more
                self._messages.show(t_ns, name, severity=1)
        elif kind == _MESSAGE:
            self._messages.record(happening, t_ns)
        elif kind == _FAILURE:
            self._messages.failure(happening, t_ns, str(owner))

    def open(self, owner: _Owner, row: Row, number: int, source: Source, t_ns: int) -> None:
        """OPEN: a span begins."""
        if len(row.open) < DEEPEST:
            zone = owner.spans[number] = Zone(source, step=owner.steps)
            row.begin(t_ns, zone)

    def close(self, owner: _Owner, row: Row, number: int, t_ns: int) -> None:
        """CLOSE: a span ends, in whatever order."""
        zone = owner.spans.pop(number, None)
        if zone is not None:
            row.remove([zone], t_ns)

    def _describe(self, zone: Zone, happening: Happening) -> None:
        key = self._tables.name(happening.ref)
        value = value_of(happening.flags, happening.payload)
        if value is None:
            if happening.flags & Value.ITEM:
                zone.describe(key, f"{key}=")
            return
        before = zone.texts.get(key) if happening.flags & Value.ITEM else None
        if before is None or before == f"{key}=":
            zone.describe(key, f"{key}={value}")
        else:
            zone.describe(key, f"{before}, {value}")
