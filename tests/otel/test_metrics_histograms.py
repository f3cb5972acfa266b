from __future__ import annotations

import math
from bisect import bisect_left
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
    MetricsData,
)
from opentelemetry.sdk.metrics.export import Histogram as ExplicitHistogram
from opentelemetry.sdk.resources import Resource

from aperf._pipeline._histogram import Histogram
from aperf.otel._metrics_buckets import BOUNDS_S, MAX_BUCKETS, explicit, exponential
from aperf.otel._metrics_histograms import HistogramProducer
from aperf.otel._metrics_reading import Reading, copy_of, difference
from aperf.otel._metrics_window import MIN_WINDOW_NS, Window

DURATIONS = st.lists(st.integers(0, 10**13), max_size=50)
DELAY = "asyncio.eventloop.delay"
MAIN = (("thread.name", "MainThread"),)


def histogram_of(*durations_ns: int) -> Histogram:
    """Return a histogram of some durations."""
    histogram = Histogram()
    for duration_ns in durations_ns:
        histogram.add(duration_ns)
    return histogram


def reading_of(*durations_ns: int, time_ns: int = 0, busy_s: float = 0) -> Reading:
    """Return a reading with these delays."""
    return Reading(
        time_ns=time_ns,
        values={"asyncio.eventloop.time": {MAIN: busy_s}},
        histograms={DELAY: {MAIN: histogram_of(*durations_ns)}},
    )


@given(DURATIONS)
def test_explicit_buckets_hold_every_duration(durations_ns: list[int]) -> None:
    """Each duration is in its bucket, or next to it if within 1/16 of the boundary."""
    counts = explicit(histogram_of(*durations_ns))
    assert len(durations_ns) == sum(counts)
    for factor, compare in ((16 / 17, "ge"), (17 / 16, "le")):
        moved = [0] * len(counts)
        for duration_ns in durations_ns:
            moved[bisect_left(BOUNDS_S, duration_ns * factor * 1e-9)] += 1
        for end in range(1, len(counts)):
            expected, found = sum(moved[:end]), sum(counts[:end])
            assert found <= expected if compare == "ge" else found >= expected


def test_durations_away_from_boundaries_are_counted_exactly() -> None:
    """Durations in the middle of explicit buckets are where they belong."""
    middles_ns = [round((low + high) / 2 * 1e9) for low, high in pairwise((0, *BOUNDS_S))]
    counts = explicit(histogram_of(*middles_ns, 10**12))
    assert [1] * (len(BOUNDS_S) + 1) == counts


@given(DURATIONS)
def test_exponential_buckets_hold_every_duration(durations_ns: list[int]) -> None:
    """There are never too many buckets, and together they reach from the least to the longest."""
    result = exponential(histogram_of(*durations_ns))
    assert durations_ns.count(0) == result.zeros
    assert len(durations_ns) - result.zeros == sum(result.counts)
    assert len(result.counts) <= MAX_BUCKETS
    positive = [duration_ns * 1e-9 for duration_ns in durations_ns if duration_ns]
    if positive:
        base = 2 ** (2**-result.scale)
        assert base**result.offset <= min(positive) * 17 / 16
        assert max(positive) <= base ** (result.offset + len(result.counts)) * 17 / 16


@pytest.mark.parametrize("duration_ns", [1, 15, 999, 10**6, 123_456_789, 10**12])
def test_one_duration_is_in_one_exponential_bucket(duration_ns: int) -> None:
    """The bucket's ends are on both sides of it, within the precision of 1/16."""
    result = exponential(histogram_of(duration_ns))
    assert (1,) == result.counts
    base = 2 ** (2**-result.scale)
    assert (
        base**result.offset * 16 / 17 < duration_ns * 1e-9 <= base ** (result.offset + 1) * 17 / 16
    )


@given(DURATIONS, DURATIONS)
def test_the_difference_of_two_moments_is_what_came_between(old: list[int], new: list[int]) -> None:
    """Counts and sums of a difference are exact, and the longest is within a bucket."""
    between = difference(histogram_of(*old, *new), histogram_of(*old))
    assert histogram_of(*new).counts == between.counts
    assert sum(new) == between.total_ns
    if new:
        assert max(new) * 16 / 17 <= between.max_ns <= max(new)


def test_a_copy_stands_still() -> None:
    """What is counted later is not in a copy."""
    histogram = histogram_of(1)
    copy = copy_of([histogram])
    histogram.add(2)
    assert (1, 1) == (len(copy), copy.total_ns)


def produced(producer: HistogramProducer, reading: Reading) -> Metric | None:
    """Return the one metric that a producer makes of a reading, None for none."""
    data = producer.add(MetricsData(resource_metrics=[]), reading)
    (resource_metrics,) = data.resource_metrics
    found = [metric for scope in resource_metrics.scope_metrics for metric in scope.metrics]
    return found[0] if found else None


def test_cumulative_histograms_are_told_whole_each_time() -> None:
    """Count, sum and maximum are exact, and the begin is that of the session."""
    producer = HistogramProducer(Resource({}), 77, delta=False, exponential=False)
    for durations in ((1_000_000,), (1_000_000, 2_000_000)):
        metric = produced(producer, reading_of(*durations))
        assert metric is not None
        assert isinstance(metric.data, ExplicitHistogram)
        assert AggregationTemporality.CUMULATIVE == metric.data.aggregation_temporality
        (point,) = metric.data.data_points
        assert isinstance(point, HistogramDataPoint)
        assert len(durations) == point.count == sum(point.bucket_counts)
        assert math.isclose(sum(durations) * 1e-9, point.sum)
        assert math.isclose(max(durations) * 1e-9, point.max)
        assert 77 == point.start_time_unix_nano
        assert {"thread.name": "MainThread"} == point.attributes


def test_deltas_are_told_once() -> None:
    """With delta temporality only what is new is told, from the last time on; else nothing."""
    producer = HistogramProducer(Resource({}), 77, delta=True, exponential=True)
    first = produced(producer, reading_of(10, 20))
    second = produced(producer, reading_of(10, 20, 30))
    assert first is not None
    assert second is not None
    assert isinstance(second.data, ExponentialHistogram)
    assert AggregationTemporality.DELTA == second.data.aggregation_temporality
    (before,), (point,) = first.data.data_points, second.data.data_points
    assert isinstance(before, ExponentialHistogramDataPoint)
    assert isinstance(point, ExponentialHistogramDataPoint)
    assert 1 == point.count
    assert math.isclose(30e-9, point.sum)
    assert before.time_unix_nano == point.start_time_unix_nano
    assert produced(producer, reading_of(10, 20, 30)) is None


def test_gauges_are_of_what_came_since_the_last_look() -> None:
    """Percentiles and utilisation forget what an earlier look has shown."""
    window = Window(0)
    first = window.gauges(reading_of(10**9, time_ns=2 * MIN_WINDOW_NS, busy_s=1.5))
    assert 0.75 == first["asyncio.eventloop.utilization"][MAIN]
    assert 1.0 == first[f"{DELAY}.max"][MAIN]
    second = window.gauges(reading_of(10**9, 10**6, time_ns=4 * MIN_WINDOW_NS, busy_s=9))
    assert 1.0 == second["asyncio.eventloop.utilization"][MAIN]
    assert math.isclose(1e-3, second[f"{DELAY}.max"][MAIN], rel_tol=1 / 16)
    assert math.isclose(1e-3, second[f"{DELAY}.mean"][MAIN])
    third = window.gauges(reading_of(10**9, 10**6, time_ns=6 * MIN_WINDOW_NS, busy_s=9))
    assert 0.0 == third["asyncio.eventloop.utilization"][MAIN]
    assert f"{DELAY}.max" not in third


def test_a_second_look_right_after_sees_the_same() -> None:
    """A reader that comes right after another one is not told of the moment in between."""
    window = Window(0)
    first = window.gauges(reading_of(10**9, time_ns=2 * MIN_WINDOW_NS, busy_s=1))
    assert first is window.gauges(reading_of(time_ns=2 * MIN_WINDOW_NS + 1, busy_s=1))
