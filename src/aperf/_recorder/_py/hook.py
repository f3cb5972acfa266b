"""What stands in for a loop's `create_task` and `call_soon`, and for what runs its tasks.

Theory of operation. Every task is made by `loop.create_task` and run by callbacks that it schedules
with `loop.call_soon`, so two methods of the loop see everything: births, and wake-ups together with
whoever is running at that moment, the waker. A callback that runs a task is replaced by a `Step`,
which takes the time, runs it, takes the time again and writes one record. A callback of a future is
replaced by a `FutureCallback`, which remembers whose end made it run: gather, wait and TaskGroup
wake their waiter from such a callback, and the task that ended last is the one that woke it.

An eager task runs its first step inside `create_task`. Whether it did is known only afterwards, so
where that is possible the birth is written before the call and the step after it.

Nothing here may raise or keep alive what the program dropped: hence the weak reference to the loop,
the unbound methods, and the locals that are cleared before an exception passes.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from aperf._recorder._layout import StepFlag
from aperf._recorder._steps import task_of

from .birth import entry_at_wake, finish_birth, record_birth
from .ring import Pending

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .entry import Entry
    from .recorder import Recorder
    from .ring import Ring

__all__ = ("FutureCallback", "LoopHook", "Step")

_WAIT_CANCELLED = int(StepFlag.WAIT_CANCELLED)


def _original(loop: Any, name: str) -> Callable[..., Any]:
    """Return the method as a function of the loop; one put on the instance before us counts.

    Without a look into `__dict__`: it would be made only then, and all that the loop does be slower
    from there on (3.11 and 3.12: 300 ns for each step of a task).
    """
    function: Callable[..., Any] = getattr(type(loop), name)
    previous = getattr(loop, name)
    if previous == function.__get__(loop):
        return function
    return lambda _loop, *args, **kwargs: previous(*args, **kwargs)


class LoopHook:
    """Watches one loop.

    Attributes:
        armed: whether it watches; if not, calls pass through.
        create_task: to be put on the loop.
        call_soon: likewise.
    """

    __slots__ = ("__weakref__", "_call_soon", "_create_task", "_loop", "_recorder", "armed")

    def __init__(self, recorder: Recorder, loop: Any) -> None:
        self.armed = False
        self._recorder = recorder
        self._loop = weakref.ref(loop)
        self._create_task = _original(loop, "create_task")
        self._call_soon = _original(loop, "call_soon")

    def create_task(self, coro: Any, **kwargs: Any) -> Any:
        """Make a task as the loop does, and record its birth."""
        loop, recorder = self._loop(), self._recorder
        if not (self.armed and recorder.armed):
            return self._create_task(loop, coro, **kwargs)
        ring = recorder.ring()
        before = ring.pending, ring.current
        made, task = Pending(coro, recorder.next_id(), recorder.now_ns()), None
        try:
            eager = self._prepare(ring, loop, made, kwargs)
        except Exception:
            self._fault()
            return self._create_task(loop, coro, **kwargs)  # to be adopted at its first wake-up
        try:
            task = self._create_task(loop, coro, **kwargs)
            return task
        finally:
            ring.pending, ring.current = before
            if task is not None:
                self._born(ring, task, coro, made, eager, kwargs)
            elif eager:
                recorder.abandon(made.id)
            loop = coro = made = task = kwargs = None  # type: ignore[assignment]

    def _prepare(self, ring: Ring, loop: Any, made: Pending, kwargs: Any) -> bool:
        """Record a birth before the call if the task may run a step in it; say whether it may."""
        eager = bool(kwargs.get("eager_start")) or loop.get_task_factory() is not None
        if eager:
            context, coro = kwargs.get("context"), made.coroutine
            # Whose context a foreign factory gives to its tasks is not known.
            made.root = record_birth(
                self._recorder, made.id, made.t_ns, coro, ring.current, "", context, owned=False
            )
            ring.current = made.id
        ring.pending = made
        return eager

    def _born(
        self, ring: Ring, task: Any, coro: Any, made: Pending, eager: bool, kwargs: Any
    ) -> None:
        try:
            finish_birth(self._recorder, ring, task, coro, made, eager, kwargs.get("context"))
        except Exception:
            self._fault()

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:
        """Schedule a callback as the loop does; those that run a task are watched."""
        if self.armed and self._recorder.armed:
            try:
                callback = self._watched(callback, args)
            except Exception:
                self._fault()
        try:
            return self._call_soon(self._loop(), callback, *args, context=context)
        finally:
            callback = args = context = None  # type: ignore[assignment]

    def _watched(self, callback: Any, args: tuple[Any, ...]) -> Any:
        recorder = self._recorder
        ring = recorder.ring()
        waker = ring.current or ring.cause
        task = task_of(callback)
        if task is not None:
            flags = 0
            if not waker and args and _is_cancelled_future(args[0]):
                flags = recorder.cold.canceller()
            entry = recorder.entries.get(id(task))
            if entry is None or (ring.pending is not None and ring.pending.coroutine is not None):
                entry = entry_at_wake(recorder, ring, task)
            return Step(recorder, entry, callback, recorder.now_ns(), waker, flags)
        if waker and len(args) == 1 and _is_done_future(args[0]):
            return FutureCallback(recorder, callback, waker)
        return callback

    def _fault(self) -> None:
        self._recorder.fault()
        if not self._recorder.armed:
            self.armed = False

    def adopt(self, task: Any) -> None:
        """Make a task known that lives already."""
        self._recorder.adopt(task)


def _is_done_future(value: Any) -> bool:
    # As asyncio.isfuture() does, by the type: objects that invent attributes do not count.
    return hasattr(type(value), "_asyncio_future_blocking") and bool(value.done())


def _is_cancelled_future(value: Any) -> bool:
    # A Python task schedules itself with an exception, too.
    return hasattr(type(value), "_asyncio_future_blocking") and bool(value.cancelled())


class Step:
    """Runs one step of a task in place of the original callback, and records it."""

    __slots__ = ("_callback", "_entry", "_flags", "_recorder", "_waker", "_woken_ns")

    def __init__(
        self, recorder: Recorder, entry: Entry, callback: Any, woken_ns: int, waker: int, flags: int
    ) -> None:
        self._recorder = recorder
        self._entry = entry
        self._callback = callback
        self._woken_ns = woken_ns
        self._waker = waker
        self._flags = flags

    @property
    def __self__(self) -> Any:
        """The task: asyncio's debug messages look for it."""
        return self._callback.__self__

    @property
    def __wrapped__(self) -> Any:
        """The original callback."""
        return self._callback

    @property
    def __name__(self) -> str:
        """The original callback's name."""
        return str(getattr(self._callback, "__name__", "step"))

    def __call__(self, *args: Any) -> Any:
        """Run the step."""
        recorder, entry, task = self._recorder, self._entry, self._callback.__self__
        try:
            if not recorder.armed or recorder.entries.get(id(task)) is not entry:
                return self._callback(*args)
            ring, flags = recorder.ring(), self._flags
            before, t_ns, ready_ns = ring.current, 0, 0
            held: Sequence[Any] = ()
            try:
                if args and _is_cancelled_future(args[0]):
                    flags |= _WAIT_CANCELLED
                t_ns = recorder.enter(ring, entry)
                if recorder.nesting:
                    held = recorder.hold(entry, task.get_coro())
                # The first wake-up belongs to the birth: a task is ready from its first moment.
                ready_ns = t_ns - (entry.since_ns if entry.first else self._woken_ns)
            except Exception:
                recorder.fault()
                ring.current = before
                return self._callback(*args)
            try:
                return self._callback(*args)
            finally:
                ring.current = before
                try:
                    recorder.leave(ring, entry, task, t_ns, ready_ns, self._waker, flags, held)
                except Exception:
                    recorder.fault()
        finally:
            self = task = args = held = None  # type: ignore[assignment]


class FutureCallback:
    """Runs a future's callback, remembering the task whose end made it run."""

    __slots__ = ("_callback", "_cause", "_recorder")

    def __init__(self, recorder: Recorder, callback: Any, cause: int) -> None:
        self._recorder = recorder
        self._callback = callback
        self._cause = cause

    @property
    def __wrapped__(self) -> Any:
        """The original callback."""
        return self._callback

    def __repr__(self) -> str:
        return repr(self._callback)  # asyncio's complaints show it, or the name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._callback, name)

    def __call__(self, future: Any) -> Any:
        """Run the callback."""
        ring = self._recorder.ring()
        before, ring.cause = ring.cause, self._cause
        try:
            return self._callback(future)
        finally:
            ring.cause = before
            self = future = None  # type: ignore[assignment]
