"""The stock of the shop in front.py, whose header tells how to run the two: a gRPC server.

It prints where it listens, and serves until it is told to end (Ctrl-C or SIGTERM).
"""

from __future__ import annotations

import asyncio
import logging
import signal

import grpc
import grpc.aio
import httpx

import aperf
import aperf.grpc

PRICES = {"north": 80, "south": 100}  # by warehouse
_log = logging.getLogger("stock")


async def look_into(warehouse: str) -> int:
    await asyncio.sleep(0.01)  # a question to its database
    return PRICES[warehouse]


async def ask_rate(url: str) -> float:
    """Ask the caller for the rate of the day; the headers say in whose trace."""
    headers = aperf.current_trace_headers() or aperf.TraceHeaders()
    async with httpx.AsyncClient(headers=headers.to_headers(), verify=False) as client:
        response = await client.get(url)
    return float(response.text)


async def offer(request: bytes, context: object) -> bytes:
    """Find the lowest price, in the currency of the day."""
    fruit, rate_url = request.decode().split()
    _log.info("looking for a %s", fruit)
    with aperf.span("find the cheapest", fruit=fruit):
        async with asyncio.TaskGroup() as group:
            prices = [group.create_task(look_into(warehouse)) for warehouse in PRICES]
            rate = group.create_task(ask_rate(rate_url))
    return str(min(price.result() for price in prices) * rate.result()).encode()


def stock() -> grpc.GenericRpcHandler:
    """Return the service. Generated code would do the same, and turn bytes into messages."""
    handlers = {"Offer": grpc.unary_unary_rpc_method_handler(offer)}
    return grpc.method_handlers_generic_handler("shop.v1.Stock", handlers)


async def main() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = grpc.aio.server(interceptors=aperf.grpc.server_interceptors())
    server.add_generic_rpc_handlers([stock()])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await stop.wait()
    await server.stop(grace=1)


if __name__ == "__main__":
    asyncio.run(main())
