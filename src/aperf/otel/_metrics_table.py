"""Every metric that aperf has. docs/metrics.md is checked against this table."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

__all__ = ("INSTRUMENTS", "METRICS", "Kind", "Metric")

Kind: TypeAlias = Literal["counter", "up_down_counter", "gauge", "histogram"]


class Metric(NamedTuple):
    """One metric.

    There is no convention for asyncio, so names follow those of Node.js (``nodejs.eventloop.…``).
    """

    name: str
    kind: Kind
    unit: str  #: in UCUM
    attribute: str  #: the key that tells its series apart, "" for a single series
    description: str


_THREAD: Final = "thread.name"
_WAIT: Final = "asyncio.wait.kind"

METRICS: Final[tuple[Metric, ...]] = (
    # -------------------------------------------------------------------------------------- loops
    Metric(
        "asyncio.eventloop.delay",
        "histogram",
        "s",
        _THREAD,
        "How long tasks were ready to run while the loop did something else.",
    ),
    Metric("asyncio.eventloop.delay.mean", "gauge", "s", _THREAD, "Mean delay, of late."),
    Metric("asyncio.eventloop.delay.p50", "gauge", "s", _THREAD, "Median of the delay, of late."),
    Metric("asyncio.eventloop.delay.p90", "gauge", "s", _THREAD, "90th percentile, of late."),
    Metric("asyncio.eventloop.delay.p99", "gauge", "s", _THREAD, "99th percentile, of late."),
    Metric("asyncio.eventloop.delay.max", "gauge", "s", _THREAD, "Longest delay, of late."),
    Metric(
        "asyncio.eventloop.utilization",
        "gauge",
        "1",
        _THREAD,
        "Share of the time, of late, that the loop spent in steps of tasks.",
    ),
    Metric("asyncio.eventloop.time", "counter", "s", _THREAD, "Time in steps of tasks."),
    Metric(
        "asyncio.eventloop.blocked.steps",
        "counter",
        "{step}",
        _THREAD,
        "Steps that kept the loop from everything else for more than 50 ms.",
    ),
    Metric("asyncio.eventloop.blocked.time", "counter", "s", _THREAD, "Time in such steps."),
    Metric("asyncio.eventloop.blocked.duration", "histogram", "s", _THREAD, "Their durations."),
    # -------------------------------------------------------------------------------------- tasks
    Metric("asyncio.task.created", "counter", "{task}", "", "Tasks seen."),
    Metric("asyncio.task.active", "up_down_counter", "{task}", "", "Tasks not finished yet."),
    Metric(
        "asyncio.task.finished",
        "counter",
        "{task}",
        "asyncio.task.outcome",
        "Tasks that finished: `ok`, `error` or `cancelled`.",
    ),
    Metric("asyncio.task.duration", "histogram", "s", "", "Lifetimes of finished tasks."),
    Metric("asyncio.task.steps", "counter", "{step}", "", "Times that a task was resumed."),
    Metric("asyncio.task.waits", "counter", "{wait}", _WAIT, "Suspensions that ended."),
    Metric(
        "asyncio.task.wait.time",
        "counter",
        "s",
        _WAIT,
        "Time suspended, until what the task waited for was there.",
    ),
    Metric("asyncio.task.wait.duration", "histogram", "s", _WAIT, "Durations of the same."),
    # ----------------------------------------------------------------------------------- executors
    Metric(
        "asyncio.executor.jobs",
        "counter",
        "{job}",
        "asyncio.executor.outcome",
        "Jobs of `run_in_executor` and `to_thread` that ended: `ok` or `error`.",
    ),
    Metric(
        "asyncio.executor.queue.time", "counter", "s", "", "Time that jobs waited for a thread."
    ),
    Metric("asyncio.executor.queue.duration", "histogram", "s", "", "Durations of the same."),
    Metric("asyncio.executor.run.time", "counter", "s", "", "Time that jobs ran."),
    Metric("asyncio.executor.run.duration", "histogram", "s", "", "Durations of the same."),
    # --------------------------------------------------------------------------------------- aperf
    Metric("aperf.records.dropped", "counter", "{record}", "", "Records that found the ring full."),
    Metric("aperf.spans.created", "counter", "{span}", "", "Spans made of the records."),
    Metric("aperf.spans.exported", "counter", "{span}", "", "Spans that a destination confirmed."),
    Metric("aperf.spans.dropped", "counter", "{span}", "", "Spans made, but not delivered."),
    Metric(
        "aperf.logs.exported",
        "counter",
        "{log_record}",
        "",
        "Log records that a receiver confirmed, where they are exported.",
    ),
    Metric(
        "aperf.logs.dropped",
        "counter",
        "{log_record}",
        "",
        "Log records to be exported, but not delivered.",
    ),
    Metric("aperf.export.failures", "counter", "{request}", "", "Requests that failed for good."),
    Metric("aperf.internal.errors", "counter", "{error}", "", "Faults of aperf, passed over."),
    # ------------------------------------------------------------------------------------- process
    Metric("process.memory.usage", "up_down_counter", "By", "", "Physical memory in use."),
    Metric(
        "cpython.gc.collections",
        "counter",
        "{collection}",
        "cpython.gc.generation",
        "Times that a generation was collected, since the interpreter started.",
    ),
    Metric(
        "cpython.gc.collected_objects",
        "counter",
        "{object}",
        "cpython.gc.generation",
        "Objects collected by that.",
    ),
    Metric(
        "cpython.gc.uncollectable_objects",
        "counter",
        "{object}",
        "cpython.gc.generation",
        "Objects found, but not collectable.",
    ),
)

#: Those that are instruments of a meter. OpenTelemetry has no instrument that takes a whole
#: histogram, and one that is told each value costs more than everything else that aperf does about
#: a step; so histograms are added where aperf owns the reader (`_metrics_histograms`).
INSTRUMENTS: Final = tuple(metric for metric in METRICS if metric.kind != "histogram")
