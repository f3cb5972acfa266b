"""Sums of a session: by coroutine, by await site, by exception, and the steps that took longest."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from aperf.model import (
    AwaitSite,
    CoroutineTotals,
    ExceptionCount,
    LongStep,
    WaitKind,
    WaitTotals,
)

from ._histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._places import Place

__all__ = ("CoroutineEntry", "LongSteps", "SiteEntry", "Totals")

#: Long steps kept: more than a person looks at.
LONGEST: Final = 20
#: Distinct pairs of exception type and coroutine kept.
MAX_EXCEPTIONS: Final = 1_000


@dataclass(slots=True, eq=False)
class SiteEntry:
    """All waits for one thing at one place.

    Attributes:
        waits: how long they waited, the time ready not included.
        ready_ns: how long they were ready, in total.
    """

    name: str
    kind: WaitKind
    place: Place
    waits: Histogram = field(default_factory=Histogram)
    ready_ns: int = 0

    def result(self) -> AwaitSite:
        """Return it as shown."""
        return AwaitSite(
            name=self.name,
            kind=self.kind,
            function=self.place.function,
            file=self.place.file,
            line=self.place.line,
            wait=self.waits.distribution(),
            ready_ns=self.ready_ns,
        )


@dataclass(slots=True, eq=False)
class CoroutineEntry:
    """All tasks that run one coroutine function. `template` is that of their spans."""

    template: int
    name: str
    place: Place
    tasks: int = 0
    finished: int = 0
    errors: int = 0
    cancelled: int = 0
    steps: int = 0
    busy_ns: int = 0
    ready_ns: int = 0
    waiting_ns: int = 0
    lifetimes: Histogram = field(default_factory=Histogram)

    def add(self, steps: int, busy_ns: int, ready_ns: int, waiting_ns: int) -> None:
        """Add what one task, or one segment of it, did."""
        self.steps += steps
        self.busy_ns += busy_ns
        self.ready_ns += ready_ns
        self.waiting_ns += waiting_ns

    def result(self, live: tuple[int, int, int, int]) -> CoroutineTotals:
        """Return it as shown, with (steps, busy, ready, waiting) of its live tasks on top."""
        return CoroutineTotals(
            name=self.name,
            file=self.place.file,
            line=self.place.line,
            tasks=self.tasks,
            unfinished=self.tasks - self.finished,
            errors=self.errors,
            cancelled=self.cancelled,
            steps=self.steps + live[0],
            busy_ns=self.busy_ns + live[1],
            ready_ns=self.ready_ns + live[2],
            waiting_ns=self.waiting_ns + live[3],
            lifetime=self.lifetimes.distribution(),
        )


class LongSteps:
    """The longest steps seen.

    Attributes:
        threshold_ns: only longer ones need to be offered.
    """

    __slots__ = ("_heap", "_number", "threshold_ns")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, LongStep]] = []
        self._number = 0  # keeps the heap from comparing steps
        self.threshold_ns = 0

    def offer(self, step: LongStep) -> None:
        """Keep a step while it is among the longest."""
        self._number += 1
        item = (step.duration_ns, -self._number, step)
        if len(self._heap) < LONGEST:
            heapq.heappush(self._heap, item)
        else:
            heapq.heappushpop(self._heap, item)
        if len(self._heap) == LONGEST:
            self.threshold_ns = self._heap[0][0]

    def result(self) -> tuple[LongStep, ...]:
        """Return them, longest first."""
        return tuple(step for _, _, step in sorted(self._heap, reverse=True))


class Totals:
    """The sums that are not kept with their sites and coroutines."""

    __slots__ = ("_exceptions", "long_steps")

    def __init__(self) -> None:
        self.long_steps = LongSteps()
        self._exceptions: dict[tuple[str, str], ExceptionCount] = {}

    def exception(self, kind: str, coroutine: str, message: str) -> None:
        """Count an exception that ended a task."""
        key = (kind, coroutine)
        known = self._exceptions.get(key)
        if known is None and len(self._exceptions) >= MAX_EXCEPTIONS:
            return
        count, first = (0, message) if known is None else (known.count, known.message)
        self._exceptions[key] = ExceptionCount(
            type=kind, coroutine=coroutine, count=count + 1, message=first
        )

    def exceptions(self) -> tuple[ExceptionCount, ...]:
        """Return them, most frequent first."""
        return tuple(sorted(self._exceptions.values(), key=lambda e: -e.count))


def by_wait_kind(sites: Iterable[SiteEntry]) -> dict[str, WaitTotals]:
    """Sum sites by kind, the longest total first."""
    sums: dict[str, tuple[int, int]] = {}
    for site in sites:
        count, total = sums.get(site.kind, (0, 0))
        sums[site.kind] = (count + len(site.waits), total + site.waits.total_ns)
    ordered = sorted(sums.items(), key=lambda item: -item[1][1])
    return {kind: WaitTotals(count=count, total_ns=total) for kind, (count, total) in ordered}
