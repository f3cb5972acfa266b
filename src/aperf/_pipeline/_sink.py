"""Where the records of one session go: its assembler, and behind it its exporters."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from aperf.model import (
    Exporter,
    SessionInfo,
    SpanBatch,
    Statistics,
    Summary,
    ThreadInfo,
    TimeAnchor,
    UnfinishedTask,
)

from ._report import summarize

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ._assembler import Assembler
    from ._traces import Live

__all__ = ("Sink",)

_log = logging.getLogger("aperf")

#: Rows collected before they are handed to the exporters, also in the middle of a round.
BATCH = 4_096


class Sink:
    """One session's end of the pipeline, used on the exporter thread except where it says so.

    Args:
        assembler: turns records into spans.
        exporters: take the spans.
        info: what they learn of the session.
        started_ns: begin of the session, by the recorder's clock.
    """

    def __init__(
        self,
        assembler: Assembler,
        exporters: Sequence[Exporter],
        info: SessionInfo,
        started_ns: int,
    ) -> None:
        self.assembler = assembler
        self.exporters = list(exporters)
        self.info = info
        self.started_ns = started_ns
        self.ended_ns: int | None = None
        self.failures = 0
        self.lost = 0  # spans that an exporter failed on, or that nobody took any more
        self._complained: set[int] = set()

    def start(self) -> None:
        """Get the exporters ready (any thread, before records come); a failing one is left out."""
        for exporter in list(self.exporters):
            try:
                exporter.start(self.info)
            except Exception as error:
                self.exporters.remove(exporter)
                self._complain(exporter, "could not start and is left out", error)

    def threads(self, threads: list[tuple[int, str]]) -> None:
        """Name the threads of rings that came since the last call."""
        known = len(self.assembler.tables.threads) - 1
        for ident, name in threads[known:]:
            self.assembler.add_thread(ThreadInfo(ident, name))

    def feed(self, ring: int, data: bytes, deadline_ns: int) -> None:
        """Take some slots."""
        self.assembler.feed(ring, data)
        if len(self.assembler.rows) >= BATCH:
            self.deliver(deadline_ns)

    def deliver(self, deadline_ns: int) -> None:
        """Hand the finished spans to the exporters."""
        batch = self.assembler.rows.take()
        if batch is None:
            return
        for exporter in self.exporters:
            if exporter.consumes == "spans":
                self._export(exporter, batch, deadline_ns)

    def _export(self, exporter: Exporter, batch: SpanBatch, deadline_ns: int) -> None:
        try:
            exporter.export(batch, deadline_ns)
        except Exception as error:
            self.failures += 1
            self.lost += len(batch)
            self._complain(exporter, "failed on a batch, which is dropped", error)

    def _complain(self, exporter: Exporter, what: str, error: Exception) -> None:
        """Say it once for each exporter; the counters say how often."""
        if id(exporter) not in self._complained:
            self._complained.add(id(exporter))
            _log.warning("aperf: %s %s: %s", type(exporter).__name__, what, error, exc_info=error)

    def flush(self, deadline_ns: int) -> bool:
        """Let the exporters deliver what they took, each for a moment; say whether all have."""
        self.deliver(deadline_ns)
        return all(self._ask(exporter.flush, exporter, deadline_ns) for exporter in self.exporters)

    def renew_anchor(self, monotonic_ns: int, unix_ns: int) -> None:
        """Compare the clocks anew, for traces to come: wall time may have been set."""
        self.assembler.family.anchor = TimeAnchor(monotonic_ns, unix_ns)

    def finish(self, t_ns: int, live: list[Live]) -> None:
        """End the session: close what is open and hand out the last spans.

        Args:
            t_ns: end, by the recorder's clock.
            live: live tasks as the recorder saw them at the end.
        """
        self.ended_ns = t_ns
        self.assembler.finish(t_ns, live)
        self.deliver(time.monotonic_ns())

    def shutdown(self, summary: Summary, deadline_ns: int) -> bool:
        """Hand the exporters the summary and end them; say whether all was delivered."""
        for exporter in self.exporters:
            try:
                exporter.finish(summary)
            except Exception as error:
                self._complain(exporter, "failed on the summary", error)
        return all(
            self._ask(exporter.shutdown, exporter, deadline_ns) for exporter in self.exporters
        )

    def _ask(self, method: Callable[[int], Any], exporter: Exporter, deadline_ns: int) -> bool:
        try:
            return bool(method(deadline_ns))
        except Exception as error:
            self.failures += 1
            self._complain(exporter, "failed", error)
            return False

    def statistics(self, dropped_records: int, internal_errors: int) -> Statistics:
        """Return the counters (any thread)."""
        assembler = self.assembler
        exported = [exporter.statistics() for exporter in self.exporters]
        return Statistics(
            tasks=assembler.tasks,
            live_tasks=len(assembler.live),
            steps=assembler.steps,
            awaits=assembler.awaits,
            spans=assembler.rows.spans,
            exported_spans=sum(e.exported_spans for e in exported),
            dropped_records=dropped_records,
            dropped_spans=self.lost + sum(e.dropped_spans for e in exported),
            export_failures=self.failures + sum(e.export_failures for e in exported),
            internal_errors=internal_errors,
        )

    def summary(
        self, now_ns: int, statistics: Statistics, unfinished: tuple[UnfinishedTask, ...]
    ) -> Summary:
        """Return what was found out so far (with the pipeline's lock held)."""
        return summarize(
            self.assembler,
            service_name=self.info.service_name,
            implementation=self.info.implementation,
            duration_ns=(self.ended_ns or now_ns) - self.started_ns,
            statistics=statistics,
            unfinished=unfinished,
        )
