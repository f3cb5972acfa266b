"""A shop in two processes: a request that goes through HTTP, gRPC and HTTP again is one trace.

A customer (httpx) asks this program's server (aiohttp) what a fruit costs. The server asks the
stock, which is back.py (grpc.aio). That looks into two warehouses at once, and asks back by HTTP
for the rate of the day. Neither program sets up any telemetry: the environment says where it goes.

    export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317  # of a collector, Jaeger, …
    aperf run examples/service/back.py                        # prints where it listens
    aperf run examples/service/front.py 127.0.0.1:PORT

With OTEL_METRICS_EXPORTER=otlp and OTEL_EXPORTER_OTLP_LOGS_ENABLED=true metrics and log lines go
there, too; with APERF_LOG_FORMAT=compact the lines are also on stderr, each with its trace id.
What the two say of themselves, with their tasks and awaits left out but for those of the program:

    buy                                     front
      GET /offer/{fruit}                    front
        shop.v1.Stock/Offer                 front, CLIENT
          shop.v1.Stock/Offer               back, SERVER
            find the cheapest               back
              look_into                     back
              look_into                     back
              ask_rate                      back
                GET /rate                   front

The trace begins with the customer, or, if the variable TRACEPARENT names one, with whoever set it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import httpx
from aiohttp import web

import aperf
import aperf.grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

_log = logging.getLogger("shop")


@web.middleware
async def in_the_trace_of_the_caller(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Let a request go on with the trace that its headers name."""
    route = request.match_info.route.resource
    async with aperf.TraceHeaders.parse(request.headers).attach():
        with aperf.span(f"{request.method} {'?' if route is None else route.canonical}"):
            return await handler(request)


class Shop:
    """Answers customers, with the help of the stock behind it."""

    def __init__(self, stock: grpc.aio.Channel) -> None:
        self._offer = stock.unary_unary("/shop.v1.Stock/Offer")

    async def offer(self, request: web.Request) -> web.Response:
        """Ask the stock for a fruit; it will ask back for the rate."""
        fruit = request.match_info["fruit"]
        _log.info("a customer wants a %s", fruit)
        price = await self._offer(f"{fruit} {request.url.with_path('/rate')}".encode())
        return web.Response(body=price)

    async def rate(self, request: web.Request) -> web.Response:
        """Tell the rate of the day."""
        _log.info("the rate is wanted")
        await asyncio.sleep(0.005)  # a look into a table
        return web.Response(text="1.25")


@contextlib.asynccontextmanager
async def opened(shop: Shop) -> AsyncIterator[str]:
    """Serve customers; gives the address."""
    app = web.Application(middlewares=[in_the_trace_of_the_caller])
    app.add_routes([web.get("/offer/{fruit}", shop.offer), web.get("/rate", shop.rate)])
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


async def buy(url: str, fruit: str) -> str:
    """Be a customer; the headers say in whose trace."""
    with aperf.TraceHeaders.parse(os.environ).attach(), aperf.span("buy", fruit=fruit):
        headers = aperf.current_trace_headers() or aperf.TraceHeaders()
        # verify=False: nothing here is encrypted, and loading certificates takes a while.
        async with httpx.AsyncClient(base_url=url, headers=headers.to_headers(), verify=False) as c:
            response = await c.get(f"/offer/{fruit}")
    return response.text


async def main(target: str) -> None:
    interceptors = aperf.grpc.client_interceptors(address=target)
    async with (
        grpc.aio.insecure_channel(target, interceptors=interceptors) as stock,
        opened(Shop(stock)) as url,
    ):
        print("a pear costs", await buy(url, "pear"))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
