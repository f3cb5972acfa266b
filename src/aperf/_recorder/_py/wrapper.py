"""A coroutine that runs another one and records its steps: for loops that cannot be shadowed.

It sees births, steps and what is waited for, but no wake-ups, so time between wake-up and resume
counts as waiting. Whoever asks for `cr_*` attributes is answered by the coroutine inside (anyio
does ask).
"""

from __future__ import annotations

from asyncio import CancelledError, current_task, events
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from aperf._recorder._layout import StepFlag

from .birth import record_birth

if TYPE_CHECKING:
    from .entry import Entry
    from .recorder import Recorder

__all__ = ("Wrapper",)

# Plain integers: see recorder.py.
_DONE = int(StepFlag.DONE)
_CANCELLED = _DONE | int(StepFlag.CANCELLED)
_FAILED = _DONE | int(StepFlag.FAILED)


class Wrapper(Coroutine[Any, Any, Any]):
    """Stands in for a coroutine.

    Args:
        recorder: where to record.
        coroutine: what to run.
        name: the task's name, if given.
        context: the context that the task was explicitly given, or None.
    """

    __slots__ = ("__name__", "__qualname__", "__weakref__", "_coroutine", "_entry", "_recorder")

    def __init__(self, recorder: Recorder, coroutine: Any, name: str | None, context: Any) -> None:
        self.__name__ = getattr(coroutine, "__name__", type(coroutine).__name__)
        self.__qualname__ = getattr(coroutine, "__qualname__", self.__name__)
        self._coroutine = coroutine
        self._recorder = recorder
        number, now = recorder.next_id(), recorder.now_ns()
        root = record_birth(
            recorder, number, now, coroutine, recorder.current(), name or "", context
        )
        self._entry: Entry = recorder.entry(self, number, now, root)
        self._entry.name = name or ""

    def named(self, name: str) -> None:
        """Record the name that the task got."""
        self._entry.name = name
        self._recorder.name(self._entry.id, name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("cr_"):
            return getattr(self._coroutine, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __await__(self) -> Wrapper:
        return self

    def __iter__(self) -> Wrapper:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        """Run to the next suspension."""
        return self._run(self._coroutine.send, value)

    def throw(self, *error: Any) -> Any:
        """Raise an exception where the coroutine is suspended."""
        return self._run(self._coroutine.throw, *error)

    def close(self) -> None:
        """Close the coroutine inside."""
        self._coroutine.close()

    def _run(self, method: Callable[..., Any], *args: Any) -> Any:
        recorder, entry = self._recorder, self._entry
        if not recorder.armed or recorder.entries.get(id(self)) is not entry:
            return method(*args)
        ring = recorder.ring()
        before = ring.current, ring.entry
        t_ns = recorder.enter(ring, entry)
        held = recorder.hold(entry, self._coroutine) if recorder.nesting else ()
        ready_ns = t_ns - entry.since_ns if entry.first else 0
        flags, awaited, failure = _DONE, None, None
        try:
            awaited = method(*args)
            flags = 0
            return awaited
        except StopIteration:
            raise
        except CancelledError:
            flags = _CANCELLED
            raise
        except BaseException as error:
            flags, failure = _FAILED, error
            raise
        finally:
            ring.current, ring.entry = before
            try:
                if failure is not None:
                    recorder.cold.failure(recorder, entry.id, failure)
                if entry.first and events._get_running_loop() is not None:
                    task = current_task()
                    if task is not None:
                        recorder.rename(entry, task)
                inside, now = self._coroutine, recorder.now_ns()
                recorder.close_step(
                    ring, entry, self, now, t_ns, ready_ns, 0, flags, inside, awaited, held
                )
            except Exception:
                recorder.fault()
            self = args = awaited = inside = failure = task = held = before = None  # type: ignore[assignment]

    def get_coro(self) -> Any:
        """Return the coroutine inside."""
        return self._coroutine
