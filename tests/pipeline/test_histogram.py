from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aperf._pipeline._histogram import Histogram, bucket_of, bucket_width
from aperf.model import Distribution

LONGEST = 2**63

# Evenly spread integers would nearly all be huge: choose the magnitude first.
durations = st.integers(0, 63).flatmap(lambda bits: st.integers(0, 2**bits))
samples = st.lists(durations, max_size=200)


def histogram_of(values: list[int]) -> Histogram:
    """Return a histogram of these durations."""
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


def nearest_rank(values: list[int], percent: int) -> int:
    """Return the exact percentile as the textbook defines it."""
    rank = math.ceil(len(values) * percent / 100)
    return sorted(values)[rank - 1]


def state(histogram: Histogram) -> tuple[dict[int, int], int, int]:
    """Return all that a histogram knows."""
    return histogram.counts, histogram.total_ns, histogram.max_ns


def test_empty() -> None:
    """A histogram of nothing is a distribution of zeros."""
    assert Distribution() == Histogram().distribution()


@pytest.mark.parametrize("value", [0, 1, 15, 16, 31, 32, 33, 10**9, LONGEST - 1, LONGEST])
def test_a_single_value_is_exact(value: int) -> None:
    """One duration is its own maximum, and so every percentile of it is exact."""
    expected = Distribution(
        count=1, total_ns=value, p50_ns=value, p90_ns=value, p99_ns=value, max_ns=value
    )
    assert expected == histogram_of([value]).distribution()


@given(st.lists(durations, min_size=1, max_size=200))
def test_percentiles_are_within_the_stated_error(values: list[int]) -> None:
    """Count, sum and maximum are exact; percentiles are within 1/16 of the nearest rank's."""
    found = histogram_of(values).distribution()
    assert (len(values), sum(values), max(values)) == (found.count, found.total_ns, found.max_ns)
    for percent, value in ((50, found.p50_ns), (90, found.p90_ns), (99, found.p99_ns)):
        exact = nearest_rank(values, percent)
        assert abs(value - exact) * 16 <= exact


@given(st.lists(durations, min_size=1, max_size=200))
def test_percentiles_are_in_order(values: list[int]) -> None:
    """A higher percentile is never shorter, and none exceeds the maximum."""
    found = histogram_of(values).distribution()
    ordered = [found.p50_ns, found.p90_ns, found.p99_ns, found.max_ns]
    assert sorted(ordered) == ordered


@given(samples, samples)
def test_merging_equals_adding_all(left: list[int], right: list[int]) -> None:
    """Two merged histograms know what one histogram of all durations knows."""
    merged = histogram_of(left)
    merged.merge(histogram_of(right))
    assert state(histogram_of(left + right)) == state(merged)


def test_merging_leaves_the_other_alone() -> None:
    """A histogram that was merged into another one still knows its own durations only."""
    other = histogram_of([5])
    target = Histogram()
    target.merge(other)
    target.add(5)
    assert ({5: 1}, 5, 5) == state(other)


@given(durations)
def test_add_uses_the_bucket_function(value: int) -> None:
    """The lines inlined in `add` agree with `bucket_of`."""
    assert {bucket_of(value): 1} == histogram_of([value]).counts


@given(durations)
def test_buckets_are_narrow(value: int) -> None:
    """A duration lies in its bucket, which is at most 1/16 as wide as its lower end."""
    bucket = bucket_of(value)
    assert bucket <= value < bucket + bucket_width(bucket)
    assert (bucket_width(bucket) - 1) * 16 <= bucket


def all_buckets() -> list[int]:
    """Return each bucket, found by stepping over the one before it."""
    buckets = [0]
    while (following := buckets[-1] + bucket_width(buckets[-1])) < 2**64:
        buckets.append(following)
    return buckets


def test_buckets_follow_one_another_without_gap() -> None:
    """Each bucket begins where the one before it ends."""
    buckets = all_buckets()
    assert buckets == [bucket_of(bucket) for bucket in buckets]


def test_memory_is_bounded() -> None:
    """However different the durations are, fewer than 1024 buckets are ever touched."""
    chance = random.Random(1)
    histogram = histogram_of([chance.getrandbits(chance.randrange(65)) for _ in range(50_000)])
    assert 50_000 == len(histogram)
    assert histogram.counts.keys() <= set(all_buckets())
    assert 976 == len(all_buckets())
