"""A log line for each span that has ended, with what it spent its time on.

It comes from the exporter thread, a moment after the span's end, and goes where the other lines go.
No logger of the program's takes part.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from aperf._config import Level
from aperf.model import ExporterStatistics, ExportResult, Flag

from ._log_console import LineHandler
from ._log_context import _KEY, Origin
from ._log_formats import LineFormatter
from ._log_listening import show

if TYPE_CHECKING:
    from aperf._config import FilterPair
    from aperf._pipeline import Closing, Closings
    from aperf.model import SessionInfo, Summary

    from ._log_formats import LogFormat

__all__ = ("ClosedSpanLines", "line_of")

#: What a filter knows the lines by.
NAME: Final = "aperf.spans"
#: How long lines are written at a stretch, with pauses for the program's loop in between.
_TURN_NS: Final = 50_000_000
#: So long after a turn comes the next one, where lines are left.
_NEXT_NS: Final = 10_000_000
_SLICE_NS: Final = 100_000
_PAUSE_S: Final = 100e-6
_UNITS: Final = ((10**9, "s"), (10**6, "ms"), (10**3, "µs"), (1, "ns"))


class ClosedSpanLines:
    """Writes a line for each span of a task or of the program that has ended.

    Args:
        form: of the lines, where nobody else has lines shown; None: "compact".
    """

    consumes: Final = "spans"
    needs_rows: Final = False

    def __init__(self, form: LogFormat | None = None) -> None:
        self._handler = LineHandler()
        self._handler.setFormatter(LineFormatter(form or "compact"))
        self._filters: FilterPair | None = None
        self._closings: Closings | None = None
        self._dropped = 0
        self._is_behind = False

    @property
    def interval_ns(self) -> int:
        """How soon it wants to go on."""
        return _NEXT_NS if self._is_behind else sys.maxsize

    def start(self, session: SessionInfo) -> None:
        """Do nothing: spans come with `follow_closings`."""

    def follow_closings(self, closings: Closings) -> None:
        """Write of the spans that are noted there."""
        self._closings, self._dropped = closings, 0

    def follow_filters(self, filters: FilterPair) -> None:
        """Let the session's filter decide, where nobody else has lines shown."""
        self._filters = filters

    # ----------------------------------------------------------------------------- exporter thread

    def look(self) -> None:
        """Write for a while; the rest can wait."""
        self._is_behind = not self._write(time.monotonic_ns() + _TURN_NS, hurry=False)

    def export(self, batch: object, deadline_ns: int) -> ExportResult:
        """Take no rows of spans: they do not tell of all time."""
        return ExportResult()

    def flush(self, deadline_ns: int) -> bool:
        """Write all lines; say whether that was done by the deadline."""
        return self._write(deadline_ns, hurry=True)

    def finish(self, summary: Summary) -> None:
        """Ignore the summary."""

    def shutdown(self, deadline_ns: int) -> bool:
        """Write what is left."""
        return self._write(deadline_ns, hurry=True)

    def statistics(self) -> ExporterStatistics:
        """Return the counters: lines are neither spans nor exported."""
        return ExporterStatistics()

    def _write(self, deadline_ns: int, *, hurry: bool) -> bool:
        closings, now_ns = self._closings, time.monotonic_ns()
        slice_ns = now_ns + _SLICE_NS
        while closings is not None and (closing := closings.take()) is not None:
            self._show(line_of(closing))
            now_ns = time.monotonic_ns()
            if now_ns > deadline_ns:
                return False
            if now_ns > slice_ns and not hurry:
                time.sleep(_PAUSE_S)
                slice_ns = time.monotonic_ns() + _SLICE_NS
        if closings is not None and closings.dropped > self._dropped:
            self._dropped = closings.dropped
            self._show(_record({"msg": f"{closings.dropped} closed spans not shown so far"}))
        return True

    def _show(self, record: logging.LogRecord) -> None:
        if show(record) or self._filters is None:
            return
        if Level.INFO <= self._filters.logs.level(NAME):
            self._handler.handle(record)


def line_of(closing: Closing) -> logging.LogRecord:
    """Return the log record of a span that has ended."""
    code = dict(closing.template.attributes)
    path = str(code.get("code.file.path", ""))
    extra: dict[str, Any] = {
        "time.busy": _duration(closing.busy_ns),
        "time.idle": _duration(closing.idle_ns),
    }
    for flag, key in ((Flag.ERROR, "error"), (Flag.CANCELLED, "cancelled")):
        if closing.flags & flag:
            extra[key] = True
    record = _record(
        {
            "msg": "close",
            "created": closing.end_ns / 1e9,
            "pathname": path,
            "filename": os.path.basename(path),
            "lineno": code.get("code.line.number", 0),
            "funcName": code.get("code.function.name", ""),
            "thread": closing.thread.ident,
            "threadName": closing.thread.name,
        }
    )
    for key, value in {**closing.attributes, **extra}.items():
        record.__dict__.setdefault(key, value)
    origin = Origin(f"{closing.trace_id:032x}", closing.template.name, closing.task)
    record.__dict__[_KEY] = origin  # it is formatted far from where the span was
    return record


def _record(values: dict[str, Any]) -> logging.LogRecord:
    usual = {"name": NAME, "levelno": logging.INFO, "levelname": "INFO"}
    return logging.makeLogRecord({**usual, **values})


def _duration(ns: int) -> str:
    """Return a time as people read it: three digits and a unit."""
    size, unit = next(each for each in _UNITS if ns >= each[0] or each[0] == 1)
    return f"{ns / size:.3g}{unit}" if ns < 1000 * size else f"{ns / size:.0f}{unit}"
