"""Decodes DXT1, as a graphics card does."""

from __future__ import annotations

import struct
from typing import TypeAlias

__all__ = ("Pixel", "decode")

Pixel: TypeAlias = "tuple[int, int, int]"


def decode(blocks: bytes, width: int, height: int) -> list[list[Pixel]]:
    """Return the rows of a picture."""
    rows = [[(0, 0, 0)] * width for _ in range(height)]
    for number, (first, second, bits) in enumerate(struct.iter_unpack("<HHI", blocks)):
        palette = _palette(first, second)
        top, left = divmod(number, width // 4)
        for pixel in range(16):
            y, x = divmod(pixel, 4)
            rows[4 * top + y][4 * left + x] = palette[bits >> 2 * pixel & 3]
    return rows


def _palette(first: int, second: int) -> list[Pixel]:
    one, two = _color(first), _color(second)
    if first > second:
        return [one, two, _between(one, two, 2, 1), _between(one, two, 1, 2)]
    return [one, two, _between(one, two, 1, 1), (0, 0, 0)]


def _color(packed: int) -> Pixel:
    red, green, blue = packed >> 11, packed >> 5 & 0x3F, packed & 0x1F
    return red << 3 | red >> 2, green << 2 | green >> 4, blue << 3 | blue >> 2


def _between(one: Pixel, two: Pixel, ones: int, twos: int) -> Pixel:
    red, green, blue = (
        (ones * a + twos * b) // (ones + twos) for a, b in zip(one, two, strict=True)
    )
    return red, green, blue
