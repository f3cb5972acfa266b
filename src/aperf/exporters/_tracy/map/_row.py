"""One row of a viewer: a stack of open zones, on a thread or a lane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aperf.protocol.tracy import Stream

    from ._sources import Source

__all__ = ("DEEPEST", "Row", "Zone")

#: User spans are left out where so many zones are open: the ends of these may have been lost.
DEEPEST: Final = 256
#: Different keys of one zone's text.
_MOST_TEXTS: Final = 128


class Zone:
    """An open zone.

    Attributes:
        source: where it is in the code.
        index: of a coroutine, its place in the await chain; -1 for anything else.
        step: number of the step in which it was opened.
        texts: shown when it ends, since only the innermost zone can be given a text; by key.
    """

    __slots__ = ("index", "source", "step", "texts")

    def __init__(self, source: Source, index: int = -1, step: int = 0) -> None:
        self.source = source
        self.index = index
        self.step = step
        self.texts: dict[str, str] = {}

    def describe(self, key: str, text: str) -> None:
        """Set the line of text of a key."""
        if key in self.texts or len(self.texts) < _MOST_TEXTS:
            self.texts[key] = text


class Row:
    """Opens and closes zones so that they nest, and times so that they never go back.

    The caller has made the stream write to this row.

    Args:
        stream: takes the zones.
        begin_ns: nothing is shown before.
    """

    __slots__ = ("_stream", "last_ns", "open")

    def __init__(self, stream: Stream, begin_ns: int) -> None:
        self._stream = stream
        self.last_ns = begin_ns
        self.open: list[Zone] = []

    def at(self, t_ns: int) -> int:
        """Return a time, or that of the latest event if that is later; the next one follows it."""
        if t_ns < self.last_ns:
            return self.last_ns
        self.last_ns = t_ns
        return t_ns

    def begin(self, t_ns: int, zone: Zone, *texts: str, stack: tuple[int, ...] = ()) -> None:
        """Open a zone inside those that are open."""
        stream, source = self._stream, zone.source
        stream.zone_begin(self.at(t_ns), source.id, stack)
        if source.label:
            stream.zone_name(source.label)
        for text in texts:
            stream.zone_text(text)
        self.open.append(zone)

    def end(self, t_ns: int) -> None:
        """Close the innermost zone."""
        for text in self.open.pop().texts.values():
            self._stream.zone_text(text)
        self._stream.zone_end(self.at(t_ns))

    def spot(
        self,
        start_ns: int,
        end_ns: int,
        source: Source,
        texts: Iterable[str] = (),
        stack: tuple[int, ...] = (),
    ) -> None:
        """Draw a zone that has ended, inside those that are open."""
        stream, last_ns = self._stream, self.last_ns
        if start_ns < last_ns:
            start_ns = last_ns
        if end_ns < start_ns:
            end_ns = start_ns
        self.last_ns = end_ns
        if not (source.label or texts or stack):
            stream.zone(start_ns, end_ns, source.id)
            return
        stream.zone_begin(start_ns, source.id, stack)
        if source.label:
            stream.zone_name(source.label)
        for text in texts:
            stream.zone_text(text)
        stream.zone_end(end_ns)

    def cut(self, depth: int, t_ns: int) -> None:
        """Close all zones but the so many outermost."""
        while len(self.open) > depth:
            self.end(t_ns)

    def remove(self, gone: list[Zone], t_ns: int) -> None:
        """Close zones in whatever order; those inside that stay are closed and opened anew."""
        if gone == self.open[-1:]:  # as it nearly always is
            self.end(t_ns)
            return
        depth = min(self.open.index(zone) for zone in gone)
        staying = [zone for zone in self.open[depth:] if zone not in gone]
        self.cut(depth, t_ns)
        for zone in staying:
            zone.texts = {}  # they were shown at the end of its first part
            self.begin(t_ns, zone)
