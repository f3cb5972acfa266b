"""Where the records of one session go: its assembler, and behind it its exporters."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from aperf._errors import ConfigurationError
from aperf._stderr import tell
from aperf.model import (
    Chunk,
    Exporter,
    ExporterStatistics,
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

    from aperf.model import RecordTables

    from ._assembler import Assembler
    from ._traces import Live

__all__ = ("Sink",)

_log = logging.getLogger("aperf")

#: Rows collected before they are handed to the exporters, also in the middle of a round.
BATCH = 4_096


class Sink:
    """One session's end of the pipeline, used on the exporter thread except where it says so.

    Whatever an exporter raises ends here: it is counted, and told once.

    Args:
        assembler: turns records into spans.
        exporters: take the spans, or the records.
        info: what they learn of the session.
        records: what the numbers in records mean, for exporters that take these.
    """

    def __init__(
        self,
        assembler: Assembler,
        exporters: Sequence[Exporter],
        info: SessionInfo,
        records: RecordTables,
    ) -> None:
        self.assembler = assembler
        self.exporters = list(exporters)
        self.info = info
        self._records = records
        self.started_ns = 0
        self.ended_ns: int | None = None
        #: spans and confirmations lost by the time of the last answer about a delivery
        self.losses_told = 0
        self._left_out = 0  # exporters that could not start
        self._failures = 0
        self._lost = 0  # spans, counted once for each exporter that could not have them
        self._unconfirmed = 0  # questions to exporters that ended in an exception
        self._faults = 0
        # Counters of the recorder, which other sessions use too: at the begin, and at the end.
        self._before = (0, 0)
        self._after: tuple[int, int] | None = None
        self._complained: set[int] = set()

    # -------------------------------------------------------------------------------- begin and end

    def start(self) -> None:
        """Get the exporters ready (any thread, before records come); a failing one is left out."""
        for exporter in list(self.exporters):
            try:
                exporter.start(self.info)
            except Exception as error:
                self.exporters.remove(exporter)
                self._left_out += 1
                self._failed(exporter, "cannot start and is left out", error)
                if isinstance(error, ConfigurationError):
                    tell(str(error))  # where it came from the environment nobody else says so

    def begin(self, t_ns: int, dropped_records: int, internal_errors: int) -> None:
        """Note the begin of the session by the recorder's clock, and its counters (any thread)."""
        self.started_ns = t_ns
        self._before = dropped_records, internal_errors

    def end(self, dropped_records: int, internal_errors: int) -> None:
        """Note the recorder's counters at the end of the session (any thread)."""
        self._after = dropped_records, internal_errors

    def adopt(self, other: Sink) -> None:
        """Begin with the tasks that another session sees alive."""
        self.assembler.adopt(other.assembler, self.started_ns)

    def finish(self, t_ns: int, live: list[Live]) -> None:
        """Close what is open: there will be no more records.

        Args:
            t_ns: end of the session, by the recorder's clock.
            live: live tasks as the recorder saw them then.
        """
        self.ended_ns = t_ns
        try:
            self.assembler.finish(t_ns, live)
        except Exception:
            self._fault()

    def shutdown(self, summarize: Callable[[], Summary], deadline_ns: int) -> bool:
        """Hand each exporter the summary and end it; say whether all was delivered.

        Those that want nothing but the summary come last, when it is known what the others lost.
        """
        answers = []
        for exporter in sorted(self.exporters, key=lambda each: not _needs_rows(each)):
            try:
                exporter.finish(summarize())
            except Exception as error:
                self._failed(exporter, "failed on the summary", error)
            answers.append(self._ask(lambda each: each.shutdown(deadline_ns), exporter))
        return all(answers)

    # ---------------------------------------------------------------------------------- records in

    @property
    def interval_ns(self) -> int:
        """How often the destinations want something, if they cannot wait for the usual interval."""
        wanted = (getattr(exporter, "interval_ns", sys.maxsize) for exporter in self.exporters)
        return min(wanted, default=sys.maxsize)

    @property
    def takes_records(self) -> bool:
        """Whether a destination shows what spans do not tell."""
        return any(exporter.consumes == "chunks" for exporter in self.exporters)

    def threads(self, threads: list[tuple[int, str]]) -> None:
        """Name the threads of rings that came since the last call."""
        rows = self.assembler.rows
        rows.wanted = rows.wanted or any(map(_needs_rows, self.exporters))
        known = len(self.assembler.tables.threads) - 1
        for ident, name in threads[known:]:
            self.assembler.add_thread(ThreadInfo(ident, name))

    def feed(self, ring: int, data: bytes) -> None:
        """Take some slots."""
        try:
            self.assembler.feed(ring, data)
        except Exception:
            self._fault()
        for exporter in self.exporters:
            if exporter.consumes == "chunks":
                self._hand_on(exporter, Chunk(ring, data, self._records))

    def _hand_on(self, exporter: Exporter, chunk: Chunk) -> None:
        try:
            exporter.export(chunk, 0)
        except Exception as error:
            self._failed(exporter, "failed on some records, which are lost to it", error)

    def _fault(self) -> None:
        """Count a fault of our own, and show the first one; what can be delivered still is."""
        self._faults += 1
        if self._faults == 1:
            _log.warning("aperf: a fault of its own; spans may be missing", exc_info=True)

    def renew_anchor(self, monotonic_ns: int, unix_ns: int) -> None:
        """Compare the clocks anew, for traces to come: wall time may have been set."""
        self.assembler.family.anchor = TimeAnchor(monotonic_ns, unix_ns)

    # ----------------------------------------------------------------------------------- spans out

    @property
    def is_full(self) -> bool:
        """Whether there are enough rows for a batch."""
        return len(self.assembler.rows) >= BATCH

    def deliver(self, deadline_ns: int) -> None:
        """Hand the finished spans to the exporters."""
        self._look()
        batch = self.assembler.rows.take()
        if batch is None:
            return
        self._lost += self._left_out * len(batch)
        for exporter in self.exporters:
            if exporter.consumes == "spans":
                self._export(exporter, batch, deadline_ns)

    def _look(self) -> None:
        """Let exporters look for what the program has set up since."""
        for exporter in self.exporters:
            look = getattr(exporter, "look", None)
            if look is not None:
                try:
                    look()
                except Exception as error:
                    self._failed(exporter, "failed to look", error)

    def _export(self, exporter: Exporter, batch: SpanBatch, deadline_ns: int) -> None:
        try:
            exporter.export(batch, deadline_ns)
        except Exception as error:
            self._lost += len(batch)
            self._failed(exporter, "failed on a batch, which is dropped", error)

    def flush(self, deadline_ns: int) -> bool:
        """Let the exporters deliver what they took; say whether all of them are done with it."""
        self.deliver(deadline_ns)
        return self._ask_all(lambda exporter: exporter.flush(deadline_ns))

    def tell_losses(self) -> int:
        """Return how much is lost by now, and remember that it was told."""
        counters = self._statistics()
        self.losses_told = counters.dropped_spans + counters.dropped_logs + self._unconfirmed
        return self.losses_told

    def _ask_all(self, question: Callable[[Exporter], Any]) -> bool:
        """Ask every exporter, also when one has said no already."""
        answers = [self._ask(question, exporter) for exporter in self.exporters]
        return all(answers)

    def _ask(self, question: Callable[[Exporter], Any], exporter: Exporter) -> bool:
        try:
            return bool(question(exporter))
        except Exception as error:
            self._failed(exporter, "failed", error)
            self._unconfirmed += 1
            return True  # asking again would not help

    def _failed(self, exporter: Exporter, what: str, error: Exception) -> None:
        """Count a failure, and tell the first one of each exporter."""
        self._failures += 1
        if id(exporter) not in self._complained:
            self._complained.add(id(exporter))
            name = type(exporter).__name__
            _log.warning("aperf: %s %s: %s: %s", name, what, type(error).__name__, error)

    # ------------------------------------------------------------------------------------- results

    def _statistics(self) -> ExporterStatistics:
        """Return the counters of the exporters and of what never reached them."""
        total = ExporterStatistics(dropped_spans=self._lost, export_failures=self._failures)
        for exporter in self.exporters:
            try:
                total = _added(total, exporter.statistics())
            except Exception as error:
                self._failed(exporter, "failed on its statistics", error)
        return total

    def statistics(self, dropped_records: int, internal_errors: int) -> Statistics:
        """Return the counters (any thread).

        Args:
            dropped_records: the recorder's count, also for those before and after the session.
            internal_errors: likewise.
        """
        assembler, delivered = self.assembler, self._statistics()
        dropped, errors = self._after or (dropped_records, internal_errors)
        return Statistics(
            tasks=assembler.tasks,
            live_tasks=len(assembler.live),
            steps=assembler.steps,
            awaits=assembler.awaits,
            spans=assembler.rows.spans,
            exported_spans=delivered.exported_spans,
            dropped_records=dropped - self._before[0],
            dropped_spans=delivered.dropped_spans,
            export_failures=delivered.export_failures,
            internal_errors=errors - self._before[1] + self._faults,
            exported_logs=delivered.exported_logs,
            dropped_logs=delivered.dropped_logs,
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


def _needs_rows(exporter: Exporter) -> bool:
    return bool(getattr(exporter, "needs_rows", True))


def _added(one: ExporterStatistics, other: ExporterStatistics) -> ExporterStatistics:
    return ExporterStatistics(*(a + b for a, b in zip(one, other, strict=True)))
