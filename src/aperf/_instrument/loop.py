"""Putting the recorder's hook on event loops, and taking it off again.

The hook shadows two public methods on the loop *instance*; the loop's class, its task factory and
its tasks stay what they are. Taking off works in any order: whoever put something over ours keeps
it, and ours becomes a pass-through below it.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, Any, Final

from aperf._errors import InstrumentationError

from ._own import has_room, own_attribute
from .executor import watch_executor

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import ContextVar

__all__ = ("Loops", "check_room", "on_loop_thread")


_WAY_OUT: Final = (
    ", so it cannot be watched from outside; use loop.set_task_factory(aperf.task_factory())"
)


class _Instrument:
    """What is on one loop. Counts the sessions that want it."""

    __slots__ = ("hook", "installed", "wanted_by")

    def __init__(self, hook: Any) -> None:
        self.hook = hook
        self.installed: dict[str, tuple[Any, Any]] = {}  # name: (ours, what stood there before)
        self.wanted_by: set[int] = set()

    def put(self, loop: Any, name: str, ours: Any) -> None:
        self.installed[name] = (ours, own_attribute(loop, name))
        setattr(loop, name, ours)

    def remove(self, loop: Any) -> None:
        self.hook.armed = False
        for name, (ours, before) in self.installed.items():
            if getattr(loop, name) is not ours:
                continue  # somebody has put something over it, which calls ours
            if before is None:
                delattr(loop, name)
            else:
                setattr(loop, name, before)


class Loops:
    """The instrumented loops of one recorder.

    Args:
        recorder: where to record.
        span_var: the variable that holds the open user span; carried into executors.
    """

    def __init__(self, recorder: Any, span_var: ContextVar[Any]) -> None:
        self._recorder = recorder
        self._span_var = span_var
        self._instruments: weakref.WeakKeyDictionary[Any, _Instrument] = weakref.WeakKeyDictionary()

    def install(self, loop: Any, session: int) -> None:
        """Watch a loop on behalf of a session; its tasks that live already are adopted.

        Must be called on the loop's thread, or before the loop runs.

        Raises:
            InstrumentationError: the loop's methods cannot be shadowed.
        """
        check_room(loop)
        instrument = self._instruments.get(loop)
        if instrument is None:
            instrument = self._instruments[loop] = self._instrument(loop)
        instrument.wanted_by.add(session)
        for task in asyncio.all_tasks(loop):
            instrument.hook.adopt(task)

    def _instrument(self, loop: Any) -> _Instrument:
        hook = self._recorder.hook(loop)
        instrument = _Instrument(hook)
        try:
            instrument.put(loop, "create_task", hook.create_task)
            instrument.put(loop, "call_soon", hook.call_soon)
            watched = watch_executor(loop, self._recorder, hook, self._span_var)
            instrument.put(loop, "run_in_executor", watched)
        except Exception as error:
            instrument.remove(loop)
            raise InstrumentationError(
                f"{type(loop).__qualname__} takes no attributes ({error!r}){_WAY_OUT}"
            ) from error
        hook.armed = True
        return instrument

    def uninstall(self, loop: Any, session: int) -> None:
        """Stop watching a loop on behalf of a session."""
        instrument = self._instruments.get(loop)
        if instrument is None or session not in instrument.wanted_by:
            return
        instrument.wanted_by.discard(session)
        if not instrument.wanted_by:
            del self._instruments[loop]
            instrument.remove(loop)

    def uninstall_all(self, session: int) -> None:
        """Stop watching on behalf of a session."""
        for loop in list(self._instruments):
            self.uninstall(loop, session)

    def forget(self) -> None:
        """Stop watching at once and everywhere, as a forked child does."""
        for loop, instrument in list(self._instruments.items()):
            instrument.remove(loop)
        self._instruments.clear()

    def is_watched(self, loop: Any) -> bool:
        """Say whether a loop is watched."""
        return loop in self._instruments


def check_room(loop: Any) -> None:
    """Refuse a loop that cannot be watched.

    Raises:
        InstrumentationError: its methods cannot be shadowed.
    """
    if not has_room(loop):
        raise InstrumentationError(
            f"{type(loop).__qualname__} allows no attributes on its instances{_WAY_OUT}"
        )


def on_loop_thread(loop: Any, function: Callable[[], None]) -> None:
    """Call a function where a loop may be changed: here, or on the thread where it runs."""
    running = asyncio._get_running_loop()
    if loop is running or not loop.is_running():
        function()
    else:
        loop.call_soon_threadsafe(function)
