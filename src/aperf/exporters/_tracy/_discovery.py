"""Telling viewers that there is a program to connect to.

Viewers list programs that announce themselves by datagrams to a port that all viewers listen on.
Connecting works without.
"""

from __future__ import annotations

import socket
import struct
import time
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

__all__ = ("INTERVAL_S", "Discovery", "destination")

#: How often; viewers forget a program that is silent for longer.
INTERVAL_S: Final = 3.0
#: Where viewers listen, whatever port the program has.
PORT: Final = 8086
#: Of the datagram, not of the protocol.
_LAYOUT: Final = 3
_HEAD: Final = struct.Struct("<HHIQi")
_MOST_NAME: Final = 63
_GOODBYE: Final = -1


def destination(
    address: IPv4Address | IPv6Address, announce: Literal["loopback", "network", "none"]
) -> str | None:
    """Return the address that reaches those who could connect, None for nobody."""
    if announce == "none" or (address.version == 6 and not address.is_unspecified):
        return None
    if announce == "network" and not address.is_loopback:
        return "255.255.255.255"
    reachable = address.is_loopback or address.is_unspecified
    return "127.255.255.255" if reachable else None


class Discovery:
    """Announces one port.

    Args:
        to: the address of all viewers, None for none.
        port: where the program listens.
        version: of the protocol; viewers of others show the program as one that they cannot read.
        pid: the program's process.
        name: the program's name.
        viewers_port: where viewers listen.
    """

    def __init__(
        self, to: str | None, port: int, version: int, pid: int, name: str, viewers_port: int = PORT
    ) -> None:
        self.version = version
        self._to = to
        self._viewers_port = viewers_port
        self._port = port
        self._pid = pid
        self._name = name.encode("utf-8", "replace")[:_MOST_NAME] + b"\0"
        self._started_s = time.monotonic()
        self.socket: socket.socket | None = None
        if to is not None:
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.socket.setblocking(False)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)

    def announce(self) -> None:
        """Say that a viewer may connect."""
        self._send(int(time.monotonic() - self._started_s))

    def goodbye(self) -> None:
        """Say that none may any more: one is connected, or the program ends."""
        self._send(_GOODBYE)

    def _send(self, active_s: int) -> None:
        if self.socket is None or self._to is None:
            return
        head = _HEAD.pack(_LAYOUT, self._port, self.version, self._pid, active_s)
        try:
            self.socket.sendto(head + self._name, (self._to, self._viewers_port))
        except OSError:
            pass  # no network: nobody to tell

    def close(self) -> None:
        """Let go of the socket."""
        if self.socket is not None:
            self.socket.close()
