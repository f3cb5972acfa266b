"""One line in somebody's async client: watch the loop that runs, if the user wants that.

The session behind it belongs to the process. It begins with the first loop and ends at exit.
"""

from __future__ import annotations

import sys

from ._session import Session, load_runtime, running_loop

TYPE_CHECKING = False  # typing itself takes milliseconds to import
if TYPE_CHECKING:
    from typing import Any

__all__ = ("instrument_loop", "is_active", "uninstrument_loop")

_OFF = Session(enabled=False)
#: Whether the environment has been seen to leave telemetry off; one look is enough.
_is_off = False
_process: Session | None = None


def instrument_loop(loop: Any = None, **options: Any) -> Session:
    """Watch a loop from now on, starting the process-wide session at the first call.

    Without ``TELEMETRY_ENABLED`` it returns at once, and nothing is imported or touched. It may be
    called as often as one likes, also on the path of every request, and on any thread.

    Args:
        loop: the loop; by default the one that runs. Without one, nothing happens.
        **options: as for `session`; they count at the first call, which starts the session.
    """
    if _is_off and not (options and options.get("enabled")):
        return _OFF
    target = running_loop() if loop is None else loop
    if target is None:
        return _OFF
    session = _process
    if session is None or session.is_closed:
        session = begin(options)
    session.watch(target)
    return session


def begin(options: dict[str, Any]) -> Session:
    """Start the process-wide session, if anybody wants it."""
    global _is_off, _process
    session = Session(**{"loops": "current", **options})
    if not session.is_wanted():
        _is_off = options.get("enabled") is None
        return _OFF
    runtime = load_runtime()
    if runtime is None:
        return _OFF
    with runtime.lock():
        if _process is None or _process.is_closed:
            session.__enter__()
            _process = session
        return _process


def uninstrument_loop(loop: Any = None) -> None:
    """Stop watching a loop that `instrument_loop` began to watch (by default the one that runs)."""
    target = running_loop() if loop is None else loop
    if _process is not None and target is not None:
        _process.unwatch(target)


def is_active() -> bool:
    """Say whether a session is open in this process."""
    # Another thread may be importing it right now.
    current = getattr(sys.modules.get("aperf._runtime"), "current", None)
    return current is not None and current() is not None
