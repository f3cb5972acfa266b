"""Frames: what is sent is whole records, in blocks that a viewer can take."""

from __future__ import annotations

import sys

import lz4.block
import pytest

from aperf.protocol.tracy import LocalProtocolError, Stream, Strings, _blocks
from aperf.protocol.tracy._blocks import BLOCK, MAX_BLOCK, MAX_COMPRESSED, literal_block


def content(frame: bytes) -> bytes:
    """Return what a frame holds."""
    assert int.from_bytes(frame[:4], "little") == len(frame) - 4 <= MAX_COMPRESSED
    data: bytes = lz4.block.decompress(frame[4:], uncompressed_size=MAX_BLOCK)
    return data


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, b"\x00"),
        (1, b"\x10"),
        (14, b"\xe0"),
        (15, b"\xf0\x00"),
        (269, b"\xf0\xfe"),
        (270, b"\xf0\xff\x00"),
        (MAX_BLOCK, b"\xf0" + b"\xff" * 1027 + b"\xf4"),
    ],
)
def test_literal_block(size: int, head: bytes) -> None:
    """Without a library a block is the length and the bytes."""
    data = bytes(index % 251 for index in range(size))
    block = literal_block(data)
    assert head + data == block
    assert len(block) <= MAX_COMPRESSED
    assert data == lz4.block.decompress(block, uncompressed_size=MAX_BLOCK)


@pytest.mark.parametrize("library", [True, False])
def test_frame(library: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the package lz4 frames are smaller; they hold the same without it."""
    monkeypatch.setattr(_blocks, "_compressors", [])
    if not library:
        monkeypatch.setitem(sys.modules, "lz4.block", None)
    data = b"zone" * 1000
    frame = _blocks.frame(data)
    assert data == content(frame)
    assert library == (len(frame) < 200)


@pytest.mark.parametrize("version", [72, 82])
def test_whole_records(version: int) -> None:
    """No record is split between blocks, and blocks are closed when they are worth sending."""
    stream = Stream(version, Strings(), strict=True)
    stream.zone_begin(0, 1)
    for number in range(20):
        stream.zone_text(str(number) * 30_000)
    stream.zone_end(1)
    blocks = [content(frame) for frame in stream.take()]
    text = b"\x62" if version == 72 else b"\x70"  # SingleStringData
    assert all(block.startswith(text) for block in blocks[1:])
    assert all(block.endswith(b"\0") for block in blocks[:-1])  # ZoneText
    assert all(BLOCK <= len(block) < 2 * BLOCK for block in blocks[:-1])


def test_many_zones() -> None:
    """A block is closed as soon as it is full enough, so that viewers may ask."""
    stream = Stream(72, Strings(), strict=True)
    for number in range(10_000):
        stream.zone(number * 10, number * 10 + 5, 1)
    assert stream.waiting > 0
    sizes = [len(content(frame)) for frame in stream.take()]
    assert 10_000 * 26 == sum(sizes)
    assert all(0 == size % 26 and size < BLOCK + 26 for size in sizes)
    assert [] == stream.take()
    assert 0 == stream.waiting


def test_largest_record() -> None:
    """A record that fills a block goes alone; a larger one is refused."""
    stream = Stream(72, Strings(), strict=True)
    for mark in range(200):
        stream.frame_mark(mark)
    stream.frame_image(1, 512, 1020, bytes(512 * 1020 // 2))
    assert [200 * 17, 13 + 512 * 1020 // 2 + 10] == [len(content(frame)) for frame in stream.take()]
    with pytest.raises(LocalProtocolError, match="expected at most 262144"):
        stream.frame_image(2, 512, 1024, bytes(512 * 1024 // 2))
