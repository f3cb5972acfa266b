"""The connection of a viewer, as a state machine without a socket.

    HANDSHAKE ──hello──▶ WELCOME ──welcome()──▶ STREAMING ──terminate()──▶ DRAINING
        │                   │ refuse()              │                          │
        └───────────────────┴───────────▶ CLOSED ◀──┴── end of data, Terminate ┘

The client listens, the viewer connects and speaks first: eight letters and a version. Then the
client sends a welcome, and blocks of events; the viewer sends queries of 13 bytes.

Each query is worth a credit that only its answer gives back, so all are answered at once and in
order, into the stream: whoever owns the socket sends what `Stream.take` returns after each
`receive`, and receives nothing more while that cannot be sent.
"""

from __future__ import annotations

import enum
import struct
from typing import TYPE_CHECKING, Final

from ._errors import LocalProtocolError, RemoteProtocolError
from ._events import Closed, Hello, Query
from ._stream import Stream
from ._versions import VERSIONS, QueryKind, query_numbers
from ._welcome import encode_welcome

if TYPE_CHECKING:
    from ._events import Event
    from ._strings import Strings
    from ._welcome import Welcome

__all__ = ("Connection", "Refusal", "State")

_MAGIC: Final = b"TracyPrf"
_HELLO: Final = struct.Struct("<8sI")
_QUERY: Final = struct.Struct("<BQI")
_WELCOME: Final = b"\x01"


class State(enum.Enum):
    """Where a connection is."""

    HANDSHAKE = "handshake"  #: the viewer has yet to say its version
    WELCOME = "welcome"  #: it is our turn: `Connection.welcome` or `Connection.refuse`
    STREAMING = "streaming"
    DRAINING = "draining"  #: we have said that nothing follows; queries are still answered
    CLOSED = "closed"  #: the socket is to be closed, after what is left has been sent


class Refusal(enum.Enum):
    """Why a viewer is not served."""

    MISMATCH = 2  #: it speaks a version that we do not
    NOT_AVAILABLE = 3  #: another viewer is being served


class Connection:
    """One viewer's connection.

    Args:
        strings: tables of ids, from which queries are answered.
        strict: whether the stream raises on misuse.

    Attributes:
        state: where it is.
        version: which the viewer speaks; 0 before it said so.
    """

    def __init__(self, strings: Strings, *, strict: bool = False) -> None:
        self.state = State.HANDSHAKE
        self.version = 0
        self._strings = strings
        self._strict = strict
        self._stream: Stream | None = None
        self._received = bytearray()
        self._kinds: dict[int, QueryKind] = {}

    @property
    def stream(self) -> Stream:
        """Where events go, and answers come from.

        Raises:
            LocalProtocolError: the viewer has not been welcomed.
        """
        if self._stream is None:
            raise LocalProtocolError(f"stream of a connection in {self.state}, expected a welcome")
        return self._stream

    # ------------------------------------------------------------------------------------- receive

    def receive(self, data: bytes) -> list[Event]:
        """Take what the viewer sent, in pieces of any size; b"" when it hung up.

        Queries are answered into the stream before they are returned.

        Raises:
            RemoteProtocolError: it is not what a viewer sends. The connection is closed.
        """
        if self.state is State.CLOSED:
            return []
        if not data:
            self.state = State.CLOSED
            return [Closed(by_query=False)]
        self._received += data
        try:
            return self._hello() if self._stream is None else self._queries(self._stream)
        except RemoteProtocolError:
            self.state = State.CLOSED
            raise

    def _hello(self) -> list[Event]:
        received = self._received
        if self.state is State.WELCOME:
            raise RemoteProtocolError(f"{len(received)} bytes before the welcome, expected none")
        if not _MAGIC.startswith(received[: len(_MAGIC)]):
            raise RemoteProtocolError(
                f"hello begins with {bytes(received[:8])!r}, expected {_MAGIC!r}"
            )
        if len(received) > _HELLO.size:
            raise RemoteProtocolError(f"hello of {len(received)} bytes, expected {_HELLO.size}")
        if len(received) < _HELLO.size:
            return []
        _, self.version = _HELLO.unpack(received)
        received.clear()
        self.state = State.WELCOME
        return [Hello(self.version)]

    def _queries(self, stream: Stream) -> list[Event]:
        received = self._received
        whole = len(received) - len(received) % _QUERY.size
        events: list[Event] = []
        for number, ptr, extra in _QUERY.iter_unpack(received[:whole]):
            kind = self._kinds.get(number)
            if kind is None:
                raise RemoteProtocolError(f"query {number}, expected 0 … {len(self._kinds) - 1}")
            if kind is QueryKind.TERMINATE:
                self.state = State.CLOSED
                return [*events, Closed(by_query=True)]
            query = Query(kind, ptr, extra)
            stream.answer(query)
            events.append(query)
        del received[:whole]
        return events

    # ---------------------------------------------------------------------------------------- send

    def welcome(self, welcome: Welcome) -> bytes:
        """Serve the viewer: return what to send before what the stream gives.

        Raises:
            LocalProtocolError: it has not said hello, or speaks a version that we do not.
        """
        self._expect(State.WELCOME)
        if self.version not in VERSIONS:
            raise LocalProtocolError(
                f"welcome for a viewer of protocol {self.version}, expected one of {VERSIONS}"
            )
        self._stream = Stream(self.version, self._strings, strict=self._strict)
        self._kinds = {number: kind for kind, number in query_numbers(self.version).items()}
        self.state = State.STREAMING
        return _WELCOME + encode_welcome(self.version, welcome)

    def refuse(self, refusal: Refusal) -> bytes:
        """Do not serve the viewer: return what to send before the socket is closed.

        Raises:
            LocalProtocolError: it has not said hello, or has been welcomed.
        """
        self._expect(State.WELCOME)
        self.state = State.CLOSED
        return bytes((refusal.value,))

    def terminate(self, t_ns: int) -> None:
        """End what is open, and say that nothing follows.

        Go on with `receive`, and with `Stream.keep_alive` every few milliseconds, until the
        connection is CLOSED or patience ends.

        Raises:
            LocalProtocolError: the connection is not streaming.
        """
        self._expect(State.STREAMING)
        self.stream.terminate(t_ns)
        self.state = State.DRAINING

    def _expect(self, state: State) -> None:
        if self.state is not state:
            raise LocalProtocolError(f"connection is in {self.state}, expected {state}")
