"""Living with OpenTelemetry. Each part is imported when it is first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._listener import MetricsListener
    from ._log_closed import ClosedSpanLines
    from ._log_exporter import LogsExporter
    from ._metrics import Metrics
    from ._metrics_exporter import MetricsExporter
    from ._metrics_source import SessionSource

__all__ = (
    "ClosedSpanLines",
    "LogsExporter",
    "Metrics",
    "MetricsExporter",
    "MetricsListener",
    "SessionSource",
)

_MODULES = {
    "ClosedSpanLines": "_log_closed",
    "LogsExporter": "_log_exporter",
    "Metrics": "_metrics",
    "MetricsExporter": "_metrics_exporter",
    "MetricsListener": "_listener",
    "SessionSource": "_metrics_source",
}


if not TYPE_CHECKING:  # a type checker would take it for a promise that every name exists

    def __getattr__(name: str) -> object:
        """Import what is asked for: a session without metrics pays for none."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f".{_MODULES[name]}", __name__), name)
        return value
