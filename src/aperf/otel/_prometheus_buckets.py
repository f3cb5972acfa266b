"""Histograms of OpenTelemetry as the cumulative buckets of Prometheus."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.metrics.export import ExponentialHistogramDataPoint, HistogramDataPoint

__all__ = ("explicit_buckets", "exponential_buckets")


def explicit_buckets(point: HistogramDataPoint) -> Iterator[tuple[float, int]]:
    """Yield the upper end of each bucket, and how many values lie below it."""
    total = 0
    for bound, count in zip((*point.explicit_bounds, math.inf), point.bucket_counts, strict=False):
        total += count
        yield bound, total
    if not point.bucket_counts:
        yield math.inf, point.count


def exponential_buckets(point: ExponentialHistogramDataPoint) -> Iterator[tuple[float, int]]:
    """Yield the same of a histogram whose bucket i ends at base**(offset + i + 1).

    Of a negative bucket that is the lower end; its upper end is -(base**(offset + i)). Bounds
    belong to the bucket below them in Prometheus, and to the one nearer zero here: for a negative
    value that is exactly a bound this differs, and there is no better translation.
    """
    total = 0
    negative, positive = point.negative, point.positive
    for i in reversed(range(len(negative.bucket_counts))):
        total += negative.bucket_counts[i]
        if total:
            yield -_bound(point.scale, negative.offset + i), total
    if point.zero_count or total:
        total += point.zero_count
        yield 0.0, total
    for i, count in enumerate(positive.bucket_counts):
        total += count
        bound = _bound(point.scale, positive.offset + i + 1)
        if not math.isinf(bound):
            yield bound, total
    yield math.inf, point.count


def _bound(scale: int, index: int) -> float:
    """Return base**index for base = 2**(2**-scale)."""
    try:
        return math.pow(2.0, math.ldexp(index, -scale))
    except OverflowError:
        return math.inf
