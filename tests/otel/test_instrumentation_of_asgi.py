"""Starlette under uvicorn, with OpenTelemetry's instrumentation: with aperf it tells the same."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import starlette.applications
import uvicorn
from opentelemetry import trace
from opentelemetry.instrumentation.starlette import StarletteInstrumentor
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from tests.conftest import LOOPS
from tests.instrumented_runs import Runs
from tests.span_trees import outline

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from starlette.requests import Request
    from starlette.responses import Response

REQUESTS = ("/order", "/in-a-thread", "/stream", "/order", "/fault")


@pytest.fixture(autouse=True)
def no_complaint(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nobody has anything to complain about, save of the fault; warnings are errors anyway."""
    yield
    complaints = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert [] == [r.getMessage() for r in complaints if not r.name.startswith("uvicorn")]


def _span(name: str) -> Any:
    return trace.get_tracer("shop").start_as_current_span(name)  # of the provider of this run


async def _query(name: str) -> None:
    with _span(f"query {name}"):
        await asyncio.sleep(0)


async def _order(request: Request) -> Response:
    await asyncio.gather(_query("stock"), asyncio.create_task(_query("price")))
    return PlainTextResponse("done", background=BackgroundTask(_query, "afterwards"))


def _in_a_thread(request: Request) -> Response:
    with _span("compute"):
        return PlainTextResponse("done")


async def _stream(request: Request) -> Response:
    async def lines() -> AsyncIterator[str]:
        for number in range(3):
            with _span(f"line {number}"):
                await asyncio.sleep(0)
            yield f"{number}\n"

    return StreamingResponse(lines())


async def _fault(request: Request) -> Response:
    await asyncio.create_task(_query("fault"))
    raise ValueError("on purpose")


async def _through(request: Request, call_next: Any) -> Any:
    with _span("middleware"):
        return await call_next(request)


def _application() -> Any:
    endpoints = {"order": _order, "in-a-thread": _in_a_thread, "stream": _stream, "fault": _fault}
    return starlette.applications.Starlette(  # looked up now: it is what is instrumented
        routes=[Route(f"/{name}", endpoint) for name, endpoint in endpoints.items()],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=_through)],
    )


@asynccontextmanager
async def _serving() -> AsyncIterator[str]:
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(_application(), lifespan="off", ws="none", log_config=None)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]), name="server")
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


async def program() -> None:
    """Send requests over one kept connection, then several at once."""
    async with (
        asyncio.timeout(20),
        _serving() as url,
        httpx.AsyncClient(base_url=url) as client,
    ):
        for path in REQUESTS:
            await client.get(path)
        await asyncio.gather(*(client.get(path) for path in REQUESTS))


@pytest.mark.parametrize(("loop", "way"), [("asyncio", "session"), ("uvloop", "all loops")])
def test_starlette(monkeypatch: pytest.MonkeyPatch, loop: str, way: str) -> None:
    """One trace for each request, with what its tasks, threads, streams and middlewares open."""
    runs = Runs(monkeypatch, LOOPS[loop])
    runs.instrumentors.by_name["starlette"] = StarletteInstrumentor()
    without = runs.run(program)
    told = runs.run(program, way)
    assert 2 * len(REQUESTS) == len(without.trees)
    assert outline(without.trees) == outline(told.trees)
    assert without.trees == told.trees
    assert without.points == told.points
