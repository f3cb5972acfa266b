"""How viewers learn of a program: datagrams, and to whom."""

from __future__ import annotations

import socket
import struct
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import pytest

from aperf.exporters._tracy import _listener, _service
from aperf.exporters._tracy._discovery import Discovery, destination
from tests.tracy_viewer import Exporter, connected, exporting
from tests.watched import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD: Final = struct.Struct("<HHIQi")
LOCAL: Final = "127.255.255.255"


class Announcement(NamedTuple):
    layout: int
    port: int
    version: int
    pid: int
    active_s: int
    name: bytes


@pytest.fixture
def ear() -> Iterator[socket.socket]:
    """A socket that hears what is told to all viewers of this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hearing:
        hearing.settimeout(DEADLINE_S)
        hearing.bind((LOCAL, 0))
        yield hearing


def heard(ear: socket.socket) -> Announcement:
    """Return what is heard next."""
    data = ear.recv(1_000)
    layout, port, version, pid, active_s = _HEAD.unpack_from(data)
    return Announcement(layout, port, version, pid, active_s, data[_HEAD.size :])


@pytest.mark.parametrize(
    ("bind", "announce", "expected"),
    [
        ("127.0.0.1", "loopback", LOCAL),
        ("127.0.0.1", "network", LOCAL),
        ("127.0.0.1", "none", None),
        ("0.0.0.0", "loopback", LOCAL),
        ("0.0.0.0", "network", "255.255.255.255"),
        ("192.0.2.1", "loopback", None),
        ("192.0.2.1", "network", "255.255.255.255"),
        ("::1", "loopback", None),
        ("::", "loopback", LOCAL),
        ("::", "none", None),
    ],
)
def test_only_those_who_could_connect_are_told(
    bind: str, announce: Literal["loopback", "network", "none"], expected: str | None
) -> None:
    """Viewers are told of a port where they can reach it, and where the user wants that."""
    assert expected == destination(ip_address(bind), announce)


def test_an_announcement_says_what_there_is(ear: socket.socket) -> None:
    """Port, version, process and name are told; the name is cut to what fits."""
    discovery = Discovery(LOCAL, 8087, 82, 99, "n" * 100, ear.getsockname()[1])
    discovery.announce()
    first = heard(ear)
    assert first._replace(active_s=0) == Announcement(3, 8087, 82, 99, 0, b"n" * 63 + b"\0")
    assert 0 <= first.active_s < DEADLINE_S
    discovery.goodbye()
    assert -1 == heard(ear).active_s
    discovery.close()


def test_nobody_is_told_where_nobody_is_to_be() -> None:
    """Without a destination there is not even a socket."""
    discovery = Discovery(None, 8087, 82, 99, "name")
    discovery.announce()
    assert discovery.socket is None
    discovery.close()


def test_a_program_is_announced_while_it_is_free(
    ear: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Viewers hear of it again and again, but not while one of them is connected."""
    monkeypatch.setattr(_listener, "INTERVAL_S", 0.01)
    told = partial(Discovery, viewers_port=ear.getsockname()[1])
    monkeypatch.setattr(_service, "Discovery", told)
    with exporting(Exporter(port=0)) as exporter:
        for _ in range(2):
            assert (exporter.port, b"program\0") == heard(ear)[1::4]
        with connected(exporter.port, version=76) as viewer:
            viewer.until(lambda: viewer.server.trace.welcome, "a welcome")
            while heard(ear).active_s >= 0:
                pass
        again = heard(ear)
        assert again.active_s >= 0
        assert 76 == again.version
    while heard(ear).active_s >= 0:
        pass
