"""Zones and fibers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aperf.protocol.tracy._server import (
    Region,
    Row,
)
from tests.tracy_cases.basics import FETCH, MAIN, PARSE, STACK, group, stack, symbols, thread, zone

if TYPE_CHECKING:
    from aperf.protocol.tracy import Stream, Strings
    from tests.tracy_cases.basics import Case

__all__ = ("CASES",)


def nested_zones(stream: Stream, strings: Strings) -> dict[str, Any]:
    """Zones in zones, one without anything in it."""
    strings.thread(MAIN, "main")
    fetch, parse = strings.source(*FETCH), strings.source(*PARSE)
    stream.thread(MAIN)
    stream.zone_begin(100, fetch)
    stream.zone_begin(110, parse)
    stream.zone(120, 130, fetch)
    stream.zone_end(140)
    stream.zone(150, 160, parse)
    stream.zone_end(200)
    inner = zone(PARSE, 110, 140, children=(zone(FETCH, 120, 130),))
    outer = zone(FETCH, 100, 200, children=(inner, zone(PARSE, 150, 160)))
    return {"threads": {MAIN: thread(outer, name="main")}}


def details(stream: Stream, strings: Strings) -> dict[str, Any]:
    """Texts, a name, a colour and a number of a zone."""
    stream.thread(MAIN)
    stream.zone_begin(1, strings.source(*FETCH))
    stream.zone_text("first line")
    stream.zone_text("ü" * 200)
    stream.zone_value((1 << 64) - 1)
    stream.zone_name("")
    stream.zone_name("GET /")
    stream.zone_color(0xA0B0C0)
    stream.zone_end(2)
    text = "\n".join(["first line", "ü" * 200, str((1 << 64) - 1)])
    shown = zone(FETCH, 1, 2, name="GET /", color=0xA0B0C0, text=text)
    return {"threads": {MAIN: thread(shown)}}


#: Just below, at and above the limits of the short forms of times, and beyond what 47 bits hold.
_LENGTHS: Final = (0, 1, 65_535, 65_536, 65_537, (1 << 32) + 65_535, (1 << 32) + 65_536, 1 << 40)


def times(stream: Stream, strings: Strings) -> dict[str, Any]:
    """Zones of all lengths, at times that go forward and back."""
    fetch = strings.source(*FETCH)
    stream.thread(MAIN)
    zones = []
    for start in (*_LENGTHS, *reversed(_LENGTHS)):
        for length in _LENGTHS:
            stream.zone(start, start + length, fetch)
            stream.zone_begin(start, fetch)
            stream.zone_end(start + length)
            zones += [zone(FETCH, start, start + length)] * 2
    return {"threads": {MAIN: thread(*zones)}}


def inline_place(stream: Stream, strings: Strings) -> dict[str, Any]:
    """Zones that bring their place along."""
    stream.thread(MAIN)
    for source, t_ns in ((PARSE, 100), (FETCH, 50)):
        stream.zone_begin_inline(t_ns, *source)
        stream.zone_end(1000)
    return {"threads": {MAIN: thread(zone(PARSE, 100, 1000), zone(FETCH, 50, 1000))}}


def zone_with_stack(stream: Stream, strings: Strings) -> dict[str, Any]:
    """A zone that says who called."""
    stream.thread(MAIN)
    for start, length in ((70_000, 10), (5, 1 << 34), (3, 2)):
        stream.zone_begin(start, strings.source(*FETCH), stack(strings))
        stream.zone_end(start + length)
    spans = ((70_000, 70_010), (5, 5 + (1 << 34)), (3, 5))
    zones = [zone(FETCH, start, end, stack=STACK) for start, end in spans]
    return {"threads": {MAIN: thread(*zones)}, "symbols": symbols(strings)}


def threads(stream: Stream, strings: Strings) -> dict[str, Any]:
    """Zones on several threads at once; each thread has its own clock."""
    fetch = strings.source(*FETCH)
    for tid, t_ns in ((0, 10), (0xFFFF_FFFF, 5), (0, 20), (0xFFFF_FFFF, 7)):
        stream.thread(tid)
        (stream.zone_begin(t_ns, fetch) if t_ns in (10, 5) else stream.zone_end(t_ns))
    return {
        "threads": {
            0: thread(zone(FETCH, 10, 20), name="thread 0"),
            0xFFFF_FFFF: thread(zone(FETCH, 5, 7), name="thread 4294967295"),
        }
    }


def fibers(stream: Stream, strings: Strings) -> dict[str, Any]:
    """A fiber keeps its zones while the thread runs itself or another fiber."""
    strings.fiber(1, "lane 1")
    fetch, parse = strings.source(*FETCH), strings.source(*PARSE)
    stream.thread(MAIN)
    stream.zone_begin(5, parse)
    stream.fiber_enter(10, 1, 4)
    stream.zone_begin(10, fetch)
    stream.fiber_leave(20)
    stream.zone_end(25)
    stream.fiber_enter(30, 2, -1)
    stream.fiber_enter(40, 1, 4)
    stream.zone_end(50)
    stream.fiber_leave(50)
    lane = Row(
        name="lane 1",
        group=group(stream, 4),
        zones=(zone(FETCH, 10, 50),),
        regions=(Region(10, 20, MAIN), Region(40, 50, MAIN)),
    )
    other = Row(name="fiber 2", group=group(stream, -1), regions=(Region(30, 40, MAIN),))
    return {"threads": {MAIN: thread(zone(PARSE, 5, 25))}, "fibers": {1: lane, 2: other}}


def steps(stream: Stream, strings: Strings) -> dict[str, Any]:
    """Steps of a task: each ends a wait and begins the next."""
    wait, other = strings.source(*FETCH), strings.source(*PARSE)
    stream.thread(MAIN)
    stream.fiber_enter(0, 1)
    stream.zone_begin(0, other)
    stream.zone_begin(0, wait)
    stream.fiber_leave(0)
    begin, waits, regions = 0, [], [Region(0, 0, MAIN)]
    for length in _LENGTHS:
        stream.step(begin + 7, begin + 7 + length, 1, 0, wait)
        waits.append(zone(FETCH, begin, begin + 7))
        begin += 7 + length
        regions.append(Region(begin - length, begin, MAIN))
    stream.fiber_enter(begin, 1)
    stream.zone_end(begin)
    stream.zone_end(begin)
    stream.fiber_leave(begin)
    regions.append(Region(begin, begin, MAIN))
    task = zone(PARSE, 0, begin, children=(*waits, zone(FETCH, begin, begin)))
    row = Row(name="fiber 1", zones=(task,), regions=tuple(regions))
    return {"threads": {MAIN: thread()}, "fibers": {1: row}}


def migration(stream: Stream, strings: Strings) -> dict[str, Any]:
    """A fiber goes on on another thread."""
    for tid in (1, 2):
        stream.thread(tid)
        stream.fiber_enter(tid * 10, 5)
        stream.fiber_leave(tid * 10 + 5)
    regions = (Region(10, 15, 1), Region(20, 25, 2))
    names = {tid: thread(name=f"thread {tid}") for tid in (1, 2)}
    return {"threads": names, "fibers": {5: Row(name="fiber 5", regions=regions)}}


def thread_groups(stream: Stream, strings: Strings) -> dict[str, Any]:
    """A thread can be put into a group, from version 67 on."""
    stream.thread(MAIN)
    stream.zone(1, 2, strings.source(*FETCH))
    stream.thread_group(MAIN, -3)
    number = -3 if stream.version >= 67 else 0
    return {"threads": {MAIN: thread(zone(FETCH, 1, 2), group=number)}}


CASES: Final[tuple[Case, ...]] = (
    nested_zones,
    details,
    times,
    inline_place,
    zone_with_stack,
    threads,
    fibers,
    steps,
    migration,
    thread_groups,
)
