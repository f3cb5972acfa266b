"""What handlers of grpc.aio wait for: they are awaited by coroutines that Cython has compiled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from aperf import testing
from tests.grpc_service import call, handler, run, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aperf.model import Span
    from tests.watched import LoopFactory

pytestmark = pytest.mark.usefixtures("twin")


async def look_up(request: bytes) -> bytes:
    """Wait in a function that the handler calls."""
    await asyncio.sleep(0.01)
    return request


async def unary(request: bytes, context: Any) -> bytes:
    """Handle a call with one response."""
    return await look_up(request)


async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
    """Handle a call with several."""
    yield await look_up(request)
    yield await look_up(request)


def test_waits_of_handlers_have_a_kind_and_a_place(lazy_loop_factory: LoopFactory) -> None:
    """It is told what a handler waits for, and where, as of any other coroutine."""
    handlers = {
        "unary_unary": handler("unary_unary", unary),
        "unary_stream": handler("unary_stream", stream),
    }
    found: list[Span] = []

    async def main() -> None:
        async with testing.capture() as captured, serving(handlers) as channel:
            await call(channel, "unary_unary", "go")
            await call(channel, "unary_stream", "go")
        found.extend(span for span in captured.awaits if span.name == "await sleep")

    run(lazy_loop_factory, main())
    attributes = [dict(span.attributes) for span in found]
    assert [("sleep", "look_up")] * 3 == [
        (span.wait_kind, told["code.function.name"])
        for span, told in zip(found, attributes, strict=True)
    ]
