"""An HTTP/1.1 connection that keeps deadlines and that another thread can cancel.

The timeout of a socket begins anew with every byte, and with every address of a host: a peer that
says little now and then could hold a thread as long as it likes. Here each operation gets the time
that is left until the deadline. What `http.client` does with the bytes is the same as ever.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import os
import select
import socket
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = ("Answer", "Connection", "Peer")

_MAX_ANSWER: Final = 1 << 20  # an honest one has some hundred bytes


class Peer(NamedTuple):
    """Whom to connect to."""

    host: str
    port: int
    tls: ssl.SSLContext | None


class Answer(NamedTuple):
    """What a receiver said."""

    status: int
    reason: str
    headers: http.client.HTTPMessage
    body: bytes


class Connection(http.client.HTTPConnection):
    """Carries one request after the other; connects with the first."""

    def __init__(self, peer: Peer) -> None:
        super().__init__(peer.host, peer.port)
        self.default_port = 443 if peer.tls else 80  # instead of the class's: it is left out
        self._wire = _Wire(peer)
        self._is_sound = True

    def post(
        self, target: str, body: bytes, headers: Mapping[str, str], deadline_ns: int
    ) -> Answer:
        """Send a request and return the answer.

        Raises:
            OSError: no connection, no answer in time, or cancelled.
            http.client.HTTPException: that was no answer.
            ValueError: a header cannot be sent.
        """
        self._is_sound = False
        self._wire.deadline_ns = deadline_ns
        try:
            self.request("POST", target, body, headers)
        except (BrokenPipeError, ConnectionResetError):
            if self.sock is None:  # it was not even connected
                raise
            # Who has heard enough, as of a request too large, answers before it hangs up.
        response = self.getresponse()
        try:
            data = response.read(_MAX_ANSWER)
        except (OSError, http.client.HTTPException):
            data = b""  # the status has said what matters
        self._is_sound = response.isclosed() and not response.will_close
        return Answer(response.status, response.reason, response.headers, data)

    @property
    def is_reusable(self) -> bool:
        """Whether it is good for another request, as far as one can know."""
        return self._is_sound and self._wire.is_quiet()

    def connect(self) -> None:
        """Connect; `request` calls this."""
        self._wire.open()
        self.sock = cast("Any", self._wire)

    def cancel(self) -> None:
        """End what another thread does here, soon and with an error."""
        self._wire.cancel()

    def release(self) -> None:
        """Close the socket."""
        self.close()
        self._wire.release()

    def forget_after_fork(self) -> None:
        """Close this process's copy of the socket, and nothing else."""
        self._wire.forget_after_fork()


class _Wire:
    """What `http.client` needs of a socket."""

    def __init__(self, peer: Peer) -> None:
        self.deadline_ns = 0
        self._peer = peer
        self._socket: socket.socket | None = None
        self._is_cancelled = False

    def open(self) -> None:
        """Connect to the first address that answers."""
        host, port, tls = self._peer
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            try:
                self._connect(address, share=left)
                break
            except OSError:
                self.release()
                if left == 1:
                    raise
        if tls is not None:
            self._shake_hands(tls, host)

    def _connect(self, found: tuple[Any, ...], share: int) -> None:
        family, kind, protocol, _, address = found
        self._socket = socket.socket(family, kind, protocol)
        self._socket.settimeout(self._left_s() / share)  # a dead address leaves time for others
        self._socket.connect(address)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _shake_hands(self, tls: ssl.SSLContext, host: str) -> None:
        assert self._socket is not None
        secured = tls.wrap_socket(self._socket, server_hostname=host, do_handshake_on_connect=False)
        self._socket = secured
        self._armed()
        secured.do_handshake()

    def sendall(self, data: ReadableBuffer) -> None:
        """Send all of it by the deadline."""
        rest = memoryview(data).cast("B")
        while rest:
            rest = rest[self._armed().send(rest) :]

    def recv_into(self, buffer: WriteableBuffer) -> int:
        """Receive something by the deadline; nothing if the peer has hung up."""
        return self._armed().recv_into(buffer)

    def makefile(self, *_: Any) -> io.BufferedReader:
        """Return what answers are read from."""
        return io.BufferedReader(_Reader(self))

    def close(self) -> None:
        """Do nothing yet: `http.client` says so before it has read the answer."""

    def is_quiet(self) -> bool:
        """Whether the peer has said nothing: unasked, it can only have hung up."""
        if self._socket is None:
            return False
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    def cancel(self) -> None:
        """Wake the thread that waits here; closing would not, and might hit another's socket."""
        self._is_cancelled = True
        if (open_socket := self._socket) is not None:
            with contextlib.suppress(OSError):  # not connected yet, or not any more
                # Not that of ssl, which forgets the encryption before anything else.
                socket.socket.shutdown(open_socket, socket.SHUT_RDWR)

    def release(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def forget_after_fork(self) -> None:
        """Close the descriptor without a word to the peer, nor to a thread that is gone."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                os.close(self._socket.detach())

    def _armed(self) -> socket.socket:
        """Return the socket, ready for one operation."""
        if self._socket is None:
            raise ConnectionAbortedError("closed")
        self._socket.settimeout(self._left_s())
        return self._socket

    def _left_s(self) -> float:
        if self._is_cancelled:
            raise ConnectionAbortedError("cancelled")
        left_ns = self.deadline_ns - time.monotonic_ns()
        if left_ns <= 0:
            raise TimeoutError("timed out")
        return left_ns / 1e9


class _Reader(io.RawIOBase):
    """Lets `io.BufferedReader` read from a wire."""

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire

    def readable(self) -> bool:
        """Say that one can read here."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read what there is."""
        return self._wire.recv_into(buffer)
