"""Where the metrics of calls go: to the program's meter provider, and along with aperf's own.

The program's provider may be set at any time; OpenTelemetry's own proxies see to that. Sessions
that push or serve metrics without it have a provider each, as long as they are open.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from opentelemetry import metrics
from opentelemetry.metrics import Histogram, UpDownCounter

from ._metrics_provider import own_providers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.metrics import Meter, MeterProvider

    from ._metrics_provider import OwnProvider

    Attributes = Mapping[str, str | int]

__all__ = ("SCOPE", "Durations", "InFlight")

#: Name of the instrumentation scope of calls.
SCOPE: Final = "aperf.grpc"

T = TypeVar("T")


class _Everywhere(Generic[T]):
    """An instrument of all providers.

    Args:
        make: makes it with a meter.
        version: of the scope.
        provider: the only provider; None: the global one and those of sessions.
    """

    def __init__(
        self, make: Callable[[Meter], T], version: str, provider: MeterProvider | None
    ) -> None:
        self._make = make
        self._version = version
        self._first = make(metrics.get_meter(SCOPE, version, provider))
        self._is_only = provider is not None
        self._own: weakref.WeakKeyDictionary[OwnProvider, T] = weakref.WeakKeyDictionary()

    def now(self) -> list[T]:
        """Return those of the providers that there are now."""
        if self._is_only:
            return [self._first]
        return [self._first, *map(self._of, own_providers())]

    def _of(self, own: OwnProvider) -> T:
        instrument = self._own.get(own)
        if instrument is None:
            meter = own.provider.get_meter(SCOPE, self._version)
            instrument = self._own[own] = self._make(meter)
            self.begin(instrument)
        return instrument

    def begin(self, instrument: T) -> None:
        """Tell a new one what it has missed."""


class Durations(_Everywhere[Histogram]):
    """How long calls took."""

    def record(self, value: float, attributes: Attributes) -> None:
        """Count a call that has ended."""
        for histogram in self.now():
            histogram.record(value, attributes)


class InFlight(_Everywhere[UpDownCounter]):
    """How many calls are in flight; a session that begins meanwhile is told of them all."""

    def __init__(
        self, make: Callable[[Meter], UpDownCounter], version: str, provider: MeterProvider | None
    ) -> None:
        self._lock = threading.RLock()  # the garbage collector may end a call at any point
        self._counts: dict[frozenset[tuple[str, str | int]], int] = {}
        super().__init__(make, version, provider)

    def add(self, amount: int, attributes: Attributes) -> None:
        """Count a call that begins (1) or ends (-1)."""
        key = frozenset(attributes.items())
        with self._lock:
            for counter in self.now():
                counter.add(amount, attributes)
            self._counts[key] = self._counts.get(key, 0) + amount

    def begin(self, instrument: UpDownCounter) -> None:
        """Tell a new one of the calls that are in flight."""
        for key, count in list(self._counts.items()):
            instrument.add(count, dict(key))
