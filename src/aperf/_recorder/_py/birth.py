"""How tasks become known: born before our eyes, or adopted."""

from __future__ import annotations

from asyncio import events
from typing import TYPE_CHECKING, Any

from aperf._recorder._codes import WRAPPER
from aperf._recorder._layout import BIRTH, HEADER, SLOT, BirthFlag, Kind, StepFlag

from .context import inherit, look
from .coroutine import begun, code_of, cut, name_of, started
from .descent import root_of_new
from .entry import Entry
from .place import place

if TYPE_CHECKING:
    from .recorder import Recorder
    from .ring import Pending, Ring

__all__ = ("adopt", "entry_at_wake", "finish_birth", "record_birth")

_BIRTH, _EAGER = int(Kind.BIRTH), int(StepFlag.EAGER)
_ADOPTED, _UNCODED = int(BirthFlag.ADOPTED), int(BirthFlag.UNCODED)
_CALLBACK, _SUPPRESSED = int(BirthFlag.CALLBACK), int(BirthFlag.SUPPRESSED)


def record_birth(
    recorder: Recorder,
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
        recorder: where to record.
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
        task = recorder.cold.current_task()
        if task is None:
            flags |= _CALLBACK
        else:
            maker = adopt(recorder, task)
            creator = maker.id
    code = code_of(coroutine)
    if code is not None and recorder.sites.code_bits(code) & WRAPPER:
        code = recorder.cold.look_through(coroutine) or code
    ref = recorder.sites.intern(((code, -1),)) if code is not None else 0
    if not ref:
        flags |= _UNCODED
        ref = recorder.cold.name(getattr(coroutine, "__qualname__", type(coroutine).__qualname__))
    opened = _open_span(recorder, context)
    nested = muted = False
    if recorder.bridge is not None and not flags & _ADOPTED:
        may_write = owned and context is None
        nested, muted = inherit(recorder, number, creator, context, owned=may_write)
        flags |= _SUPPRESSED if muted else 0
    text = cut(name)
    rest = BIRTH.pack(opened[0], opened[1], len(text), text[:16]) + text[16:]
    slots = 1 + -(-len(rest) // SLOT)
    first = HEADER.pack(t_ns, _BIRTH, slots, flags, ref, number, creator)
    recorder.ring().put(first, rest)
    if nested or muted:
        return 0
    by_callback = bool(flags & _CALLBACK)
    return root_of_new(recorder, number, creator, maker, opened, by_callback=by_callback)


def _open_span(recorder: Recorder, context: Any) -> tuple[int, int, int, bool]:
    """Describe the innermost span that is open where a task is made."""
    if recorder.span_var is None:
        return 0, 0, 0, False
    value = recorder.span_var.get(None) if context is None else context.get(recorder.span_var)
    return (0, 0, 0, False) if value is None else recorder.cold.open_span(value)


def finish_birth(
    recorder: Recorder,
    ring: Ring,
    task: Any,
    coroutine: Any,
    made: Pending,
    eager: bool,
    context: Any,
) -> None:
    """Record what is known of a new task once `create_task` has returned it.

    Args:
        recorder: where to record.
        ring: of this thread.
        task: what the loop made.
        coroutine: what it runs.
        made: what was noted before.
        eager: whether its birth was recorded already, because it may have run a step by now.
        context: the context that it was explicitly given, or None.
    """
    name, number, t_ns = name_of(task), made.id, made.t_ns
    entry = recorder.entries.get(id(task))
    if entry is not None and entry.id > number:
        # The factory made more than one task, and this one had to be adopted meanwhile.
        if eager:
            recorder.abandon(number)
        return
    if eager:
        recorder.name(number, name)
    else:
        made.root = record_birth(recorder, number, t_ns, coroutine, ring.current, name, context)
    if entry is not None and entry.id == number:
        entry.root = made.root  # bound at a wake-up within create_task
    else:
        entry = Entry(number, t_ns, made.root)
        if not task.done():
            recorder.bind(task, entry)
        elif not eager:
            recorder.outers.pop(number, None)
    entry.name = name
    if eager and (task.done() or begun(task)):
        recorder.leave(ring, entry, task, t_ns, 0, 0, _EAGER)


def entry_at_wake(recorder: Recorder, ring: Ring, task: Any) -> Entry:
    """Return the entry of a task being scheduled: known, being born, or to be adopted."""
    pending = ring.pending
    if pending is not None and pending.coroutine is not None:
        coroutine = task.get_coro()
        # Factories may put a coroutine of their own around the one that they were given.
        if coroutine is pending.coroutine or not (started(coroutine) or started(pending.coroutine)):
            pending.coroutine = None
            return recorder.entry(task, pending.id, pending.t_ns, pending.root)
    return recorder.entries.get(id(task)) or adopt(recorder, task)


def adopt(recorder: Recorder, task: Any) -> Entry:
    """Make a task known that lives already, and record where it is suspended."""
    entry = recorder.entries.get(id(task))
    if entry is None:
        now = recorder.now_ns()
        entry = Entry(recorder.next_id(), now)
        coroutine = task.get_coro()
        entry.name = name_of(task)
        get_context = getattr(task, "get_context", None)  # 3.12+
        if recorder.context_var is not None and get_context is not None:
            look(recorder, entry.id, get_context())
        entry.root = record_birth(recorder, entry.id, now, coroutine, 0, entry.name, None, _ADOPTED)
        # One that runs right now has no wait that could end: its next step counts as its first.
        entry.running = bool(getattr(coroutine, "cr_running", False))
        entry.first = entry.running or not started(coroutine)
        if not entry.first:
            place(recorder.sites, entry, coroutine, getattr(task, "_fut_waiter", None))
        recorder.entries[id(task)] = entry
    return entry
