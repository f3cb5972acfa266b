"""Zones: what ran, nested, in each row."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from ._faults import InstrumentationFailure, Undiagnosed
from ._tree import grow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ._context import Context, Handlers
    from ._rows import Rows
    from ._sources import Source
    from ._stacks import SentStack, Stack, Stacks

__all__ = ("Zone", "ZoneList", "Zones")


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """A stretch of time in a row.

    Attributes:
        name: what a viewer shows: the name given to this zone, else that of its source location,
            else the function.
        function: the function of the source location.
        file: its file.
        line: the line in it.
        color: 0xRRGGBB, of this zone or else of its source location; 0 for the viewer's choice.
        text: all that was attached, a line each; numbers too.
        start_ns: when it began.
        end_ns: when it ended; None if it is open.
        children: the zones in it.
        stack: the call stack at its begin.
    """

    name: str
    function: str = ""
    file: str = ""
    line: int = 0
    color: int = 0
    text: str = ""
    start_ns: int
    end_ns: int | None
    children: tuple[Zone, ...] = ()
    stack: Stack = ()

    def walk(self) -> Iterator[Zone]:
        """Yield this zone and all in it, in the order of their begins."""
        waiting = [self]
        while waiting:
            zone = waiting.pop()
            yield zone
            waiting += reversed(zone.children)


@dataclass(slots=True, kw_only=True)
class _Growing:
    """A zone while its events come in."""

    parent: int | None
    source: int | Source
    start_ns: int
    end_ns: int | None = None
    stack: SentStack | None
    validation: int
    name: str | None = None
    color: int | None = None
    texts: list[str] = field(default_factory=list)


class ZoneList:
    """The zones of one row."""

    def __init__(self) -> None:
        self._zones: list[_Growing] = []
        self._open: list[int] = []
        #: What `ZoneValidation` said about the next event.
        self.validation = 0

    def __len__(self) -> int:
        return len(self._zones)

    @property
    def is_open(self) -> bool:
        """Whether a zone has not ended."""
        return bool(self._open)

    def begin(self, t_ns: int, source: int | Source, stack: SentStack | None) -> None:
        """Open a zone in the innermost open one."""
        parent = self._open[-1] if self._open else None
        self._open.append(len(self._zones))
        validation, self.validation = self.validation, 0
        zone = _Growing(
            parent=parent, source=source, start_ns=t_ns, stack=stack, validation=validation
        )
        self._zones.append(zone)

    def end(self) -> _Growing:
        """Close the innermost open zone."""
        if not self._open:
            raise InstrumentationFailure("Zone is ended twice.")
        zone = self.innermost("")
        self._open.pop()
        return zone

    def innermost(self, what: str) -> _Growing:
        """Return the innermost open zone, which is to get something."""
        if not self._open:
            raise missing(what)
        zone = self._zones[self._open[-1]]
        validation, self.validation = self.validation, 0
        if zone.validation != validation:
            raise InstrumentationFailure("Invalid order of zone begin and end events.")
        return zone

    def picture(self, get: Callable[[int | Source], Source], stacks: Stacks) -> tuple[Zone, ...]:
        """Return the zones that are in no other one."""

        def make(index: int, children: tuple[Zone, ...]) -> Zone:
            zone = self._zones[index]
            name, function, file, line, color = get(zone.source)
            return Zone(
                name=zone.name if zone.name is not None else name or function,
                function=function,
                file=file,
                line=line,
                color=color if zone.color is None else zone.color,
                text="\n".join(zone.texts),
                start_ns=zone.start_ns,
                end_ns=zone.end_ns,
                children=children,
                stack=stacks.get(zone.stack),
            )

        return grow([zone.parent for zone in self._zones], make)


def missing(what: str) -> InstrumentationFailure:
    """Return the failure of something that is to be attached where no zone is open."""
    return InstrumentationFailure(f"Zone {what} transfer destination doesn't match active zone.")


class Zones:
    """The events of zones."""

    def __init__(self, context: Context, rows: Rows) -> None:
        self._context = context
        self._rows = rows
        along = context.sources.sent_along
        self.handlers: Handlers = {
            "ZoneBegin": self._begin,
            "ZoneBeginCallstack": partial(self._begin, with_stack=True),
            "ZoneBeginAllocSrcLoc": lambda dt: self._begin(dt, along.take()),
            "ZoneBeginAllocSrcLocCallstack": lambda dt: self._begin(
                dt, along.take(), with_stack=True
            ),
            "ZoneEnd": self._end,
            "ZoneText": self._text,
            "ZoneName": self._name,
            "ZoneColor": self._color,
            "ZoneValue": self._value,
            "ZoneValidation": self._validation,
        }

    def _begin(self, dt: int, source: int | Source, *, with_stack: bool = False) -> None:
        t_ns = self._context.thread_clock.advance(dt)
        if isinstance(source, int):
            self._context.sources.ask(source)
        stack = self._rows.next_stack.take() if with_stack else None
        self._rows.current().zones.begin(t_ns, source, stack)

    def _end(self, dt: int) -> None:
        t_ns = self._context.thread_clock.advance(dt)
        zone = self._rows.current().zones.end()
        if t_ns < self._context.welcome.begin_ns:
            raise Undiagnosed("end of a zone before the start of the trace: reads as open")
        zone.end_ns = t_ns

    def _innermost(self, what: str) -> _Growing:
        row = self._rows.known()
        if row is None:  # some servers do not fail but hang
            raise missing(what)
        return row.zones.innermost(what)

    def _text(self) -> None:
        text = self._context.text.take()
        self._innermost("text").texts.append(text)

    def _name(self) -> None:
        name = self._context.text.take()
        self._innermost("name").name = name

    def _color(self, *, color: int) -> None:
        self._innermost("color").color = color

    def _value(self, *, value: int) -> None:
        self._innermost("value").texts.append(str(value))

    def _validation(self, *, id: int) -> None:
        self._rows.current().zones.validation = id
