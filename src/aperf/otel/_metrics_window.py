"""Gauges of what happened lately: between this look and the one before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ._metrics_reading import difference

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._metrics_reading import Attributes, Histograms, Reading, Values

__all__ = ("MIN_WINDOW_NS", "Window")

#: Several readers may look one after the other; each is to see more than the time in between.
MIN_WINDOW_NS: Final = 1_000_000_000

_DELAY: Final = "asyncio.eventloop.delay"
_TIME: Final = "asyncio.eventloop.time"


class Window:
    """Compares readings.

    Args:
        start_ns: begin of the first window.
    """

    def __init__(self, start_ns: int) -> None:
        self._start_ns = start_ns
        self._delays: Histograms = {}
        self._busy: Values = {}
        self._gauges: dict[str, Values] | None = None

    def gauges(self, reading: Reading) -> Mapping[str, Values]:
        """Return the gauges, as of this reading or, right after another one, as they were then."""
        length_ns = reading.time_ns - self._start_ns
        if self._gauges is None or length_ns >= MIN_WINDOW_NS:
            self._gauges = self._compare(reading, max(length_ns, 1))
            self._start_ns = reading.time_ns
            self._delays = dict(reading.histograms.get(_DELAY, {}))
            self._busy = dict(reading.values.get(_TIME, {}))
        return self._gauges

    def _compare(self, reading: Reading, length_ns: int) -> dict[str, Values]:
        gauges: dict[str, Values] = {}

        def put(name: str, key: Attributes, value: float) -> None:
            gauges.setdefault(name, {})[key] = value

        for key, busy_s in reading.values.get(_TIME, {}).items():
            # A step counts when it has ended: a long one may have begun before the window.
            share = (busy_s - self._busy.get(key, 0)) * 1e9 / length_ns
            put("asyncio.eventloop.utilization", key, min(share, 1.0))
        for key, delays in reading.histograms.get(_DELAY, {}).items():
            lately = difference(delays, self._delays.get(key)).distribution()
            if lately.count:
                put(f"{_DELAY}.mean", key, lately.total_ns / lately.count * 1e-9)
                put(f"{_DELAY}.p50", key, lately.p50_ns * 1e-9)
                put(f"{_DELAY}.p90", key, lately.p90_ns * 1e-9)
                put(f"{_DELAY}.p99", key, lately.p99_ns * 1e-9)
                put(f"{_DELAY}.max", key, lately.max_ns * 1e-9)
        return gauges
