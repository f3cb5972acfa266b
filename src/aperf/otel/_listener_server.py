"""The listener's thread: a small server on a loop of its own, which nobody watches."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final

from aperf._instrument.all_loops import exempt

from ._listener_http import answer, refusal

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from opentelemetry.sdk.metrics.export import MetricsData

    from ._listener_address import Address

__all__ = ("Server",)

#: A request's headers; Prometheus sends some hundred bytes.
MAX_HEAD: Final = 8_192
#: Connections at a time: more are told to come back later.
MAX_CONNECTIONS: Final = 16
#: For a request to arrive, and for its answer to be taken.
TIMEOUT_S: Final = 10.0


class _ListenerLoop(asyncio.SelectorEventLoop):
    """A class of its own, so that its attributes are no part of the program's loops' layout."""


class Server:
    """Answers scrapes until it is stopped.

    Args:
        address: where to listen.
        collect: returns what to show; called on the server's thread.

    Attributes:
        bound: host and port when it listens, or why it does not.
        ended: done when the thread is through.
    """

    def __init__(self, address: Address, collect: Callable[[], MetricsData]) -> None:
        self._address = address
        self._collect = collect
        self._connections = 0
        self._listener: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self.bound: Future[tuple[str, int]] = _pending()
        self.ended: Future[None] = _pending()
        self._thread = threading.Thread(
            target=self._run, name="aperf-metrics-listener", daemon=True
        )

    def start(self) -> None:
        """Start the thread; `bound` says how that went."""
        self._thread.start()

    def stop(self) -> None:
        """Have it end soon (any thread); idempotent."""
        loop, stop = self._loop, self._stop
        if loop is not None and stop is not None:
            try:
                loop.call_soon_threadsafe(stop.set)
            except RuntimeError:
                pass  # it has ended already

    def join(self, timeout_s: float) -> None:
        """Wait for the end of the thread."""
        self._thread.join(timeout_s)

    def abandon(self) -> None:
        """Close this process' copy of the socket: in a forked child nobody would accept."""
        if self._listener is not None:
            os.close(self._listener.detach())

    # ------------------------------------------------------------------------- the server's thread

    def _run(self) -> None:
        try:
            listener = self._listener = self._address.bind()
        except Exception as error:
            self.ended.set_result(None)
            self.bound.set_exception(error)
            return
        try:
            with exempt():
                loop = _ListenerLoop()
            loop.set_debug(False)
            try:
                # Named, so that the program's first task is still called Task-1.
                main = self._serve(listener)
                loop.run_until_complete(loop.create_task(main, name="aperf-metrics-listener"))
            finally:
                loop.close()
        finally:
            listener.close()
            self.ended.set_result(None)

    async def _serve(self, listener: socket.socket) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connected, sock=listener, limit=MAX_HEAD)
        host, port = listener.getsockname()[:2]
        self.bound.set_result((host, port))
        try:
            await self._stop.wait()
        finally:
            server.close()
            await _cancel_others()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            async with asyncio.timeout(TIMEOUT_S):
                writer.write(await self._respond(reader))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError):
            pass  # the client is gone, or does not take its answer
        finally:
            self._connections -= 1
            writer.transport.abort()

    async def _respond(self, reader: asyncio.StreamReader) -> bytes:
        if self._connections > MAX_CONNECTIONS:
            return refusal(503, "too many connections", "Retry-After: 1")
        try:
            async with asyncio.timeout(TIMEOUT_S / 2):
                head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return refusal(431, f"more than {MAX_HEAD} bytes of headers")
        except TimeoutError:
            return refusal(408, "no request came")
        except asyncio.IncompleteReadError as error:
            return refusal(400, "this is no HTTP request") if error.partial else b""
        return answer(head, self._collect)


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _pending() -> Future[Any]:
    """Return a future that a thread will answer, and nobody can cancel for the others."""
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    return future
