"""A Starlette handler with 4 tasks and 9 suspensions under uvicorn: what aperf adds to a request.

python benchmarks/http_handler.py [--implementation c|python] [--json PATH]

Two servers in one process, one on a plain loop and one on a watched loop, take turns; each has
its client, which is a process of its own. A loop that does not run does not serve, so the servers
do not disturb each other.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from asyncio.subprocess import PIPE
from dataclasses import dataclass
from typing import TYPE_CHECKING

from _paired import Pair, loop_names, paired_loops
from _report import Figure, run
from _sink import otlp_sink

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

REQUESTS = 200
ROUNDS = 12
RECORDING, EXPORTING = 1.03, 1.06


# ----------------------------------------------------------------------------------- the server


def application() -> Starlette:
    """Return an application with one handler."""
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def twice() -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def handler(request: Request) -> Response:
        async with asyncio.TaskGroup() as group:  # the ninth suspension
            for _ in range(4):
                group.create_task(twice())
        return PlainTextResponse("done")

    return Starlette(routes=[Route("/", handler)])


@dataclass(frozen=True, slots=True)
class Rig:
    """A server on a loop and the process that asks it."""

    loop: asyncio.AbstractEventLoop
    server: uvicorn.Server
    serving: asyncio.Task[None]
    client: asyncio.subprocess.Process

    @classmethod
    def start(cls, loop: asyncio.AbstractEventLoop) -> Rig:
        """Start both."""
        return loop.run_until_complete(cls._start(loop))

    @classmethod
    async def _start(cls, loop: asyncio.AbstractEventLoop) -> Rig:
        import uvicorn

        config = uvicorn.Config(application(), port=0, log_level="critical", lifespan="off")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = str(server.servers[0].sockets[0].getsockname()[1])
        client = await asyncio.create_subprocess_exec(
            sys.executable, __file__, "--client", port, stdin=PIPE, stdout=PIPE
        )
        return cls(loop, server, serving, client)

    def ask(self) -> None:
        """Let the client send its requests."""
        self.loop.run_until_complete(self._ask())

    async def _ask(self) -> None:
        assert self.client.stdin is not None
        assert self.client.stdout is not None
        self.client.stdin.write(b"go\n")
        await self.client.stdout.readline()

    def stop(self) -> None:
        """End both."""
        self.loop.run_until_complete(self._stop())

    async def _stop(self) -> None:
        assert self.client.stdin is not None
        self.client.stdin.close()
        await self.client.wait()
        self.server.should_exit = True
        await self.serving


# ----------------------------------------------------------------------------------- the client


def client(port: int) -> None:
    """Send requests over one connection whenever a line arrives on stdin."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        answers = connection.makefile("rb")
        for _ in sys.stdin:
            for _ in range(REQUESTS):
                connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                while answers.readline() != b"\r\n":
                    pass
                answers.read(len("done"))
            print("done", flush=True)


# ----------------------------------------------------------------------------------- the figures


def _compare(pair: Pair, what: str, loop: str, budget: float) -> list[Figure]:
    import aperf

    rigs = Rig.start(pair.plain), Rig.start(pair.watched)
    comparison = pair.compare(rigs[0].ask, rigs[1].ask, ROUNDS)
    for rig in rigs:
        rig.stop()
    name = aperf.IMPLEMENTATION
    base_us = comparison.base_ns() / REQUESTS / 1000
    label = f"HTTP handler, 4 tasks, 9 suspensions, {what}, {loop} ({name})"
    note = f"of {base_us:.0f} µs per request"
    limit = budget if name == "c" else None
    on_loop, in_all = comparison.thread_ratio(), comparison.process_ratio()
    return [
        Figure(what=f"{label}, loop's thread", value=on_loop, unit="×", budget=limit, note=note),
        Figure(what=f"{label}, all threads", value=in_all, unit="×", note=note),
    ]


def measure() -> list[Figure]:
    figures = []
    for loop in loop_names():
        with paired_loops(loop, exporters=[]) as pair:
            figures += _compare(pair, "recording", loop, RECORDING)
    with otlp_sink() as endpoint:
        os.environ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = endpoint
        for loop in loop_names():
            with paired_loops(loop) as pair:
                figures += _compare(pair, "OTLP", loop, EXPORTING)
    return figures


if __name__ == "__main__":
    if sys.argv[1:2] == ["--client"]:
        client(int(sys.argv[2]))
    else:
        run(__doc__, measure)
