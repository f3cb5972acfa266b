"""OpenTelemetry's spans and our stand-ins are let go: nothing grows with their number."""

from __future__ import annotations

import pytest

from tests.isolated import run_isolated

pytestmark = [pytest.mark.leaks, pytest.mark.timeout(300)]

PROGRAM = """
import asyncio, gc, sys
import aperf
from aperf._pipeline import _tasks
from aperf.exporters import MemoryExporter
from opentelemetry.sdk.trace import TracerProvider

ROUNDS, PER_ROUND = 6, 300
_tasks.REMEMBERED = 16
tracer = TracerProvider().get_tracer("tests")

async def inner():
    with aperf.span("ours"), tracer.start_as_current_span("inner"):
        await asyncio.sleep(0)

async def numbers():
    with aperf.span("held"):
        yield 1

async def request():
    with tracer.start_as_current_span("request"):
        await asyncio.create_task(inner())
        async for _ in numbers():
            break
        loop = asyncio.get_running_loop()
        made = loop.create_future()
        loop.call_soon(lambda: made.set_result(loop.create_task(inner())))
        await (await made)

class Counting(MemoryExporter):
    def export(self, batch, deadline_ns):
        pass

async def main():
    counts = []
    async with aperf.session(enabled=True, exporters=[Counting()]) as session:
        for _ in range(ROUNDS):
            for _ in range(PER_ROUND):
                await asyncio.create_task(request())
            assert await session.flush()
            gc.collect()
            counts.append(sys.getallocatedblocks())
    assert 0 == session.statistics().internal_errors
    settled = counts[len(counts) // 2:]
    growth = (settled[-1] - settled[0]) / (len(settled) - 1) / PER_ROUND
    print("steady" if growth < 0.5 else f"grows by {growth:.2f} blocks each time: {counts}")

asyncio.run(main())
"""


@pytest.mark.parametrize("pure_python", ["false", "true"])
def test_requests_leave_nothing_behind(pure_python: str) -> None:
    """As many of them as one likes."""
    assert "steady\n" == run_isolated(PROGRAM, APERF_PURE_PYTHON=pure_python)
