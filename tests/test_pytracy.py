"""Function calls as zones, through pytracy's own client."""

from __future__ import annotations

import socket
import subprocess
import sys
import textwrap
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

import aperf
from aperf import _pytracy
from aperf.protocol.tracy._server import Server
from tests.watched import DEADLINE_S

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
    import sys, threading
    import aperf

    def work():
        return sorted([3, 1, 2])

    def elsewhere():
        pass

    def last():
        pass

    port = int(sys.argv[1])
    with aperf.pytracy_zones(port=port):
        with aperf.pytracy_zones(port=port):
            work()
        work()
    elsewhere()
    with aperf.pytracy_zones(port=port):
        last()
    print("ready", flush=True)
    sys.stdin.readline()
"""


def free_port() -> int:
    """Return a port that was free a moment ago, on all addresses."""
    with socket.create_server(("", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def connect(port: int) -> socket.socket:
    """Connect to a program whose client may not listen yet, and prefers IPv6."""
    deadline_s = time.monotonic() + DEADLINE_S
    while True:
        for host in ("::1", "127.0.0.1"):
            try:
                return socket.create_connection((host, port), DEADLINE_S)
            except OSError:
                assert time.monotonic() < deadline_s
        time.sleep(0.01)


def zones(port: int) -> list[str]:
    """Look at a program as a viewer of Tracy 0.11.1 does, and return what its zones are called."""
    server = Server(69)
    deadline_s = time.monotonic() + DEADLINE_S
    with connect(port) as connection:
        connection.sendall(server.hello())
        while time.monotonic() < deadline_s:
            server.receive(connection.recv(1 << 18))
            connection.sendall(server.send())
            names = [zone.name for zone in server.trace.zones()]
            if "last" in names:
                return names
    raise AssertionError(f"not within {DEADLINE_S} s: {server.trace}")


@pytest.mark.skipif(not find_spec("pytracy"), reason="pytracy has no wheel for this platform")
def test_calls_are_zones_while_it_is_open(tmp_path: Path) -> None:
    """A viewer sees the calls of the block, and of that alone, also where blocks are nested."""
    port, script = free_port(), tmp_path / "program.py"
    script.write_text(textwrap.dedent(PROGRAM), "utf-8")
    command = [sys.executable, str(script), str(port)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        try:
            assert "ready\n" == program.stdout.readline()
            names = zones(port)
        finally:
            program.kill()  # its client would wait for a viewer that takes all
    assert 2 == names.count("work")
    assert "elsewhere" not in names


def test_missing_pytracy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no pytracy, the error says so, and how to get it."""
    monkeypatch.setitem(sys.modules, "pytracy", None)
    with (
        pytest.raises(aperf.InstrumentationError, match=r"pip install 'aperf\[pytracy\]'"),
        aperf.pytracy_zones(),
    ):
        pass
    assert not _pytracy._open


@pytest.mark.parametrize("port", [0, 65536, "8087", None])
def test_bad_port(port: int) -> None:
    """A port that is none is refused before anything listens."""
    with (
        pytest.raises(aperf.ConfigurationError, match=r"port: .* from 1 to 65535"),
        aperf.pytracy_zones(port=port),
    ):
        pass
