"""LZ4 blocks: what the library writes, and what nobody should."""

from __future__ import annotations

import lz4.block
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aperf.protocol.tracy import RemoteProtocolError
from aperf.protocol.tracy._blocks import literal_block
from aperf.protocol.tracy._server._lz4 import WINDOW, decompress

_LIMIT = 1 << 18

#: Bytes that repeat themselves, near and far, so that there is something to compress.
_REPETITIVE = st.lists(
    st.tuples(st.binary(min_size=1, max_size=20), st.integers(1, 300)), max_size=20
).map(lambda runs: b"".join(piece * times for piece, times in runs))


@given(_REPETITIVE)
@settings(deadline=None)
def test_library(data: bytes) -> None:
    """What the library compresses is decoded to what it was."""
    assert data == decompress(lz4.block.compress(data, store_size=False), b"", _LIMIT)


@given(_REPETITIVE, st.data())
@settings(deadline=None)
def test_earlier_blocks(data: bytes, draw: st.DataObject) -> None:
    """A block may refer to the end of what was decoded before it."""
    history = draw.draw(_REPETITIVE.map(lambda more: (more + data)[-WINDOW:]))
    block = lz4.block.compress(data, store_size=False, dict=history)
    assert data == decompress(block, history, _LIMIT)


@pytest.mark.parametrize("size", [0, 1, 14, 15, 16, 269, 270, 271, 65_536, _LIMIT])
def test_literals(size: int) -> None:
    """Blocks without any match are decoded, whatever their length takes."""
    data = bytes(index * index % 251 for index in range(size))
    assert data == decompress(literal_block(data), b"", _LIMIT)


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (b"", "ends too early"),
        (b"\x20a", "ends too early"),  # two literals announced
        (b"\xf0", "ends too early"),  # no length
        (b"\xf0\xff", "ends too early"),
        (b"\x10a\x01", "ends too early"),  # half an offset
        (b"\x1fa\x01\x00", "ends too early"),  # no length of the match
        (b"\x10a\x01\x00", "ends too early"),  # nothing after the match
        (b"\x10a\x00\x00\x00", "0 bytes back"),
        (b"\x10a\x02\x00\x00", "2 bytes back"),
    ],
)
def test_malformed(block: bytes, reason: str) -> None:
    """A block that ends too early or refers to nothing is refused."""
    with pytest.raises(RemoteProtocolError, match=reason):
        decompress(block, b"", _LIMIT)


def test_limit() -> None:
    """A block must not decode to more than the limit, by literals or by a match."""
    with pytest.raises(RemoteProtocolError, match="1 bytes more than allowed"):
        decompress(literal_block(b"abc"), b"history", 2)
    bomb = lz4.block.compress(bytes(1 << 20), store_size=False)
    with pytest.raises(RemoteProtocolError, match="more than allowed"):
        decompress(bomb, b"", _LIMIT)


@given(st.binary(max_size=200), st.binary(max_size=50))
@settings(deadline=None)
def test_any_bytes(block: bytes, history: bytes) -> None:
    """Any bytes are decoded or refused, nothing else."""
    try:
        decompress(block, history, _LIMIT)
    except RemoteProtocolError:
        pass
