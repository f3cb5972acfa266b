"""Counters of a session, and what it found out."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ._wait import WaitKind

__all__ = (
    "AwaitSite",
    "CoroutineTotals",
    "Distribution",
    "ExceptionCount",
    "LongStep",
    "Statistics",
    "Summary",
    "UnfinishedTask",
    "WaitTotals",
)


class Statistics(NamedTuple):
    """Counters since the session began. All of them only grow, except `live_tasks`."""

    tasks: int = 0  #: tasks seen, adopted ones included
    live_tasks: int = 0  #: tasks not finished yet
    steps: int = 0  #: times that a task was resumed
    #: suspensions that ended, or were cut off by the end of the session; with awaits="all" also
    #: awaits without one
    awaits: int = 0
    spans: int = 0  #: spans that would be delivered to a destination for spans
    exported_spans: int = 0  #: spans that a destination confirmed
    dropped_records: int = 0  #: records that found the ring full
    dropped_spans: int = 0  #: spans that were made but not delivered
    export_failures: int = 0  #: requests that failed for good
    internal_errors: int = 0  #: faults of aperf's own hooks, which were passed over
    exported_logs: int = 0  #: log records that a receiver confirmed, where they are exported
    dropped_logs: int = 0  #: log records that were to be exported, but were not


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Durations in ns. Percentiles are exact within 1/16 (the buckets' width); max is exact."""

    count: int = 0
    total_ns: int = 0
    p50_ns: int = 0
    p90_ns: int = 0
    p99_ns: int = 0
    max_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitTotals:
    """All waits of one kind."""

    count: int
    total_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CoroutineTotals:
    """All tasks that run one coroutine function."""

    name: str
    file: str
    line: int
    tasks: int
    unfinished: int
    errors: int
    cancelled: int
    steps: int
    busy_ns: int
    ready_ns: int
    waiting_ns: int
    lifetime: Distribution  #: of the finished ones


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitSite:
    """All waits at one place of the program."""

    name: str  #: "await Queue.get"
    kind: WaitKind
    function: str  #: qualified name of the function that awaits
    file: str
    line: int
    wait: Distribution
    ready_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LongStep:
    """A step during which nothing else could run on the loop."""

    coroutine: str
    task: str  #: the task's name, or "" when it did not end before the step was reported
    task_id: int
    function: str  #: where the step began: the function that was resumed
    file: str
    line: int
    start_ns: int  #: since 1970
    duration_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfinishedTask:
    """A task that had not finished when the session ended."""

    coroutine: str
    task: str
    task_id: int
    age_ns: int
    waiting_for: str  #: "await Queue.get", or "running"
    file: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExceptionCount:
    """Exceptions of one type that ended tasks of one coroutine function."""

    type: str
    coroutine: str
    count: int
    message: str  #: of the first


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a session found out, ready to be shown.

    All durations are in ns. `coroutines` and `await_sites` are sorted by the time they took,
    longest first.
    """

    service_name: str = ""
    implementation: str = ""
    duration_ns: int = 0
    statistics: Statistics = field(default_factory=Statistics)
    busy_ns: int = 0
    ready_ns: int = 0
    waiting_ns: int = 0
    by_wait_kind: dict[str, WaitTotals] = field(default_factory=dict)
    coroutines: tuple[CoroutineTotals, ...] = ()
    await_sites: tuple[AwaitSite, ...] = ()
    longest_steps: tuple[LongStep, ...] = ()
    unfinished: tuple[UnfinishedTask, ...] = ()
    exceptions: tuple[ExceptionCount, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready values; the counters stand at the top level."""
        result = asdict(self)
        result |= self.statistics._asdict()
        del result["statistics"]
        return {"version": 1, **result}
