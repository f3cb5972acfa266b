"""Where a session delivers to when nobody names a destination, and what destinations are told."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING, Any

from . import exporters, otel
from ._config import resource_attributes
from ._recorder import IMPLEMENTATION
from ._sampling import sampler
from ._version import installed_version
from .exporters._default import DefaultExporter
from .exporters._opentelemetry_provider import application_provider
from .model import SessionInfo
from .otel import MetricsExporter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ._config import Settings
    from .model import Exporter

__all__ = (
    "default_exporters",
    "further_exporters",
    "metrics_among",
    "sampler_for",
    "session_info",
)


def sampler_for(
    settings: Settings, exporters: Sequence[Exporter]
) -> Callable[[int, str], bool] | None:
    """Return what decides about new traces: an exporter that knows better, else the settings."""
    sample = sampler(settings)
    for exporter in exporters:
        follow = getattr(exporter, "sampler", None)
        if follow is not None:
            sample = follow(sample)
    return sample


def session_info(settings: Settings) -> SessionInfo:
    """Return what destinations learn of a session."""
    release = installed_version()
    resource: dict[str, Any] = {
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "aperf",
        "telemetry.sdk.version": release,
        "process.pid": os.getpid(),
        "service.instance.id": str(uuid.uuid4()),
        **dict(resource_attributes(config_file=settings.config_file)),
        "service.name": settings.service_name,
    }
    return SessionInfo(
        service_name=settings.service_name,
        resource=tuple(resource.items()),
        implementation=IMPLEMENTATION,
        version=release,
        sampler=settings.sampler,
        sampler_arg=settings.sampler_arg,
    )


def metrics_among(exporters: Sequence[Exporter]) -> MetricsExporter:
    """Return what takes metrics; where nothing does, one that leaves them to listeners."""
    for exporter in exporters:
        if isinstance(exporter, MetricsExporter):
            return exporter
    return MetricsExporter(application=False)


def default_exporters(settings: Settings, *, summary: bool = False) -> list[Exporter]:
    """Return the destinations that the settings ask for.

    Args:
        settings: what to follow.
        summary: whether the summary is wanted beside another destination too.
    """
    found: list[Exporter] = []
    if settings.enabled:
        otherwise: Exporter | None = None
        if settings.summary != "none":
            otherwise = exporters.SummaryExporter(settings.summary, settings.summary_file)
        if summary and otherwise is not None:
            found.append(otherwise)
            otherwise = None
        if settings.otlp is not None:
            otherwise = exporters.OtlpExporter.from_settings(settings.otlp, settings.limits)
        found.insert(0, DefaultExporter(otherwise))
    if settings.tracy_enabled:
        found.append(exporters.TracyExporter.from_settings(settings))
    if settings.enabled:
        found.append(MetricsExporter(settings.metrics, settings.metrics_listen))
        if settings.log_closed_spans:
            found.append(otel.ClosedSpanLines(settings.log_format))
        if settings.logs is not None:
            found.append(otel.LogsExporter(settings.logs, settings.shutdown_timeout_ns))
    return found


def further_exporters(settings: Settings, served: Settings) -> list[Exporter]:
    """Return the destinations that settings ask for beside those that another session serves.

    Args:
        settings: what to follow.
        served: those of a session that is open for as long as the process lives.
    """
    found: list[Exporter] = []
    if settings.enabled and settings.otlp is None:
        if settings.summary != "none" and application_provider() is None:
            found.append(exporters.SummaryExporter(settings.summary, settings.summary_file))
    elif settings.otlp is not None and settings.otlp != served.otlp:
        found.append(exporters.OtlpExporter.from_settings(settings.otlp, settings.limits))
    if settings.tracy_enabled and not served.tracy_enabled:
        found.append(exporters.TracyExporter.from_settings(settings))
    metrics = settings.metrics if settings.metrics != served.metrics else None
    listen = settings.metrics_listen if settings.metrics_listen != served.metrics_listen else None
    found.append(MetricsExporter(metrics, listen, application=False))
    if settings.log_closed_spans and not served.log_closed_spans:
        found.append(otel.ClosedSpanLines(settings.log_format))
    if settings.logs is not None and settings.logs != served.logs:
        found.append(otel.LogsExporter(settings.logs, settings.shutdown_timeout_ns))
    return found
