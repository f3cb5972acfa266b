"""Watching awaits that never suspend, through `sys.monitoring` (Python 3.12 and later).

Nothing of it is touched unless a session asks for `awaits="all"`. The interpreter then tells the
recorder's callbacks of every function once, and goes on telling of coroutines only: a place in
other code is switched off by the first event there. Those of exceptions that pass through a
function are the exception, they cannot be switched off before Python 3.14.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from aperf._errors import InstrumentationError

__all__ = ("EveryAwait",)

#: Identifiers of tools, the first free one is taken: first those that the documentation gives to
#: nobody, last those of coverage and of debuggers, which would find them taken.
TOOL_IDS: Final = (3, 4, 2, 5, 1, 0)
NAME: Final = "aperf"


class EveryAwait:
    """The monitoring for one recorder. Counts the sessions that want it.

    Args:
        recorder: where to record.
    """

    def __init__(self, recorder: Any) -> None:
        self._recorder = recorder
        self._monitor: Any = None
        self._tool_id = -1
        self._wanted_by: set[int] = set()

    def install(self, session: int) -> None:
        """Watch on behalf of a session.

        Raises:
            InstrumentationError: other tools have taken all identifiers that Python has for them.
        """
        if not self._wanted_by:
            self._monitor = self._recorder.monitor()
            self._tool_id = _take_tool_id()
            self._set(self._monitor.callbacks)
        self._wanted_by.add(session)

    def uninstall(self, session: int) -> None:
        """Stop watching on behalf of a session, after telling what is still open."""
        if session not in self._wanted_by:
            return
        self._monitor.announce()
        self._wanted_by.discard(session)
        if not self._wanted_by:
            self._remove()

    def forget(self) -> None:
        """Stop watching at once, as a forked child does."""
        if self._wanted_by:
            self._wanted_by.clear()
            self._remove()

    def _set(self, callbacks: dict[str, Any]) -> None:
        events = sys.monitoring.events
        numbers = {getattr(events, name): callback for name, callback in callbacks.items()}
        for number, callback in numbers.items():
            sys.monitoring.register_callback(self._tool_id, number, callback)
        sys.monitoring.set_events(self._tool_id, sum(numbers))

    def _remove(self) -> None:
        tool_id, self._tool_id = self._tool_id, -1
        sys.monitoring.set_events(tool_id, sys.monitoring.events.NO_EVENTS)
        for name in self._monitor.callbacks:
            number = getattr(sys.monitoring.events, name)
            sys.monitoring.register_callback(tool_id, number, None)
        sys.monitoring.free_tool_id(tool_id)
        # Places that our callbacks switched off would stay so for the next owner of the identifier.
        sys.monitoring.restart_events()
        self._monitor = None


def _take_tool_id() -> int:
    for tool_id in TOOL_IDS:
        if sys.monitoring.get_tool(tool_id) is None:
            sys.monitoring.use_tool_id(tool_id, NAME)
            return tool_id
    holders = ", ".join(f"{tool_id}: {sys.monitoring.get_tool(tool_id)}" for tool_id in TOOL_IDS)
    raise InstrumentationError(
        f"awaits='all' needs one of the tool identifiers of sys.monitoring, but all are in use by"
        f" other tools ({holders}); end one of them, or use awaits='suspended'"
    )
