"""Sessions whose metrics are taken, and what readers make of them."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from aperf._config import Settings
from aperf._recorder import Kind, StepFlag
from aperf._recorder._layout import PAIR
from aperf._session import Session
from aperf.otel import SessionSource

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from opentelemetry.sdk.metrics.export import MetricsData

    from aperf._pipeline import Assembler, Pipeline, Sink
    from aperf._runtime import Attachment
    from aperf.model import Statistics
    from aperf.otel import MetricsExporter

__all__ = ("Points", "a_bit_of_everything", "metered_session", "points_of", "source_of")

T = TypeVar("T")

#: Metric → its series: (sorted attributes) → value, or data point of a histogram.
Points = dict[str, dict[tuple[tuple[str, Any], ...], Any]]


class _Desk:
    """Lets a source read a session."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def statistics(self, sink: Sink) -> Statistics:
        return self._pipeline.statistics(sink)

    def look(self, sink: Sink, at: Callable[[Assembler], T]) -> T:
        with self._pipeline._lock:
            _let_meter(sink.assembler)
            return at(sink.assembler)


def _let_meter(assembler: Any) -> None:
    """Have the assembler tell its meter of steps and jobs."""
    if hasattr(assembler, "meter"):
        return
    assembler.meter = None
    step, job = assembler._step, assembler._handlers[Kind.JOB]

    def metered_step(ring: int, *record: int) -> None:
        before = assembler.live.get(record[3])
        ready_ns = 0 if before is None else before.ready_ns
        step(ring, *record)
        if assembler.meter is not None and before is not None:
            assembler.meter.step(ring, before.ready_ns - ready_ns, record[6])

    def metered_job(ring: int, t_ns: int, flags: int, *rest: Any) -> None:
        job(ring, t_ns, flags, *rest)
        if assembler.meter is not None:
            queue_ns, run_ns, _, _ = PAIR.unpack_from(rest[-1])
            assembler.meter.job(queue_ns, run_ns, failed=bool(flags & StepFlag.FAILED))

    assembler._step = metered_step
    assembler._handlers[Kind.JOB] = metered_job


def source_of(session: Session) -> SessionSource:
    """Return what metrics of an open session are taken from."""
    attachment: Attachment | None = session._attachment
    assert attachment is not None
    return SessionSource(_Desk(attachment.runtime.pipeline), attachment.sink)


@asynccontextmanager
async def metered_session(
    *exporters: MetricsExporter, timeout_s: float = 5
) -> AsyncIterator[Session]:
    """Open a session whose metrics these take."""
    settings = Settings(
        enabled=True, service_name="metered", shutdown_timeout_ns=int(timeout_s * 1e9)
    )
    session = Session(settings=settings, exporters=exporters)
    async with session:
        for exporter in exporters:
            exporter.observe(source_of(session))
        yield session


async def a_bit_of_everything() -> None:
    """Run tasks that end well, badly and cancelled, a job, and a step that takes 60 ms."""

    async def well() -> None:
        await asyncio.sleep(0.002)

    async def badly() -> None:
        await asyncio.sleep(0)
        raise ValueError("as it should")

    async def blocking() -> None:
        time.sleep(0.06)

    hanging = asyncio.create_task(asyncio.sleep(60))
    results = await asyncio.gather(
        well(), well(), badly(), blocking(), asyncio.to_thread(time.sleep, 0.01),
        return_exceptions=True,
    )  # fmt: skip
    assert isinstance(results[2], ValueError)
    hanging.cancel()
    await asyncio.wait([hanging])


def points_of(data: MetricsData | None) -> Points:
    """Return what was collected, of all scopes."""
    result: Points = {}
    for resource_metrics in [] if data is None else data.resource_metrics:
        for scope_metrics in resource_metrics.scope_metrics:
            for metric in scope_metrics.metrics:
                series = result.setdefault(metric.name, {})
                for point in metric.data.data_points:
                    key = tuple(sorted((point.attributes or {}).items()))
                    series[key] = getattr(point, "value", point)
    return result
