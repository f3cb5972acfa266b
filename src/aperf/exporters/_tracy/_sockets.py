"""Sockets: where to listen, and the bytes that go to and come from one peer.

No names are looked up: asyncio does that in threads of its own, which cannot be started any more
when the interpreter exits.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from typing import Final

import anyio

from aperf._errors import ConfigurationError

__all__ = ("Gone", "Peer", "listen", "parse_address")

#: Ports that are tried, from the one that was asked for.
PORTS: Final = 20
_LAST_PORT: Final = 65_535
#: Connections that wait to be accepted; where there are more, peers try again a second later.
_BACKLOG: Final = 128
#: Bytes handed to the system at a time. Such a piece takes a live peer no time at all.
_PIECE: Final = 64 << 10
#: A peer that does not take a piece for so long is gone, even if it forgot to say so.
STALLED_S: Final = 30.0


class Gone(Exception):
    """The peer is not there any more, or does not do anything any more."""


def parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the address to listen at.

    Raises:
        ConfigurationError: it is a name, or nothing at all.
    """
    try:
        return ipaddress.ip_address("127.0.0.1" if text == "localhost" else text)
    except ValueError:
        raise ConfigurationError(
            f"TRACY_BIND is {text!r}; an IP address such as 127.0.0.1, 0.0.0.0 or ::1 is accepted"
        ) from None


def listen(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> socket.socket:
    """Listen at an address, on this port or the next that is free; 0 is any.

    Raises:
        ConfigurationError: none is free, or this machine has no such address.
    """
    last = min(port + PORTS - 1, _LAST_PORT) if port else 0
    for candidate in range(port, last + 1):
        try:
            return _listen(address, candidate)
        except PermissionError as error:
            raise ConfigurationError(
                f"TRACY_PORT is {port}; it needs a privilege ({error.strerror})"
            ) from error
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise ConfigurationError(
                    f"TRACY_BIND is {address}; one cannot listen there ({error.strerror})"
                ) from error
    raise ConfigurationError(
        f"TRACY_PORT is {port}; that port and all up to {last} are taken at {address}: "
        "a free one is accepted, or 0 for any"
    )


def _listen(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Else a program that is started again could not have its port back for a minute.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((str(address), port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


class Peer:
    """The other end of a connection, used in one event loop.

    Args:
        connection: non-blocking.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._loop = asyncio.get_running_loop()
        self._set(socket.IPPROTO_TCP, "TCP_NODELAY", 1)
        # What is sent while nothing happens is little: it would fill no buffer for hours.
        self._set(socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", int(STALLED_S * 1_000))

    def _set(self, level: int, name: str, value: int) -> None:
        option = getattr(socket, name, None)  # not all systems have them all
        if option is not None:
            try:
                self._socket.setsockopt(level, option, value)
            except OSError:
                pass  # what it was for works less well, no more

    async def receive(self, most: int) -> bytes:
        """Return what comes next, at least a byte.

        Raises:
            Gone: nothing will come any more.
        """
        try:
            data = await self._loop.sock_recv(self._socket, most)
        except OSError as error:
            raise Gone(str(error)) from error
        if not data:
            raise Gone("it closed the connection")
        return data

    async def send(self, data: bytes) -> None:
        """Send all of it.

        Raises:
            Gone: there is nobody to take it, or it is not taken.
        """
        view = memoryview(data)
        for start in range(0, len(data), _PIECE):
            try:
                with anyio.fail_after(STALLED_S):
                    await self._loop.sock_sendall(self._socket, view[start : start + _PIECE])
            except TimeoutError as error:
                raise Gone(f"it took nothing for {STALLED_S:.0f} s") from error
            except OSError as error:
                raise Gone(str(error)) from error

    def end(self) -> None:
        """Say that nothing more will be sent."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it is gone already

    def close(self) -> None:
        """Let go of it."""
        self._socket.close()
