"""What became of viewers and of what they were to be shown."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ("Counters", "TracyStatistics")


class TracyStatistics(NamedTuple):
    """Counters of a Tracy exporter since it started."""

    viewers: int = 0  #: that were served
    refused: int = 0  #: connections that were not: busy, another version, no viewer at all
    gaps: int = 0  #: times at which a viewer was so slow that records were dropped
    dropped_records: int = 0  #: by those
    repairs: int = 0  #: events left out or added, because a viewer would have failed
    faults: int = 0  #: of aperf's own; each costs a viewer its connection


class Counters:
    """What is counted on the viewers' thread."""

    __slots__ = ("faults", "refused", "repairs", "viewers")

    def __init__(self) -> None:
        self.viewers = 0
        self.refused = 0
        self.repairs = 0
        self.faults = 0
