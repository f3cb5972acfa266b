"""Any bytes from the other side are understood or refused, and nothing else."""

from __future__ import annotations

import struct
from typing import Any, Final

import lz4.block
from hypothesis import given, settings
from hypothesis import strategies as st

from aperf.protocol.tracy import (
    VERSIONS,
    Closed,
    Connection,
    Hello,
    Query,
    RemoteProtocolError,
    State,
    Strings,
)
from aperf.protocol.tracy._blocks import literal_block
from aperf.protocol.tracy._layouts import Layout, layouts
from aperf.protocol.tracy._server import Server
from tests.tracy_bytes import RawClient, frame, welcome
from tests.tracy_pair import WELCOME

_VERSION: Final = st.sampled_from(VERSIONS)
_FLAGS: Final = st.integers(0, 31)
_BITS: Final = {"B": 8, "H": 16, "I": 32, "Q": 64, "b": 8, "i": 32, "q": 64}

#: The numbers that collide, and all others.
_SMALL: Final = st.integers(0, 3)


def number(character: str) -> st.SearchStrategy[float]:
    """Return what fits into a field."""
    if character in "fd":
        return st.floats(width=32 if character == "f" else 64)
    bits = _BITS[character]
    if character.isupper():
        return _SMALL | st.integers(0, (1 << bits) - 1)
    return _SMALL | st.integers(-(1 << bits - 1), (1 << bits - 1) - 1)


def event(layout: Layout) -> st.SearchStrategy[bytes]:
    """Return an event with anything in it."""
    fields = st.tuples(*(number(character) for _, character in layout.fields))
    if not layout.length:
        return fields.map(lambda values: struct.pack(layout.format, layout.number, *values))
    payload = st.binary(max_size=40) | st.sampled_from([bytes(8), bytes(16), bytes(10), b"\1" * 9])

    def pack(parts: tuple[tuple[float, ...], bytes]) -> bytes:
        values, data = parts
        return struct.pack(layout.format, layout.number, *values, len(data)) + data

    return st.tuples(fields, payload).map(pack)


_EVENTS: Final = {
    version: st.lists(
        st.one_of([event(layout) for layout in layouts(version).values()]), max_size=30
    )
    for version in VERSIONS
}


def receive(server: Server, data: bytes) -> None:
    """Hand bytes to a viewer, and look at what it made of them."""
    try:
        server.receive(data)
    except RemoteProtocolError:
        pass
    server.send()
    server.trace  # noqa: B018 – must not raise


@given(_VERSION, _FLAGS, st.data())
@settings(max_examples=100, deadline=None)
def test_any_events(version: int, flags: int, data: st.DataObject) -> None:
    """Events with anything in them, in any order, make a trace, or make the viewer stop."""
    client = RawClient(version, flags=flags, executable_s=1)
    for _ in range(2):
        block = b"".join(data.draw(_EVENTS[version]))
        receive(client.server, frame(literal_block(block)))


@given(_VERSION, st.binary(max_size=3000))
@settings(deadline=None)
def test_any_answer(version: int, data: bytes) -> None:
    """A viewer understands or refuses whatever answers its hello."""
    receive(Server(version), data)
    receive(Server(version), b"\1" + data)


@given(_VERSION, _FLAGS, st.lists(st.binary(max_size=300), max_size=3))
@settings(deadline=None)
def test_any_block(version: int, flags: int, blocks: list[bytes]) -> None:
    """A viewer understands or refuses any block, compressed or not, cut or whole."""
    for encode in (bytes, literal_block, lambda data: lz4.block.compress(data, store_size=False)):
        data = b"".join(frame(encode(block)) for block in blocks)
        server = Server(version)
        receive(server, b"\1" + welcome(version, flags=flags) + data)
        receive(Server(version), b"\1" + welcome(version, flags=flags) + data[:-1])


def connected(version: int) -> Connection:
    """Return a connection whose viewer has been welcomed."""
    connection = Connection(Strings())
    connection.receive(Server(version).hello())
    connection.welcome(WELCOME)
    return connection


def events_of(connection: Connection, data: bytes) -> list[Any]:
    """Return what a connection says to bytes, nothing if it refuses them."""
    try:
        return list(connection.receive(data))
    except RemoteProtocolError:
        assert State.CLOSED is connection.state
        return []


@given(st.lists(st.binary(max_size=20), max_size=5))
@settings(deadline=None)
def test_any_hello(pieces: list[bytes]) -> None:
    """A client understands or refuses whatever comes instead of a hello."""
    for begin in (b"", b"TracyPrf", b"TracyPrf\x48\0\0\0"):
        connection = Connection(Strings())
        for piece in [begin, *pieces]:
            for said in events_of(connection, piece):
                assert isinstance(said, Hello | Closed)


#: Queries with numbers that exist, and a few that do not, about small ids and any others.
_QUERIES: Final = st.lists(
    st.tuples(st.integers(0, 17), number("Q"), number("I")).map(
        lambda query: struct.pack("<BQI", *query)
    ),
    max_size=20,
).map(b"".join)


@given(_VERSION, st.lists(_QUERIES | st.binary(max_size=60), max_size=4))
@settings(deadline=None)
def test_any_queries(version: int, pieces: list[bytes]) -> None:
    """A client answers each query, whatever it is about, or refuses what is none."""
    connection = connected(version)
    for piece in pieces:
        for said in events_of(connection, piece):
            assert isinstance(said, Query | Closed)
    connection.stream.take()
