"""The connection of a viewer: its states, the welcome, and an answer for each query."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aperf.protocol.tracy import (
    VERSIONS,
    Closed,
    Connection,
    Hello,
    LocalProtocolError,
    Query,
    QueryKind,
    Refusal,
    RemoteProtocolError,
    State,
    Strings,
    Welcome,
)
from aperf.protocol.tracy._versions import query_numbers

WELCOME = Welcome(begin_ns=7, epoch_s=8, pid=9, program="p" * 99, host="h\n" * 999)


def hello(version: int) -> bytes:
    """Return what a viewer says first."""
    return b"TracyPrf" + struct.pack("<I", version)


def query(version: int, kind: QueryKind, ptr: int = 0, extra: int = 0) -> bytes:
    """Return a query."""
    return struct.pack("<BQI", query_numbers(version)[kind], ptr, extra)


def welcomed(version: int = 72) -> Connection:
    """Return a connection that streams."""
    connection = Connection(Strings(), strict=True)
    connection.receive(hello(version))
    connection.welcome(WELCOME)
    return connection


def state(connection: Connection) -> State:
    """Return the state; mypy would think that an attribute stays what it was."""
    return connection.state


def test_hello() -> None:
    """The version is known once twelve bytes have come, however they came."""
    connection = Connection(Strings())
    *parts, last = (bytes((byte,)) for byte in hello(72))
    assert [] == [event for part in parts for event in connection.receive(part)]
    assert State.HANDSHAKE is state(connection)
    assert [Hello(72)] == connection.receive(last)
    assert State.WELCOME is state(connection)
    assert 72 == connection.version


@pytest.mark.parametrize(
    "data", [b"GET / HT", b"T\n", b"TracyPrg", hello(72) + b"x", b"TracyPrf" + bytes(1000)]
)
def test_no_hello(data: bytes) -> None:
    """What is not a hello is refused as early as it shows, and nothing more is read."""
    connection = Connection(Strings())
    with pytest.raises(RemoteProtocolError, match="expected"):
        connection.receive(data)
    assert State.CLOSED is state(connection)
    assert [] == connection.receive(hello(72))


def test_impatient_viewer() -> None:
    """A viewer has to wait for the welcome."""
    connection = Connection(Strings())
    connection.receive(hello(72))
    with pytest.raises(RemoteProtocolError, match="before the welcome"):
        connection.receive(b"\0")


@pytest.mark.parametrize("version", VERSIONS)
def test_welcome(version: int) -> None:
    """The welcome has the fields of the version, and texts that fit into it."""
    connection = Connection(Strings())
    connection.receive(hello(version))
    data = connection.welcome(WELCOME)
    assert State.STREAMING is state(connection)
    assert version == connection.stream.version
    assert b"\1" == data[:1]
    assert 1 + (1178 if version <= 74 else 1170) + 16 == len(data)
    assert (1.0, 7, 7) == struct.unpack_from("<dqq", data, 1)
    values = struct.unpack("<QQQQqBB12sI64s1024sQQ", data[-1162:])
    assert (1, 8, 0, 9, 0, 1, 0, bytes(12), 0) == values[:9]
    assert b"p" * 63 + b"\0" == values[9]
    assert (b"h\n" * 999)[:1023] + b"\0" == values[10]
    assert (0, 7) == values[11:]


@pytest.mark.parametrize(("refusal", "status"), [("MISMATCH", b"\2"), ("NOT_AVAILABLE", b"\3")])
def test_refuse(refusal: str, status: bytes) -> None:
    """A viewer that cannot be served learns why."""
    connection = Connection(Strings())
    connection.receive(hello(77))
    assert status == connection.refuse(Refusal[refusal])
    assert State.CLOSED is state(connection)


def test_wrong_calls() -> None:
    """What does not belong to the state is refused, with the state that was expected."""
    connection = Connection(Strings())
    for call in (
        lambda: connection.welcome(WELCOME),
        lambda: connection.refuse(Refusal.MISMATCH),
        lambda: connection.terminate(0),
        lambda: connection.stream,
    ):
        with pytest.raises(LocalProtocolError, match="expected"):
            call()
    connection.receive(hello(77))
    with pytest.raises(LocalProtocolError, match=r"protocol 77, expected one of \(63, 64"):
        connection.welcome(WELCOME)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", QueryKind)
def test_one_answer(version: int, kind: QueryKind) -> None:
    """Each query but those to end has an answer, also if it makes no sense."""
    connection = welcomed(version)
    if kind is QueryKind.DATA_TRANSFER_PART:
        connection.receive(query(version, QueryKind.DATA_TRANSFER, 12))
        connection.stream.take()
    ends = kind in (QueryKind.TERMINATE, QueryKind.DISCONNECT)
    events = connection.receive(query(version, kind, 5, 0))
    assert [Closed(by_query=True) if kind is QueryKind.TERMINATE else Query(kind, 5, 0)] == events
    assert ends == (connection.stream.waiting == 0)


def test_queries_in_pieces() -> None:
    """Queries may be cut anywhere; they are answered in order."""
    connection = welcomed()
    data = query(72, QueryKind.STRING, 1) + query(72, QueryKind.FIBER_NAME, 2)
    events = [event for byte in data for event in connection.receive(bytes((byte,)))]
    assert [Query(QueryKind.STRING, 1, 0), Query(QueryKind.FIBER_NAME, 2, 0)] == events


def test_unknown_query() -> None:
    """A query that does not exist ends the connection."""
    connection = welcomed()
    with pytest.raises(RemoteProtocolError, match=r"query 16, expected 0 … 15"):
        connection.receive(b"\x10" + bytes(12))
    assert State.CLOSED is state(connection)


def test_drain() -> None:
    """After the end queries are still answered, until the viewer has got all."""
    connection = welcomed()
    connection.stream.zone_begin(1, 1)
    connection.terminate(5)
    assert State.DRAINING is state(connection)
    connection.stream.take()
    connection.receive(query(72, QueryKind.STRING, 1))
    assert connection.stream.waiting
    assert [Closed(by_query=True)] == connection.receive(query(72, QueryKind.TERMINATE))
    assert State.CLOSED is state(connection)


def test_hang_up() -> None:
    """A viewer may leave at any time without a word."""
    for connection in (Connection(Strings()), welcomed()):
        assert [Closed(by_query=False)] == connection.receive(b"")
        assert State.CLOSED is state(connection)


@pytest.mark.parametrize(
    "transfer",
    [
        query(72, QueryKind.DATA_TRANSFER, 1 << 20),
        query(72, QueryKind.DATA_TRANSFER_PART),
        query(72, QueryKind.DATA_TRANSFER, 12) + 2 * query(72, QueryKind.DATA_TRANSFER_PART),
    ],
)
def test_transfer_limits(transfer: bytes) -> None:
    """A viewer cannot send more than a path, nor more than it announced."""
    connection = welcomed()
    with pytest.raises(RemoteProtocolError, match="transfer of"):
        connection.receive(transfer)


def test_parameters() -> None:
    """What the user of the viewer sets can be read, negative values too."""
    connection = welcomed()
    connection.receive(query(72, QueryKind.PARAMETER, 3 << 32 | 0xFFFF_FFFE))
    assert {3: -2} == connection.stream.parameters


@given(st.sampled_from(VERSIONS), st.lists(st.binary(min_size=1, max_size=60), max_size=9))
def test_any_bytes(version: int, pieces: list[bytes]) -> None:
    """Whatever a viewer sends is understood or refused, nothing else."""
    for connection in (Connection(Strings()), welcomed(version)):
        try:
            for piece in pieces:
                connection.receive(piece)
        except RemoteProtocolError:
            assert State.CLOSED is state(connection)
