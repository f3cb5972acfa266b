"""Devices with a clock of their own, such as GPUs, and the zones of their queues."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple

from ._faults import Undiagnosed
from ._tree import grow

if TYPE_CHECKING:
    from ._context import Clock, Context, Handlers
    from ._memory import Memory
    from ._rows import Rows
    from ._sources import Source
    from ._stacks import SentStack, Stack, Stacks

__all__ = ("Gpu", "GpuAnnotation", "GpuCalibration", "GpuContext", "GpuZone")

_CALIBRATED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuZone:
    """A stretch of time in the queue of a device.

    Attributes:
        source: what it is called, and where.
        tid: the thread that put it into the queue.
        start_ns: when it did that with the begin.
        end_ns: and with the end; None if it is open.
        gpu_start: when the device began, by its clock; None if it did not report that.
        gpu_end: when the device was done.
        children: the zones in it.
        stack: the call stack at its begin.
    """

    source: Source
    tid: int
    start_ns: int
    end_ns: int | None = None
    gpu_start: int | None = None
    gpu_end: int | None = None
    children: tuple[GpuZone, ...] = ()
    stack: Stack = ()


class GpuCalibration(NamedTuple):
    """Two clocks read at once. `cpu_delta_ns` is None for a mere synchronisation."""

    gpu_time: int
    t_ns: int
    cpu_delta_ns: int | None = None


class GpuAnnotation(NamedTuple):
    """A number that a device reports about a zone, which its query names."""

    name: str
    value: float
    tid: int
    query: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuContext:
    """A queue of a device.

    Attributes:
        id: its number.
        name: what it was called later.
        kind: which interface drives it.
        tid: the only thread that uses it; 0 for any.
        t_ns: when it was made.
        gpu_time: the same time by the clock of the device.
        period_ns: how long a tick of that clock is.
        calibrated: whether there will be calibrations.
        zones: by the thread that put them into the queue, those that are in no other one.
        calibrations: times at which both clocks were read.
        annotations: numbers about zones.
    """

    id: int
    name: str = ""
    kind: int
    tid: int = 0
    t_ns: int
    gpu_time: int
    period_ns: float = 1.0
    calibrated: bool = False
    zones: dict[int, tuple[GpuZone, ...]]
    calibrations: tuple[GpuCalibration, ...] = ()
    annotations: tuple[GpuAnnotation, ...] = ()


class _Announced(NamedTuple):
    t_ns: int
    gpu_time: int
    tid: int
    period_ns: float
    calibrated: bool
    kind: int


@dataclass(slots=True, kw_only=True)
class _Zone:
    parent: int | None
    source: int | Source
    tid: int
    start_ns: int
    stack: SentStack | None
    end_ns: int | None = None
    #: Of the begin and of the end.
    gpu_times: list[int | None] = field(default_factory=lambda: [None, None])


@dataclass(slots=True)
class _Timeline:
    zones: list[_Zone] = field(default_factory=list)
    open: list[int] = field(default_factory=list)

    def picture(self, context: Context, stacks: Stacks) -> tuple[GpuZone, ...]:
        def make(index: int, children: tuple[GpuZone, ...]) -> GpuZone:
            zone = self.zones[index]
            return GpuZone(
                source=context.sources.get(zone.source),
                tid=zone.tid,
                start_ns=zone.start_ns,
                end_ns=zone.end_ns,
                gpu_start=zone.gpu_times[0],
                gpu_end=zone.gpu_times[1],
                children=children,
                stack=stacks.get(zone.stack),
            )

        return grow([zone.parent for zone in self.zones], make)


@dataclass(slots=True)
class _Growing:
    announced: _Announced
    name: str = ""
    timelines: defaultdict[int, _Timeline] = field(default_factory=lambda: defaultdict(_Timeline))
    #: Which time each query that is under way is going to tell.
    queries: dict[int, tuple[_Zone, Literal[0, 1]]] = field(default_factory=dict)
    calibrations: list[GpuCalibration] = field(default_factory=list)
    notes: dict[int, str] = field(default_factory=dict)
    annotations: list[tuple[int, float, int, int]] = field(default_factory=list)

    def start_query(self, query: int, zone: _Zone, which: Literal[0, 1]) -> None:
        unanswered = self.queries.get(query)
        self.queries[query] = (zone, which)
        if unanswered is not None:
            raise Undiagnosed(f"query {query} of a GPU used again before its time came")


class Gpu:
    """The events of devices."""

    def __init__(self, context: Context, rows: Rows, memory: Memory) -> None:
        self._context = context
        self._rows = rows
        self._memory = memory
        self._contexts: dict[int, _Growing] = {}
        self.handlers: Handlers = {
            "GpuNewContext": self._announce,
            "GpuContextName": self._name,
            "GpuTime": self._time,
            "GpuCalibration": self._calibrate,
            "GpuTimeSync": self._calibrate,
            "GpuAnnotationName": self._name_note,
            "GpuZoneAnnotation": self._annotate,
            "GpuZoneEnd": partial(self._end, context.thread_clock),
            "GpuZoneEndSerial": partial(self._end, context.serial_clock),
        }
        for suffix, with_stack in (("", False), ("Callstack", True)):
            for along in ("", "AllocSrcLoc"):
                name = f"GpuZoneBegin{along}{suffix}"
                begin = partial(self._begin, with_stack=with_stack)
                self.handlers[name] = partial(begin, context.thread_clock)
                self.handlers[f"{name}Serial"] = partial(begin, context.serial_clock)

    def picture(self, stacks: Stacks) -> dict[int, GpuContext]:
        """Return the contexts by their numbers."""
        return {number: self._gpu(number, gpu, stacks) for number, gpu in self._contexts.items()}

    def _gpu(self, number: int, gpu: _Growing, stacks: Stacks) -> GpuContext:
        return GpuContext(
            id=number,
            name=gpu.name,
            zones={tid: line.picture(self._context, stacks) for tid, line in gpu.timelines.items()},
            calibrations=tuple(gpu.calibrations),
            annotations=tuple(
                GpuAnnotation(gpu.notes.get(note, ""), value, tid, query)
                for note, value, tid, query in gpu.annotations
            ),
            **gpu.announced._asdict(),
        )

    def _announce(
        self,
        *,
        t: int,
        gpu_time: int,
        tid: int,
        period: float,
        context: int,
        flags: int,
        kind: int,
    ) -> None:
        if context in self._contexts:
            raise Undiagnosed(f"GPU context {context} announced twice")
        calibrated = bool(flags & _CALIBRATED)
        announced = _Announced(t, gpu_time, tid, period, calibrated, kind)
        self._contexts[context] = _Growing(announced)

    def _known(self, context: int) -> _Growing:
        known = self._contexts.get(context)
        if known is None:
            raise Undiagnosed(f"event of GPU context {context}, which was not announced")
        return known

    def _name(self, *, context: int) -> None:
        name = self._context.text.take()
        self._known(context).name = name

    def _begin(
        self,
        clock: Clock,
        *,
        dt: int,
        tid: int,
        query: int,
        context: int,
        source: int | None = None,
        with_stack: bool,
    ) -> None:
        t_ns = clock.advance(dt)
        where: int | Source
        if source is None:
            where = self._context.sources.sent_along.take()
        else:
            self._context.sources.ask(source)
            where = source
        stack = self._take_stack(clock) if with_stack else None
        gpu = self._known(context)
        line = gpu.timelines[gpu.announced.tid or tid]
        parent = line.open[-1] if line.open else None
        line.open.append(len(line.zones))
        zone = _Zone(parent=parent, source=where, tid=tid, start_ns=t_ns, stack=stack)
        line.zones.append(zone)
        gpu.start_query(query, zone, 0)

    def _take_stack(self, clock: Clock) -> SentStack:
        serial = clock is self._context.serial_clock
        return (self._memory.next_stack if serial else self._rows.next_stack).take()

    def _end(self, clock: Clock, *, dt: int, tid: int, query: int, context: int) -> None:
        t_ns = clock.advance(dt)
        gpu = self._known(context)
        if gpu.announced.tid and tid:
            raise Undiagnosed("end of a GPU zone names a thread, and its context is bound to one")
        line = gpu.timelines.get(gpu.announced.tid or tid)
        if line is None or not line.open:
            raise Undiagnosed("end of a GPU zone that did not begin")
        zone = line.zones[line.open.pop()]
        zone.end_ns = t_ns
        gpu.start_query(query, zone, 1)

    def _time(self, *, dt: int, query: int, context: int) -> None:
        time = self._context.gpu_clock.advance(dt)
        gpu = self._known(context)
        if query not in gpu.queries:
            raise Undiagnosed(f"time of query {query} of a GPU, which is not under way")
        zone, which = gpu.queries.pop(query)
        zone.gpu_times[which] = time

    def _calibrate(
        self, *, gpu_time: int, t: int, context: int, cpu_delta: int | None = None
    ) -> None:
        self._known(context).calibrations.append(GpuCalibration(gpu_time, t, cpu_delta))

    def _name_note(self, *, note: int, context: int) -> None:
        name = self._context.text.take()
        self._known(context).notes[note] = name

    def _annotate(self, *, note: int, value: float, tid: int, query: int, context: int) -> None:
        self._known(context).annotations.append((note, value, tid, query))
