"""Log records as one more destination of a session: they begin, are flushed and end with it."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from aperf.model import ExporterStatistics, ExportResult

from ._log_export import acquire
from ._log_listening import Request, add, replace
from ._log_queue import LogCounters

if TYPE_CHECKING:
    from aperf._config import FilterPair, LogsSettings
    from aperf.model import SessionInfo, Summary

    from ._log_export import LogExport

__all__ = ("LogsExporter",)

#: Who waits for a delivery asks every 20 ms; whoever has not for so long has given up.
_PATIENCE_NS: Final = 1_000_000_000


class LogsExporter:
    """Sends the log records that a session's filter keeps.

    Args:
        settings: where to, and how.
        timeout_ns: how long the end of the process may wait for it.
    """

    consumes: Final = "spans"
    needs_rows: Final = False

    def __init__(self, settings: LogsSettings, timeout_ns: int) -> None:
        self._settings = settings
        self._timeout_ns = timeout_ns
        self._export: LogExport | None = None
        self._request: Request | None = None
        self._before = self._after = LogCounters()
        self._waiting: int | None = None  # number of the record that somebody waits for
        self._polled_ns = 0  # when they asked for it last

    def start(self, session: SessionInfo) -> None:
        """Begin to send; records come with `follow_filters`.

        Raises:
            ConfigurationError: the endpoint is no URL, or a certificate or key cannot be used.
        """
        self._export = acquire(self._settings, session.resource, self._timeout_ns)
        self._before = self._after = self._export.counters
        self._waiting = None

    def follow_filters(self, filters: FilterPair) -> None:
        """Send what a session's filter keeps, from now on."""
        if self._export is None:
            return
        request = Request(self._export.handler, logging.getLogger(), filters.logs)
        if self._request is None:
            self._request = add(request)
        else:
            replace(self._request, request)
            self._request = request

    # ----------------------------------------------------------------------------- exporter thread

    def export(self, batch: object, deadline_ns: int) -> ExportResult:
        """Take no spans."""
        return ExportResult()

    def flush(self, deadline_ns: int) -> bool:
        """Wait until all records of before are sent, or lost; say whether that is so."""
        if self._export is None:
            return True
        polled_ns, self._polled_ns = self._polled_ns, time.monotonic_ns()
        if self._waiting is None or self._polled_ns - polled_ns > _PATIENCE_NS:
            self._waiting = self._export.accepted
        if not self._export.wait_for(self._waiting, deadline_ns):
            return False
        self._waiting = None
        return True

    def finish(self, summary: Summary) -> None:
        """Ignore the summary: it is no log record."""

    def shutdown(self, deadline_ns: int) -> bool:
        """Send what is left, and end unless others need it; say whether nothing was lost."""
        if self._request is not None:
            replace(self._request)
            self._request = None
        if self._export is not None:
            self._export.release(deadline_ns)
            self._after, self._export = self._export.counters, None
        return self.statistics().dropped_logs == 0

    def statistics(self) -> ExporterStatistics:
        """Return the counters since the begin of the session."""
        now = self._after if self._export is None else self._export.counters
        exported, dropped, failures = map(int.__sub__, now, self._before)
        return ExporterStatistics(
            export_failures=failures, exported_logs=exported, dropped_logs=dropped
        )

    def forget_after_fork(self) -> None:
        """Leave everything to the parent; what is shared has been left to it already."""
        self._export = self._request = None
