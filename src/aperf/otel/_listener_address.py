"""Where the listener listens: ``:9091``, ``HOST:PORT`` or ``[IPv6]:PORT``."""

from __future__ import annotations

import socket
from typing import NamedTuple

from aperf._config._kinds import LISTEN_ADDRESS
from aperf._config._kinds import parse_address as _read
from aperf._errors import ConfigurationError

__all__ = ("ADDRESS_TEXT", "Address", "parse_address")

ADDRESS_TEXT = LISTEN_ADDRESS.accepts


class Address(NamedTuple):
    """Host and port; without a host all interfaces are meant."""

    host: str
    port: int

    def bind(self) -> socket.socket:
        """Return a listening socket.

        Raises:
            ConfigurationError: it cannot listen there.
        """
        try:
            return self._bind()
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or error
            raise ConfigurationError(
                f"the metrics listener cannot listen on {self}: {why}; "
                "an address of this host and a free port are accepted"
            ) from error

    def _bind(self) -> socket.socket:
        if self.host:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
            family, _, _, _, where = found[0]
            return socket.create_server(where[:2], family=family)
        if socket.has_dualstack_ipv6():
            try:
                where = ("", self.port)
                return socket.create_server(where, family=socket.AF_INET6, dualstack_ipv6=True)
            except OSError:
                pass  # IPv6 is compiled in, but switched off; or the port is taken, as is told next
        return socket.create_server(("", self.port))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_address(text: str) -> Address:
    """Read an address.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        return Address(*_read(text))
    except (ValueError, AttributeError):  # the latter: no text
        message = f"metrics listen address is {text!r}; {ADDRESS_TEXT} is accepted"
        raise ConfigurationError(message) from None
