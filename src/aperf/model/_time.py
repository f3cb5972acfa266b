"""The tie between the recorder's monotonic clock and wall time."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ("TimeAnchor",)


@dataclass(frozen=True, slots=True)
class TimeAnchor:
    """One instant, read on both clocks.

    Attributes:
        monotonic_ns: the recorder's clock, in ns since an arbitrary start.
        unix_ns: the same instant in ns since 1970-01-01 UTC.
    """

    monotonic_ns: int
    unix_ns: int

    def to_unix_ns(self, monotonic_ns: int) -> int:
        """Return the wall time of an instant of the recorder's clock."""
        return monotonic_ns - self.monotonic_ns + self.unix_ns
