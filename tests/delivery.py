"""Exporters that fail, hang and doubt, and a way to see what became of the spans."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from aperf.model import ExporterStatistics, ExportResult

if TYPE_CHECKING:
    from aperf.model import SessionInfo, SpanBatch, Summary

__all__ = ("STAGES", "Doubtful", "Failing", "Plain", "Stuck")

#: What is asked of an exporter in the course of a session.
STAGES: Final = ("start", "export", "flush", "finish", "shutdown", "statistics")


class Plain:
    """An exporter that takes everything, and remembers what it was asked.

    Attributes:
        calls: the stages, in order, repetitions left out.
        names: of the spans that it got.
        threads: names of the threads on which it was called.
    """

    consumes: Final = "spans"

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.names: list[str] = []
        self.threads: set[str] = set()
        self.summary: Summary | None = None

    def on(self, stage: str) -> None:
        """Do what is special about this exporter."""

    def _called(self, stage: str) -> None:
        self.threads.add(threading.current_thread().name)
        if stage not in self.calls[-1:]:
            self.calls.append(stage)
        self.on(stage)

    def start(self, session: SessionInfo) -> None:
        self._called("start")

    def export(self, batch: SpanBatch, deadline_ns: int) -> ExportResult:
        self._called("export")
        self.names += [span.name for span in batch]
        return ExportResult(delivered=len(batch))

    def flush(self, deadline_ns: int) -> bool:
        self._called("flush")
        return True

    def finish(self, summary: Summary) -> None:
        self._called("finish")
        self.summary = summary

    def shutdown(self, deadline_ns: int) -> bool:
        self._called("shutdown")
        return True

    def statistics(self) -> ExporterStatistics:
        self.on("statistics")
        return ExporterStatistics(exported_spans=len(self.names))


class Failing(Plain):
    """Raises whenever one of the stages comes, or the first so many times."""

    def __init__(self, stage: str, error: type[Exception] = OSError, times: int = 1 << 62) -> None:
        super().__init__()
        self.stage = stage
        self.error = error
        self.times = times

    def on(self, stage: str) -> None:
        if stage == self.stage and self.times > 0:
            self.times -= 1
            raise self.error("out of order")


class Stuck(Plain):
    """Blocks in one of the stages, deadline or not, until it is released."""

    def __init__(self, stage: str = "export") -> None:
        super().__init__()
        self.stage = stage
        self.entered = threading.Event()
        self.released = threading.Event()

    def on(self, stage: str) -> None:
        if stage == self.stage:
            self.entered.set()
            self.released.wait(20)


class Doubtful(Plain):
    """Takes everything, but confirms it only from some moment on."""

    def __init__(self) -> None:
        super().__init__()
        self.confirmed = threading.Event()

    def flush(self, deadline_ns: int) -> bool:
        self._called("flush")
        return self.confirmed.wait(max(0, deadline_ns - time.monotonic_ns()) / 1e9)

    def shutdown(self, deadline_ns: int) -> bool:
        self._called("shutdown")
        return self.confirmed.is_set()
