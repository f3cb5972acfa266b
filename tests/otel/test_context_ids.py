"""Sessions of one runtime name spans alike."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aperf
from aperf.exporters import MemoryExporter
from aperf.model import Category

if TYPE_CHECKING:
    from aperf._recorder import Recorder


async def child() -> None:
    """Wait once."""
    await asyncio.sleep(0)


async def seen_by_both() -> tuple[MemoryExporter, MemoryExporter]:
    """Run a task while two sessions are open, and return what each has seen."""
    outer, inner = MemoryExporter(), MemoryExporter()
    async with (
        aperf.session(enabled=True, exporters=[outer]),
        aperf.session(enabled=True, exporters=[inner]),
    ):
        await asyncio.create_task(child())
    return outer, inner


def task_id(exporter: MemoryExporter) -> int:
    """Return the span id of the one task that runs `child`."""
    [span] = [
        span
        for span in exporter.spans
        if span.category is Category.TASK and span.name.endswith("child")
    ]
    return span.context.span_id


def test_sessions_that_are_open_together_give_a_task_the_same_id(twin: type[Recorder]) -> None:
    """Whoever asks on the loop for the id of a task's span needs to know of no session."""
    outer, inner = asyncio.run(seen_by_both())
    assert task_id(outer) == task_id(inner)


def test_the_next_runtime_names_tasks_otherwise(twin: type[Recorder]) -> None:
    """Numbers of tasks begin again, ids do not."""
    before, _ = asyncio.run(seen_by_both())
    after, _ = asyncio.run(seen_by_both())
    assert task_id(before) != task_id(after)
