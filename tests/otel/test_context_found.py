"""OpenTelemetry is found when the program has imported it, and never imported by us."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from opentelemetry.context import _RUNTIME_CONTEXT
from opentelemetry.trace.propagation import _SPAN_KEY

from aperf._recorder import Cold
from aperf.otel._bridge import Bridge
from tests.isolated import run_isolated

if TYPE_CHECKING:
    from aperf._recorder import Recorder

LATE = """
import asyncio, sys
import aperf
from aperf.exporters import MemoryExporter
from aperf.model import Category

async def job():
    await asyncio.sleep(0)

async def main():
    memory = MemoryExporter()
    async with aperf.session(enabled=True, exporters=[memory]):
        await asyncio.create_task(job())
        imported = [name for name in sys.modules if name.startswith("opentelemetry")]
        from opentelemetry import trace
        from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span
        span = NonRecordingSpan(SpanContext(0xA, 0xB, False, TraceFlags(1)))
        with use_span(span):
            await asyncio.create_task(job())
    print(imported)
    print([(s.trace_id == 0xA, s.parent_span_id == 0xB) for s in memory.spans
           if s.name == "job"])

asyncio.run(main())
"""


def test_a_late_import_is_noticed() -> None:
    """From the next birth on; before, nothing of OpenTelemetry is loaded by us."""
    answer = run_isolated(LATE)
    assert ["[]", "[(False, False), (True, True)]"] == answer.splitlines()


@pytest.fixture
def recorder(recorder_class: type[Recorder]) -> Recorder:
    """A recorder that nobody watches with."""
    return recorder_class(Cold(), ring_slots=64)


def test_the_variable_is_that_of_opentelemetry(recorder: Recorder) -> None:
    """And the key that under which it keeps the current span."""
    bridge = Bridge()
    recorder.follow(bridge)
    assert recorder.context_var is None
    assert bridge.find(recorder)
    assert _RUNTIME_CONTEXT._current_context is recorder.context_var  # type: ignore[attr-defined]


def test_half_an_import_is_not_enough(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its modules are in sys.modules before they are there."""
    monkeypatch.setitem(sys.modules, "opentelemetry.context", ModuleType("opentelemetry.context"))
    bridge = Bridge()
    recorder.follow(bridge)
    assert not bridge.find(recorder)
    assert recorder.bridge is bridge


def test_other_ways_to_keep_the_context_are_left_alone(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OTEL_PYTHON_CONTEXT may name one."""
    module = ModuleType("opentelemetry.context")
    module._RUNTIME_CONTEXT = object()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "opentelemetry.context", module)
    assert _SPAN_KEY
    bridge = Bridge()
    recorder.follow(bridge)
    assert not bridge.find(recorder)
    assert recorder.bridge is None
