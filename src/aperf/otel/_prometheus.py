"""Collected metrics as text: Prometheus' format 0.0.4, and OpenMetrics 1.0.

OpenTelemetry's own exporter for Prometheus fails on exponential histograms, and with one of them
the whole scrape.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from opentelemetry.sdk.metrics.export import (
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Sum,
)

from ._prometheus_buckets import explicit_buckets, exponential_buckets
from ._prometheus_names import family_name, label_text, labels_of, unit_word

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.sdk.metrics.export import Metric, MetricsData, NumberDataPoint
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

__all__ = ("OPENMETRICS", "TEXT", "Format", "exposition")

_log = logging.getLogger("aperf")


class Format(NamedTuple):
    """A way to write metrics down."""

    content_type: str
    is_openmetrics: bool


TEXT: Final = Format("text/plain; version=0.0.4; charset=utf-8", False)
OPENMETRICS: Final = Format("application/openmetrics-text; version=1.0.0; charset=utf-8", True)


@dataclass(slots=True)
class _Family:
    """All series of one name, which may come from several scopes."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    help: str
    samples: list[str] = field(default_factory=list)


def exposition(data: MetricsData, form: Format) -> str:
    """Return all metrics as text."""
    families: dict[str, _Family] = {}
    lines: list[str] = []
    for resource_metrics in data.resource_metrics:
        lines += _target(resource_metrics.resource, form)
        for scope_metrics in resource_metrics.scope_metrics:
            scope = _scope_labels(scope_metrics.scope)
            for metric in scope_metrics.metrics:
                _add(families, metric, scope, form)
    for family in families.values():
        lines += _written(family, form)
    if form.is_openmetrics:
        lines.append("# EOF")
    return "\n".join(lines) + "\n"


def _scope_labels(scope: InstrumentationScope) -> dict[str, str]:
    labels = {"otel_scope_name": scope.name}
    return {**labels, "otel_scope_version": scope.version} if scope.version else labels


def _target(resource: Resource, form: Format) -> list[str]:
    """Return the attributes of the process, as a series of their own."""
    labels = label_text(labels_of(resource.attributes))
    if not labels:
        return []
    name, kind = ("target", "info") if form.is_openmetrics else ("target_info", "gauge")
    return [
        f"# TYPE {name} {kind}",
        f"# HELP {name} Target metadata",
        f"target_info{labels} 1",
    ]


def _add(
    families: dict[str, _Family], metric: Metric, scope: Mapping[str, str], form: Format
) -> None:
    kind = _kind(metric)
    unit = unit_word(metric.unit or "", is_gauge=kind == "gauge")
    name = family_name(metric.name, unit, is_counter=kind == "counter")
    family = families.setdefault(name, _Family(name, kind, unit, metric.description or ""))
    if family.kind != kind:  # the format allows one of them
        _log.warning("aperf: metric %s is both %s and %s; the latter is left out",
                     name, family.kind, kind)  # fmt: skip
        return
    for point in metric.data.data_points:
        labels = {**labels_of(point.attributes or {}), **scope}
        if isinstance(point, HistogramDataPoint | ExponentialHistogramDataPoint):
            family.samples += _histogram(name, labels, point, form)
        else:
            family.samples.append(_number(name, kind, labels, point))


def _kind(metric: Metric) -> Literal["counter", "gauge", "histogram"]:
    data = metric.data
    if isinstance(data, Histogram | ExponentialHistogram):
        return "histogram"
    assert isinstance(data, Sum | Gauge)
    return "counter" if isinstance(data, Sum) and data.is_monotonic else "gauge"


def _number(name: str, kind: str, labels: Mapping[str, str], point: NumberDataPoint) -> str:
    suffix = "_total" if kind == "counter" else ""
    return f"{name}{suffix}{label_text(labels)} {_float(point.value)}"


def _histogram(
    name: str,
    labels: Mapping[str, str],
    point: HistogramDataPoint | ExponentialHistogramDataPoint,
    form: Format,
) -> Iterator[str]:
    if isinstance(point, HistogramDataPoint):
        buckets = explicit_buckets(point)
    else:
        buckets = exponential_buckets(point)
    has_negative = False
    for bound, count in buckets:
        has_negative |= bound < 0
        yield f"{name}_bucket{label_text({**labels, 'le': _float(float(bound))})} {count}"
    if has_negative and form.is_openmetrics:
        return  # which has no sum then, since that would be no counter, and no count without it
    yield f"{name}_sum{label_text(labels)} {_float(point.sum)}"
    yield f"{name}_count{label_text(labels)} {point.count}"


def _written(family: _Family, form: Format) -> Iterator[str]:
    if not family.samples:
        return
    total = "_total" if family.kind == "counter" and not form.is_openmetrics else ""
    yield f"# TYPE {family.name}{total} {family.kind}"
    if form.is_openmetrics and family.unit:
        yield f"# UNIT {family.name} {family.unit}"
    if family.help:
        yield f"# HELP {family.name}{total} {_help(family.help, form)}"
    yield from family.samples


def _help(text: str, form: Format) -> str:
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    return text.replace('"', r"\"") if form.is_openmetrics else text


def _float(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)
