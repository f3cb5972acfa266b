"""The program's own OpenTelemetry spans, where it has set up nothing that would take them.

While a destination wants them, a placeholder stands where the program's `TracerProvider` would be:
spans that the program and its libraries make with OpenTelemetry's API leave beside aperf's. The
placeholder is no obstacle: who sets a provider does so as if there were none.

OpenTelemetry is not imported here. Until the program has done that, nothing but a watch over its
imports is installed.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, Final

from aperf._config import names_tracer_provider
from aperf._instrument.imports import ImportWatch

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from aperf.model import SessionInfo

    from ._placeholder import Placeholder

__all__ = ("Outlet", "join", "leave", "open_outlets")

_LOG: Final = logging.getLogger("aperf")

_API: Final = "opentelemetry.trace"

#: What `opentelemetry-instrument` loads; it sets a provider, or leaves that alone on purpose.
_AUTOMATIC: Final = "opentelemetry.instrumentation.auto_instrumentation"

#: How many spans may wait for the exporter thread, which comes every half second.
_MOST_SPANS: Final = 1 << 15


class Outlet:
    """What one destination gets. Nobody who ends a span ever waits for it.

    Args:
        most: how many spans may wait; more are dropped and counted.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        # Reentrant: a span may be ended by a finalizer, wherever that interrupts its thread.
        self._lock = threading.RLock()
        self._spans: list[ReadableSpan] = []
        #: How many there was no room for.
        self.dropped = 0

    def put(self, span: ReadableSpan) -> None:
        """Take a span that has ended (any thread)."""
        with self._lock:
            if len(self._spans) < self._most:
                self._spans.append(span)
            else:
                self.dropped += 1

    def take(self) -> list[ReadableSpan]:
        """Return the spans that came since the last time."""
        with self._lock:
            spans, self._spans = self._spans, []
        return spans


_lock = threading.RLock()
_open: tuple[Outlet, ...] = ()
_watch: ImportWatch | None = None
_is_prepared = False


def open_outlets() -> tuple[Outlet, ...]:
    """Return the destinations that want spans."""
    return _open


def join(session: SessionInfo) -> Outlet:
    """Return an outlet that gets the program's spans from now on.

    Args:
        session: whose it is; the first one says who samples.
    """
    global _open
    is_free = not names_tracer_provider()
    placeholder = _load() if is_free and _API in sys.modules else None
    outlet = Outlet(_MOST_SPANS)
    with _lock:
        _prepare()
        _open = (*_open, outlet)
        if placeholder is not None:
            placeholder.install(session, warm_up=True)
        elif is_free and _API not in sys.modules:
            _await_import(session)
    return outlet


def leave(outlet: Outlet) -> None:
    """Let an outlet get nothing any more."""
    global _open
    with _lock:
        _open = tuple(each for each in _open if each is not outlet)
        if not _open:
            _unwatch()
            if (placeholder := _placeholder()) is not None:
                placeholder.remove()


def _await_import(session: SessionInfo) -> None:
    global _watch
    if _watch is None:
        _watch = ImportWatch(_API, lambda module: _imported(session))
        _watch.install()


def _imported(session: SessionInfo) -> None:
    placeholder = _load()
    with _lock:
        if placeholder is not None and _open:
            placeholder.install(session, warm_up=False)


def _load() -> Placeholder | None:
    """Return the placeholder, unless OpenTelemetry is in other hands.

    Not to be called with the lock held: it waits for whoever is importing the API right now.
    """
    if _AUTOMATIC in sys.modules:
        return None
    try:
        from ._placeholder import PLACEHOLDER
    except (AttributeError, ImportError):
        _LOG.debug("aperf: OpenTelemetry's API is an unknown one: it is left alone", exc_info=True)
        return None
    return PLACEHOLDER


def _unwatch() -> None:
    global _watch
    if _watch is not None:
        _watch.uninstall()
        _watch = None


def _placeholder() -> Placeholder | None:
    """Return it if it has ever been needed; another thread may be importing it right now."""
    module = sys.modules.get(f"{__package__}._placeholder")
    return getattr(module, "PLACEHOLDER", None)


# ------------------------------------------------------------------------------------------- forks


def _prepare() -> None:
    global _is_prepared
    if not _is_prepared:
        _is_prepared = True
        os.register_at_fork(before=_before_fork, after_in_child=_after_fork)


def _before_fork() -> None:
    """Let the import come to its end: in the child nobody would finish it."""
    placeholder = _placeholder()
    if placeholder is not None:
        placeholder.wait_until_warm()


def _after_fork() -> None:
    """Leave everything to the parent. No lock is taken: its owner may be gone."""
    global _lock, _open
    _lock, _open = threading.RLock(), ()
    _unwatch()
    placeholder = _placeholder()
    if placeholder is not None:
        placeholder.forget_after_fork()
