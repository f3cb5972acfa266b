"""Importing this module opens a session that watches every event loop of the process.

A test-suite that imports it first (`pytest -p preload`, `unittest_child.py --preload`) then runs
with aperf's hook on each loop that it creates, and must not notice. A destination of records makes
it the most that aperf does: nested coroutines, locks and log records are watched, too.
"""

from __future__ import annotations

import atexit
import sys
from typing import Literal

import aperf
from aperf.model import ExporterStatistics, ExportResult


class Nowhere:
    """Takes all records and keeps none."""

    consumes: Literal["chunks"] = "chunks"
    needs_rows = False

    def start(self, session: object) -> None: ...

    def export(self, batch: object, deadline_ns: int) -> ExportResult:
        return ExportResult()

    def flush(self, deadline_ns: int) -> bool:
        return True

    def finish(self, summary: object) -> None: ...

    def shutdown(self, deadline_ns: int) -> bool:
        return True

    def statistics(self) -> ExporterStatistics:
        return ExporterStatistics()


session = aperf.session(enabled=True, exporters=[Nowhere()], loops="all")
session.__enter__()


@atexit.register
def _report() -> None:
    """Tell how much was seen: a run in which the hook saw nothing proves nothing."""
    session.__exit__()
    counters = session.statistics()
    print(
        f"aperf-conformance: implementation={aperf.IMPLEMENTATION} tasks={counters.tasks}"
        f" steps={counters.steps} internal_errors={counters.internal_errors}",
        file=sys.stderr,
        flush=True,
    )
