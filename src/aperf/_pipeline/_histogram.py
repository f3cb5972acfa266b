"""Durations counted in buckets, so that percentiles of any number of them fit a few kilobytes.

Theory of operation: a duration is cut to its five leading bits, and equal results are counted
together. So there are 16 buckets to each power of two, each at most 1/16 as wide as its lower end;
a percentile is given as the middle of its bucket and is wrong by 1/32 at most. This is the
log-linear scheme of HdrHistogram, with a dict of the buckets that were hit: most places of a
program fill a dozen or two of the 976 that there are.
"""

from __future__ import annotations

from typing import Final

from aperf.model import Distribution

__all__ = ("MASKS", "Histogram", "bucket_of", "bucket_width")

#: Leading bits that tell buckets apart.
_PRECISION: Final = 5

#: By the bit length of a duration (64 at most): the mask that cuts it to its leading bits.
MASKS: Final = tuple(-1 << max(length - _PRECISION, 0) for length in range(65))


def bucket_of(ns: int) -> int:
    """Return the bucket of a duration: the shortest duration that belongs to it.

    `Histogram.add` repeats this expression, and so may any other loop that cannot afford the call.
    """
    return ns & MASKS[ns.bit_length()]


def bucket_width(bucket: int) -> int:
    """Return how many durations belong to a bucket, from its own name upwards."""
    return -MASKS[bucket.bit_length()]


class Histogram:
    """Counts durations from 0 to 2**64 - 1 ns; bounded, however many there are.

    The attributes are open to code that inlines `add`.

    Attributes:
        counts: how many durations fell into each bucket that was hit.
        total_ns: their exact sum.
        max_ns: the longest, exactly.
    """

    __slots__ = ("counts", "max_ns", "total_ns")

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.total_ns = 0
        self.max_ns = 0

    def __len__(self) -> int:
        return sum(self.counts.values())

    def add(self, ns: int) -> None:
        """Count one duration."""
        # Runs at every suspension: 0.2 µs, of which a list instead of the dict would save 0.05
        # and cost 8 kB for each place of the program.
        bucket = ns & MASKS[ns.bit_length()]
        counts = self.counts
        try:
            counts[bucket] += 1
        except KeyError:
            counts[bucket] = 1
        self.total_ns += ns
        if ns > self.max_ns:
            self.max_ns = ns

    def merge(self, other: Histogram) -> None:
        """Count all that another one counted."""
        counts = self.counts
        for bucket, count in other.counts.items():
            counts[bucket] = counts.get(bucket, 0) + count
        self.total_ns += other.total_ns
        self.max_ns = max(self.max_ns, other.max_ns)

    def distribution(self) -> Distribution:
        """Return count, sum, maximum (exact) and percentiles (by nearest rank, within 1/16)."""
        count = len(self)
        p50, p90, p99 = self._percentiles(count, 50, 90, 99)
        return Distribution(
            count=count,
            total_ns=self.total_ns,
            p50_ns=p50,
            p90_ns=p90,
            p99_ns=p99,
            max_ns=self.max_ns,
        )

    def _percentiles(self, count: int, *percents: int) -> list[int]:
        """Return the middle of the bucket in which each of the ascending percentiles lies."""
        result: list[int] = []
        buckets = iter(sorted(self.counts.items()))
        bucket = seen = 0
        for percent in percents:
            rank = -(-count * percent // 100)
            if rank == count:  # the longest one, and that is known exactly
                result.append(self.max_ns)
                continue
            while seen < rank:
                bucket, hits = next(buckets)
                seen += hits
            middle = bucket + bucket_width(bucket) // 2
            result.append(min(middle, self.max_ns))
        return result
