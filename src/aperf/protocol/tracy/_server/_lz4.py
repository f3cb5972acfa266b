"""LZ4 blocks, decoded: a client may use the library, tests and users shall not need it."""

from __future__ import annotations

from typing import Final

from aperf.protocol.tracy._errors import RemoteProtocolError

__all__ = ("WINDOW", "decompress")

#: How far back a match may reach, in bytes: also into what the blocks before it decoded to.
WINDOW: Final = 64 * 1024

_MIN_MATCH: Final = 4
#: A length of this much in the token goes on in the bytes behind it.
_LONG: Final = 15


def decompress(block: bytes, history: bytes, limit: int) -> bytes:
    """Decode one block.

    Args:
        block: the compressed bytes.
        history: the last `WINDOW` bytes of what was decoded before.
        limit: how many bytes it may decode to.

    Raises:
        RemoteProtocolError: it is not LZ4, or decodes to more than the limit.
    """
    out = bytearray(history)
    end = len(history) + limit
    try:
        _decode(block, out, end)
    except IndexError:
        raise RemoteProtocolError(f"LZ4 block of {len(block)} bytes ends too early") from None
    return bytes(out[len(history) :])


def _decode(block: bytes, out: bytearray, end: int) -> None:
    position = 0
    while True:
        token = block[position]
        literals, position = _length(block, position + 1, token >> 4)
        if position + literals > len(block):
            raise IndexError
        _check(len(out) + literals, end)
        out += block[position : position + literals]
        position += literals
        if position == len(block):  # the last sequence has no match
            return
        offset = block[position] | block[position + 1] << 8
        extra, position = _length(block, position + 2, token & 0xF)
        _check(len(out) + extra + _MIN_MATCH, end)
        _repeat(out, offset, extra + _MIN_MATCH)


def _length(block: bytes, position: int, nibble: int) -> tuple[int, int]:
    """Return a length and where its bytes end."""
    length = nibble
    if nibble == _LONG:
        more = 255
        while more == 255:
            more = block[position]
            length += more
            position += 1
    return length, position


def _check(size: int, end: int) -> None:
    if size > end:
        raise RemoteProtocolError(f"LZ4 block decodes to {size - end} bytes more than allowed")


def _repeat(out: bytearray, offset: int, length: int) -> None:
    start = len(out) - offset
    if offset == 0 or start < 0:
        raise RemoteProtocolError(f"LZ4 match {offset} bytes back, there are {len(out)}")
    if length <= offset:
        out += out[start : start + length]
    else:  # it reaches into what it writes: a pattern
        pattern = bytes(out[start:])
        out += (pattern * (length // offset + 1))[:length]
