"""Sessions whose metrics are taken, and what readers make of them."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aperf._config import Settings
from aperf._session import Session
from aperf.otel import SessionSource

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from opentelemetry.sdk.metrics.export import MetricsData

    from aperf._runtime import Attachment
    from aperf.otel import MetricsExporter

__all__ = ("Points", "a_bit_of_everything", "metered_session", "points_of", "source_of")

#: Metric → its series: (sorted attributes) → value, or data point of a histogram.
Points = dict[str, dict[tuple[tuple[str, Any], ...], Any]]


def source_of(session: Session) -> SessionSource:
    """Return what metrics of an open session are taken from."""
    attachment: Attachment | None = session._attachment
    assert attachment is not None
    return SessionSource(attachment.runtime.pipeline, attachment.sink)


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
