"""The recorder in Python: rings by thread, live tasks, tables. Specification of its C twin."""

from __future__ import annotations

import struct
import threading
import time
from asyncio import Future, events
from collections import deque
from types import CodeType
from typing import TYPE_CHECKING, Any

from aperf._recorder._codes import USER, WRAPPER
from aperf._recorder._layout import (
    BIRTH,
    HEADER,
    MAX_PAYLOAD,
    MAX_SLOTS,
    MAX_TEXT,
    NEAR,
    PAIR,
    SLOT,
    BirthFlag,
    Descent,
    Hint,
    Kind,
    StepFlag,
)

from .chain import count_kept, hold, links, walk
from .hook import LoopHook
from .monitor import Monitor
from .ring import Pending, Ring
from .sites import Frames, Site, Sites
from .wrapper import Wrapper

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextvars import ContextVar

    from aperf._recorder._cold import Cold

__all__ = ("Entry", "Recorder")

# Plain integers: an operation on an enum costs a microsecond, a step a few of them in all.
_DONE, _FIRST, _FAILED = int(StepFlag.DONE), int(StepFlag.FIRST), int(StepFlag.FAILED)
_CANCELLED, _EAGER = int(StepFlag.CANCELLED), int(StepFlag.EAGER)
_ADOPTED, _UNCODED, _CALLBACK = (
    int(BirthFlag.ADOPTED),
    int(BirthFlag.UNCODED),
    int(BirthFlag.CALLBACK),
)
_FULL, _SHIELD, _EXECUTOR = int(Hint.FULL), int(Hint.SHIELD), int(Hint.EXECUTOR)
_BIRTH, _WIDE, _CHAIN = int(Kind.BIRTH), int(Kind.WIDE), int(Kind.CHAIN)
#: Rings of threads that run no loop are smaller by this factor: they carry jobs and user spans
#: only.
SIDE_RING = 16
_CHILD, _OWN = int(Descent.CHILD), int(Descent.OWN)
#: Tasks with larger numbers have no root.
MAX_ROOT = 1 << 40
MIN_RING = 64  # slots; several of the largest events
#: A recorder that fails this often of its own fault stops watching.
MAX_FAULTS = 8


class Entry:
    """A live task.

    Attributes:
        id: its number; never 0, never used again.
        name: the name that was recorded last.
        site: where it was suspended last, 0 before it ran.
        frames: of the await chain there: it does not change while the task is suspended.
        since_ns: when it was suspended, or born.
        first: whether it has not run yet.
        root: what its trace begins with (see `Recorder.root`).
        running: whether it runs right now.
        chained: whether a CHAIN says how it is suspended.
    """

    __slots__ = ("chained", "first", "frames", "id", "name", "root", "running", "since_ns", "site")

    def __init__(self, number: int, since_ns: int, root: int = 0) -> None:
        self.id = number
        self.root = root
        self.name = ""
        self.site = 0
        self.frames: Frames = ()
        self.since_ns = since_ns
        self.first = True
        self.running = False
        self.chained = False


class _Writer:
    """Lives as long as its thread writes to a ring."""

    __slots__ = ("_ended", "_ring")

    def __init__(self, ring: Ring, ended: deque[Ring]) -> None:
        self._ring = ring
        self._ended = ended

    def __del__(self) -> None:
        self._ended.append(self._ring)


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
        armed: whether anything is recorded.
        nesting: whether suspensions are followed by a CHAIN.
        bridge: knows OpenTelemetry's spans, None while nobody cares.
        context_var: holds OpenTelemetry's context, None while that is not imported.
        span_key: under which the current span is found in it.
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
        self.outers: dict[int, tuple[Any, ...]] = {}
        self.moved: dict[int, int] = {}
        self.descent = int(Descent.RULES)
        self.cold = cold
        self.stack_min_ns = stack_min_ns
        self.span_var = span_var
        self.entries: dict[int, Entry] = {}
        self.sites = Sites(cold.classify)
        self.internal_errors = 0
        self._ring_slots = max(MIN_RING, ring_slots)
        self._rings: list[Ring] = []
        self._ended: deque[Ring] = deque()
        self._local = threading.local()
        self._ids = 0
        self._time_ns = 0
        self.now_ns: Callable[[], int] = (
            (lambda: self._time_ns) if manual_clock else time.monotonic_ns
        )

    def set_time_ns(self, t_ns: int) -> None:
        """Set the manual clock."""
        self._time_ns = t_ns

    # ------------------------------------------------------------------------------------- writing

    def ring(self, *, loop: bool = True) -> Ring:
        """Return this thread's ring, made at its first use.

        Args:
            loop: whether a loop runs here; its ring is large, and takes the place of a small one.
        """
        ring: Ring | None = getattr(self._local, "ring", None)
        if ring is None or (loop and ring.slots < self._ring_slots):
            slots = self._ring_slots if loop else max(MIN_RING, self._ring_slots // SIDE_RING)
            ring = Ring(slots, self.cold.thread(), self.cold.half_full, self._spare(slots))
            self._local.ring = ring
            self._local.writer = _Writer(ring, self._ended)
            self._rings.append(ring)
        return ring

    def _spare(self, slots: int) -> bytearray | None:
        """Return the memory of a ring whose thread has ended: threads may come and go."""
        for _ in range(len(self._ended)):
            try:
                ring = self._ended.popleft()
            except IndexError:
                break  # another thread was faster
            if ring.slots == slots and not ring.used:
                return ring.give_up()
            self._ended.append(ring)
        return None

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
        ring: Ring | None = getattr(self._local, "ring", None)
        return 0 if ring is None else ring.current

    def root(self) -> int:
        """Return what the trace begins with that the running task is in (`aperf._ids`).

        0 for none: no task runs, or it is in a trace of OpenTelemetry's.
        """
        ring: Ring | None = getattr(self._local, "ring", None)
        if ring is None or not ring.current:
            return 0
        number, entry, pending = ring.current, ring.entry, ring.pending
        root = 0
        if entry is not None and entry.id == number:
            root = entry.root
        elif pending is not None and pending.id == number:  # it runs within create_task
            root = pending.root
        return self.moved.get(number, root)

    def fault(self) -> None:
        """Count a fault of our own, after too many stop recording."""
        self.internal_errors += 1
        if self.internal_errors >= MAX_FAULTS:
            self.armed = False

    # --------------------------------------------------------------------------------------- tasks

    def birth(
        self,
        number: int,
        t_ns: int,
        coroutine: Any,
        creator: int,
        name: str,
        context: Any,
        flags: int = 0,
        *,
        owned: bool = True,
    ) -> int:
        """Record that a task was made, and return its root.

        Args:
            number: the task's number.
            t_ns: when.
            coroutine: what it runs.
            creator: number of the task that made it, or 0.
            name: its name, "" if not known yet.
            context: the context that it was explicitly given, or None.
            flags: a set of `BirthFlag`.
            owned: whether it will have a context of its own, unless it was given one.
        """
        maker: Entry | None = None
        if not creator and not flags and events._get_running_loop() is not None:
            # No step of a watched task runs: one that was running when watching began, or none.
            task = self.cold.current_task()
            if task is None:
                flags |= _CALLBACK
            else:
                maker = self.adopted(task)
                creator = maker.id
        code = code_of(coroutine)
        if code is not None and self.sites.code_bits(code) & WRAPPER:
            code = self.cold.look_through(coroutine) or code
        ref = self.sites.intern(((code, -1),)) if code is not None else 0
        if not ref:
            flags |= _UNCODED
            ref = self.cold.name(getattr(coroutine, "__qualname__", type(coroutine).__qualname__))
        opened = self._open_span(context)
        nested = False
        if self.bridge is not None and not flags & _ADOPTED:
            nested = self._inherit(number, creator, context, owned and context is None)
        text = cut(name)
        rest = BIRTH.pack(opened[0], opened[1], len(text), text[:16]) + text[16:]
        slots = 1 + -(-len(rest) // SLOT)
        first = HEADER.pack(t_ns, _BIRTH, slots, flags, ref, number, creator)
        self.ring().put(first, rest)
        return (
            0
            if nested and self.descent != _OWN
            else self._root(number, creator, maker, opened, bool(flags & _CALLBACK))
        )

    def _root(
        self,
        number: int,
        creator: int,
        maker: Entry | None,
        opened: tuple[int, int, int, bool],
        by_callback: bool,
    ) -> int:
        """Return the root of a new task that is in no trace of OpenTelemetry's.

        The same is worked out from the records (`aperf._pipeline`), and must come out the same.
        """
        own = number if number < MAX_ROOT else 0
        owner, _, root, attached = opened
        if self.descent == _OWN:
            return own
        if owner and (not creator or owner == creator):
            inherited = by_callback and not attached and self.descent != _CHILD
            return own if inherited else root
        if not creator:
            return own
        return self.root() if maker is None else self.moved.get(maker.id, maker.root)

    def _open_span(self, context: Any) -> tuple[int, int, int, bool]:
        if self.span_var is None:
            return 0, 0, 0, False
        value = self.span_var.get(None) if context is None else context.get(self.span_var)
        return (0, 0, 0, False) if value is None else self.cold.open_span(value)

    def abandon(self, number: int) -> None:
        """Record that a task is gone without having finished."""
        self.outers.pop(number, None)
        self.put(Kind.ABANDON, 0, 0, number, 0)

    # ------------------------------------------------------------------- OpenTelemetry's context

    def follow(
        self, bridge: Any, context_var: ContextVar[Any] | None = None, span_key: Any = None
    ) -> None:
        """Take notice of OpenTelemetry's spans from now on, or of none any more.

        Args:
            bridge: knows them; None: nobody cares any more.
            context_var: holds OpenTelemetry's context; None: it is not imported yet, and
                `bridge.find` is asked at each birth.
            span_key: under which the current span is found in it.
        """
        self.bridge, self.context_var, self.span_key = bridge, context_var, span_key
        if bridge is None:
            self.outers = {}

    def look(self, owner: int) -> None:
        """Record the current span of OpenTelemetry if `owner`, a task or thread, is new in it."""
        if self.bridge is None or (self.context_var is None and not self.bridge.find(self)):
            return
        if owner == self.current():
            self._look(owner, None)
            return
        span = self._outer_span(None)
        if span is not None:
            self.bridge.moved(self, owner, span, None)

    def _outer_span(self, context: Any) -> Any:
        """Return OpenTelemetry's span in a context, or in the current one."""
        var: Any = self.context_var
        values = var.get(None) if context is None else context.get(var)
        return None if values is None else values.get(self.span_key)

    def _inherit(self, number: int, creator: int, context: Any, owned: bool) -> bool:
        """Record the span of OpenTelemetry that a new task has; say whether it is in its trace."""
        if self.context_var is None and not self.bridge.find(self):
            return False
        span = self._outer_span(context)
        outer = None if span is None else self.bridge.born(self, number, span, creator, owned)
        if outer is None:
            return False
        self.outers[number] = outer
        return len(outer) > 2 and outer[2] is True

    def _look(self, number: int, context: Any) -> None:
        """Record a task's current span of OpenTelemetry if it is not the one seen last."""
        span = self._outer_span(context)
        seen = self.outers.get(number)
        if span is (None if seen is None else seen[0]):
            return
        outer = self.bridge.moved(self, number, span, seen)
        if outer is None:
            self.outers.pop(number, None)
        else:
            self.outers[number] = outer

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

    def born(
        self,
        ring: Ring,
        task: Any,
        coroutine: Any,
        made: Pending,
        eager: bool,
        context: Any,
    ) -> None:
        """Record what is known of a new task once `create_task` has returned it.

        Args:
            ring: of this thread.
            task: what the loop made.
            coroutine: what it runs.
            made: what was noted before.
            eager: whether its birth was recorded already, because it may have run a step by now.
            context: the context that it was explicitly given, or None.
        """
        name, number, t_ns = name_of(task), made.id, made.t_ns
        entry = self.entries.get(id(task))
        if entry is not None and entry.id > number:
            # The factory made more than one task, and this one had to be adopted meanwhile.
            if eager:
                self.abandon(number)
            return
        if eager:
            self.name(number, name)
        else:
            made.root = self.birth(number, t_ns, coroutine, ring.current, name, context)
        if entry is not None and entry.id == number:
            entry.root = made.root  # bound at a wake-up within create_task
        else:
            entry = Entry(number, t_ns, made.root)
            if not task.done():
                self.bind(task, entry)
            elif not eager:
                self.outers.pop(number, None)
        entry.name = name
        if eager and (task.done() or begun(task)):
            self.leave(ring, entry, task, t_ns, 0, 0, _EAGER)

    def entry_at_wake(self, ring: Ring, task: Any) -> Entry:
        """Return the entry of a task being scheduled: known, being born, or to be adopted."""
        pending = ring.pending
        if pending is not None and pending.coroutine is not None:
            coroutine = task.get_coro()
            # Factories may put a coroutine of their own around the one that they were given.
            if coroutine is pending.coroutine or not (
                started(coroutine) or started(pending.coroutine)
            ):
                pending.coroutine = None
                return self.entry(task, pending.id, pending.t_ns, pending.root)
        return self.entries.get(id(task)) or self.adopted(task)

    def entry(self, key: Any, number: int, since_ns: int, root: int) -> Entry:
        """Make a new live task known under a key, and return its entry."""
        entry = Entry(number, since_ns, root)
        self.bind(key, entry)
        return entry

    def adopt(self, task: Any) -> int:
        """Make a task known that lives already, and return its number."""
        return self.adopted(task).id

    def adopted(self, task: Any) -> Entry:
        """Make a task known that lives already, and record where it is suspended."""
        entry = self.entries.get(id(task))
        if entry is None:
            now = self.now_ns()
            entry = Entry(self.next_id(), now)
            coroutine = task.get_coro()
            entry.name = name_of(task)
            entry.root = self.birth(entry.id, now, coroutine, 0, entry.name, None, _ADOPTED)
            # One that runs right now has no wait that could end: its next step counts as its first.
            entry.running = bool(getattr(coroutine, "cr_running", False))
            entry.first = entry.running or not started(coroutine)
            if not entry.first:
                self.suspend(entry, coroutine, getattr(task, "_fut_waiter", None))
            self.entries[id(task)] = entry
        return entry

    def suspend(self, entry: Entry, coroutine: Any, waiter: Any) -> None:
        """Note the site at which a task is suspended: its innermost frames and the user's.

        What a future's callbacks tell is read only where the frames and the type do not tell it.
        """
        frames = entry.frames = walk(coroutine)
        bits, hint = self.sites.code_bits, 0
        far = len(frames) - 1  # the user's innermost frame; the outermost where there is none
        for index, frame in enumerate(frames):
            if bits(frame[0]) & USER:
                far = index
                if not index and type(waiter) is Future:
                    hint = callbacks_of(waiter)
                break
        short = frames[: far + 1] if far <= NEAR else (*frames[:NEAR], frames[far])
        entry.site = self.sites.intern(short, None if waiter is None else type(waiter), hint)

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
            entry.site = self._full_site(entry) or entry.site
        return now

    def _full_site(self, entry: Entry) -> int:
        """Return the site of a suspended task with its whole chain, of the same awaitable."""
        hint, awaited, _ = self.sites.resolve(entry.site) or (0, None, ())
        return self.sites.intern(entry.frames, awaited, hint | _FULL)

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
            self._look(number, key.get_context() if flags & _EAGER else None)
        try:
            ring.step(t_ns, flags, entry.site, number, waker, ready_ns, busy_ns)
        except struct.error:  # a number needs more than 32 bits
            first = HEADER.pack(t_ns, _WIDE, 2, flags, entry.site, number, waker)
            ring.put(first, PAIR.pack(ready_ns, busy_ns, 0, 0))
        entry.first = entry.running = entry.chained = False
        entry.since_ns = now
        if not flags & _DONE:
            self.suspend(entry, coroutine, waiter)
            if self.nesting:
                self._write_chain(ring, entry, coroutine, held)

    def _write_chain(self, ring: Ring, entry: Entry, coroutine: Any, held: Sequence[Any]) -> None:
        """Record the chain in which a task is suspended, and how much of it was there before."""
        kept = count_kept(held, links(coroutine))
        site = self._full_site(entry)
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

    def drain(self, slots: int) -> list[tuple[int, bytes]]:
        """Take up to so many slots from each ring.

        Returns:
            (index of the ring, as in `threads`; the slots), for rings that held something.
        """
        return [(index, ring.take(slots)) for index, ring in enumerate(self._rings) if ring.used]

    def used(self) -> int:
        """Return how many slots wait in all rings together."""
        return sum(ring.used for ring in self._rings)

    def dropped(self) -> int:
        """Return how many events found their ring full."""
        return sum(ring.dropped for ring in self._rings)

    def threads(self) -> list[tuple[int, str]]:
        """Return identifier and name of each ring's thread, in the order of the rings."""
        return [ring.thread for ring in self._rings]

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


def name_of(task: Any) -> str:
    """Return the name of a task, also of one that a foreign factory made."""
    get_name = getattr(task, "get_name", None)
    return "" if get_name is None else str(get_name())


def code_of(coroutine: Any) -> CodeType | None:
    """Return the code object of a coroutine or generator, None for others."""
    for name in ("cr_code", "gi_code"):
        code = getattr(coroutine, name, None)
        if isinstance(code, CodeType):
            return code
    return None


def started(coroutine: Any) -> bool:
    """Say whether a coroutine has run already (unknown kinds: yes)."""
    frame = getattr(coroutine, "cr_frame", None)
    if frame is None:
        return True
    return bool(getattr(coroutine, "cr_suspended", True) or getattr(coroutine, "cr_running", False))


def begun(task: Any) -> bool:
    """Say whether a task has run already; one that tells nothing of its coroutine has not."""
    get_coro = getattr(task, "get_coro", None)
    return get_coro is not None and started(get_coro())


def cut(text: str) -> bytes:
    """Return text in UTF-8, cut to `MAX_TEXT` bytes."""
    return text.encode("utf-8", "replace")[:MAX_TEXT]


def callbacks_of(waiter: Any) -> int:
    """Tell from a future's callbacks what stands behind it: shield or an executor."""
    hint = 0
    for callback in getattr(waiter, "_callbacks", None) or ():
        function = callback[0] if type(callback) is tuple else callback
        name = getattr(function, "__qualname__", "")
        if name == "shield.<locals>._outer_done_callback":
            hint |= _SHIELD
        elif name == "_chain_future.<locals>._call_check_cancel":
            hint |= _EXECUTOR
    return hint
