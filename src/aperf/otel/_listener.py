"""What a program holds of the listener that serves its metrics."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import TYPE_CHECKING, Self

from aperf._stderr import tell

from ._listener_http import PATH
from ._listener_server import Server

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from types import TracebackType
    from typing import Any

    from opentelemetry.sdk.metrics.export import MetricsData

    from ._listener_address import Address

__all__ = ("MetricsListener",)

#: How long the end of a program waits for the listener's thread: it has nothing to deliver.
JOIN_S = 1.0


class MetricsListener:
    """Serves metrics over HTTP, from a thread of its own, until it is stopped.

    Also an asynchronous context manager, which stops it. That of a session which is off, or over,
    listens nowhere: its `port` is 0 and its `url` empty.

    Args:
        address: where to listen.
        collect: returns what to show.
    """

    def __init__(
        self, address: Address | None = None, collect: Callable[[], MetricsData] | None = None
    ) -> None:
        self._address = address
        self._collect = collect
        self._server: Server | None = None

    def begin(self) -> None:
        """Start to listen; if that fails, it is told on stderr."""
        assert self._address is not None
        assert self._collect is not None
        self._server = Server(self._address, self._collect)
        self._server.bound.add_done_callback(_tell_failure)
        self._server.start()

    async def listening(self) -> None:
        """Wait until it listens.

        Raises:
            ConfigurationError: it cannot.
        """
        server = self._server
        if server is None:
            return
        try:
            await _done(server.bound)
        except BaseException:  # cancelled: nobody will know of it
            server.bound.add_done_callback(lambda _: server.stop())
            raise
        server.bound.result()

    def __repr__(self) -> str:
        return f"<aperf metrics listener, {self.url or 'off'}>"

    def _bound(self) -> tuple[str, int]:
        server = self._server
        if server is None or not server.bound.done() or server.bound.exception() is not None:
            return "", 0
        return server.bound.result()

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return self._bound()[1]

    @property
    def url(self) -> str:
        """Where the metrics are; on this host, if it listens on all interfaces."""
        host, port = self._bound()
        if not port:
            return ""
        if ipaddress.ip_address(host.partition("%")[0]).is_unspecified:
            host = "127.0.0.1"
        return f"http://{f'[{host}]' if ':' in host else host}:{port}{PATH}"

    @property
    def is_listening(self) -> bool:
        """Whether it serves, or is about to."""
        return self._server is not None and not self._server.ended.done()

    async def stop(self) -> None:
        """Stop it, and wait until the port is free. Idempotent."""
        if self._server is not None:
            self._server.stop()
            await _done(self._server.ended)

    def close(self) -> None:
        """Stop it, and wait for a moment; for the exporter thread."""
        if self._server is not None:
            self._server.stop()
            self._server.join(JOIN_S)

    def forget_after_fork(self) -> None:
        """Listen nowhere: the thread is the parent's, and so is the socket but for this copy."""
        if self._server is not None:
            self._server.abandon()
            self._server = None

    async def __aenter__(self) -> Self:
        """Return it: it listens already."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop it."""
        await self.stop()


async def _done(future: Future[Any]) -> None:
    """Wait for another thread's answer without blocking the loop."""
    loop, event = asyncio.get_running_loop(), asyncio.Event()

    def wake(_: object) -> None:
        try:
            loop.call_soon_threadsafe(event.set)
        except RuntimeError:
            pass  # the loop is closed, and whoever waited is gone

    future.add_done_callback(wake)
    await event.wait()


def _tell_failure(bound: Future[tuple[str, int]]) -> None:
    error = bound.exception()
    if error is not None:
        tell(str(error))
