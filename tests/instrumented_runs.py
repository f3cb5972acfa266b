"""Runs programs with OpenTelemetry's instrumentations, with aperf and without."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import aperf
from aperf import _client
from tests.instrumented import Instrumentors
from tests.opentelemetry_sdk import Collecting, set_global
from tests.span_trees import Attributes, Tree, trees_of, without_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    import pytest

    from tests.watched import LoopFactory

__all__ = ("WAYS", "Program", "Runs", "Told")

Program: TypeAlias = "Callable[[], Coroutine[Any, Any, None]]"
Points: TypeAlias = dict[tuple[str, str, Attributes], Any]

#: How aperf may watch a program.
WAYS: Final = ("session", "instrument_loop", "all loops")
_OURS: Final = "aperf"
#: aiohttp's, for each connection that is still there at the end: chance decides how many are.
_BY_CHANCE: Final = ("name", "'shutdown'")


class Told(NamedTuple):
    """What was told of a program: by its instrumentations, and by aperf."""

    trees: list[Tree]
    points: Points
    tasks: list[str]
    metrics: set[str]


class Runs:
    """Runs programs, each with providers of its own.

    Attributes:
        instrumentors: all that the programs have.
    """

    def __init__(self, patch: pytest.MonkeyPatch, factory: LoopFactory) -> None:
        self.instrumentors = Instrumentors()
        self._patch = patch
        self._factory = factory
        self.provide()

    def provide(self) -> None:
        """Set providers, as a program does, which can do so only once."""
        self._spans = Collecting()
        self._reader = InMemoryMetricReader()
        self._meters = MeterProvider([self._reader], shutdown_on_exit=False)
        set_global(self._patch, self._spans.provider)
        self._patch.setattr("opentelemetry.metrics._internal._METER_PROVIDER", self._meters)

    def run(self, program: Program, way: str | None = None) -> Told:
        """Run a program with its instrumentations, and aperf in one of `WAYS`."""
        self.provide()
        with ExitStack() as stack:
            self.instrumentors.install()
            stack.callback(self.instrumentors.remove)
            if way == "all loops":
                stack.enter_context(aperf.session(enabled=True, loops="all"))
            runner = stack.enter_context(asyncio.Runner(loop_factory=self._factory))
            runner.run(_watched(program, way))
        if way == "instrument_loop":
            assert _client._process is not None
            _client._process.__exit__()  # as at the exit of the interpreter
        return self.told()

    def told(self) -> Told:
        """Return what has been told since the providers were set; they are there still."""
        assert self._spans.provider is trace.get_tracer_provider()
        assert self._meters is metrics.get_meter_provider()
        spans = self._spans.spans
        points, own_metrics = _read(self._reader)
        tasks = [span.name for span in spans if "asyncio.task.name" in (span.attributes or {})]
        return Told(trees_of(spans), points, tasks, own_metrics)


async def _watched(program: Program, way: str | None) -> None:
    if way == "session":
        async with aperf.session(enabled=True) as session:
            await program()
        assert 0 == session.statistics().internal_errors
    elif way == "instrument_loop":
        aperf.instrument_loop(enabled=True)
        await asyncio.sleep(0)
        await program()
        aperf.uninstrument_loop()
    else:
        await program()


def _read(reader: InMemoryMetricReader) -> tuple[Points, set[str]]:
    points: Points = {}
    ours: set[str] = set()
    data = reader.get_metrics_data()
    scopes = [] if data is None else [s for r in data.resource_metrics for s in r.scope_metrics]
    for scope in scopes:
        for metric in scope.metrics:
            if scope.scope.name == _OURS:
                ours.add(metric.name)
                continue
            for point in metric.data.data_points:
                attributes = without_ports(point.attributes or {})
                if _BY_CHANCE in attributes:
                    continue
                key = (scope.scope.name, metric.name, attributes)
                points[key] = getattr(point, "value", getattr(point, "count", None))
    return points, ours
