"""The metrics of one session, read from what its assembler and its exporters know anyway."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from aperf._pipeline._meter import LoopTimes

from ._metrics_reading import Attributes, Reading, copy_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aperf._pipeline import Assembler, Pipeline, Sink, StepMeter
    from aperf._pipeline._histogram import Histogram
    from aperf.model import Statistics, ThreadInfo

    from ._metrics_reading import Histograms, Values

__all__ = ("SessionSource",)

#: Threads told apart by their names; a program that names thousands must not fill its backend.
MAX_THREADS: Final = 64
#: What OpenTelemetry calls the series of all the others.
_OVERFLOW: Final[Attributes] = (("otel.metric.overflow", True),)
_S: Final = 1e-9


class SessionSource:
    """Reads a session; that holds the exporter thread up, and no loop.

    Args:
        pipeline: where its records are assembled.
        sink: the session's end of it.
    """

    def __init__(self, pipeline: Pipeline, sink: Sink) -> None:
        self._pipeline = pipeline
        self._sink = sink
        self.started_unix_ns = time.time_ns()
        self.started_ns = time.monotonic_ns()
        self._meter: StepMeter | None = None

    def measure(self) -> StepMeter:
        """Count from now on also what costs something to count."""
        if self._meter is None:
            self._meter = self._pipeline.look(self._sink, lambda assembler: assembler.measure())
            self.started_ns = time.monotonic_ns()
        return self._meter

    def read(self) -> Reading:
        """Say how things are."""
        meter, statistics = self.measure(), self._pipeline.statistics(self._sink)
        return self._pipeline.look(
            self._sink, lambda assembler: _read(assembler, statistics, meter)
        )


def _read(assembler: Assembler, statistics: Statistics, meter: StepMeter) -> Reading:
    values = _counters(statistics)
    histograms: dict[str, Histograms] = {}
    _loops(_by_thread(meter.loops, assembler.tables.threads), values, histograms)
    _tasks(assembler, values, histograms)
    _waits(assembler, values, histograms)
    _jobs(meter, values, histograms)
    return Reading(time_ns=time.monotonic_ns(), values=values, histograms=histograms)


def _counters(statistics: Statistics) -> dict[str, Values]:
    return {
        "asyncio.task.created": {(): statistics.tasks},
        "asyncio.task.active": {(): statistics.live_tasks},
        "asyncio.task.steps": {(): statistics.steps},
        "aperf.records.dropped": {(): statistics.dropped_records},
        "aperf.spans.created": {(): statistics.spans},
        "aperf.spans.exported": {(): statistics.exported_spans},
        "aperf.spans.dropped": {(): statistics.dropped_spans},
        "aperf.logs.exported": {(): statistics.exported_logs},
        "aperf.logs.dropped": {(): statistics.dropped_logs},
        "aperf.export.failures": {(): statistics.export_failures},
        "aperf.internal.errors": {(): statistics.internal_errors},
    }


def _by_thread(
    loops: Mapping[int, LoopTimes], threads: list[ThreadInfo]
) -> dict[Attributes, LoopTimes]:
    """Sum what loops did by the names of their threads, of which a program may have many alike."""
    result: dict[Attributes, LoopTimes] = {}
    for ring, times in loops.items():
        name = threads[ring + 1].name if ring + 1 < len(threads) else ""
        key: Attributes = (("thread.name", name),)
        if key not in result and len(result) >= MAX_THREADS:
            key = _OVERFLOW
        result.setdefault(key, LoopTimes()).merge(times)
    return result


def _loops(
    loops: Mapping[Attributes, LoopTimes],
    values: dict[str, Values],
    histograms: dict[str, Histograms],
) -> None:
    name = "asyncio.eventloop."
    histograms[name + "delay"] = {key: loop.delay for key, loop in loops.items()}
    histograms[name + "blocked.duration"] = {key: loop.blocked for key, loop in loops.items()}
    values[name + "time"] = {key: loop.busy_ns * _S for key, loop in loops.items()}
    values[name + "blocked.steps"] = {key: len(loop.blocked) for key, loop in loops.items()}
    values[name + "blocked.time"] = {key: loop.blocked.total_ns * _S for key, loop in loops.items()}


def _tasks(
    assembler: Assembler, values: dict[str, Values], histograms: dict[str, Histograms]
) -> None:
    coroutines = assembler.tables.coroutines()
    finished = sum(coroutine.finished for coroutine in coroutines)
    outcomes = {
        "error": sum(coroutine.errors for coroutine in coroutines),
        "cancelled": sum(coroutine.cancelled for coroutine in coroutines),
    }
    outcomes["ok"] = max(0, finished - sum(outcomes.values()))
    values["asyncio.task.finished"] = _by("asyncio.task.outcome", outcomes)
    lifetimes = copy_of(coroutine.lifetimes for coroutine in coroutines)
    histograms["asyncio.task.duration"] = {(): lifetimes}


def _waits(
    assembler: Assembler, values: dict[str, Values], histograms: dict[str, Histograms]
) -> None:
    by_kind: dict[str, list[Histogram]] = {}
    for site in assembler.tables.sites():
        by_kind.setdefault(site.kind, []).append(site.waits)
    waits: Histograms = {
        (("asyncio.wait.kind", kind),): copy_of(histograms) for kind, histograms in by_kind.items()
    }
    histograms["asyncio.task.wait.duration"] = waits
    values["asyncio.task.waits"] = {key: len(wait) for key, wait in waits.items()}
    values["asyncio.task.wait.time"] = {key: wait.total_ns * _S for key, wait in waits.items()}


def _jobs(meter: StepMeter, values: dict[str, Values], histograms: dict[str, Histograms]) -> None:
    queued, ran = copy_of([meter.queued]), copy_of([meter.ran])
    outcomes = {"ok": len(ran) - meter.failed_jobs, "error": meter.failed_jobs}
    values["asyncio.executor.jobs"] = _by("asyncio.executor.outcome", outcomes)
    values["asyncio.executor.queue.time"] = {(): queued.total_ns * _S}
    values["asyncio.executor.run.time"] = {(): ran.total_ns * _S}
    histograms["asyncio.executor.queue.duration"] = {(): queued}
    histograms["asyncio.executor.run.duration"] = {(): ran}


def _by(key: str, counts: Mapping[str, int]) -> Values:
    return {((key, value),): count for value, count in counts.items()}
