"""What loops and executors did, as the assembler comes across it. Used on the exporter thread."""

from __future__ import annotations

from typing import Final

from ._histogram import Histogram

__all__ = ("BLOCKED_NS", "LoopTimes", "StepMeter")

#: A step that takes longer than this is what people call a blocked loop.
BLOCKED_NS: Final = 50_000_000


class LoopTimes:
    """What the loop of one thread did.

    Attributes:
        delay: how long tasks were ready and did not run.
        blocked: durations of the steps that took too long.
        busy_ns: how long it was in steps.
    """

    __slots__ = ("blocked", "busy_ns", "delay")

    def __init__(self) -> None:
        self.delay = Histogram()
        self.blocked = Histogram()
        self.busy_ns = 0

    def merge(self, other: LoopTimes) -> None:
        """Add what another one did."""
        self.delay.merge(other.delay)
        self.blocked.merge(other.blocked)
        self.busy_ns += other.busy_ns


class StepMeter:
    """Sums what the assembler does not keep; it has one only while somebody takes metrics.

    Attributes:
        loops: by the ring of their thread.
        queued: how long jobs waited for a thread.
        ran: how long they ran.
        failed_jobs: how many ended by an exception.
    """

    __slots__ = ("failed_jobs", "loops", "queued", "ran")

    def __init__(self) -> None:
        self.loops: dict[int, LoopTimes] = {}
        self.queued = Histogram()
        self.ran = Histogram()
        self.failed_jobs = 0

    def step(self, ring: int, ready_ns: int, busy_ns: int) -> None:
        """Count a step."""
        try:
            loop = self.loops[ring]
        except KeyError:
            loop = self.loops[ring] = LoopTimes()
        loop.delay.add(ready_ns)
        loop.busy_ns += busy_ns
        if busy_ns > BLOCKED_NS:
            loop.blocked.add(busy_ns)

    def job(self, queue_ns: int, run_ns: int, *, failed: bool) -> None:
        """Count a job of an executor."""
        self.queued.add(queue_ns)
        self.ran.add(run_ns)
        self.failed_jobs += failed
