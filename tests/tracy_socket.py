"""A program's end of a connection to a Tracy viewer, over a real socket."""

from __future__ import annotations

import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from aperf.protocol.tracy import Closed, Connection, State, Stream, Strings, Welcome
from tests.tracy_pair import WELCOME

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("Listener", "Viewer", "listening", "read_hello")

#: A viewer that says nothing for so long is not there any more.
_DEADLINE_S: Final = 20.0
#: How long to listen for queries before a viewer is given another block to think about.
_PATIENCE_S: Final = 0.005


class Listener:
    """Waits for viewers, as a program does."""

    def __init__(self, listening: socket.socket) -> None:
        self._socket = listening
        self.port: int = listening.getsockname()[1]

    @contextmanager
    def accept(self) -> Iterator[socket.socket]:
        """Let a viewer connect; hang up with the end of the block."""
        accepted, _ = self._socket.accept()
        with accepted:
            accepted.settimeout(_DEADLINE_S)
            yield accepted

    @contextmanager
    def viewer(
        self, strings: Strings, *, strict: bool = True, welcome: Welcome = WELCOME
    ) -> Iterator[Viewer]:
        """Let a viewer connect and welcome it; hang up with the end of the block."""
        with self.accept() as accepted:
            yield Viewer(accepted, strings, strict=strict, welcome=welcome)


def read_hello(connected: socket.socket) -> bytes:
    """Return the twelve bytes that a viewer begins with."""
    hello = b""
    while len(hello) < 12:
        piece = connected.recv(12 - len(hello))
        assert piece, f"the viewer hung up after {hello!r}"
        hello += piece
    return hello


@contextmanager
def listening() -> Iterator[Listener]:
    """Listen on a free port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(_DEADLINE_S)
        yield Listener(listener)


class Viewer:
    """A viewer that has been welcomed."""

    def __init__(
        self, connected: socket.socket, strings: Strings, *, strict: bool, welcome: Welcome
    ) -> None:
        self._socket = connected
        self.connection = Connection(strings, strict=strict)
        self.connection.receive(read_hello(connected))
        connected.sendall(self.connection.welcome(welcome))

    @property
    def stream(self) -> Stream:
        """Where events go."""
        return self.connection.stream

    def send(self, data: bytes) -> None:
        """Send something past the stream."""
        self._socket.sendall(data)

    def exchange(self) -> None:
        """Send what there is, and answer until the viewer asks nothing more for a moment."""
        self._send()
        while self._receive():
            self._send()

    def finish(self, t_ns: int = 1 << 40) -> None:
        """End the program; the viewer has all when this returns."""
        self.exchange()
        self.connection.terminate(t_ns)
        deadline = time.monotonic() + _DEADLINE_S
        while self.connection.state is not State.CLOSED:
            assert time.monotonic() < deadline, "the viewer does not come to an end"
            self._send()
            if not self._receive():
                self.stream.keep_alive()

    def _send(self) -> None:
        for block in self.stream.take():
            self._socket.sendall(block)

    def _receive(self) -> bool:
        """Take what the viewer says soon; say whether it was something that goes on."""
        self._socket.settimeout(_PATIENCE_S)
        try:
            said = self.connection.receive(self._socket.recv(65536))
        except TimeoutError:
            return False
        finally:
            self._socket.settimeout(_DEADLINE_S)
        return not any(isinstance(event, Closed) for event in said)
