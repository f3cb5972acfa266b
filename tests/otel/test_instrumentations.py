"""OpenTelemetry's own instrumentations, from PyPI: with aperf they tell what they tell without."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from tests import instrumented
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
