"""Work of devices: zones that overlap at will, on a viewer's timelines where they have to nest.

Theory of operation. The program hands work over in zones; each is a query for its begin, an even
number, and the next number for its end. The device's times of both come later, and since each
thread's records are read by themselves, anything of a zone may come before its begin.

A viewer has a stack of zones for each thread of a device, so zones of one thread must nest. Whether
they do is known when they have ended. So zones are kept until none is open, and then put on tracks:
the thread itself, and, where they overlap, threads that are made up. Queries get other numbers,
since the viewer would mix up zones where the time of one was lost.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from aperf._recorder import GpuOp

if TYPE_CHECKING:
    from aperf.model import RecordTables
    from aperf.protocol.tracy import Stream

    from ._sources import Sources
    from ._task import Happening
    from ._thread import Thread

__all__ = ("Gpu",)

_CONTEXT, _BEGIN, _END = int(GpuOp.CONTEXT), int(GpuOp.BEGIN), int(GpuOp.END)
_TIME: Final = int(GpuOp.TIME)
_CLOCK: Final = struct.Struct("<dQ")
_NUMBER: Final = struct.Struct("<Q")
_SIGNED: Final = struct.Struct("<q")
#: Kinds of devices are 1 to this; "any other" is among them.
_KINDS, _OTHER = 10, 7
#: A viewer numbers contexts with 8 bits and queries with 16.
_MOST_CONTEXTS: Final = 256
_QUERIES: Final = 1 << 16
#: Zones that are kept until all have ended, and for how long.
_MOST_KEPT: Final = 256
_KEPT_NS: Final = 100_000_000
#: Zones that overlap on one thread.
_MOST_TRACKS: Final = 64
#: Where threads that are made up begin, behind lanes.
_PSEUDO_THREADS: Final = 0xC000_0000


class _Zone:
    """Work of a device; the times of the begin come first in pairs."""

    __slots__ = ("begin_ns", "end_ns", "queries", "source", "thread", "times")

    def __init__(self, thread: Thread, begin_ns: int, source: int) -> None:
        self.thread = thread
        self.source = source
        self.begin_ns = begin_ns
        self.end_ns: int | None = None
        self.times: list[int | None] = [None, None]
        self.queries: list[int | None] = [None, None]  #: as the viewer knows them


class _Track:
    """Zones that nest."""

    __slots__ = ("open", "tid")

    def __init__(self, tid: int) -> None:
        self.tid = tid
        self.open: list[_Zone] = []

    def takes(self, zone: _Zone) -> bool:
        """Say whether a zone can be put inside of those that are open."""
        if not self.open:
            return True
        outer_ns, end_ns = self.open[-1].end_ns, zone.end_ns
        return outer_ns is not None and end_ns is not None and end_ns <= outer_ns


class _Context:
    __slots__ = ("awaited", "early", "former", "kept", "last_query", "number", "tracks", "zones")

    def __init__(self, number: int) -> None:
        self.number = number
        self.zones: dict[int, _Zone] = {}  #: the last one of each query
        self.former: dict[int, _Zone] = {}  #: the one before
        self.early: dict[int, tuple[int, int]] = {}  #: what came before its zone: when, what
        self.kept: list[_Zone] = []  #: not drawn yet
        self.tracks: dict[int, list[_Track]] = {}  #: by thread
        self.awaited: set[int] = set()  #: queries, as the viewer knows them, without a time yet
        self.last_query = -1


class Gpu:
    """Draws GPU records of one connection."""

    def __init__(self, stream: Stream, sources: Sources, tables: RecordTables) -> None:
        self._stream = stream
        self._sources = sources
        self._tables = tables
        self._contexts: dict[int, _Context] = {}
        self._pseudo_threads = iter(range(_PSEUDO_THREADS, _PSEUDO_THREADS + 4_096))

    def record(self, thread: Thread, event: Happening) -> None:
        """Draw a GPU; what belongs to a context that nobody has heard of is left out."""
        _, t_ns, operation, ref, a, b, payload = event
        context = self._contexts.get(a)
        if operation == _CONTEXT:
            if context is None and payload:  # each thread announces it
                self._announce(event)
        elif context is None:
            return
        elif operation == _BEGIN:
            (site,) = _NUMBER.unpack_from(payload) if payload else (0,)
            self._begin(context, b, _Zone(thread, t_ns, self._sources.span(ref, site).id))
        elif operation == _END:
            self._end(context, b, t_ns)
        elif operation == _TIME and payload:
            self._time(context, b, t_ns, _SIGNED.unpack_from(payload)[0])
        elif operation > _TIME:
            self._stream.gpu_time_sync(context.number, t_ns, _signed(b))

    def _announce(self, event: Happening) -> None:
        number = len(self._contexts)
        if number >= _MOST_CONTEXTS:
            return
        self._contexts[event.a] = _Context(number)
        period_ns, kind = _CLOCK.unpack_from(event.payload)
        kind = kind if 0 < kind <= _KINDS else _OTHER
        time = _signed(event.b)
        self._stream.gpu_context(number, event.t_ns, time, period_ns=period_ns, kind=kind)
        self._stream.gpu_name(number, self._tables.name(event.ref))

    # -------------------------------------------------------------------------------------- records

    def _begin(self, context: _Context, query: int, zone: _Zone) -> None:
        before = context.zones.get(query)
        if before is not None:
            if before.end_ns is None:  # its end was lost
                self._set_end(context, before, zone.begin_ns)
            context.former[query] = before
        context.zones[query] = zone
        context.kept.append(zone)
        self._catch_up(context, query, zone)
        self._draw_if_due(context)

    def _catch_up(self, context: _Context, query: int, zone: _Zone) -> None:
        """Take what came before the begin, unless it is older: of a zone whose begin was lost."""
        end_ns, _ = context.early.pop(query + 1, (0, 0))
        if end_ns >= zone.begin_ns:
            zone.end_ns = end_ns
        for which in (0, 1):
            t_ns, time = context.early.pop(_time_of(query + which), (0, 0))
            if t_ns >= zone.begin_ns:
                zone.times[which] = time

    def _end(self, context: _Context, query: int, t_ns: int) -> None:
        zone = self._zone(context, query - 1, t_ns)
        if zone is None:
            self._keep_early(context, query, (t_ns, 0))
        elif zone.end_ns is None:
            self._set_end(context, zone, t_ns)
            self._draw_if_due(context)

    def _set_end(self, context: _Context, zone: _Zone, t_ns: int) -> None:
        zone.end_ns = t_ns
        if zone.queries[0] is not None:  # it was drawn before it had ended
            for track in context.tracks[zone.thread.number]:
                if zone in track.open:
                    self._pop(context, track, None)
            self._tell(context, zone)

    def _time(self, context: _Context, query: int, t_ns: int, time: int) -> None:
        which = query & 1
        zone = self._zone(context, query - which, t_ns)
        if zone is None:
            self._keep_early(context, _time_of(query), (t_ns, time))
        elif zone.times[which] is None:
            zone.times[which] = time
            self._tell(context, zone)

    def _zone(self, context: _Context, query: int, t_ns: int) -> _Zone | None:
        """Return the last zone of a query that began before a time."""
        for zones in (context.zones, context.former):
            zone = zones.get(query)
            if zone is not None and zone.begin_ns <= t_ns:
                return zone
        return None

    def _keep_early(self, context: _Context, key: int, what: tuple[int, int]) -> None:
        if len(context.early) >= _QUERIES:
            context.early.clear()
        context.early[key] = what

    # -------------------------------------------------------------------------------------- drawing

    def _draw_if_due(self, context: _Context) -> None:
        kept = context.kept
        if len(kept) >= _MOST_KEPT or all(zone.end_ns is not None for zone in kept):
            self._draw(context)

    def rest(self, now_ns: int) -> None:
        """Draw zones that have not ended for long."""
        for context in self._contexts.values():
            if context.kept and now_ns - context.kept[0].begin_ns >= _KEPT_NS:
                self._draw(context)

    def close(self, t_ns: int) -> None:
        """End what is open, and forget it: there will be no more of it."""
        for context in self._contexts.values():
            for zone in context.zones.values():
                if zone.end_ns is None:
                    zone.end_ns = max(t_ns, zone.begin_ns)
            self._draw(context)
            for tracks in context.tracks.values():
                for track in tracks:
                    self._pop(context, track, None)
            context.zones.clear()
            context.former.clear()
            context.early.clear()

    def _draw(self, context: _Context) -> None:
        kept, context.kept = context.kept, []
        for zone in sorted(kept, key=lambda each: each.begin_ns):
            track = self._track(context, zone)
            query = self._query(context)
            if track is None or query is None:
                continue
            zone.queries[0] = query
            number, tid = context.number, track.tid
            self._stream.gpu_begin(zone.begin_ns, tid, query, number, zone.source)
            track.open.append(zone)
        for tracks in context.tracks.values():
            for track in tracks:
                self._pop(context, track, None)
        for zone in kept:
            self._tell(context, zone)

    def _track(self, context: _Context, zone: _Zone) -> _Track | None:
        """Return the first track where a zone nests."""
        thread = zone.thread
        tracks = context.tracks.setdefault(thread.number, [])
        for track in tracks:
            self._pop(context, track, zone.begin_ns)
            if track.takes(zone):
                return track
        if len(tracks) >= _MOST_TRACKS:
            return None
        tid = next(self._pseudo_threads, None) if tracks else thread.number
        if tid is None:
            return None
        if tracks:
            self._stream.strings.thread(tid, f"{thread.name} · {len(tracks) + 1}")
        tracks.append(_Track(tid))
        return tracks[-1]

    def _pop(self, context: _Context, track: _Track, until_ns: int | None) -> None:
        """End the zones of a track that have ended by a time."""
        while track.open:
            zone = track.open[-1]
            if zone.end_ns is None or (until_ns is not None and zone.end_ns > until_ns):
                return
            query = self._query(context)
            if query is None:
                return
            track.open.pop()
            zone.queries[1] = query
            self._stream.gpu_end(zone.end_ns, track.tid, query, context.number)

    # ---------------------------------------------------------------------------------- queries

    def _query(self, context: _Context) -> int | None:
        """Return a number for a query that no other one has; None if there is none."""
        if len(context.awaited) >= _QUERIES - 1:
            return None
        query = context.last_query
        while True:
            query = (query + 1) % _QUERIES
            if query not in context.awaited:
                break
        context.last_query = query
        context.awaited.add(query)
        return query

    def _tell(self, context: _Context, zone: _Zone) -> None:
        """Tell the device's times of what is drawn."""
        for which in (0, 1):
            query, time = zone.queries[which], zone.times[which]
            if query is not None and time is not None and query in context.awaited:
                self._stream.gpu_time(context.number, query, time)
                context.awaited.discard(query)
                zone.queries[which] = -1


def _time_of(query: int) -> int:
    """Return the key of a query's time among what came early."""
    return -1 - query


def _signed(bits: int) -> int:
    """Return the number that 64 bits stand for."""
    return bits - (1 << 64) if bits >> 63 else bits
