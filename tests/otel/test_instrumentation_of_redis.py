"""redis-py with OpenTelemetry's instrumentation: with aperf it tells the same."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import redis.asyncio
from opentelemetry import trace
from opentelemetry.instrumentation.redis import RedisInstrumentor

from tests.instrumented_runs import Runs
from tests.span_trees import outline

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

    from tests.watched import LoopFactory

EXPECTED = """\
INTERNAL request
  CLIENT GET
  CLIENT GET
  CLIENT GET
  CLIENT GET GET
"""


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer as Redis does: what is asked for is "ok", and nobody is refused."""
    while header := await reader.readline():
        words = []
        for _ in range(int(header[1:])):
            size = int((await reader.readline())[1:])
            words.append((await reader.readexactly(size + 2))[:-2])
        writer.write(b"$2\r\nok\r\n" if words[0] == b"GET" else b"+OK\r\n")
    writer.close()


@asynccontextmanager
async def _serving() -> AsyncIterator[int]:
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def program() -> None:
    """Ask several times at once, then twice in one go."""
    async with asyncio.timeout(20), _serving() as port:
        client = redis.asyncio.Redis(port=port, protocol=2)
        with trace.get_tracer("shop").start_as_current_span("request"):
            assert [b"ok"] * 3 == await asyncio.gather(*(client.get(key) for key in "abc"))
            async with client.pipeline(transaction=False) as pipeline:
                queued = [pipeline.get(key) for key in "ab"]
                assert [b"ok"] * len(queued) == await pipeline.execute()
        await client.aclose()


def test_redis(
    monkeypatch: pytest.MonkeyPatch,
    lazy_loop_factory: LoopFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each command has its span, below the request's."""
    runs = Runs(monkeypatch, lazy_loop_factory)
    runs.instrumentors.by_name = {"redis": RedisInstrumentor()}
    without = runs.run(program)
    told = runs.run(program, "session")
    assert EXPECTED == outline(without.trees) == outline(told.trees)
    assert without.trees == told.trees
    assert without.points == told.points
    assert [] == [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
