"""A service with OpenTelemetry's own instrumentations, from PyPI, and what they tell of it."""

from __future__ import annotations

import asyncio
import socket
import time
import warnings
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import aiohttp
import grpc
import grpc.aio
import httpx
import pytest
from aiohttp import web
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.instrumentation.aiohttp_server import AioHttpServerInstrumentor
from opentelemetry.instrumentation.asyncio import AsyncioInstrumentor
from opentelemetry.instrumentation.grpc import GrpcAioInstrumentorClient, GrpcAioInstrumentorServer
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

__all__ = ("NAMES", "Instrumentors", "Interceptors", "impatient_program", "program", "serving")

#: What the instrumentation of asyncio is to make spans of.
NAMES: Final = {
    "OTEL_PYTHON_ASYNCIO_COROUTINE_NAMES_TO_TRACE": "work",
    "OTEL_PYTHON_ASYNCIO_TO_THREAD_FUNCTION_NAMES_TO_TRACE": "compute",
}
_SERVICE: Final = "shop.v1.Stock"
_FOR_EVER: Final = b"for ever"
_DEADLINE_S: Final = 20.0

Interceptors: TypeAlias = "tuple[Sequence[Any], Sequence[Any]]"


class Instrumentors:
    """The instrumentations that the service uses, by name."""

    def __init__(self) -> None:
        self.by_name: dict[str, Any] = {
            "aiohttp client": AioHttpClientInstrumentor(),
            "aiohttp server": AioHttpServerInstrumentor(),
            "asyncio": AsyncioInstrumentor(),
            "grpc client": GrpcAioInstrumentorClient(),  # type: ignore[no-untyped-call] # theirs
            "grpc server": GrpcAioInstrumentorServer(),  # type: ignore[no-untyped-call] # theirs
            "httpx": HTTPXClientInstrumentor(),
        }

    def install(self) -> None:
        with warnings.catch_warnings():
            # aiohttp does not like how it is instrumented.
            warnings.filterwarnings("ignore", "Inheritance class _InstrumentedApplication")
            for instrumentor in self.by_name.values():
                instrumentor.instrument()

    def remove(self) -> None:
        for instrumentor in self.by_name.values():
            if instrumentor.is_instrumented_by_opentelemetry:
                instrumentor.uninstrument()


# ------------------------------------------------------------------------------------ the service


async def work(seconds: float) -> None:
    await asyncio.sleep(seconds)


def compute() -> None:
    time.sleep(0.0005)


class Stock:
    """A gRPC service: a method that answers once, and one that answers several times."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self.reached, self.left = asyncio.Semaphore(0), asyncio.Semaphore(0)

    def handlers(self) -> Any:
        return grpc.method_handlers_generic_handler(
            _SERVICE,
            {
                "Count": grpc.unary_unary_rpc_method_handler(self._count),
                "Watch": grpc.unary_stream_rpc_method_handler(self._watch),
            },
        )

    async def _count(self, request: bytes, context: Any) -> bytes:
        if request == b"nothing":
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")
        await self._client.get("/leaf")
        return request

    async def _watch(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        await asyncio.create_task(work(0))
        for _ in range(3):
            await asyncio.sleep(0)
            yield request
            if request == _FOR_EVER:
                self.reached.release()
                try:
                    await asyncio.Event().wait()
                finally:
                    self.left.release()


class Shop:
    """A web service: `/order` asks others over HTTP and gRPC, and works in tasks and a thread."""

    def __init__(
        self, client: httpx.AsyncClient, session: aiohttp.ClientSession, stock: Any
    ) -> None:
        self._client = client
        self._session = session
        self._count = stock.unary_unary(f"/{_SERVICE}/Count")
        self._watch = stock.unary_stream(f"/{_SERVICE}/Watch")
        self.left: set[asyncio.Task[None]] = set()
        self.over = asyncio.Event()
        self.reached = asyncio.Semaphore(0)

    def application(self) -> web.Application:
        app = web.Application()  # looked up now: it is what the instrumentation exchanges
        app.router.add_get("/leaf", self.leaf)
        app.router.add_get("/order", self.order)
        app.router.add_get("/fault", self.fault)
        app.router.add_get("/never", self.never)
        return app

    async def leaf(self, request: web.Request) -> web.Response:
        await asyncio.sleep(0)
        return web.Response(text="leaf")

    async def fault(self, request: web.Request) -> web.Response:
        await asyncio.gather(work(0), work(0.001))
        raise web.HTTPServiceUnavailable

    async def never(self, request: web.Request) -> web.Response:
        self.reached.release()
        async with asyncio.TaskGroup() as group:
            group.create_task(work(0))
            await self.over.wait()
        return web.Response(text="too late")

    async def order(self, request: web.Request) -> web.Response:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ask_over_http())
            group.create_task(work(0.001))
            group.create_task(self._ask_over_grpc())
        await asyncio.to_thread(compute)
        await asyncio.wait_for(work(0), _DEADLINE_S)
        self.left.add(asyncio.create_task(work(0.005)))  # goes on after the response
        return web.Response(text="done")

    async def _ask_over_http(self) -> None:
        await self._client.get("/leaf")
        async with self._session.get("/leaf") as response:
            await response.read()

    async def _ask_over_grpc(self) -> None:
        assert b"apples" == await self._count(b"apples")
        with pytest.raises(grpc.aio.AioRpcError, match="no such thing"):
            await self._count(b"nothing")
        assert [b"pears"] * 3 == [answer async for answer in self._watch(b"pears")]


class Served(NamedTuple):
    """A running service, and a client of its gRPC side."""

    url: str
    shop: Shop
    stock: Stock
    channel: Any


@asynccontextmanager
async def serving(interceptors: Interceptors = ((), ())) -> AsyncIterator[Served]:
    """Run the service while the block runs.

    Args:
        interceptors: of the gRPC server, and of its client.
    """
    served, called = interceptors
    async with AsyncExitStack() as stack, asyncio.timeout(_DEADLINE_S):
        listening = socket.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        inner = await stack.enter_async_context(httpx.AsyncClient(base_url=url))
        session = await stack.enter_async_context(aiohttp.ClientSession(url))

        stock = Stock(inner)
        server = grpc.aio.server(interceptors=served)
        server.add_generic_rpc_handlers([stock.handlers()])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        stack.push_async_callback(server.stop, None)
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", interceptors=called)
        await stack.enter_async_context(channel)

        shop = Shop(inner, session, channel)
        runner = web.AppRunner(shop.application())
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.SockSite(runner, listening).start()
        stack.callback(shop.over.set)
        yield Served(url, shop, stock, channel)
        await asyncio.gather(*shop.left)


async def program(interceptors: Interceptors = ((), ())) -> None:
    """Send requests over kept connections, one after the other."""
    one = aiohttp.TCPConnector(limit=1)
    async with serving(interceptors) as served:
        async with aiohttp.ClientSession(served.url, connector=one) as session:
            for path in ("/order", "/fault", "/order"):
                async with session.get(path) as response:
                    await response.read()
        async with httpx.AsyncClient(base_url=served.url) as client:
            for path in ("/order", "/fault", "/leaf"):
                await client.get(path)


async def impatient_program(interceptors: Interceptors = ((), ())) -> None:
    """Give up on requests and a stream, and ask where nobody answers."""
    async with serving(interceptors) as (url, shop, stock, channel):
        async with aiohttp.ClientSession(url) as session, httpx.AsyncClient(base_url=url) as client:
            for ask in (session.get, client.get):
                task = asyncio.ensure_future(ask("/never"))
                await shop.reached.acquire()
                task.cancel()
                await asyncio.wait([task])
                with pytest.raises((aiohttp.ClientError, httpx.HTTPError)):
                    await ask("http://127.0.0.1:1/")
        stream = channel.unary_stream(f"/{_SERVICE}/Watch")(_FOR_EVER)
        async for _ in stream:
            await stock.reached.acquire()
            stream.cancel()
            break
        await stock.left.acquire()
