"""Log records on their way to the sender thread: bounded, and known to be delivered or not."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from aperf._config import LogsSettings
    from aperf.protocol.otlp import EncodedLog

__all__ = ("LogCounters", "LogQueue")

#: Memory for records that wait, whatever their number may be.
MAX_BYTES: Final = 32 << 20
#: In one request: receivers refuse messages of more than 4 MiB by default.
REQUEST_BYTES: Final = 3 << 20


class LogCounters(NamedTuple):
    """What has become of log records so far."""

    exported: int = 0  #: the receiver confirmed them
    dropped: int = 0  #: given up: queue full, refused, deadline passed
    failures: int = 0  #: requests that failed for good


class LogQueue:
    """Takes records from any thread, hands batches to one, and keeps the counters.

    Its lock is held for moments only, and is reentrant: a signal's handler or a finalizer that logs
    may interrupt the thread that holds it.
    """

    def __init__(self, settings: LogsSettings) -> None:
        self._settings = settings
        self._changed = threading.Condition(threading.RLock())
        self._waiting: deque[EncodedLog] = deque()
        self._bytes = 0
        self._accepted = self._settled = 0  # records, since the begin
        self._counters = LogCounters()
        self._is_urgent = self._is_ending = self._is_sealed = False

    @property
    def accepted(self) -> int:
        """How many records it has taken; the number of the last one."""
        return self._accepted

    @property
    def counters(self) -> LogCounters:
        """The counters."""
        return self._counters

    def put(self, record: EncodedLog) -> None:
        """Take a record, unless there is no room for it."""
        size = len(record.data)
        with self._changed:
            waiting = len(self._waiting)
            is_full = waiting >= self._settings.queue_records or self._bytes + size > MAX_BYTES
            if is_full or self._is_ending:
                self._add(0, 1, 0)
                return
            self._waiting.append(record)
            self._bytes += size
            self._accepted += 1
            if waiting + 1 in (1, self._settings.batch_records):  # who waits goes on waiting else
                self._changed.notify_all()

    def refuse(self) -> None:
        """Take note of a record that cannot be sent."""
        with self._changed:
            self._add(0, 1, 0)

    def take(self) -> list[EncodedLog]:
        """Wait for records, and a while for others to go with them; [] when no more will come."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_ending)
            self._changed.wait_for(self._is_due, self._settings.delay_ns / 1e9)
            taken: list[EncodedLog] = []
            room = REQUEST_BYTES
            while self._waiting and len(taken) < self._settings.batch_records:
                room -= len(self._waiting[0].data)
                if taken and room < 0:
                    break
                taken.append(self._waiting.popleft())
            self._bytes = sum(len(record.data) for record in self._waiting)
            return taken

    def _is_due(self) -> bool:
        is_full = len(self._waiting) >= self._settings.batch_records
        return is_full or self._is_urgent or self._is_ending

    def count(self, *, exported: int = 0, dropped: int = 0, failures: int = 0) -> None:
        """Take note of what became of records that were taken."""
        with self._changed:
            if not self._is_sealed:
                self._settled += exported + dropped
                self._add(exported, dropped, failures)
                self._changed.notify_all()

    def wait_for(self, number: int, deadline_ns: int) -> bool:
        """Wait until it is known what became of a record and all before it."""
        with self._changed:
            self._is_urgent = True
            self._changed.notify_all()
            try:
                timeout_s = max(deadline_ns - time.monotonic_ns(), 0) / 1e9
                return self._changed.wait_for(lambda: self._settled >= number, timeout_s)
            finally:
                self._is_urgent = False

    def end(self) -> None:
        """Take no more; what waits is still handed out."""
        with self._changed:
            self._is_ending = True
            self._changed.notify_all()

    def clear(self) -> None:
        """Take no more, and drop what waits."""
        with self._changed:
            self._is_ending = True
            dropped = len(self._waiting)
            self._waiting.clear()
            self.count(dropped=dropped)

    def seal(self) -> None:
        """Drop what nobody has told the fate of; the counters stay as they are from now on."""
        with self._changed:
            under_way = self._accepted - self._settled
            self.count(dropped=under_way, failures=1 if under_way else 0)  # a request given up
            self._is_sealed = True

    def _add(self, exported: int, dropped: int, failures: int) -> None:
        old = self._counters
        self._counters = LogCounters(
            old.exported + exported, old.dropped + dropped, old.failures + failures
        )
