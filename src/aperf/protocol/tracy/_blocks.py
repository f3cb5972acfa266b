"""Frames: a length and an LZ4 block.

Viewers decode blocks of LZ4's block format, each into a buffer of fixed size: one that is too large
would overrun it. A block may consist of literals alone, so no library is needed to write one; with
the package `lz4` they become smaller.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("BLOCK", "MAX_BLOCK", "MAX_COMPRESSED", "frame", "literal_block")

#: The viewer's buffer for what a block holds.
MAX_BLOCK: Final = 256 << 10
#: … and for the block itself: LZ4's bound.
MAX_COMPRESSED: Final = MAX_BLOCK + MAX_BLOCK // 255 + 16
#: A block that has so much is closed: LZ4 looks no further back than this, and viewers, which ask
#: for names only between blocks, get a chance to.
BLOCK: Final = 64 << 10


def literal_block(data: bytes | bytearray) -> bytes:
    """Return an LZ4 block that holds `data` as it is."""
    size = len(data)
    if size < 15:
        return bytes((size << 4,)) + data
    full, rest = divmod(size - 15, 255)
    return b"\xf0" + b"\xff" * full + bytes((rest,)) + data


def _find_compressor() -> Callable[[bytes | bytearray], bytes]:
    try:
        block = importlib.import_module("lz4.block")
    except ImportError:
        return literal_block

    def compress(data: bytes | bytearray) -> bytes:
        result: bytes = block.compress(data, store_size=False)
        return result

    return compress


_compressors: list[Callable[[bytes | bytearray], bytes]] = []


def frame(data: bytes | bytearray) -> bytes:
    """Return a frame, ready to be sent, of at most `MAX_BLOCK` bytes of whole records."""
    if not _compressors:  # looked for when there is a viewer: not everybody who imports us has one
        _compressors.append(_find_compressor())
    block = _compressors[0](data)
    return len(block).to_bytes(4, "little") + block
