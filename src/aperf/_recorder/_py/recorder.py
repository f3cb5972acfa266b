"""The recorder in Python: rings by thread, live tasks, tables. Specification of its C twin."""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING, Any

from aperf._recorder._layout import (
    HEADER,
    MAX_PAYLOAD,
    MAX_SLOTS,
    PAIR,
    SLOT,
    Descent,
    Kind,
    StepFlag,
)

from .birth import adopt
from .chain import count_kept, hold, links
from .context import look, look_as
from .coroutine import cut, name_of
from .descent import running_root
from .entry import Entry
from .hook import LoopHook
from .monitor import Monitor
from .place import full_site, place
from .rings import Rings
from .sites import Frames, Site, Sites
from .wrapper import Wrapper

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextvars import ContextVar

    from aperf._recorder._cold import Cold

    from .ring import Ring

__all__ = ("Recorder",)

# Plain integers: an operation on an enum costs a microsecond, a step a few of them in all.
_DONE, _FIRST, _FAILED = int(StepFlag.DONE), int(StepFlag.FIRST), int(StepFlag.FAILED)
_CANCELLED, _EAGER = int(StepFlag.CANCELLED), int(StepFlag.EAGER)
_WIDE, _CHAIN = int(Kind.WIDE), int(Kind.CHAIN)
#: A recorder that fails this often of its own fault stops watching.
MAX_FAULTS = 8


class Recorder:
    """Writes what happens on loops into rings, and hands the rings out.

    Every method may be called on every thread, `drain` and `sweep` on one at a time. Nothing here
    blocks.

    Args:
        cold: answers rare questions.
        ring_slots: capacity of a loop's ring, a power of two.
        stack_min_ns: waits at least this long record the whole await chain.
        span_var: what holds the user span that is open in a context, for `Cold.open_span`.
        manual_clock: time stands still until `set_time_ns`.

    Attributes:
        ring: returns this thread's ring, see `Rings.of_thread`.
        drain, used, dropped, threads: see `Rings`.
        armed: whether anything is recorded.
        nesting: whether suspensions are followed by a CHAIN.
        bridge: knows OpenTelemetry's spans, None while nobody cares.
        context_var: holds OpenTelemetry's context, None while that is not imported.
        span_key: under which the current span is found in it.
        mute_key: under which it says that nobody is to be told of anything.
        outers: what the bridge knows of tasks in which a span of OpenTelemetry is current, by their
            number: the span, and what else it likes.
        moved: roots of tasks that went on in another trace, by their number.
        descent: a `Descent`.
    """

    def __init__(
        self,
        cold: Cold,
        *,
        ring_slots: int = 1 << 18,
        stack_min_ns: int = 1_000_000,
        span_var: ContextVar[Any] | None = None,
        manual_clock: bool = False,
    ) -> None:
        if ring_slots < 1 or ring_slots & (ring_slots - 1):
            raise ValueError(f"ring_slots={ring_slots}: must be a power of two")
        self.armed = False
        self.nesting = False
        self.bridge: Any = None
        self.context_var: ContextVar[Any] | None = None
        self.span_key: Any = None
        self.mute_key: Any = None
        self.outers: dict[int, tuple[Any, ...]] = {}
        self.moved: dict[int, int] = {}
        self.descent = int(Descent.RULES)
        self.cold = cold
        self.stack_min_ns = stack_min_ns
        self.span_var = span_var
        self.entries: dict[int, Entry] = {}
        self.sites = Sites(cold.classify)
        self.internal_errors = 0
        self.rings = Rings(cold, ring_slots)
        self.ring = self.rings.of_thread
        self.drain = self.rings.drain
        self.used = self.rings.used
        self.dropped = self.rings.dropped
        self.threads = self.rings.threads
        self._ids = 0
        self._time_ns = 0
        self.now_ns: Callable[[], int] = (
            (lambda: self._time_ns) if manual_clock else time.monotonic_ns
        )

    def set_time_ns(self, t_ns: int) -> None:
        """Set the manual clock."""
        self._time_ns = t_ns

    # ------------------------------------------------------------------------------------- writing

    def put(
        self, kind: int, flags: int, ref: int, a: int, b: int, payload: bytes = b"", t_ns: int = -1
    ) -> bool:
        """Write one event to this thread's ring.

        Args:
            kind: a `Kind`.
            flags: its flags.
            ref: its site or name.
            a: its first number.
            b: its second number.
            payload: what follows the header, `MAX_PAYLOAD` bytes at most.
            t_ns: its time, now if negative.
        """
        t_ns = self.now_ns() if t_ns < 0 else t_ns
        slots = 1 + -(-len(payload) // SLOT)
        if slots > MAX_SLOTS:
            raise ValueError(f"payload of {len(payload)} bytes: at most {MAX_PAYLOAD} fit")
        first = HEADER.pack(t_ns, kind, slots, flags, ref, a, b)
        return self.ring(loop=False).put(first, payload)

    def next_id(self) -> int:
        """Return a number never used before: of a task, of a thread that opens spans, of a job."""
        self._ids += 1
        return self._ids

    def current(self) -> int:
        """Return the number of the task that runs on this thread, 0 for none."""
        ring = self.rings.known()
        return 0 if ring is None else ring.current

    def root(self) -> int:
        """Return what the trace begins with that the running task is in (`aperf._ids`).

        0 for none: no task runs, or it is in a trace of OpenTelemetry's.
        """
        return running_root(self)

    def fault(self) -> None:
        """Count a fault of our own, after too many stop recording."""
        self.internal_errors += 1
        if self.internal_errors >= MAX_FAULTS:
            self.armed = False

    # --------------------------------------------------------------------------------------- tasks

    def abandon(self, number: int) -> None:
        """Record that a task is gone without having finished."""
        self.outers.pop(number, None)
        self.put(Kind.ABANDON, 0, 0, number, 0)

    # ------------------------------------------------------------------- OpenTelemetry's context

    def follow(
        self,
        bridge: Any,
        context_var: ContextVar[Any] | None = None,
        span_key: Any = None,
        mute_key: Any = None,
    ) -> None:
        """Take notice of OpenTelemetry's spans from now on, or of none any more.

        Args:
            bridge: knows them; None: nobody cares any more.
            context_var: holds OpenTelemetry's context; None: it is not imported yet, and
                `bridge.find` is asked at each birth.
            span_key: under which the current span is found in it.
            mute_key: under which it says that nobody is to be told of anything.
        """
        self.bridge, self.context_var, self.span_key = bridge, context_var, span_key
        self.mute_key = mute_key
        if bridge is None:
            self.outers = {}

    def look(self, owner: int) -> None:
        """Record the current span of OpenTelemetry if `owner`, a task or thread, is new in it."""
        look_as(self, owner)

    # ------------------------------------------------------------------------- births and steps

    def name(self, number: int, name: str) -> None:
        """Record the name of a task whose birth was recorded without one."""
        self.put(Kind.NAME, 0, 0, number, 0, cut(name))

    def bind(self, task: Any, entry: Entry) -> None:
        """Make a task known by its address; whoever lived there before is gone."""
        before = self.entries.get(id(task))
        if before is not None:
            self.abandon(before.id)
        self.entries[id(task)] = entry

    def entry(self, key: Any, number: int, since_ns: int, root: int) -> Entry:
        """Make a new live task known under a key, and return its entry."""
        entry = Entry(number, since_ns, root)
        self.bind(key, entry)
        return entry

    def adopt(self, task: Any) -> int:
        """Make a task known that lives already, and return its number."""
        return adopt(self, task).id

    def live(self) -> list[tuple[int, int, int, bool, bool]]:
        """Return number, site, since_ns, first and running of each live task, by number."""
        entries = list(self.entries.values())
        return sorted((e.id, e.site, e.since_ns, e.first, e.running) for e in entries)

    # --------------------------------------------------------------------------------------- steps

    def enter(self, ring: Ring, entry: Entry) -> int:
        """Begin a step, return its start. After a long wait the whole chain is worth its price."""
        now = self.now_ns()
        ring.current = entry.id
        ring.entry = entry
        entry.running = True
        if entry.first and entry.id in self.outers:
            outer = self.bridge.begin(self, entry.id, self.outers[entry.id])
            self.outers[entry.id] = outer
        if not entry.first and now - entry.since_ns >= self.stack_min_ns:
            entry.site = full_site(self.sites, entry) or entry.site
        return now

    def hold(self, entry: Entry, coroutine: Any) -> Sequence[Any]:
        """Return what a step must know at its end of the chain in which its task is suspended.

        It refers to coroutines, so nobody may keep it when the step is over.
        """
        return hold(coroutine) if entry.chained else ()

    def leave(
        self,
        ring: Ring,
        entry: Entry,
        task: Any,
        t_ns: int,
        ready_ns: int,
        waker: int,
        flags: int,
        held: Sequence[Any] = (),
    ) -> None:
        """End a step of a task: record it, and note where the task stands now.

        Args:
            ring: of this thread.
            entry: the task's.
            task: the task.
            t_ns: when the step began.
            ready_ns: how long the task had been ready by then.
            waker: who had woken it, or 0.
            flags: what is known so far, a set of `StepFlag`.
            held: what `hold` returned at the step's begin, if anybody asked.
        """
        now = self.now_ns()
        coroutine = waiter = None
        if task.done():
            self.rename(entry, task)
            flags |= _DONE | self._outcome(entry, task)
        else:
            if entry.first:
                self.rename(entry, task)
            coroutine = task.get_coro()
            waiter = getattr(task, "_fut_waiter", None)
        self.close_step(
            ring, entry, task, now, t_ns, ready_ns, waker, flags, coroutine, waiter, held
        )

    def close_step(
        self,
        ring: Ring,
        entry: Entry,
        key: Any,
        now: int,
        t_ns: int,
        ready_ns: int,
        waker: int,
        flags: int,
        coroutine: Any,
        waiter: Any,
        held: Sequence[Any],
    ) -> None:
        """End a step of whatever is known under this key (see `leave`)."""
        if entry.first:
            flags |= _FIRST
        if flags & _DONE and self.entries.get(id(key)) is entry:
            del self.entries[id(key)]
        number, busy_ns = entry.id, now - t_ns
        if flags & _DONE:
            self.outers.pop(number, None)
        elif self.context_var is not None:
            # An eager step is seen from outside of its task's context.
            look(self, number, key.get_context() if flags & _EAGER else None)
        try:
            ring.step(t_ns, flags, entry.site, number, waker, ready_ns, busy_ns)
        except struct.error:  # a number needs more than 32 bits
            first = HEADER.pack(t_ns, _WIDE, 2, flags, entry.site, number, waker)
            ring.put(first, PAIR.pack(ready_ns, busy_ns, 0, 0))
        entry.first = entry.running = entry.chained = False
        entry.since_ns = now
        if not flags & _DONE:
            place(self.sites, entry, coroutine, waiter)
            if self.nesting:
                self._write_chain(ring, entry, coroutine, held)

    def _write_chain(self, ring: Ring, entry: Entry, coroutine: Any, held: Sequence[Any]) -> None:
        """Record the chain in which a task is suspended, and how much of it was there before."""
        kept = count_kept(held, links(coroutine))
        site = full_site(self.sites, entry)
        entry.chained = ring.put(HEADER.pack(entry.since_ns, _CHAIN, 1, 0, site, entry.id, kept))

    def rename(self, entry: Entry, task: Any) -> None:
        """Record a task's name if it has another one by now: before 3.13, asyncio gives it late."""
        name = name_of(task)
        if name != entry.name:
            entry.name = name
            self.name(entry.id, name)

    def _outcome(self, entry: Entry, task: Any) -> int:
        if task.cancelled():
            return _CANCELLED
        # Not task.exception(): that would silence "Task exception was never retrieved".
        error = getattr(task, "_exception", None)
        if error is None:
            return 0
        try:
            self.cold.failure(self, entry.id, error)
        finally:
            error = None
        return _FAILED

    # ------------------------------------------------------------------------------------- reading

    def intern(self, frames: Frames, awaited: type | None = None, hint: int = 0) -> int:
        """Return the number of a site."""
        return self.sites.intern(frames, awaited, hint)

    def resolve(self, site: int) -> Site | None:
        """Return a site by its number."""
        return self.sites.resolve(site)

    def sweep(self) -> list[int]:
        """Release sites that were not used for a while; return their numbers."""
        for entry in list(self.entries.values()):
            self.sites.touch(entry.site)
        return self.sites.sweep()

    def hook(self, loop: Any) -> LoopHook:
        """Return what stands in for `create_task` and `call_soon` of a loop."""
        return LoopHook(self, loop)

    def monitor(self) -> Monitor:
        """Return what `sys.monitoring` is to call for each await (Python 3.12 and later)."""
        return Monitor(self)

    def wrap(self, coroutine: Any, name: str | None, context: Any) -> Wrapper:
        """Return a coroutine that records the steps of another one (for task factories)."""
        return Wrapper(self, coroutine, None if name is None else str(name), context)
