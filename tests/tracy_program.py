"""A program that is watched, and what a viewer must have read of it in the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from aperf.protocol.tracy._server import (
    Allocation,
    FrameSet,
    GpuContext,
    GpuZone,
    Lock,
    LockEvent,
    Message,
    Plot,
    Point,
    Pool,
    Region,
    Row,
    RowKey,
    Source,
    StackFrame,
    SubFrame,
    Trace,
    Zone,
)
from tests.tracy_pair import Pair

__all__ = ("END", "SOURCES", "Program")

#: Later than everything else.
END: Final = 1 << 46

SOURCES: Final = (
    Source("", "fetch", "app.py", 12, 0x102030),
    Source("parse the page", "parse", "lib/parser.py", 34),
    Source("ä" * 300, "", "", 0xFFFF_FFFF, 0xFFFFFF),
)
_STACK: Final = (StackFrame("inner", "a.py", 3), StackFrame("outer", "b.py", 40))


@dataclass(slots=True)
class _Zone:
    source: Source
    start_ns: int
    end_ns: int | None = None
    children: list[_Zone] = field(default_factory=list)
    stack: tuple[StackFrame, ...] = ()
    texts: list[str] = field(default_factory=list)
    name: str | None = None
    color: int | None = None

    def read_back(self) -> Zone:
        """Return the zone as it is to be read."""
        source = self.source
        return Zone(
            name=(source.name or source.function) if self.name is None else self.name,
            function=source.function,
            file=source.file,
            line=source.line,
            color=source.color if self.color is None else self.color,
            text="\n".join(self.texts),
            start_ns=self.start_ns,
            end_ns=self.end_ns,
            children=tuple(child.read_back() for child in self.children),
            stack=self.stack,
        )


@dataclass(slots=True)
class _Row:
    roots: list[_Zone] = field(default_factory=list)
    open: list[_Zone] = field(default_factory=list)
    regions: list[Region] = field(default_factory=list)

    def add(self, zone: _Zone) -> None:
        """Put a zone where it belongs."""
        (self.open[-1].children if self.open else self.roots).append(zone)


class Program:
    """Says things through a strict stream, and keeps what they come to."""

    def __init__(self, version: int, piece: int = 0) -> None:
        self.version = version
        self.pair = Pair(version, piece=piece)
        self.stream, self.strings = self.pair.stream, self.pair.strings
        self.tid = 0
        self.running: dict[int, int] = {}  #: fiber by thread
        self.rows: dict[RowKey, _Row] = {}
        self.messages: list[Message] = []
        self.plots: dict[str, list[Point]] = {}
        self.marks: dict[str, list[int]] = {}
        self.sub_frames: list[SubFrame] = []
        self.locks: dict[int, list[LockEvent]] = {}
        self.waiting: dict[int, list[int]] = {}
        self.holder: dict[int, int] = {}
        self.live: dict[tuple[str, int], int] = {}
        self.pools: dict[str, list[Allocation]] = {}
        self.devices: dict[int, list[GpuZone]] = {}
        self.queries: list[int] = []

    # ------------------------------------------------------------------------------------- rows

    @property
    def here(self) -> RowKey:
        """The row that gets the next zone."""
        fiber = self.running.get(self.tid)
        return RowKey("thread", self.tid) if fiber is None else RowKey("fiber", fiber)

    @property
    def row(self) -> _Row:
        """The row that gets the next zone, from now on known to the viewer."""
        return self.rows.setdefault(self.here, _Row())

    @property
    def open(self) -> list[_Zone]:
        """The zones that are open here."""
        known = self.rows.get(self.here)
        return known.open if known else []

    def waits(self, fiber: int) -> bool:
        """Whether a fiber has an open zone and does not run."""
        row = self.rows.get(RowKey("fiber", fiber))
        return row is not None and bool(row.open) and fiber not in self.running.values()

    def thread(self, tid: int) -> None:
        """Go on with another thread."""
        self.stream.thread(tid)
        self.tid = tid

    def begin(self, t_ns: int, source: Source, with_stack: bool) -> None:
        """Begin a zone."""
        stack = _STACK if with_stack else ()
        frames = [self.strings.frame(*frame) for frame in stack]
        self.stream.zone_begin(t_ns, self.strings.source(*source), frames)
        self._open(_Zone(source, t_ns, stack=stack))

    def begin_inline(self, t_ns: int, source: Source) -> None:
        """Begin a zone that brings its place along."""
        self.stream.zone_begin_inline(t_ns, *source)
        self._open(_Zone(source, t_ns))

    def _open(self, zone: _Zone) -> None:
        row = self.row
        row.add(zone)
        row.open.append(zone)

    def end(self, length_ns: int) -> None:
        """End a zone."""
        zone = self.open.pop()
        zone.end_ns = zone.start_ns + length_ns
        self.stream.zone_end(zone.end_ns)

    def whole(self, t_ns: int, length_ns: int, source: Source) -> None:
        """Add a zone that is over."""
        self.stream.zone(t_ns, t_ns + length_ns, self.strings.source(*source))
        self.row.add(_Zone(source, t_ns, t_ns + length_ns))

    def describe(self, text: str, name: str | None, color: int | None, value: int | None) -> None:
        """Say more about the innermost zone."""
        zone = self.open[-1]
        self.stream.zone_text(text)
        zone.texts.append(text)
        if name is not None:
            self.stream.zone_name(name)
            zone.name = name
        if color is not None:
            self.stream.zone_color(color)
            zone.color = color
        if value is not None:
            self.stream.zone_value(value)
            zone.texts.append(str(value))

    def enter(self, t_ns: int, fiber: int) -> None:
        """Run a fiber, which runs nowhere yet."""
        self.stream.fiber_enter(t_ns, fiber)
        self.rows.setdefault(RowKey("thread", self.tid), _Row())
        if self.tid in self.running:
            self._close_region(t_ns)
        self.running[self.tid] = fiber
        self.row.regions.append(Region(t_ns, None, self.tid))

    def leave(self, t_ns: int) -> None:
        """Run the thread itself."""
        self.stream.fiber_leave(t_ns)
        self._close_region(t_ns)
        del self.running[self.tid]

    def _close_region(self, t_ns: int) -> None:
        regions = self.row.regions
        regions[-1] = regions[-1]._replace(end_ns=t_ns)

    def step(self, wait_ns: int, run_ns: int, fiber: int, source: Source) -> None:
        """Let a fiber that waits run to its next wait."""
        row = self.rows[RowKey("fiber", fiber)]
        waited = row.open.pop()
        resume_ns = waited.end_ns = waited.start_ns + wait_ns
        suspend_ns = resume_ns + run_ns
        self.stream.step(resume_ns, suspend_ns, fiber, 0, self.strings.source(*source))
        self.rows.setdefault(RowKey("thread", self.tid), _Row())
        row.regions.append(Region(resume_ns, suspend_ns, self.tid))
        wait = _Zone(source, suspend_ns)
        row.add(wait)
        row.open.append(wait)

    # ------------------------------------------------------------------------------------ marks

    def message(self, t_ns: int, text: str, severity: int, color: int | None) -> None:
        """Write a message."""
        self.stream.message(t_ns, text, severity, color)
        self.row  # noqa: B018 – is known from now on
        shown = severity if self.version >= 77 else None
        message = Message(t_ns=t_ns, row=self.here, text=text, severity=shown, color=color)
        self.messages.append(message)

    def plot(self, name: str, t_ns: int, value: float) -> None:
        """Add a point to a plot."""
        self.stream.plot(self.strings.text(name), t_ns, value)
        self.plots.setdefault(name, []).append(Point(t_ns, value))

    def mark(self, name: str, later_ns: int) -> None:
        """End a frame."""
        marks = self.marks.setdefault(name, [])
        marks.append((marks[-1] if marks else 0) + later_ns)
        self.stream.frame_mark(marks[-1], self.strings.text(name) if name else 0)

    def sub_frame(self, later_ns: int) -> None:
        """Begin or end a frame of a set with gaps."""
        name = self.strings.text("sub-frames")
        if self.sub_frames and self.sub_frames[-1].end_ns is None:
            start_ns = self.sub_frames[-1].start_ns
            self.sub_frames[-1] = SubFrame(start_ns, start_ns + later_ns)
            self.stream.frame_end(start_ns + later_ns, name)
        else:
            start_ns = (self.sub_frames[-1].end_ns or 0 if self.sub_frames else 0) + later_ns
            self.sub_frames.append(SubFrame(start_ns, None))
            self.stream.frame_begin(start_ns, name)

    # -------------------------------------------------------------------------------- resources

    def use_lock(self, lock: int, tid: int, later_ns: int) -> None:
        """Do what a thread can do with a lock now: wait, obtain or release."""
        if lock not in self.locks:
            self.stream.lock_announce(lock, 0, self.strings.source(*SOURCES[0]))
            self.locks[lock], self.waiting[lock] = [], []
        events, waiting = self.locks[lock], self.waiting[lock]
        t_ns = (events[-1].t_ns if events else 0) + later_ns
        if self.holder.get(lock) == tid:
            self.stream.lock_release(lock, tid, t_ns)
            events.append(LockEvent(t_ns, "release", tid))
            del self.holder[lock]
        elif tid not in waiting:
            self.stream.lock_wait(lock, tid, t_ns)
            events.append(LockEvent(t_ns, "wait", tid))
            waiting.append(tid)
            self._see(tid)
        elif lock not in self.holder:
            self.stream.lock_obtain(lock, tid, t_ns)
            events.append(LockEvent(t_ns, "obtain", tid))
            waiting.remove(tid)
            self.holder[lock] = tid

    def use_memory(self, pool: str, address: int, tid: int, later_ns: int, size: int) -> None:
        """Allocate at an address, or free it if it is allocated."""
        name = self.strings.text(pool) if pool else 0
        pieces = self.pools.setdefault(pool, [])
        times = [time for piece in pieces for time in (piece.alloc_ns, piece.free_ns or 0)]
        t_ns = max(times, default=0) + later_ns
        index = self.live.pop((pool, address), None)
        self._see(tid)
        if index is None:
            self.stream.mem_alloc(t_ns, tid, address, size, name)
            self.live[pool, address] = len(pieces)
            pieces.append(Allocation(address=address, size=size, alloc_ns=t_ns, alloc_tid=tid))
        else:
            self.stream.mem_free(t_ns, tid, address, name)
            before = pieces[index]
            pieces[index] = Allocation(
                address=address,
                size=before.size,
                alloc_ns=before.alloc_ns,
                alloc_tid=before.alloc_tid,
                free_ns=t_ns,
                free_tid=tid,
            )

    def use_device(self, tid: int, t_ns: int, length_ns: int, times: tuple[int, int]) -> None:
        """Let a device do something, and say when it did."""
        if not self.devices:
            self.stream.gpu_context(9, 0, 0)
        zones = self.devices.setdefault(tid, [])
        self.stream.gpu_begin(t_ns, tid, 0, 9, self.strings.source(*SOURCES[1]))
        self.stream.gpu_end(t_ns + length_ns, tid, 1, 9)
        for query, time in enumerate(times):
            self.stream.gpu_time(9, query, time)
        zones.append(
            GpuZone(
                source=SOURCES[1],
                tid=tid,
                start_ns=t_ns,
                end_ns=t_ns + length_ns,
                gpu_start=times[0],
                gpu_end=times[1],
            )
        )

    def _see(self, tid: int) -> None:
        self.rows.setdefault(RowKey("thread", tid), _Row())

    # -------------------------------------------------------------------------------------- end

    def finish(self) -> Trace:
        """End all zones, then the program; return what the viewer has read."""
        for key in list(self.rows):
            if key.kind == "thread":
                self.thread(key.id)
                if key.id in self.running:
                    self._end_zones()
                    self.leave(END)
                self._end_zones()
        for key in list(self.rows):
            if key.kind == "fiber" and self.rows[key].open:
                self.enter(END, key.id)
                self._end_zones()
                self.leave(END)
        return self.pair.finish()

    def _end_zones(self) -> None:
        while self.open:
            self.end(0)

    def expected(self) -> Trace:
        """Return what the viewer must have read."""
        frame_sets = {
            name: FrameSet(name=name, marks=tuple(marks)) for name, marks in self.marks.items()
        }
        if self.sub_frames:
            frame_sets["sub-frames"] = FrameSet(
                name="sub-frames", sub_frames=tuple(self.sub_frames)
            )
        return Trace(
            threads=self._rows("thread"),
            fibers=self._rows("fiber"),
            messages=tuple(self.messages),
            plots=tuple(
                Plot(name=name, points=tuple(points)) for name, points in self.plots.items()
            ),
            frame_sets=tuple(frame_sets.values()),
            locks=tuple(
                Lock(id=lock, source=SOURCES[0], announced_ns=0, events=tuple(events))
                for lock, events in self.locks.items()
            ),
            pools=tuple(
                Pool(name=name, allocations=tuple(all_)) for name, all_ in self.pools.items()
            ),
            gpu=self._gpu(),
        )

    def _rows(self, kind: str) -> dict[int, Row]:
        return {
            key.id: Row(
                name=f"{kind} {key.id}",
                zones=tuple(zone.read_back() for zone in row.roots),
                regions=tuple(row.regions),
            )
            for key, row in self.rows.items()
            if key.kind == kind
        }

    def _gpu(self) -> dict[int, GpuContext]:
        if not self.devices:
            return {}
        zones = {tid: tuple(zones) for tid, zones in self.devices.items()}
        return {9: GpuContext(id=9, kind=7, t_ns=0, gpu_time=0, zones=zones)}
