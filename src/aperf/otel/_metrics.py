"""aperf's metrics as instruments of a meter provider.

Theory of operation. All instruments are observable: they cost nothing until somebody collects, and
then they are read on the collecting thread, all of one collection from one reading of the session.
Instruments cannot be taken off a provider again, and a program may open one session after the
other; so there is one set of instruments for each provider, and sessions take turns behind it. What
ended sessions have counted stays in, since a counter must not fall.
"""

from __future__ import annotations

import threading
import time
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from aperf._version import installed_version

from ._metrics_process import process_values
from ._metrics_reading import Reading
from ._metrics_table import INSTRUMENTS
from ._metrics_window import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation

    from ._metrics_reading import Source, Values
    from ._metrics_table import Metric

__all__ = ("SCOPE", "Metrics")

#: Name of aperf's instrumentation scope.
SCOPE: Final = "aperf"
#: Instruments of one collection are asked one after the other: that long they share a reading.
SHARED_NS: Final = 50_000_000

_COUNTERS: Final = frozenset(
    metric.name
    for metric in INSTRUMENTS
    if metric.kind == "counter" and not metric.name.startswith("cpython.")
)


class _Instruments:
    """The instruments of one provider, and the session that they show."""

    def __init__(self, meter: Meter) -> None:
        self._lock = threading.RLock()
        self._sources: list[Source] = []
        self._window: Window | None = None
        self._before: dict[str, Values] = {}  # what earlier sessions counted
        self._shown: Mapping[str, Values] = {}
        self._reading = Reading(time_ns=0)
        for metric in INSTRUMENTS:
            _CREATE[metric.kind](meter, metric, partial(self._observe, metric.name))

    def _observe(self, name: str, options: CallbackOptions) -> Iterable[Observation]:
        from opentelemetry.metrics import Observation

        values = self.values().get(name, {})
        return [Observation(value, dict(key)) for key, value in values.items()]

    def values(self) -> Mapping[str, Values]:
        """Return the values of all instruments."""
        with self._lock:
            self._renew()
            return self._shown

    def reading(self) -> Reading:
        """Return what they were made from."""
        with self._lock:
            self._renew()
            return self._reading

    def _renew(self) -> None:
        if not self._shown or time.monotonic_ns() - self._reading.time_ns >= SHARED_NS:
            self._shown = self._read()

    def refresh(self) -> None:
        """Have the next collection read anew."""
        with self._lock:
            self._shown = {}

    def _read(self) -> dict[str, Values]:
        if not self._sources:
            # Of sessions that are over only the counters still say something.
            self._reading = Reading(time_ns=time.monotonic_ns())
            return dict(self._before)
        if self._window is None:
            self._window = Window(self._sources[0].started_ns)
        reading = self._reading = self._sources[0].read()
        values = {**reading.values, **self._window.gauges(reading), **process_values()}
        for name in _COUNTERS:
            values[name] = _sum(values.get(name, {}), self._before.get(name, {}), 1)
        return values

    def add(self, source: Source) -> None:
        """Show a session as soon as no earlier one is open."""
        with self._lock:
            self._sources.append(source)
            if len(self._sources) == 1:
                self._begin()

    def remove(self, source: Source) -> None:
        """Show the next session, which counts on from where this one ends."""
        with self._lock:
            if source not in self._sources:
                return
            was_shown = source is self._sources[0]
            if was_shown:
                values = self._read()
                self._before = {name: values[name] for name in _COUNTERS}
            self._sources.remove(source)
            if was_shown:
                self._begin()

    def forget(self) -> None:
        """Show nothing, as in a forked child, where the lock may be held by a thread that is gone.

        Not what the parent counted either: it goes on to tell that itself.
        """
        self._lock = threading.RLock()
        self._sources, self._before, self._shown = [], {}, {}

    def _begin(self) -> None:
        self._shown, self._window = {}, None
        if self._sources and self._before:  # what it counted beside the others is in already
            values = self._sources[0].read().values
            self._before = {
                name: _sum(self._before.get(name, {}), values.get(name, {}), -1)
                for name in _COUNTERS
            }


def _sum(values: Values, others: Values, sign: int) -> Values:
    keys = values.keys() | others.keys()
    return {key: values.get(key, 0) + sign * others.get(key, 0) for key in keys}


_CREATE: Final[Mapping[str, Callable[[Meter, Metric, Any], object]]] = {
    "counter": lambda meter, metric, callback: meter.create_observable_counter(
        metric.name, [callback], metric.unit, metric.description
    ),
    "up_down_counter": lambda meter, metric, callback: meter.create_observable_up_down_counter(
        metric.name, [callback], metric.unit, metric.description
    ),
    "gauge": lambda meter, metric, callback: meter.create_observable_gauge(
        metric.name, [callback], metric.unit, metric.description
    ),
}

_lock = threading.Lock()
_known: weakref.WeakKeyDictionary[MeterProvider, _Instruments] = weakref.WeakKeyDictionary()


def _instruments_of(provider: MeterProvider) -> _Instruments:
    with _lock:
        instruments = _known.get(provider)
        if instruments is None:
            instruments = _Instruments(provider.get_meter(SCOPE, installed_version()))
            _known[provider] = instruments
        return instruments


class Metrics:
    """Shows a session through the instruments of a meter provider, until it is closed.

    A provider shows one session at a time: of several, the one that began first.

    Args:
        source: the session.
        provider: a meter provider of any kind.
    """

    def __init__(self, source: Source, provider: MeterProvider) -> None:
        source.measure()
        self._source = source
        self._instruments = _instruments_of(provider)
        self._instruments.add(source)

    def reading(self) -> Reading:
        """Return what the last collection was made from, or what one would be made from now."""
        return self._instruments.reading()

    def refresh(self) -> None:
        """Have the next collection read anew, however short the last one is ago."""
        self._instruments.refresh()

    def close(self) -> None:
        """Leave the instruments to other sessions; what was counted stays. Idempotent."""
        self._instruments.remove(self._source)

    def forget_after_fork(self) -> None:
        """Leave the session to the parent process."""
        self._instruments.forget()
