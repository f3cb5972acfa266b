"""The side that watches: a viewer without its windows."""

from __future__ import annotations

import enum
from functools import partial
from typing import TYPE_CHECKING, Final

from aperf.protocol.tracy._blocks import MAX_BLOCK, MAX_COMPRESSED
from aperf.protocol.tracy._errors import LocalProtocolError, RemoteProtocolError
from aperf.protocol.tracy._versions import VERSIONS, QueryKind

from ._lz4 import WINDOW, decompress
from ._questions import CREDIT, QUERY_BYTES, Questions
from ._reader import Reader
from ._trace import Trace
from ._welcome import ON_DEMAND_SIZE, OnDemand, ReceivedWelcome, decode_welcome, welcome_size

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Server", "ServerState")

_HELLO: Final = b"TracyPrf"

#: Bytes of the length in front of each block.
_SIZE: Final = 4

#: Answers to the hello.
_WELCOME: Final = 1
_REFUSALS: Final = {2: "the version is not spoken", 3: "another viewer is connected"}


class ServerState(enum.Enum):
    """How far a connection has come."""

    HANDSHAKE = "handshake"  #: the client has not answered to the hello
    WELCOME = "welcome"  #: it has to say what program it is
    STREAMING = "streaming"
    REFUSED = "refused"
    FAILED = "failed"  #: a real server would have stopped: the client did something wrong
    FINISHED = "finished"  #: the trace is complete
    TERMINATED = "terminated"  #: by this side
    BROKEN = "broken"  #: what the client sends is not the protocol


#: States in which bytes mean something.
_READING: Final = frozenset({ServerState.HANDSHAKE, ServerState.WELCOME, ServerState.STREAMING})


class Server:
    """Reads what a program sends to Tracy's viewers, and asks what they would ask.

    It neither opens sockets nor looks at clocks. Send what `hello` returns, hand over whatever
    arrives to `receive`, and after that send what `send` returns::

        server = Server(76)
        connection.sendall(server.hello())
        while server.is_reading and (data := connection.recv(65536)):
            server.receive(data)
            connection.sendall(server.send())
        print(server.trace.threads)

    Args:
        version: of the protocol, one of `VERSIONS`.
        credit: how many queries the client may leave unanswered.

    Raises:
        LocalProtocolError: there is no such version.
    """

    def __init__(self, version: int, *, credit: int = CREDIT) -> None:
        if version not in VERSIONS:
            raise LocalProtocolError(
                f"version is {version!r}; accepted: {', '.join(map(str, VERSIONS))}"
            )
        self._version = version
        self._questions = Questions(version, credit)
        self._state = ServerState.HANDSHAKE
        self._buffer = bytearray()
        self._expect(1, self._read_status)
        self._refusal = ""
        self._history = b""
        self._farewell = b""
        self._reader: Reader | None = None
        self._overheard = bytearray()

    @property
    def state(self) -> ServerState:
        """How far the connection has come."""
        return self._state

    @property
    def is_reading(self) -> bool:
        """Whether more bytes are expected."""
        return self._state in _READING

    @property
    def refusal(self) -> str:
        """Why the client does not talk to us; "" if it does."""
        return self._refusal

    @property
    def unanswered(self) -> int:
        """How many queries were sent that the client has not answered."""
        return self._questions.unanswered

    @property
    def trace(self) -> Trace:
        """A picture of what was received so far, made anew each time."""
        return Trace() if self._reader is None else self._reader.picture()

    def hello(self) -> bytes:
        """Return the first bytes to send."""
        return _HELLO + self._version.to_bytes(4, "little")

    def overhear(self, queries: bytes) -> None:
        """Take bytes that another server sends to the client, whose answers come here as well.

        For a relay between the two. It does not `send`: answers come in the order in which the
        other one asks, and some do not say what they answer.
        """
        self._overheard += queries
        while len(self._overheard) >= QUERY_BYTES:
            self._questions.overhear(bytes(self._overheard[:QUERY_BYTES]))
            del self._overheard[:QUERY_BYTES]

    def receive(self, data: bytes) -> None:
        """Take bytes from the client. Those that come after the end are ignored.

        Raises:
            RemoteProtocolError: they are not the protocol; no more can be received.
        """
        if self._state is ServerState.BROKEN:
            raise RemoteProtocolError("the connection is broken: what came before was no protocol")
        if self.is_reading:
            self._buffer += data
        try:
            while self.is_reading and len(self._buffer) >= self._needs:
                piece = bytes(self._buffer[: self._needs])
                del self._buffer[: self._needs]
                self._step(piece)
        except RemoteProtocolError:
            self._state = ServerState.BROKEN
            raise

    def send(self) -> bytes:
        """Return the queries that are due."""
        queries = self._questions.take() if self._state is ServerState.STREAMING else b""
        farewell, self._farewell = self._farewell, b""
        return queries + farewell

    def set_parameter(self, index: int, value: int) -> None:
        """Change a value that the program offers for change (`Trace.parameters`)."""
        self._questions.ask(QueryKind.PARAMETER, index << 32 | value & 0xFFFF_FFFF)

    def terminate(self) -> bytes:
        """Return what tells the client to stop; the trace stays as it is."""
        self._state = ServerState.TERMINATED
        return self._questions.farewell()

    def _expect(self, size: int, step: Callable[[bytes], None]) -> None:
        self._needs, self._step = size, step

    def _read_status(self, data: bytes) -> None:
        [status] = data
        if status in _REFUSALS:
            self._state = ServerState.REFUSED
            self._refusal = _REFUSALS[status]
        elif status == _WELCOME:
            self._state = ServerState.WELCOME
            self._expect(welcome_size(self._version), self._read_welcome)
        else:
            raise RemoteProtocolError(f"answer to the hello is {status}; accepted: 1, 2, 3")

    def _read_welcome(self, data: bytes) -> None:
        welcome = decode_welcome(data, self._version)
        if welcome.on_demand:
            self._expect(ON_DEMAND_SIZE, partial(self._read_on_demand, welcome))
        else:
            self._start(welcome, None)

    def _read_on_demand(self, welcome: ReceivedWelcome, data: bytes) -> None:
        self._start(welcome, OnDemand.decode(data))

    def _start(self, welcome: ReceivedWelcome, on_demand: OnDemand | None) -> None:
        self._reader = Reader(self._version, welcome, on_demand, self._questions)
        self._state = ServerState.STREAMING
        self._expect(_SIZE, self._read_size)

    def _read_size(self, data: bytes) -> None:
        size = int.from_bytes(data, "little")
        if not 0 < size <= MAX_COMPRESSED:
            raise RemoteProtocolError(f"block of {size} bytes; accepted: 1 … {MAX_COMPRESSED}")
        self._expect(size, self._read_block)

    def _read_block(self, data: bytes) -> None:
        block = decompress(data, self._history, MAX_BLOCK)
        self._history = (self._history + block)[-WINDOW:]
        self._expect(_SIZE, self._read_size)
        reader = self._reader
        assert reader is not None
        reader.read(block)
        if reader.failed:
            self._end(ServerState.FAILED)
        elif reader.is_complete and not self._questions.pending:
            self._end(ServerState.FINISHED)

    def _end(self, state: ServerState) -> None:
        self._state = state
        self._farewell = self._questions.farewell()
