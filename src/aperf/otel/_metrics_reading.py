"""What all metrics of one source were at one moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

from aperf._pipeline._histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ("Attributes", "Histograms", "Reading", "Source", "Values", "copy_of", "difference")

Attributes: TypeAlias = "tuple[tuple[str, str | int | bool], ...]"
Values: TypeAlias = dict[Attributes, float]
Histograms: TypeAlias = dict[Attributes, Histogram]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The metrics of a session.

    Attributes:
        time_ns: when, by `time.monotonic_ns`.
        values: of counters and gauges by name.
        histograms: copies, by name; they stand still.
    """

    time_ns: int
    values: Mapping[str, Values] = field(default_factory=dict)
    histograms: Mapping[str, Histograms] = field(default_factory=dict)


class Source(Protocol):
    """What metrics are taken from."""

    @property
    def started_unix_ns(self) -> int:
        """Since when it counts, in wall time."""

    @property
    def started_ns(self) -> int:
        """Since when steps count, by `time.monotonic_ns`."""

    def measure(self) -> object:
        """Count from now on also what costs something to count; reading does so, too."""

    def read(self) -> Reading:
        """Say how things are (any thread but that of a watched loop)."""


def copy_of(histograms: Iterable[Histogram]) -> Histogram:
    """Return one histogram of all that these counted."""
    copy = Histogram()
    for histogram in histograms:
        copy.merge(histogram)
    return copy


def difference(later: Histogram, earlier: Histogram | None) -> Histogram:
    """Return what was counted between two moments; the longest of it is known by its bucket."""
    if earlier is None:
        return later
    result = Histogram()
    result.total_ns = later.total_ns - earlier.total_ns
    for bucket, count in later.counts.items():
        count -= earlier.counts.get(bucket, 0)
        if count > 0:
            result.counts[bucket] = count
    if result.counts:
        longest = max(result.counts)
        # If nothing longer came before, the longest ever is the one.
        result.max_ns = later.max_ns if later.max_ns > earlier.max_ns else longest
    return result
