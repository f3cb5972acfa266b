"""The export of log records as OTLP: one for each receiver, whoever asks for it.

A program may have `aperf.logging.install` and a session, and each record is still sent once.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from ._log_queue import LogQueue
from ._log_record import encoded
from ._log_sender import LogSender

if TYPE_CHECKING:
    import logging

    from aperf._config import LogsSettings
    from aperf.model import Attributes

    from ._log_queue import LogCounters

__all__ = ("ExportHandler", "LogExport", "acquire")

#: Time kept back from a deadline to cancel what is under way and to see the thread end.
_RESERVE_NS: Final = 200_000_000


class ExportHandler:
    """Hands log records to a queue. What happens in it, or for it, is not logged to it again.

    Args:
        queue: where to.
        settings: what is kept of a record.
    """

    def __init__(self, queue: LogQueue, settings: LogsSettings) -> None:
        self._queue: LogQueue | None = queue
        self._settings = settings

    @property
    def target(self) -> object:
        """Where records go: two handlers of the same target are not to have the same record."""
        return self

    @property
    def key(self) -> tuple[object, ...]:
        """What makes it the same as another."""
        return (id(self),)

    def handle(self, record: logging.LogRecord) -> None:
        """Take a record, unless the program exports its log itself. This never raises."""
        queue = self._queue
        if queue is None or getattr(_busy, "now", False) or application_exports():
            return
        _busy.now = True
        try:
            queue.put(encoded(record, self._settings))
        except Exception:
            queue.refuse()
        finally:
            _busy.now = False

    def forget_after_fork(self) -> None:
        """Take nothing any more: the queue's lock may be held by a thread of the parent's."""
        self._queue = None


#: Says `now` on threads that make or send records: what they log would never end.
_busy: Final = threading.local()


def application_exports() -> bool:
    """Say whether the program has a LoggerProvider of its own, which may send the same records."""
    # Where the program has not imported the API, it has none: that is not done for it.
    api: Any = sys.modules.get("opentelemetry._logs")
    get = getattr(api, "get_logger_provider", None)  # another thread may be importing it right now
    if get is None:
        return False
    try:
        # The API's own ones are a placeholder, and one that does nothing.
        return not type(get()).__module__.startswith("opentelemetry._logs")
    except Exception:
        return False  # it cannot be loaded, so it exports nothing


class LogExport:
    """Sends log records from a thread of its own, for as long as anybody asks for it.

    Args:
        settings: where they go, and how.
        resource: attributes of the process.

    Attributes:
        handler: takes the records.

    Raises:
        ConfigurationError: the endpoint is no URL, or a certificate or key cannot be used.
    """

    def __init__(self, settings: LogsSettings, resource: Attributes) -> None:
        self._settings = settings
        self._queue = LogQueue(settings)
        self._sender = LogSender(self._queue, settings.otlp, resource)
        self.handler = ExportHandler(self._queue, settings)
        self._holders = self._sessions = 0
        self._until_ns = 0  # when it has to be over, if it ends by itself
        self._thread = threading.Thread(target=self._run, name="aperf-logs", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        _busy.now = True
        self._sender.run()

    @property
    def accepted(self) -> int:
        """How many records it has taken."""
        return self._queue.accepted

    @property
    def counters(self) -> LogCounters:
        """What has become of them."""
        return self._queue.counters

    def hold(self, resource: Attributes | None) -> None:
        """Go on until `release`, and send from now on as another session's, if there is one."""
        self._holders += 1
        if resource is not None:
            self._sessions += 1
            self._sender.resource = resource

    def wait_for(self, number: int, deadline_ns: int) -> bool:
        """Wait until it is known what became of a record and all before it."""
        return self._queue.wait_for(number, deadline_ns)

    def release(self, deadline_ns: int) -> None:
        """Wait for what was taken, for a session; end if nobody else holds it."""
        self._sessions -= 1
        if self._is_last():
            self._stop(deadline_ns)
        else:
            self._queue.wait_for(self._queue.accepted, deadline_ns)

    def release_soon(self, timeout_ns: int) -> None:
        """End by itself, for who has no session; the end of the process waits so long at most."""
        if self._is_last():
            self._until_ns = time.monotonic_ns() + timeout_ns
            _ending.append(self)
            self._queue.end()

    def _is_last(self) -> bool:
        with _lock:
            self._holders -= 1
            if self._holders == 0 and _exports.get(self._settings) is self:
                del _exports[self._settings]
            return self._holders == 0

    def _stop(self, deadline_ns: int) -> None:
        left_ns, dropped = max(deadline_ns - time.monotonic_ns(), 0), self.counters.dropped
        self._queue.end()
        self._queue.wait_for(self._queue.accepted, deadline_ns - min(_RESERVE_NS, left_ns // 4))
        self._queue.clear()
        self._sender.close()
        self._thread.join(max(deadline_ns - time.monotonic_ns(), 0) / 1e9)
        self._queue.seal()
        if self.counters.dropped > dropped:
            self._sender.give_up()

    def end(self, deadline_ns: int) -> None:
        """Wait for what was taken, and end, unless it will end with a session.

        The process is about to end: sessions do so, too, and wait themselves.
        """
        if not self._sessions:
            self._stop(self._until_ns or deadline_ns)

    def forget_after_fork(self) -> None:
        """Leave everything to the parent: the thread and the connection exist only there."""
        self.handler.forget_after_fork()
        self._sender.forget_after_fork()


_lock = threading.RLock()
_exports: dict[LogsSettings, LogExport] = {}
#: Those that nobody holds any more, and that may have something to send yet.
_ending: list[LogExport] = []
#: What a forked child inherited and must not touch, not even by freeing it.
_inherited: Final[list[LogExport]] = []
_prepared = False
_timeout_ns = 0


def acquire(
    settings: LogsSettings, resource: Attributes, timeout_ns: int, *, is_session: bool = True
) -> LogExport:
    """Return the export with these settings, which runs until each caller has released it.

    Args:
        settings: where records go, and how.
        resource: attributes of the process.
        timeout_ns: how long the end of the process may wait for it.
        is_session: the resource is that of a session, which knows better than who has none.

    Raises:
        ConfigurationError: the endpoint is no URL, or a certificate or key cannot be used.
    """
    global _timeout_ns
    with _lock:
        _prepare()
        _timeout_ns = timeout_ns
        _ending[:] = [each for each in _ending if each._thread.is_alive()]
        export = _exports.get(settings)
        if export is None:
            export = _exports[settings] = LogExport(settings, resource)
        export.hold(resource if is_session else None)
        return export


def _prepare() -> None:
    global _prepared
    if not _prepared:
        _prepared = True
        atexit.register(_end_all)
        os.register_at_fork(after_in_child=_after_fork)


def _end_all() -> None:
    deadline_ns = time.monotonic_ns() + _timeout_ns
    for export in (*_ending, *_exports.values()):
        export.end(deadline_ns)


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()
    for export in (*_ending, *_exports.values()):
        export.forget_after_fork()
        _inherited.append(export)
    _exports.clear()
    _ending.clear()
