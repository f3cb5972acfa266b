"""Off means: nothing imported, nothing touched, next to no time."""

from __future__ import annotations

import asyncio
import sys
import time
import types
from importlib.metadata import PackageNotFoundError
from typing import TYPE_CHECKING, Any

import pytest

import aperf
from aperf import _client, _version
from tests.loops import in_loop
from tests.programs import run_program

if TYPE_CHECKING:
    from collections.abc import Callable

HEAVY = (
    "anyio",
    "asyncio",
    "concurrent",
    "dataclasses",
    "google",
    "grpc",
    "inspect",
    "logging",
    "opentelemetry",
    "threading",
    "typing",
    "uuid",
)


@pytest.fixture(autouse=True)
def off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Telemetry is off, and nobody has looked yet."""
    monkeypatch.delenv("TELEMETRY_ENABLED", raising=False)
    monkeypatch.setattr(_client, "_is_off", False)
    monkeypatch.setattr(_client, "_process", None)


@pytest.mark.parametrize(
    "use",
    [
        "",
        "aperf.instrument_loop()",
        "aperf.uninstrument_loop()",
        "aperf.is_active()",
        "aperf.session().__enter__()",
        "aperf.session(enabled=False, exporters=[], awaits='suspended', loops='all').__enter__()",
        "aperf.span('x').__enter__()",
        "aperf.instrument(lambda: None)()",
        "aperf.current_span()",
        "aperf.ConfigurationError",
    ],
    ids=lambda use: use.partition("(")[0] or "import",
)
def test_imports_nothing(use: str) -> None:
    """Neither the import nor what is called while aperf is off loads anything heavy."""
    program = f"""
        import sys
        import aperf
        {use}
        heavy = {HEAVY}
        print(sorted(name for name in sys.modules if name.partition(".")[0] in heavy))
    """
    # Without site: what the environment's .pth files import is not ours.
    assert ("[]\n", "", 0) == run_program(program, options=("-S",))


def test_few_modules() -> None:
    """Off loads a handful of small modules of aperf."""
    program = """
        import asyncio, sys
        import aperf
        async def main():
            aperf.instrument_loop()
            async with aperf.session():
                pass
        asyncio.run(main())
        print(*sorted(name for name in sys.modules if name.startswith("aperf")))
    """
    expected = (
        "aperf aperf._arguments aperf._client aperf._config aperf._config._switch aperf._errors"
    )
    expected += " aperf._session aperf._stderr\n"
    assert (expected, "", 0) == run_program(program)


@in_loop
async def test_loop_is_untouched() -> None:
    """The loop has no attribute of ours, and no thread is started."""
    loop = asyncio.get_running_loop()
    before = dict(vars(loop))
    aperf.instrument_loop()
    aperf.instrument_loop(loop)
    aperf.instrument_loop(loops="all", service_name="client")
    async with aperf.session(), aperf.session(enabled=False):
        pass
    aperf.uninstrument_loop()
    assert before == vars(loop)
    assert not aperf.is_active()


@in_loop
async def test_always_the_same_object() -> None:
    """What `instrument_loop` returns while off is one inert session."""
    first = aperf.instrument_loop()
    assert first is aperf.instrument_loop()
    assert first is aperf.instrument_loop(service_name="client")
    assert first is aperf.instrument_loop(asyncio.get_running_loop())
    assert not first.is_enabled
    assert await first.flush()


def ns_per_call(function: Callable[[], Any], calls: int = 10_000) -> float:
    """Return how long a call takes, at best."""
    durations = []
    for _ in range(5):
        begin_ns = time.perf_counter_ns()
        for _ in range(calls):
            function()
        durations.append(time.perf_counter_ns() - begin_ns)
    return min(durations) / calls


@in_loop
async def test_costs_next_to_nothing() -> None:
    """While off, a call costs about as much as any function that returns at once."""
    aperf.instrument_loop()

    def nothing(loop: Any = None, **options: Any) -> None:
        if _client._process:
            return

    options = {"service_name": "client"}
    least = ns_per_call(nothing)
    assert ns_per_call(aperf.instrument_loop) < 10 * least
    assert ns_per_call(lambda: aperf.instrument_loop(**options)) < 20 * least


@in_loop
async def test_environment_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that calls often does not have the environment read each time, options or not."""
    looks: list[str] = []

    def look() -> bool:
        looks.append("")
        return False

    monkeypatch.setattr("aperf._session.telemetry_enabled", look)
    for _ in range(3):
        aperf.instrument_loop()
        aperf.instrument_loop(service_name="client")
    assert 1 == len(looks)


@in_loop
async def test_off_by_argument_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """One client that says no does not speak for the others."""
    monkeypatch.setenv("TELEMETRY_ENABLED", "true")
    assert not aperf.instrument_loop(enabled=False).is_enabled
    session = aperf.instrument_loop(exporters=[])
    assert session.is_enabled
    session.__exit__()


@pytest.mark.parametrize("name", ["asyncio", "aperf._runtime"])
def test_while_another_thread_imports(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Modules that are half imported, by another thread, are as good as none."""
    monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    assert not aperf.is_active()
    assert not aperf.instrument_loop().is_enabled
    aperf.uninstrument_loop()


def test_without_a_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copied somewhere without what pip knows of it, aperf works, of unknown version."""

    def unknown(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(_version, "version", unknown)
    monkeypatch.setattr(_version, "installed_version", _version.installed_version.__wrapped__)
    assert "0+unknown" == aperf.__version__
    with aperf.session(enabled=True, exporters=[]) as session:
        assert session.is_enabled
