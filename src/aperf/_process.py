"""What there is once in a process: the runtime, the lock around it, and how the process ends.

Sessions that are open when it ends are delivered; a forked child begins with nothing.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from concurrent.futures import Future, TimeoutError
from typing import TYPE_CHECKING

from ._spans import deactivate

if TYPE_CHECKING:
    from ._runtime import Runtime
    from ._session import Session

__all__ = (
    "GRACE_S",
    "current",
    "end_all",
    "lock",
    "make_current",
    "note_closing",
    "prepare",
    "shared_session",
    "wait",
)

#: Beyond a deadline of ours, for a thread that is slow to be scheduled.
GRACE_S = 0.5

_lock = threading.RLock()
_current: Runtime | None = None
#: Sessions that have ended, but are not delivered yet, and until when they may take.
_closing: dict[Future[bool], float] = {}
_prepared = False
_worker = 0


def lock() -> threading.RLock:
    """Return what is held while sessions begin, end and change what is watched."""
    return _lock


def current() -> Runtime | None:
    """Return the runtime of this process, None while no session is open."""
    return _current


def shared_session() -> Session | None:
    """Return the open session that clients share, None if there is none."""
    session = None if _current is None else _current.shared
    return None if session is None or session.is_closed else session


def make_current(runtime: Runtime | None) -> None:
    """Let this be the runtime of the process, or none any more."""
    global _current
    _current = runtime


def note_closing(closed: Future[bool], timeout_s: float) -> None:
    """Have the end of the process wait for a session that has ended, for so long at most."""
    _closing[closed] = time.monotonic() + timeout_s
    closed.add_done_callback(lambda future: _closing.pop(future, None))


def prepare() -> None:
    """Be told of the end of the process, and of forks; once is enough."""
    global _prepared, _worker
    if not _prepared:
        _prepared = True
        atexit.register(end_all)
        # Threads have ended then, and exit handlers, whenever registered, are still to come.
        register = getattr(threading, "_register_atexit", None)
        if register is not None:
            register(lambda: atexit.register(_deliver_first))
        os.register_at_fork(after_in_child=_after_fork)
    # A forked worker of multiprocessing ends without atexit, but has an exit function of its own.
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None and _worker != os.getpid():
        from multiprocessing.util import Finalize

        _worker = os.getpid()
        Finalize(None, end_all, exitpriority=0)


def _deliver_first() -> None:
    """Deliver to the application's own OpenTelemetry before its exit handler shuts that down.

    What exit handlers of the program do is still recorded, up to `end_all`.
    """
    runtime = _current
    for attachment in [] if runtime is None else list(runtime.attachments):
        exporters = attachment.sink.exporters
        if any(getattr(exporter, "ends_with_application", False) for exporter in exporters):
            wait(attachment.flush(attachment.timeout_s), attachment.timeout_s + GRACE_S)


def end_all() -> None:
    """End all sessions and wait for their delivery: the process is about to end.

    At that point threads that run go on, but new ones cannot be started.
    """
    runtime = _current
    for attachment in [] if runtime is None else list(runtime.attachments):
        attachment.close()
    for future, deadline_s in list(_closing.items()):
        wait(future, max(0.0, deadline_s - time.monotonic()) + GRACE_S)


def wait(future: Future[bool], timeout_s: float) -> bool:
    """Wait for the answer of the exporter thread; no answer in time is a no."""
    try:
        return future.result(timeout_s)
    except TimeoutError:
        return False


def _after_fork() -> None:
    """The child starts off: no thread of ours lives here, and the rings are the parent's."""
    global _current, _lock
    _lock = threading.RLock()
    runtime, _current = _current, None
    _closing.clear()
    deactivate()
    if runtime is not None:
        runtime.forget()
