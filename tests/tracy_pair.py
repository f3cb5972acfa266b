"""Both halves of Tracy's protocol, joined without a socket."""

from __future__ import annotations

from typing import Final

from aperf.protocol.tracy import Connection, State, Stream, Strings, Welcome
from aperf.protocol.tracy._server import Server, ServerState, Trace

__all__ = ("WELCOME", "Pair")

WELCOME: Final = Welcome(begin_ns=0, epoch_s=1_700_000_000, pid=4321, program="tests")


class Pair:
    """A program's end of a connection and a viewer's.

    Args:
        version: which the viewer speaks.
        strings: tables of ids; a viewer that connects again gets those of the one before.
        strict: whether misuse raises.
        welcome: what the program says of itself.
        piece: how many bytes arrive at once, in both directions; 0 for all.
    """

    def __init__(
        self,
        version: int,
        strings: Strings | None = None,
        *,
        strict: bool = True,
        welcome: Welcome = WELCOME,
        piece: int = 0,
    ) -> None:
        self.strings = strings or Strings("tests")
        self.server = Server(version)
        self.connection = Connection(self.strings, strict=strict)
        self._piece = piece
        self._to_client(self.server.hello())
        self._to_server(self.connection.welcome(welcome))

    @property
    def stream(self) -> Stream:
        """Where events go."""
        return self.connection.stream

    def exchange(self) -> None:
        """Send whatever either of them has to say, until both are silent."""
        while self.connection.state is not State.CLOSED:
            blocks = self.stream.take()
            for block in blocks:
                self._to_server(block)
            queries = self.server.send()
            if not blocks and not queries:
                return
            self._to_client(queries)

    def finish(self, t_ns: int = 1 << 40) -> Trace:
        """End the program and return what the viewer has got; all queries must be answered."""
        self.exchange()
        self.connection.terminate(t_ns)
        self.exchange()
        if self.connection.state is not State.CLOSED:  # its last answers may have come last
            self.stream.keep_alive()
            self.exchange()
        assert State.CLOSED is self.connection.state
        assert ServerState.FINISHED is self.server.state, self.server.trace.failures
        assert 0 == self.server.unanswered
        return self.server.trace

    def _to_client(self, data: bytes) -> None:
        for piece in self._cut(data):
            self.connection.receive(piece)

    def _to_server(self, data: bytes) -> None:
        for piece in self._cut(data):
            self.server.receive(piece)

    def _cut(self, data: bytes) -> list[bytes]:
        size = self._piece or len(data) or 1
        return [data[start : start + size] for start in range(0, len(data), size)]
