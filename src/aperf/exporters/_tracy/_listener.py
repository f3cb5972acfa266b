"""Who connects: one viewer is served at a time, all others are turned away.

Anybody who reaches the port may connect, so nothing that a peer does or leaves undone may cost more
than a little memory for a little time: a hello has to come at once, there may not be many who have
not said it, and what is not the protocol ends the connection.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

import anyio

from aperf.protocol.tracy import RELEASES, Connection, Refusal, RemoteProtocolError, Strings

from ._discovery import INTERVAL_S
from ._program import read_source
from ._sockets import Gone, Peer
from ._viewer import Viewer

if TYPE_CHECKING:
    import socket

    from anyio.abc import TaskGroup

    from ._counters import Counters
    from ._discovery import Discovery
    from ._history import History
    from ._program import Program
    from ._viewer import MapperFactory

__all__ = ("Listener",)

_log = logging.getLogger("aperf")

#: A viewer says hello at once.
HELLO_S: Final = 2.0
_HELLO_BYTES: Final = 64
#: Peers that have not been answered yet; more are cut off.
MOST_GREETED: Final = 8
#: A viewer that connects anew may be faster than the news that it had gone.
_PATIENCE_S: Final = 0.25
#: A refusal must have been read before the socket is closed, or the system takes it back.
_PARTING_S: Final = 1.0
#: The port cannot be listened at for a while: too many open files, say.
_TROUBLE_S: Final = 1.0
#: Different versions that are complained about.
_MOST_TOLD: Final = 16


class Listener:
    """Serves viewers, in one event loop.

    Args:
        door: the socket that listens; closed at the end.
        program: what viewers are told of the process.
        history: what they are shown.
        draw: makes what draws it.
        discovery: tells them of the port.
        counters: count what becomes of them.
    """

    def __init__(
        self,
        door: socket.socket,
        program: Program,
        history: History,
        draw: MapperFactory,
        discovery: Discovery,
        counters: Counters,
    ) -> None:
        self._door = door
        self._program = program
        self._history = history
        self._draw = draw
        self._discovery = discovery
        self._counters = counters
        self._strings = Strings(program.name, sources=read_source if program.sources else None)
        self._viewer: Viewer | None = None
        self._gone = anyio.Event()  # the viewer
        self._stopping = anyio.Event()
        self._deadline_s = 0.0
        self._told: set[int] = set()
        #: connections, for a forked child to close
        self.open: set[socket.socket] = set()
        #: whether the viewer that was connected at the end has got everything
        self.has_all = True

    def stop(self, deadline_s: float) -> None:
        """End by this time of the event loop's clock, once the viewer has got everything."""
        self._deadline_s = deadline_s
        self._stopping.set()

    def urge(self) -> None:
        """Make haste: somebody waits until all is sent."""
        if self._viewer is not None:
            self._viewer.urge()

    async def run(self) -> None:
        """Listen until stopped."""
        async with anyio.create_task_group() as group:
            async with anyio.create_task_group() as outside:
                outside.start_soon(self._announce)
                outside.start_soon(self._accept, group)
                await self._stopping.wait()
                outside.cancel_scope.cancel()
            self._door.close()
            if self._viewer is not None:
                await self._let_go(self._viewer)
            group.cancel_scope.cancel()
        self._discovery.goodbye()

    async def _let_go(self, viewer: Viewer) -> None:
        self.has_all = False
        with anyio.CancelScope(deadline=self._deadline_s):
            viewer.stop(self._deadline_s)
            await self._gone.wait()
            self.has_all = viewer.has_all

    async def _announce(self) -> None:
        while True:
            if self._viewer is None:
                self._discovery.announce()
            await anyio.sleep(INTERVAL_S)

    async def _accept(self, group: TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(self._door)
            except OSError as error:
                _log.warning("aperf: cannot accept Tracy viewers: %s", error)
                await anyio.sleep(_TROUBLE_S)
                continue
            greeted = len(self.open) - (self._viewer is not None)
            if greeted >= MOST_GREETED:
                self._counters.refused += 1
                connection.close()
            else:
                self.open.add(connection)
                group.start_soon(self._greet, connection)

    async def _greet(self, connection: socket.socket) -> None:
        """Have one peer from its first byte to its last."""
        try:
            await self._receive(Peer(connection))
        except (Gone, RemoteProtocolError, TimeoutError) as error:
            self._counters.refused += 1
            _log.debug("aperf: no Tracy viewer: %s", error)
        except Exception:
            self._counters.faults += 1
            if self._counters.faults == 1:
                _log.warning("aperf: a fault of its own; a Tracy viewer was cut off", exc_info=True)
        finally:
            self.open.discard(connection)
            connection.close()

    async def _receive(self, peer: Peer) -> None:
        """Serve a peer, or refuse it.

        Raises:
            Gone: it is not there any more.
            RemoteProtocolError: it is no viewer.
            TimeoutError: it does not say what it is.
        """
        connection = Connection(self._strings)
        with anyio.fail_after(HELLO_S):
            while not connection.receive(await peer.receive(_HELLO_BYTES)):
                pass
        if connection.version not in RELEASES:
            self._tell(connection.version)
            await self._refuse(peer, connection.refuse(Refusal.MISMATCH))
            return
        if self._viewer is not None:
            with anyio.move_on_after(_PATIENCE_S):
                await self._gone.wait()
        if self._viewer is not None or self._stopping.is_set():
            await self._refuse(peer, connection.refuse(Refusal.NOT_AVAILABLE))
        else:
            await self._serve(peer, connection)

    def _tell(self, version: int) -> None:
        """Say, once, why a viewer cannot connect."""
        if version not in self._told and len(self._told) < _MOST_TOLD:
            self._told.add(version)
            known = ", ".join(f"{release} ({number})" for number, release in RELEASES.items())
            _log.warning(
                "aperf: a Tracy viewer of protocol %d wants to connect; viewers that can: %s",
                version,
                known,
            )

    async def _refuse(self, peer: Peer, answer: bytes) -> None:
        self._counters.refused += 1
        await peer.send(answer)
        peer.end()
        try:
            with anyio.move_on_after(_PARTING_S):
                await peer.receive(_HELLO_BYTES)
        except Gone:
            pass  # as it should be

    async def _serve(self, peer: Peer, connection: Connection) -> None:
        self._counters.viewers += 1
        viewer = self._viewer = Viewer(peer, connection, self._program, self._history, self._draw)
        self._gone = anyio.Event()
        self._discovery.goodbye()
        self._discovery.version = connection.version
        started_s = time.monotonic()
        _log.info("aperf: a Tracy viewer is connected (%s)", RELEASES[connection.version])
        try:
            await viewer.serve()
        finally:
            self._viewer = None
            self._gone.set()
            self._counters.repairs += viewer.repairs
            seconds = time.monotonic() - started_s
            _log.info("aperf: the Tracy viewer has left after %.1f s", seconds)
