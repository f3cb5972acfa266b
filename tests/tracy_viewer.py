"""A Tracy viewer on a real socket, and a mapper whose drawing can be read back exactly."""

from __future__ import annotations

import random
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from aperf._recorder._layout import HEADER, SLOT, Kind
from aperf.exporters.tracy import TracyExporter
from aperf.model import SessionInfo
from aperf.protocol.tracy._server import Server
from tests.watched import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aperf.exporters._tracy._baseline import Baseline
    from aperf.exporters._tracy._viewer import MapperFactory
    from aperf.model import RecordTables
    from aperf.protocol.tracy import Stream

__all__ = ("SESSION", "Exporter", "Scribe", "Viewer", "connected", "exporting", "in_ns")

SESSION: Final = SessionInfo(service_name="program", implementation="python", version="1.2.3")


def in_ns(seconds: float) -> int:
    """Return a deadline."""
    return time.monotonic_ns() + int(seconds * 1e9)


class Scribe:
    """Draws each record as a message with its number; a PLOT as noise that takes much space.

    Args:
        stream: takes the messages.
        tables: not needed.
        baseline: written down first.
    """

    def __init__(self, stream: Stream, tables: RecordTables, baseline: Baseline) -> None:
        self._stream = stream
        self._baseline = baseline
        self._rest: dict[int, bytes] = {}
        stream.thread(7)
        self.write(baseline.begin_ns, f"begin {sorted(baseline.born)}")

    def write(self, t_ns: int, text: str) -> None:
        """Draw a message."""
        self._stream.message(t_ns, text)

    def feed(self, ring: int, data: bytes) -> None:
        """Draw some records."""
        data = self._rest.pop(ring, b"") + data
        while data:
            t_ns, kind, slots, _, _, a, _ = HEADER.unpack_from(data)
            if len(data) < slots * SLOT:
                self._rest[ring] = data
                return
            number = a & 0xFFFF_FFFF  # of a STEP, too
            noise = random.randbytes(1_000).hex() if kind == Kind.PLOT else ""
            self.write(t_ns, f"{Kind(kind).name} {number}{noise}")
            data = data[slots * SLOT :]

    def gap(self, t_ns: int, slots: int) -> None:
        """Draw a gap."""
        self._rest.clear()
        self.write(t_ns, f"gap {slots} {sorted(self._baseline.born)}")

    def sample(self, now_ns: int) -> None:
        """Draw nothing."""

    def finish(self, t_ns: int) -> None:
        """Draw the end."""
        self.write(t_ns, "finish")


class Exporter(TracyExporter):
    """An exporter whose drawing is known."""

    def _mapper(self) -> MapperFactory:
        return Scribe


@contextmanager
def exporting(
    exporter: TracyExporter | None = None, *, end_s: float = 5.0
) -> Iterator[TracyExporter]:
    """Have an exporter, one on any free port by default, listen while the block runs."""
    exporter = exporter or Exporter(port=0, announce="none")
    exporter.start(SESSION)
    try:
        yield exporter
    finally:
        exporter.shutdown(in_ns(end_s))


class Viewer:
    """Connects, says hello, and reads what it is sent.

    Args:
        port: of the program.
        version: that it speaks.
        buffer: how much it receives before it reads; 0 for what is usual.
    """

    def __init__(self, port: int, version: int = 82, *, buffer: int = 0) -> None:
        self.server = Server(version)
        self.socket = socket.socket()
        if buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(DEADLINE_S)
        self.socket.connect(("127.0.0.1", port))
        self.socket.settimeout(0.002)
        self.socket.sendall(self.server.hello())
        self.is_open = True

    def read(self) -> None:
        """Read what is there, and ask about it."""
        try:
            data = self.socket.recv(1 << 18)
            self.is_open = bool(data)
            self.server.receive(data)
            self.socket.sendall(self.server.send())
        except TimeoutError:
            pass
        except OSError:
            self.is_open = False

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Read until something is so."""
        deadline_s = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline_s, f"{what}: not within {DEADLINE_S} s"
            assert self.is_open, f"{what}: not before the end of the connection"
            look_s = time.monotonic() + 0.01  # a look at all that was received takes its time
            while time.monotonic() < look_s:
                self.read()

    def until_seen(self, text: str) -> None:
        """Read until there is such a message."""
        self.until(lambda: text in self.messages, f"message {text!r} among {self.messages[-5:]}")

    def until_cut_off(self) -> None:
        """Read until the program ends the connection."""
        deadline_s = time.monotonic() + DEADLINE_S
        while self.is_open:
            assert time.monotonic() < deadline_s, f"cut off: not within {DEADLINE_S} s"
            self.read()
        self.close()

    @property
    def messages(self) -> list[str]:
        """The texts of all messages, in order."""
        return [message.text for message in self.server.trace.messages]

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


@contextmanager
def connected(port: int, version: int = 82) -> Iterator[Viewer]:
    """Have a viewer connected while the block runs."""
    viewer = Viewer(port, version)
    try:
        yield viewer
    finally:
        viewer.close()
