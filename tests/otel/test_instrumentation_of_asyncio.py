"""`opentelemetry-instrumentation-asyncio` and aperf at once: each tells its own, and no more."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.asyncio import AsyncioInstrumentor

from tests.conftest import LOOPS
from tests.instrumented_runs import WAYS, Runs
from tests.span_trees import outline

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that it can make spans of becomes one."""
    for name, value in {
        "COROUTINE_NAMES_TO_TRACE": "work,fail,long",
        "TO_THREAD_FUNCTION_NAMES_TO_TRACE": "compute",
        "FUTURE_TRACE_ENABLED": "true",
    }.items():
        monkeypatch.setenv(f"OTEL_PYTHON_ASYNCIO_{name}", value)


@pytest.fixture(autouse=True)
def no_complaint(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nobody has anything to complain about; warnings are errors anyway."""
    yield
    assert [] == [record.getMessage() for record in caplog.records]


async def work(seconds: float = 0) -> str:
    """Finish."""
    await asyncio.sleep(seconds)
    return "done"


async def fail() -> None:
    """Raise."""
    await asyncio.sleep(0)
    raise ValueError("on purpose")


async def long() -> None:
    """Wait for good."""
    await asyncio.Event().wait()


def compute(number: int = 1) -> int:
    """Run in a thread."""
    return number


async def program() -> None:
    """Use every function that is instrumented, in a span and outside of any."""
    await asyncio.create_task(work(), name="outside")
    with trace.get_tracer("shop").start_as_current_span("order"):
        await _everything()


async def _everything() -> None:
    instrumentor: Any = AsyncioInstrumentor()
    assert "done" == await instrumentor.trace_coroutine(work())
    assert 1 == instrumentor.trace_to_thread(compute)()
    assert ["done"] * 2 == list(await asyncio.gather(work(), asyncio.ensure_future(work())))
    await asyncio.wait([asyncio.create_task(work())])
    for finished in asyncio.as_completed([work(), work(0.001)]):
        await finished
    assert "done" == await asyncio.wait_for(work(), 20)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(long(), 0.001)
    async with asyncio.TaskGroup() as group:
        group.create_task(work(), name="in a group")
    with pytest.raises(ValueError, match="on purpose"):
        await asyncio.create_task(fail())
    assert 2 == await asyncio.to_thread(functools.partial(compute, 2))
    assert 3 == await asyncio.to_thread(compute, 3)
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.call_soon(future.set_result, None)
    await asyncio.gather(future)
    await loop.run_in_executor(None, _from_a_thread, loop)


def _from_a_thread(loop: asyncio.AbstractEventLoop) -> None:
    assert "done" == asyncio.run_coroutine_threadsafe(work(), loop).result(20)


@pytest.mark.parametrize(
    ("loop", "way"),
    [
        *(("asyncio", way) for way in WAYS),
        *((loop, "session") for loop in LOOPS if loop != "asyncio"),
    ],
)
def test_both(monkeypatch: pytest.MonkeyPatch, loop: str, way: str) -> None:
    """Its spans and counts are those without aperf; aperf's tasks have the program's names."""
    runs = Runs(monkeypatch, LOOPS[loop])
    without = runs.run(program)
    told = runs.run(program, way)
    assert outline(without.trees) == outline(told.trees)
    assert without.trees == told.trees
    assert without.points == told.points
    assert "trace_coroutine" not in " ".join(told.tasks)
    assert {"work", "fail"} <= set(told.tasks)
