"""A client library that brings telemetry along, for programs that ask for it.

`Client` stands for the asyncio SDK of some key-value store. Its request path holds one line,
`aperf.instrument_loop()`: unless telemetry was asked for it returns at once, and neither the loop
nor the program is touched. The programs that use the SDK need not know that aperf exists:

    python examples/sdk_client.py                         # off: its own output, nothing else
    TELEMETRY_ENABLED=true python examples/sdk_client.py  # on: a summary on stderr at the end

When it is on, or under `aperf run`, the summary shows three shoppers who wait for the
connection's lock ([1]) while the one who has it waits for the answer ([2]):

    expect: coroutine shopper tasks=3 errors=0
    expect: await_site Client.request kind=lock at=[1]
    expect: await_site Client.request kind=stream_read at=[2]
    expect: wait task_group count=1
"""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter

try:
    import aperf
except ImportError:  # the SDK works without
    aperf = None  # type: ignore[assignment]


# ------------------------------------------------------------------------------------------ the SDK


class Client:
    """One connection to the store; requests take turns."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()

    @classmethod
    async def connect(cls, port: int) -> Client:
        """Open a connection."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def request(self, line: str) -> str:
        """Send a command and return the answer."""
        if aperf is not None:
            aperf.instrument_loop()
        async with self._turn:  # [1]
            self._writer.write(f"{line}\n".encode())
            await self._writer.drain()
            answer = await self._reader.readline()  # [2]
        return answer.decode().rstrip()

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()
        await self._writer.wait_closed()


# ---------------------------------------------------------------------------------------- the store


class Store:
    """A store that counts."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Answer one client until it leaves."""
        while line := await reader.readline():
            await asyncio.sleep(0.002)
            key = line.decode().strip()
            self._counts[key] = self._counts.get(key, 0) + 1
            writer.write(f"{key} {self._counts[key]}\n".encode())
            await writer.drain()
        writer.close()


# -------------------------------------------------------------------------------------- the program


async def shopper(client: Client, name: str) -> None:
    for _ in range(4):
        await client.request(name)


async def main() -> None:
    server = await asyncio.start_server(Store().serve, "127.0.0.1", 0)
    client = await Client.connect(server.sockets[0].getsockname()[1])
    print("telemetry comes with", await client.request("the first request"))
    async with asyncio.TaskGroup() as group:
        for name in ("ann", "bob", "cleo"):
            group.create_task(shopper(client, name), name=name)
    for name in ("ann", "bob", "cleo"):
        print(await client.request(name))
    await client.close()
    server.close()
    await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main())
