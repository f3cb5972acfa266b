"""Tasks that are made behind the loop's back, as aiohttp's server makes one for each request."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest

import aperf
from aperf import testing

if TYPE_CHECKING:
    from tests.watched import LoopFactory

pytestmark = [
    pytest.mark.usefixtures("twin"),
    pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12"),
]

SENT = aperf.TraceHeaders(traceparent=f"00-{7:032x}-{9:016x}-01")


def captured_of(loop_factory: LoopFactory, program: Any) -> testing.Capture:
    """Run a program in an eager task that no loop was asked for."""

    async def main() -> testing.Capture:
        async with testing.capture() as captured:
            make: Any = asyncio.Task
            await make(program(), loop=asyncio.get_running_loop(), eager_start=True)
        return captured

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(main())


def test_all_waits_are_in_the_trace_that_is_current(lazy_loop_factory: LoopFactory) -> None:
    """Also the first one, which began before the task was known."""

    async def program() -> None:
        with SENT.attach():
            await asyncio.sleep(0.01)
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)

    captured = captured_of(lazy_loop_factory, program)
    first, second, last = (span for span in captured.awaits if span.name == "await sleep")
    task = captured.span(program.__qualname__)
    assert [(7, 9)] * 2 == [(span.trace_id, span.parent_span_id) for span in (first, second)]
    assert (task.trace_id, task.span_id) == (last.trace_id, last.parent_span_id)


def test_a_user_span_is_further_inside(lazy_loop_factory: LoopFactory) -> None:
    """The task and its waits belong to the `aperf.span` that is open where it is found."""

    async def program() -> None:
        with SENT.attach(), aperf.span("request"):
            await asyncio.sleep(0.01)

    captured = captured_of(lazy_loop_factory, program)
    [wait] = (span for span in captured.awaits if span.name == "await sleep")
    task, request = captured.span(program.__qualname__), captured.span("request")
    assert (7, 9) == (request.trace_id, request.parent_span_id)
    assert request.span_id == task.parent_span_id
    assert task.span_id == wait.parent_span_id
