"""What aperf offers to others, name by name: whoever adds or removes one changes this list."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path
from typing import Final

import pytest

import aperf
from tests.programs import run_program

OFFERED: Final = {
    "aperf": [
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
    ],
    "aperf.grpc": ["client_interceptors", "server_interceptors"],
    "aperf.locks": ["ThreadLock", "ThreadRLock", "WatchedLock", "watch"],
    "aperf.exporters": [
        "Exporter",
        "MemoryExporter",
        "OpenTelemetryExporter",
        "OtlpExporter",
        "SummaryExporter",
        "TracyExporter",
    ],
    "aperf.logging": [
        "Handle",
        "LineFormatter",
        "SpanEventHandler",
        "TraceContextFilter",
        "add_trace_context",
        "install",
    ],
    "aperf.model": [
        "WAIT_KINDS",
        "WIDTH",
        "AttributeValue",
        "Attributes",
        "AwaitSite",
        "Category",
        "Chunk",
        "Column",
        "CoroutineTotals",
        "Detail",
        "Distribution",
        "Event",
        "ExceptionCount",
        "ExportResult",
        "Exporter",
        "ExporterStatistics",
        "Flag",
        "Link",
        "LongStep",
        "RecordTables",
        "SessionInfo",
        "Site",
        "Span",
        "SpanBatch",
        "SpanContext",
        "Statistics",
        "StatusCode",
        "Summary",
        "Template",
        "ThreadInfo",
        "TimeAnchor",
        "UnfinishedTask",
        "WaitKind",
        "WaitTotals",
    ],
    "aperf.testing": ["Capture", "ManualClock", "capture"],
}
#: Parameters of what is called most, with their defaults: they are a promise, too.
SIGNATURES: Final = {
    "session": (
        "(*, enabled: 'bool | None' = None, service_name: 'str | None' = None, "
        "exporters: 'Sequence[Exporter] | None' = None, "
        "loops: \"Literal['current', 'all'] | None\" = None, "
        "awaits: \"Literal['suspended', 'all'] | None\" = None, "
        "handle_signals: 'bool' = False, settings: 'Settings | None' = None) -> 'Session'"
    ),
    "instrument_loop": "(loop: 'Any' = None, **options: 'Any') -> 'Session'",
    "uninstrument_loop": "(loop: 'Any' = None) -> 'None'",
    "is_active": "() -> 'bool'",
    "span": "(name: 'str', /, **attributes: 'object') -> 'ActiveSpan'",
    "current_span": "() -> 'ActiveSpan'",
}
REFERENCE: Final = Path(__file__).parent.parent / "docs" / "reference" / "python-api.md"


@pytest.mark.parametrize("module", OFFERED)
def test_offered(module: str) -> None:
    """`__all__` is a tuple of exactly the names that are stored here, and all of them exist."""
    found = importlib.import_module(module)
    assert isinstance(found.__all__, tuple)
    assert sorted(OFFERED[module]) == sorted(found.__all__)
    for name in found.__all__:
        assert getattr(found, name) is not None
    assert set(found.__all__) <= set(dir(found))


@pytest.mark.parametrize("module", OFFERED)
def test_nothing_else_looks_public(module: str) -> None:
    """A module shows no other names that do not begin with an underscore, save submodules."""
    program = f"""
        import importlib, sys, types
        module = importlib.import_module({module!r})
        others = [name for name in vars(module) if not name.startswith("_")]
        print(*sorted(
            name for name in others
            if name not in module.__all__
            and not isinstance(getattr(module, name), types.ModuleType)
            and name not in ("annotations", "TYPE_CHECKING")
            and getattr(getattr(module, name), "__module__", "").startswith({module!r})
        ))
    """
    assert ("\n", "", 0) == run_program(program)


@pytest.mark.parametrize("name", SIGNATURES)
def test_signature(name: str) -> None:
    """Parameters keep their names, order and defaults."""
    assert SIGNATURES[name] == str(inspect.signature(getattr(aperf, name)))


@pytest.mark.parametrize("module", OFFERED)
def test_described(module: str) -> None:
    """Every name is described where it is defined and in the reference."""
    found, text = importlib.import_module(module), REFERENCE.read_text("utf-8")
    for name in OFFERED[module]:
        value = getattr(found, name)
        if inspect.isclass(value) or inspect.isroutine(value):
            assert inspect.getdoc(value), name
        assert f"`{name}" in text or f".{name}" in text, f"{name} is not in {REFERENCE.name}"


def test_unknown_name() -> None:
    """A name that is not offered is an ordinary AttributeError."""
    with pytest.raises(AttributeError, match="module 'aperf' has no attribute 'tracer'"):
        aperf.tracer  # noqa: B018


def test_star_import() -> None:
    """`from aperf import *` gives what is offered."""
    program = "from aperf import *; print(session.__name__, IMPLEMENTATION in ('c', 'python'))"
    assert ("session True\n", "", 0) == run_program(program)


def test_private_modules() -> None:
    """Modules that are not offered say so by their name, or lie in a package that does."""
    public = {"exporters", "grpc", "locks", "logging", "model", "otel", "protocol", "testing"}
    names = {module.name for module in pkgutil.iter_modules(aperf.__path__)}
    assert public == {name for name in names if not name.startswith("_")}


def test_typed() -> None:
    """Type checkers are told that aperf has annotations."""
    assert (Path(aperf.__file__).parent / "py.typed").is_file()
