"""Keep spans in memory, for tests and for looking at them from within the program."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from aperf._errors import ConfigurationError
from aperf.model import ExporterStatistics, ExportResult, Span

if TYPE_CHECKING:
    from aperf.model import SessionInfo, SpanBatch, Summary

__all__ = ("MemoryExporter",)


class MemoryExporter:
    """Keeps what it is given until `clear`. Every method may be called from any thread.

    Args:
        max_spans: how many spans to keep; those that come later are dropped and counted. A span
            takes about 150 bytes.
    """

    consumes: Final = "spans"

    def __init__(self, max_spans: int = 100_000) -> None:
        if max_spans < 0:
            raise ConfigurationError(f"max_spans is {max_spans}; 0 or more is accepted")
        self._max_spans = max_spans
        self._lock = threading.Lock()
        # Batches and how many of their spans are kept: views are made when somebody looks.
        self._batches: list[tuple[SpanBatch, int]] = []
        self._kept = 0
        self._exported = 0
        self._dropped = 0
        self._session: SessionInfo | None = None
        self._summary: Summary | None = None

    @property
    def spans(self) -> list[Span]:
        """Views of the spans that are kept, in the order in which they ended."""
        with self._lock:
            batches = tuple(self._batches)
        return [Span(batch, row) for batch, kept in batches for row in range(kept)]

    @property
    def summary(self) -> Summary | None:
        """What the session found out; None until it ended."""
        return self._summary

    @property
    def session(self) -> SessionInfo | None:
        """What was told about the session when it started; None before."""
        return self._session

    def clear(self) -> None:
        """Forget spans and summary. The counters go on."""
        with self._lock:
            self._batches.clear()
            self._kept = 0
            self._summary = None

    def start(self, session: SessionInfo) -> None:
        """Remember what the session is called."""
        self._session = session

    def export(self, batch: SpanBatch, deadline_ns: int) -> ExportResult:
        """Keep a batch, or what there is room for."""
        with self._lock:
            kept = min(len(batch), self._max_spans - self._kept)
            if kept:
                self._batches.append((batch, kept))
            dropped = len(batch) - kept
            self._kept += kept
            self._exported += kept
            self._dropped += dropped
        return ExportResult(delivered=kept, dropped=dropped)

    def flush(self, deadline_ns: int) -> bool:
        """Return True: a batch that was taken is delivered."""
        return True

    def finish(self, summary: Summary) -> None:
        """Keep the summary."""
        self._summary = summary

    def shutdown(self, deadline_ns: int) -> bool:
        """Keep everything; say whether nothing was dropped."""
        return not self._dropped

    def statistics(self) -> ExporterStatistics:
        """Return how many spans were kept and how many dropped, `clear` or not."""
        return ExporterStatistics(exported_spans=self._exported, dropped_spans=self._dropped)
