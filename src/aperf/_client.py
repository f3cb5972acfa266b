"""One line in somebody's async client: watch the loop that runs, if the user wants that.

The session behind it is the program's own where that delivers to the same destinations. Else it
belongs to the process: it begins with the first loop and ends at exit.
"""

from __future__ import annotations

import sys

from ._errors import InstrumentationError
from ._session import Session, load_runtime, running_loop
from ._stderr import tell

TYPE_CHECKING = False  # typing itself takes milliseconds to import
if TYPE_CHECKING:
    from typing import Any
    from weakref import WeakSet, ref

__all__ = ("instrument_loop", "is_active", "uninstrument_loop")

_OFF = Session(enabled=False)
#: Whether the environment has been seen to leave telemetry off; one look is enough.
_is_off = False
_process: Session | None = None
#: Loops that are watched because somebody asked here.
_watched: WeakSet[Any] | None = None
#: The last one of them, and the session that watches it: clients ask again for each request.
_recent: tuple[ref[Any], Session] | None = None


def instrument_loop(loop: Any = None, **options: Any) -> Session:
    """Watch a loop from now on, starting the process-wide session at the first call.

    Without ``TELEMETRY_ENABLED`` it returns at once, and nothing is imported or touched. It may be
    called as often as one likes, also on the path of every request, and on any thread. Where a
    session is open already that delivers to where the environment says, that one watches the loop.
    A loop that cannot be watched is told on stderr, once.

    Args:
        loop: the loop; by default the one that runs. Without one, nothing happens.
        **options: as for `session`; they count at the first call, which starts the session.

    Raises:
        ConfigurationError: an option is not accepted.
    """
    if _is_off and not (options and options.get("enabled")):
        return _OFF
    target = running_loop() if loop is None else loop
    if target is None:
        return _OFF
    recent = _recent
    if recent is not None and recent[0]() is target and not recent[1].is_closed:
        return recent[1]
    session = _process
    if session is None or session.is_closed:
        session = begin(options)
    if session.is_enabled:
        _watch(session, target)
    return session


def _watch(session: Session, loop: Any) -> None:
    """Watch a loop that is not watched yet, and remember that it is."""
    global _watched, _recent
    from weakref import WeakSet, ref

    if session.watches(loop):
        _recent = ref(loop), session
        return
    try:
        session.watch(loop)
    except InstrumentationError as error:  # a library must not fail its user's request
        tell(str(error), "that loop is not watched")
        return
    if _watched is None:
        _watched = WeakSet()
    _watched.add(loop)
    _recent = ref(loop), session


def begin(options: dict[str, Any]) -> Session:
    """Return the session that clients share, if anybody wants it."""
    global _is_off, _process
    is_lasting = options.get("exporters") is None
    session = Session(on_request=True, is_lasting=is_lasting, **{"loops": "current", **options})
    if not session.is_wanted():
        _is_off = options.get("enabled") is None
        return _OFF
    runtime = load_runtime()
    if runtime is None:
        return _OFF
    with runtime.lock():
        if _process is None or _process.is_closed:
            shared = runtime.shared_session() if is_lasting else None
            if shared is None:
                try:
                    session.__enter__()
                except InstrumentationError as error:
                    tell(str(error), "telemetry stays off")
                    _is_off = True
                    return _OFF
            _process = shared or session
        return _process


def uninstrument_loop(loop: Any = None) -> None:
    """Stop watching a loop that `instrument_loop` began to watch (by default the one that runs)."""
    global _recent
    target = running_loop() if loop is None else loop
    if _process is not None and _watched is not None and target in _watched:
        _recent = None
        _watched.discard(target)
        _process.unwatch(target)


def is_active() -> bool:
    """Say whether a session is open in this process."""
    # Another thread may be importing it right now.
    current = getattr(sys.modules.get("aperf._runtime"), "current", None)
    return current is not None and current() is not None
