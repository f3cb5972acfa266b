"""Adds aperf's histograms to what an SDK's reader collected.

Where aperf owns the reader, whole histograms can be put beside the instruments' data, at no cost
for the single value. A provider of the program's own gets percentiles and sums instead.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Buckets,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
    MetricsData,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.metrics.export import Histogram as ExplicitHistogram
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from aperf._version import installed_version

from ._metrics import SCOPE
from ._metrics_buckets import BOUNDS_S, explicit, exponential, least_s
from ._metrics_reading import Reading, difference
from ._metrics_table import METRICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.resources import Resource

    from aperf._pipeline._histogram import Histogram

    from ._metrics_reading import Attributes

__all__ = ("HistogramProducer",)


class HistogramProducer:
    """Turns the histograms of readings into metrics, for one reader.

    Args:
        resource: of the process.
        started_unix_ns: since when the session counts.
        delta: whether each collection is told only what came since the last one.
        exponential: whether buckets are exponential.
    """

    def __init__(
        self, resource: Resource, started_unix_ns: int, *, delta: bool, exponential: bool
    ) -> None:
        self._resource = resource
        self._start_unix_ns = started_unix_ns
        self._delta = delta
        self._exponential = exponential
        self._told: dict[tuple[str, Attributes], Histogram] = {}

    def add(self, data: MetricsData | None, reading: Reading) -> MetricsData:
        """Return the collected data with the histograms of the reading beside the instruments."""
        now_unix_ns = time.time_ns()
        metrics = [metric for metric in self._metrics(reading, now_unix_ns) if metric is not None]
        if self._delta:
            self._start_unix_ns = now_unix_ns
        found = list(data.resource_metrics) if data is not None else []
        if not found:
            found.append(ResourceMetrics(resource=self._resource, scope_metrics=[], schema_url=""))
        found[0] = replace(found[0], scope_metrics=_beside(found[0].scope_metrics, metrics))
        return MetricsData(resource_metrics=found)

    def _metrics(self, reading: Reading, now_unix_ns: int) -> list[Metric | None]:
        return [
            self._metric(metric.name, metric.unit, metric.description, reading, now_unix_ns)
            for metric in METRICS
            if metric.kind == "histogram"
        ]

    def _metric(
        self, name: str, unit: str, description: str, reading: Reading, now_unix_ns: int
    ) -> Metric | None:
        found: list[tuple[Attributes, Histogram]] = []
        for attributes, histogram in reading.histograms.get(name, {}).items():
            if self._delta:
                before = self._told.get((name, attributes))
                self._told[name, attributes] = histogram
                histogram = difference(histogram, before)
            if histogram.counts:
                found.append((attributes, histogram))
        if not found:
            return None
        temporality = (
            AggregationTemporality.DELTA if self._delta else AggregationTemporality.CUMULATIVE
        )
        data: ExplicitHistogram | ExponentialHistogram
        if self._exponential:
            data = ExponentialHistogram(
                [self._exponential_point(*each, now_unix_ns) for each in found], temporality
            )
        else:
            data = ExplicitHistogram(
                [self._explicit_point(*each, now_unix_ns) for each in found], temporality
            )
        return Metric(name=name, description=description, unit=unit, data=data)

    def _explicit_point(
        self, attributes: Attributes, histogram: Histogram, now_unix_ns: int
    ) -> HistogramDataPoint:
        return HistogramDataPoint(
            attributes=dict(attributes),
            start_time_unix_nano=self._start_unix_ns,
            time_unix_nano=now_unix_ns,
            count=len(histogram),
            sum=histogram.total_ns * 1e-9,
            bucket_counts=explicit(histogram),
            explicit_bounds=BOUNDS_S,
            min=least_s(histogram),
            max=histogram.max_ns * 1e-9,
        )

    def _exponential_point(
        self, attributes: Attributes, histogram: Histogram, now_unix_ns: int
    ) -> ExponentialHistogramDataPoint:
        buckets = exponential(histogram)
        return ExponentialHistogramDataPoint(
            attributes=dict(attributes),
            start_time_unix_nano=self._start_unix_ns,
            time_unix_nano=now_unix_ns,
            count=len(histogram),
            sum=histogram.total_ns * 1e-9,
            scale=buckets.scale,
            zero_count=buckets.zeros,
            positive=Buckets(buckets.offset, buckets.counts),
            negative=Buckets(0, ()),
            flags=0,
            min=least_s(histogram),
            max=histogram.max_ns * 1e-9,
        )


def _beside(scopes: Sequence[ScopeMetrics], metrics: list[Metric]) -> list[ScopeMetrics]:
    """Return the scopes with these metrics added to aperf's own."""
    if not metrics:
        return list(scopes)
    ours = next((scope for scope in scopes if scope.scope.name == SCOPE), None)
    if ours is None:
        scope = InstrumentationScope(SCOPE, installed_version())
        return [*scopes, ScopeMetrics(scope=scope, metrics=metrics, schema_url="")]
    added = replace(ours, metrics=[*ours.metrics, *metrics])
    return [added if scope is ours else scope for scope in scopes]
