"""Asyncio-native telemetry: every task and every await as a span.

Names are loaded when they are first used: importing aperf costs next to nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing itself takes milliseconds to import
if TYPE_CHECKING:
    from . import exporters, testing
    from ._client import instrument_loop, is_active, uninstrument_loop
    from ._errors import AperfError, ConfigurationError, ExportError, InstrumentationError
    from ._factory import task_factory
    from ._recorder import IMPLEMENTATION
    from ._session import Session, session
    from ._spans import ActiveSpan, current_span, instrument, span

__all__ = (
    "IMPLEMENTATION",
    "ActiveSpan",
    "AperfError",
    "ConfigurationError",
    "ExportError",
    "InstrumentationError",
    "Session",
    "__version__",
    "current_span",
    "exporters",
    "instrument",
    "instrument_loop",
    "is_active",
    "session",
    "span",
    "task_factory",
    "testing",
    "uninstrument_loop",
)

_HOME = {
    "IMPLEMENTATION": "_recorder",
    "ActiveSpan": "_spans",
    "AperfError": "_errors",
    "ConfigurationError": "_errors",
    "ExportError": "_errors",
    "InstrumentationError": "_errors",
    "Session": "_session",
    "current_span": "_spans",
    "instrument": "_spans",
    "instrument_loop": "_client",
    "is_active": "_client",
    "session": "_session",
    "span": "_spans",
    "task_factory": "_factory",
    "uninstrument_loop": "_client",
}
_MODULES = ("exporters", "testing")


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
