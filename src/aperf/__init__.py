"""Asyncio-native telemetry: every task and every await as a span.

Names are loaded when they are first used: importing aperf costs next to nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing itself takes milliseconds to import
if TYPE_CHECKING:
    from . import exporters, locks, testing
    from ._client import instrument_loop, is_active, uninstrument_loop
    from ._config import Filter, Settings
    from ._errors import AperfError, ConfigurationError, ExportError, InstrumentationError
    from ._events import (
        frame_image,
        frame_mark,
        gpu_context,
        memory_pool,
        message,
        plot,
        sample_stacks,
        subframe,
        track_allocations,
    )
    from ._factory import task_factory
    from ._propagation import (
        TraceHeaders,
        current_trace_headers,
        current_trace_id,
        current_tracing_session,
        tracing_session,
        wrap,
    )
    from ._pytracy import pytracy_zones
    from ._recorder import IMPLEMENTATION
    from ._session import Session, session
    from ._spans import ActiveSpan, current_span, instrument, span

__all__ = (
    "IMPLEMENTATION",
    "ActiveSpan",
    "AperfError",
    "ConfigurationError",
    "ExportError",
    "Filter",
    "InstrumentationError",
    "Session",
    "Settings",
    "TraceHeaders",
    "__version__",
    "current_span",
    "current_trace_headers",
    "current_trace_id",
    "current_tracing_session",
    "exporters",
    "frame_image",
    "frame_mark",
    "gpu_context",
    "instrument",
    "instrument_loop",
    "is_active",
    "locks",
    "memory_pool",
    "message",
    "plot",
    "pytracy_zones",
    "sample_stacks",
    "session",
    "span",
    "subframe",
    "task_factory",
    "testing",
    "tracing_session",
    "track_allocations",
    "uninstrument_loop",
    "wrap",
)

_HOME = {
    "IMPLEMENTATION": "_recorder",
    "ActiveSpan": "_spans",
    "AperfError": "_errors",
    "ConfigurationError": "_errors",
    "ExportError": "_errors",
    "Filter": "_config",
    "InstrumentationError": "_errors",
    "Session": "_session",
    "Settings": "_config",
    "current_span": "_spans",
    "TraceHeaders": "_propagation",
    "current_trace_headers": "_propagation",
    "current_trace_id": "_propagation",
    "current_tracing_session": "_propagation",
    "tracing_session": "_propagation",
    "wrap": "_propagation",
    "frame_image": "_events",
    "frame_mark": "_events",
    "gpu_context": "_events",
    "memory_pool": "_events",
    "message": "_events",
    "plot": "_events",
    "sample_stacks": "_events",
    "subframe": "_events",
    "track_allocations": "_events",
    "instrument": "_spans",
    "instrument_loop": "_client",
    "is_active": "_client",
    "pytracy_zones": "_pytracy",
    "session": "_session",
    "span": "_spans",
    "task_factory": "_factory",
    "uninstrument_loop": "_client",
}
_MODULES = ("exporters", "grpc", "locks", "logging", "testing")


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name == "__version__":
        from ._version import installed_version

        return installed_version()
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
