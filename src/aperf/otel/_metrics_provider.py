"""Meter providers: the program's, which is used where there is one, and one of aperf's own."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricsData
    from opentelemetry.sdk.resources import Resource

    from aperf._config import MetricsSettings
    from aperf.model import SessionInfo

    from ._metrics import Metrics
    from ._metrics_reading import Source

__all__ = ("OwnProvider", "application_provider", "own_providers")

#: Of the sessions that are open. Lists change in one step, so there is no lock that a fork could
#: leave locked.
_open: Final[list[OwnProvider]] = []


def own_providers() -> tuple[OwnProvider, ...]:
    """Return aperf's own providers: of sessions that push or serve their metrics themselves."""
    return tuple(_open)


def application_provider() -> MeterProvider | None:
    """Return the program's own provider, None while it has none that measures anything."""
    # Where the program has not imported the API, it has none: that is not done for it.
    api: Any = sys.modules.get("opentelemetry.metrics")
    get = getattr(api, "get_meter_provider", None)  # another thread may be importing it right now
    if get is None:
        return None
    provider: MeterProvider = get()
    # The API's own ones are a placeholder, and one that does nothing.
    is_api = type(provider).__module__.startswith("opentelemetry.metrics")
    return None if is_api else provider


class OwnProvider:
    """A provider of aperf's own, which is nobody else's: never set globally.

    It has two readers, each with its own view of what was told already: one for pushing and one
    for the listener.

    Args:
        source: the session to show.
        info: its resource.
        push: how metrics are pushed, None if they are not.
    """

    def __init__(self, source: Source, info: SessionInfo, push: MetricsSettings | None) -> None:
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.resources import Resource

        from ._metrics import Metrics

        resource = Resource(dict(info.resource))
        self._scraped = _Reader(resource, source, None)
        self._pushed = None if push is None else _Reader(resource, source, push)
        readers = (self._scraped, self._pushed)
        self.provider: MeterProvider = MeterProvider(
            [reader.reader for reader in readers if reader is not None],
            resource=resource,
            shutdown_on_exit=False,
        )
        self.metrics = Metrics(source, self.provider)
        _open.append(self)

    def close(self) -> None:
        """Take no more values of others; idempotent."""
        if self in _open:
            _open.remove(self)

    def scrape(self) -> MetricsData:
        """Collect for the listener."""
        return self._scraped.collect(self.metrics)

    def collect(self) -> MetricsData | None:
        """Collect for a push."""
        return None if self._pushed is None else self._pushed.collect(self.metrics)


class _Reader:
    """A reader that also gets the histograms."""

    def __init__(self, resource: Resource, source: Source, push: MetricsSettings | None) -> None:
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation

        from ._metrics_histograms import HistogramProducer

        temporality = "cumulative" if push is None else push.temporality
        exponential = push is not None and push.histograms.startswith("base2")
        delta, histogram = _delta_kinds(temporality)
        aggregation = {histogram: ExponentialBucketHistogramAggregation()} if exponential else None
        self.reader = InMemoryMetricReader(delta, aggregation)  # type: ignore[arg-type]
        self._producer = HistogramProducer(
            resource,
            source.started_unix_ns,
            delta=histogram in delta,
            exponential=exponential,
        )

    def collect(self, metrics: Metrics) -> MetricsData:
        return self._producer.add(self.reader.get_metrics_data(), metrics.reading())


def _delta_kinds(preference: str) -> tuple[dict[type, Any], type]:
    """Return the instruments that are told as differences, and the class of histograms."""
    from opentelemetry.sdk.metrics import Counter, Histogram, ObservableCounter
    from opentelemetry.sdk.metrics.export import AggregationTemporality

    kinds: dict[str, tuple[type, ...]] = {
        "cumulative": (),
        "lowmemory": (Counter, Histogram),
        "delta": (Counter, Histogram, ObservableCounter),
    }
    return dict.fromkeys(kinds[preference], AggregationTemporality.DELTA), Histogram
