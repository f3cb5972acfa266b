"""A relay between a program and a Tracy viewer, which reads along what the viewer is sent.

So our own server half counts the zones of the very bytes that a real viewer counts.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from aperf.protocol.tracy._server import Server
from tests.watched import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from aperf.protocol.tracy._server import Trace

__all__ = ("Tap", "tapped")

_HELLO_BYTES: Final = 12
_LOOK_S: Final = 0.1
#: Bytes in that time.
_LITTLE: Final = 4_000


class Tap:
    """Relays one connection.

    Args:
        program: the port where the program listens.

    Attributes:
        port: where the viewer is to connect.
        received: how many bytes the program has sent.
    """

    def __init__(self, program: int) -> None:
        self._program = program
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        self.received = 0
        self._server: Server | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._relay, name="tap")
        self._thread.start()

    @property
    def trace(self) -> Trace:
        """What the viewer was sent."""
        assert self._server is not None
        with self._lock:
            return self._server.trace

    def count(self, *names: str) -> dict[str, int]:
        """Return how many zones there are of each name."""
        counter = Counter(zone.name for zone in self.trace.zones()) if self._server else Counter()
        return {name: counter[name] for name in names}

    def until(self, zones: Mapping[str, int]) -> None:
        """Wait until there are so many zones of these names, at least."""
        deadline_s = time.monotonic() + DEADLINE_S
        while True:
            self._until_quiet(deadline_s)
            found = self.count(*zones)
            if all(found[name] >= number for name, number in zones.items()):
                return
            assert time.monotonic() < deadline_s, f"{zones} expected, {found} found"

    def _until_quiet(self, deadline_s: float) -> None:
        """Wait until the program sends little: to count takes time that reading needs."""
        before = -_LITTLE
        while self.received - before >= _LITTLE and time.monotonic() < deadline_s:
            before = self.received
            time.sleep(_LOOK_S)

    def close(self) -> None:
        """End, once both sides have hung up."""
        with socket.socket() as nobody:  # who lets `accept` return if no viewer came
            nobody.connect_ex(("127.0.0.1", self.port))
        self._thread.join(DEADLINE_S)
        self._door.close()

    # ------------------------------------------------------------------------------- the threads

    def _relay(self) -> None:
        viewer, _ = self._door.accept()
        with viewer, socket.create_connection(("127.0.0.1", self._program)) as program:
            hello = viewer.recv(_HELLO_BYTES, socket.MSG_WAITALL)
            if len(hello) < _HELLO_BYTES:
                return
            self._server = Server(int.from_bytes(hello[8:], "little"))
            program.sendall(hello)
            back = threading.Thread(
                target=self._pass_on, args=(viewer, program, self._server.overhear)
            )
            back.start()
            self._pass_on(program, viewer, self._read)
            back.join()

    def _pass_on(
        self, source: socket.socket, target: socket.socket, listen: Callable[[bytes], None]
    ) -> None:
        """Pass bytes on in one direction; what either side does about the other, both learn."""
        try:
            while data := source.recv(1 << 18):
                with self._lock:
                    listen(data)
                target.sendall(data)
        except OSError:
            pass  # killed
        for end in (target, source):
            try:
                end.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # closed already

    def _read(self, data: bytes) -> None:
        assert self._server is not None
        self.received += len(data)
        self._server.receive(data)


@contextmanager
def tapped(program: int) -> Iterator[Tap]:
    """Have a relay to a program's port while the block runs."""
    tap = Tap(program)
    try:
        yield tap
    finally:
        tap.close()
