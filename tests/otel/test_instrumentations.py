"""OpenTelemetry's own instrumentations, from PyPI: with aperf they tell what they tell without."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import aperf
from tests import instrumented
from tests.command_line import clean_environment, run_python, write
from tests.conftest import LOOPS
from tests.instrumented_runs import WAYS, Runs
from tests.span_trees import outline

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def no_complaint(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nobody has anything to complain about; warnings are errors anyway."""
    yield
    assert [] == [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The instrumentation of asyncio makes spans, too."""
    for name, value in instrumented.NAMES.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("loop", "way"),
    [
        *(("asyncio", way) for way in WAYS),
        *((loop, "session") for loop in LOOPS if loop != "asyncio"),
    ],
)
def test_nothing_doubled_nothing_lost(monkeypatch: pytest.MonkeyPatch, loop: str, way: str) -> None:
    """The same spans, with the same parents, and the same counts."""
    runs = Runs(monkeypatch, LOOPS[loop])
    without = runs.run(instrumented.program)
    told = runs.run(instrumented.program, way)
    assert outline(without.trees) == outline(told.trees)
    assert without.trees == told.trees
    assert without.points == told.points
    assert not without.tasks
    assert not without.metrics
    assert {"work", "Shop._ask_over_grpc"} <= set(told.tasks)
    assert "asyncio.task.created" in told.metrics


@pytest.mark.parametrize("loop", LOOPS)
def test_giving_up(monkeypatch: pytest.MonkeyPatch, loop: str) -> None:
    """The same holds where requests, calls and streams are left before their end."""
    runs = Runs(monkeypatch, LOOPS[loop])
    without = runs.run(instrumented.impatient_program)
    told = runs.run(instrumented.impatient_program, "session")
    assert outline(without.trees) == outline(told.trees)
    assert without.trees == told.trees
    assert without.points == told.points


@pytest.mark.parametrize("aperf_comes", ["first", "last"])
@pytest.mark.parametrize("aperf_goes", ["first", "last"])
def test_any_order(monkeypatch: pytest.MonkeyPatch, aperf_comes: str, aperf_goes: str) -> None:
    """Whoever comes and goes first: nothing is lost, and nothing is left behind."""
    runs = Runs(monkeypatch, LOOPS["asyncio"])
    without = runs.run(instrumented.program)
    before = dict(vars(asyncio))

    async def main() -> None:
        async with AsyncExitStack() as stack:
            if aperf_comes == "last":
                runs.instrumentors.install()
            session = await stack.enter_async_context(aperf.session(enabled=True))
            if aperf_comes == "first":
                runs.instrumentors.install()
            await instrumented.program()
            if aperf_goes == "last":
                runs.instrumentors.remove()
                await instrumented.program()
        assert 0 == session.statistics().internal_errors
        if aperf_goes == "first":
            await instrumented.program()
            runs.instrumentors.remove()

    runs.provide()
    asyncio.run(main())
    told = runs.told()
    times = 2 if aperf_goes == "first" else 1
    assert sorted(without.trees * times) == told.trees
    assert before == dict(vars(asyncio))


#: What an installation of aperf registers.
ENTRY_POINT = """
    [opentelemetry_instrumentor]
    aperf = aperf._instrumentor:AperfInstrumentor
"""
PROGRAM = """
    import asyncio
    import aperf
    from opentelemetry import trace
    from tests import instrumented
    from tests.opentelemetry_sdk import Collecting
    from tests.span_trees import outline, trees_of

    async def main():
        await instrumented.program()
        session = aperf.instrument_loop()  # the command's
        assert await session.flush()
        assert 0 == session.statistics().internal_errors

    collecting = Collecting()
    trace.set_tracer_provider(collecting.provider)
    asyncio.run(main())
    assert "Shop._ask_over_grpc" in collecting.names
    print(outline(trees_of(collecting.spans)), end="")
"""


def test_opentelemetry_instrument(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`opentelemetry-instrument` finds aperf among the instrumentations; the same holds there."""
    without = Runs(monkeypatch, LOOPS["asyncio"]).run(instrumented.program)
    installed = tmp_path / "aperf-0.dist-info"
    write(installed / "METADATA", "Metadata-Version: 2.1\nName: aperf\nVersion: 0\n")
    write(installed / "entry_points.txt", ENTRY_POINT)
    write(tmp_path / "app.py", PROGRAM)
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(tmp_path), str(root), clean_environment()["PYTHONPATH"]])
    done = run_python(
        str(Path(sys.executable).with_name("opentelemetry-instrument")),
        sys.executable,
        "app.py",
        cwd=tmp_path,
        PYTHONPATH=path,
        GRPC_VERBOSITY="NONE",
        **instrumented.NAMES,
    )
    assert (0, outline(without.trees), "") == done
