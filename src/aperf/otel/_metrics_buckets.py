"""From aperf's histograms, with 16 buckets to each power of two, to OpenTelemetry's two kinds.

A bucket goes as a whole to where its middle belongs. So a duration within 1/32 of a boundary may be
counted on the other side of it; count, sum and maximum are exact.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import TYPE_CHECKING, Final, NamedTuple

from aperf._pipeline._histogram import bucket_width

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aperf._pipeline._histogram import Histogram

__all__ = ("BOUNDS_S", "Exponential", "explicit", "exponential", "least_s")

#: Upper ends of explicit buckets: from a loop that is idle to one that hangs.
BOUNDS_S: Final = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
    0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
)  # fmt: skip

_BOUNDS_NS: Final = tuple(round(bound * 1e9) for bound in BOUNDS_S)

#: OpenTelemetry's default for the number of buckets.
MAX_BUCKETS: Final = 160
#: Eight buckets to each power of two: finer ones would claim more than is known.
MAX_SCALE: Final = 3


class Exponential(NamedTuple):
    """Counts in buckets of which each ends at 2**(2**-scale) times the end of the one before."""

    scale: int
    zeros: int
    offset: int  #: the first bucket begins at base**offset seconds
    counts: tuple[int, ...]


def _middles(histogram: Histogram) -> Iterator[tuple[int, int]]:
    """Yield duration and count, in ns."""
    for bucket, count in histogram.counts.items():
        yield bucket + (bucket_width(bucket) - 1) // 2, count


def least_s(histogram: Histogram) -> float:
    """Return the shortest duration, rounded down within 1/16."""
    return min(histogram.counts, default=0) * 1e-9


def explicit(histogram: Histogram) -> list[int]:
    """Return how many durations are in each of the buckets of `BOUNDS_S`, and above them."""
    counts = [0] * (len(BOUNDS_S) + 1)
    for middle_ns, count in _middles(histogram):
        counts[bisect_left(_BOUNDS_NS, middle_ns)] += count
    return counts


def exponential(histogram: Histogram) -> Exponential:
    """Return the same in exponential buckets, as fine as `MAX_BUCKETS` allow."""
    zeros, finest = 0, dict[int, int]()
    for middle_ns, count in _middles(histogram):
        if middle_ns == 0:
            zeros += count
            continue
        index = math.ceil(math.log2(middle_ns * 1e-9) * 2**MAX_SCALE) - 1
        finest[index] = finest.get(index, 0) + count
    if not finest:
        return Exponential(MAX_SCALE, zeros, 0, ())
    coarser = 0
    while (max(finest) >> coarser) - (min(finest) >> coarser) >= MAX_BUCKETS:
        coarser += 1
    offset = min(finest) >> coarser
    counts = [0] * ((max(finest) >> coarser) - offset + 1)
    for index, count in finest.items():
        counts[(index >> coarser) - offset] += count
    return Exponential(MAX_SCALE - coarser, zeros, offset, tuple(counts))
