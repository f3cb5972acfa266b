"""A client of Tracy's protocol that sends whatever a test wants, right or wrong."""

from __future__ import annotations

import struct
from typing import Any, Final

from aperf.protocol.tracy._blocks import literal_block
from aperf.protocol.tracy._layouts import SHORT, layouts
from aperf.protocol.tracy._server import Server
from aperf.protocol.tracy._versions import QueryKind, query_numbers

__all__ = (
    "CODE_TRANSFER",
    "IGNORES_MEMORY_FAULTS",
    "ON_DEMAND",
    "TID",
    "RawClient",
    "begin",
    "end",
    "frame",
    "lock",
    "on_thread",
    "welcome",
    "zone",
)

ON_DEMAND: Final = 1
IGNORES_MEMORY_FAULTS: Final = 2
CODE_TRANSFER: Final = 4

#: The thread of the events below.
TID: Final = 7

_QUERY: Final = struct.Struct("<BQI")


def welcome(version: int, *, flags: int = 0, executable_s: int = 0, frames: int = 0) -> bytes:
    """Return a welcome, and what follows it if the flags say on demand."""
    delay = b"" if version >= 75 else bytes(8)
    head = struct.pack("<dqq", 1.0, 0, 0)
    rest = struct.pack("<QQQQq", 1, 1_700_000_000, executable_s, 4321, 0)
    tail = struct.pack("<BB12sI64s1024s", flags, 0, b"", 0, b"a program", b"a host\n")
    on_demand = struct.pack("<Qq", frames, 0) if flags & ON_DEMAND else b""
    return head + delay + rest + tail + on_demand


def frame(block: bytes) -> bytes:
    """Return a compressed block with its length."""
    return struct.pack("<I", len(block)) + block


class RawClient:
    """Talks to a server half that has been welcomed already."""

    def __init__(self, version: int, **says: int) -> None:
        self.version = version
        self.server = Server(version)
        self.server.receive(b"\1" + welcome(version, **says))
        self._kinds = {number: kind for kind, number in query_numbers(version).items()}

    def send(self, *events: bytes) -> list[tuple[QueryKind, int, int]]:
        """Send a block of events and return what the server asks then."""
        self.server.receive(frame(literal_block(b"".join(events))))
        asked = _QUERY.iter_unpack(self.server.send())
        return [(self._kinds[number], about, extra) for number, about, extra in asked]

    def event(self, name: str, payload: bytes = b"", /, **fields: Any) -> bytes:
        """Return an event, its fields by name; those left out are 0."""
        layout = layouts(self.version)[name]
        values = [fields.pop(field, 0) for field, _ in layout.fields]
        assert not fields, fields
        if layout.length:
            values.append(len(payload))
        return struct.pack(layout.format, layout.number, *values) + payload

    def string(self, text: str, slot: str = "Single") -> bytes:
        """Return the record that carries a text for the next event."""
        data = text.encode()
        name = f"{slot}StringData"
        if f"{name}8" not in layouts(self.version):
            return self.event(name, data)
        if len(data) <= SHORT:
            return self.event(f"{name}8", data)
        layout = layouts(self.version)[name]
        return struct.pack(layout.format, layout.number, len(data) - SHORT - 1) + data


def on_thread(client: RawClient, *events: bytes) -> bytes:
    """Return events of a thread."""
    return client.event("ThreadContext", tid=TID) + b"".join(events)


def begin(client: RawClient) -> bytes:
    """Return the begin of a zone."""
    return client.event("ZoneBegin", dt=1, source=5)


def end(client: RawClient) -> bytes:
    """Return the end of a zone."""
    return client.event("ZoneEnd", dt=1)


def zone(client: RawClient) -> bytes:
    """Return a whole zone."""
    return on_thread(client, begin(client), end(client))


def lock(client: RawClient, *events: bytes) -> bytes:
    """Return a lock and its events."""
    return client.event("LockAnnounce", lock=1, t=1, source=5) + b"".join(events)
