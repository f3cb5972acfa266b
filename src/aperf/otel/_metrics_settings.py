"""How metrics are pushed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from aperf._config import OtlpSettings

__all__ = ("MetricsSettings",)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSettings:
    """Where metrics go as OTLP, how and how often.

    Attributes:
        otlp: where and how; for HTTP, an endpoint without a path means ``/v1/metrics``.
        interval_ns: from one push to the next.
        temporality: whether values are told since the begin or since the last push; what each word
            means is up to OpenTelemetry.
        histograms: the form of histograms.
    """

    otlp: OtlpSettings = field(default_factory=OtlpSettings)
    interval_ns: int = 60 * 10**9
    temporality: Literal["cumulative", "delta", "lowmemory"] = "cumulative"
    histograms: Literal["explicit_bucket_histogram", "base2_exponential_bucket_histogram"] = (
        "explicit_bucket_histogram"
    )
