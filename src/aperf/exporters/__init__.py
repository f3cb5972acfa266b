"""Destinations for what aperf records. Each is imported when it is first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aperf.model import Exporter

    from .memory import MemoryExporter
    from .opentelemetry import OpenTelemetryExporter
    from .otlp import OtlpExporter
    from .summary import SummaryExporter
    from .tracy import TracyExporter

__all__ = (
    "Exporter",
    "MemoryExporter",
    "OpenTelemetryExporter",
    "OtlpExporter",
    "SummaryExporter",
    "TracyExporter",
)

_MODULES = {
    "Exporter": "aperf.model",
    "MemoryExporter": "aperf.exporters.memory",
    "OpenTelemetryExporter": "aperf.exporters.opentelemetry",
    "OtlpExporter": "aperf.exporters.otlp",
    "SummaryExporter": "aperf.exporters.summary",
    "TracyExporter": "aperf.exporters.tracy",
}


if not TYPE_CHECKING:  # a type checker would take it for a promise that every name exists

    def __getattr__(name: str) -> object:
        """Import what is asked for: the memory exporter needs no gRPC."""
        try:
            module = import_module(_MODULES[name])
        except KeyError:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
        value = globals()[name] = getattr(module, name)
        return value
