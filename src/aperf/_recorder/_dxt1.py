"""DXT1, the form in which profilers take pictures: 8 bytes for each block of 4 × 4 pixels.

Theory of operation. A block holds two colours of 16 bits and, for each pixel, two bits that choose
one of them or of the two steps between. Here the two are the colours of the block's brightest and
darkest pixel, and each pixel gets the step that is nearest to it in brightness.

Block by block, Python would take a hundred times as long. So all blocks of a strip are computed at
once: what one pixel of each block has is one large integer with a lane of 16 bits for each block,
and a few operations on such integers compare or choose in all lanes. What is compared must stay
below 2¹⁵, so that the highest bit of each lane can catch the borrow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("encode",)

#: Blocks that are computed at once: more are faster, but for others the GIL is away for longer.
STRIP_BLOCKS: Final = 512


def encode(
    pixels: bytes,
    width: int,
    height: int,
    channels: int,
    pause: Callable[[], None] = lambda: None,
) -> bytes:
    """Compress a picture.

    Args:
        pixels: its rows; red, green and blue are the first three bytes of each pixel.
        width: a multiple of 4.
        height: a multiple of 4.
        channels: bytes of a pixel, 3 or 4.
        pause: called between two strips.
    """
    row = 4 * width * channels  # of blocks
    size = max(1, STRIP_BLOCKS * 4 // width) * row
    strips = []
    for start in range(0, height * width * channels, size):
        if start:
            pause()
        strips.append(_Strip(pixels[start : start + size], width, channels).encode())
    return b"".join(strips)


class _Strip:
    """Some rows of blocks.

    Args:
        pixels: as of a picture.
        width: a multiple of 4.
        channels: bytes of a pixel.
    """

    def __init__(self, pixels: bytes, width: int, channels: int) -> None:
        self._channels = channels
        self._count = len(pixels) // (16 * channels)
        line = width * channels
        #: the first lines of all rows of blocks, then the second ones, …
        self._lines = [
            b"".join(pixels[at : at + line] for at in range(y * line, len(pixels), 4 * line))
            for y in range(4)
        ]
        self._ones = self._everywhere(1)
        self._guard = self._everywhere(0x8000)

    def encode(self) -> bytes:
        """Return the strip's blocks."""
        brightnesses, brightest, darkest = [], (0, 0), (0, 0)
        for number in range(16):
            brightness, color = self._pixel(number & 3, number >> 2)
            brightnesses.append(brightness)
            if not number:
                brightest = darkest = brightness, color
                continue
            mask = self._reaches(brightness, brightest[0])
            brightest = _choose(mask, brightness, brightest[0]), _choose(mask, color, brightest[1])
            mask = self._reaches(darkest[0], brightness)
            darkest = _choose(mask, brightness, darkest[0]), _choose(mask, color, darkest[1])
        steps = self._steps(brightnesses, darkest[0], brightest[0] - darkest[0])
        return self._blocks(brightest[1], darkest[1], steps)

    def _everywhere(self, number: int) -> int:
        return int.from_bytes(number.to_bytes(2, "little") * self._count, "little")

    def _pixel(self, x: int, y: int) -> tuple[int, int]:
        """Return brightness and colour, five, six and five bits, of one pixel of each block."""
        red, green, blue = (self._plane(x, y, channel) for channel in range(3))
        color = (
            (red & self._ones * 0xF8) << 8
            | (green & self._ones * 0xFC) << 3
            | (blue & self._ones * 0xF8) >> 3
        )
        return 3 * red + 6 * green + blue, color

    def _plane(self, x: int, y: int, channel: int) -> int:
        lanes = bytearray(2 * self._count)
        lanes[::2] = self._lines[y][x * self._channels + channel :: 4 * self._channels]
        return int.from_bytes(lanes, "little")

    def _reaches(self, one: int, other: int) -> int:
        """Return all ones in the lanes where one ≥ other, both below 2¹⁵."""
        found = ((one | self._guard) - other) & self._guard
        return (found << 1) - (found >> 15)

    def _reaches_wide(self, one: int, other: int) -> int:
        """Do the same where all 16 bits are in use: every second lane borrows from the next."""
        pairs = self._count // 2 + 1
        even = int.from_bytes(b"\xff\xff\0\0" * pairs, "little")
        guard = int.from_bytes(b"\0\0\1\0" * pairs, "little")
        result = 0
        for shift in (0, 16):
            found = ((one >> shift & even | guard) - (other >> shift & even)) & guard
            result |= found - (found >> 16) << shift
        return result

    def _steps(self, brightnesses: list[int], dark: int, span: int) -> tuple[int, int]:
        """Return the two bits of each pixel: of the upper two lines, and of the lower two.

        They mean: 0 bright, 2 two thirds bright, 3 one third bright, 1 dark.
        """
        halves = [0, 0]
        for number, brightness in enumerate(brightnesses):
            sixfold = 6 * (brightness - dark)
            one = self._reaches(sixfold, span)  # at least the first step
            two = self._reaches(sixfold, 3 * span)
            three = self._reaches(sixfold, 5 * span)
            bits = (self._ones & ~two) | (self._ones & (one ^ three)) << 1
            halves[number >> 3] |= bits << 2 * (number & 7)
        return halves[0], halves[1]

    def _blocks(self, bright: int, dark: int, steps: tuple[int, int]) -> bytes:
        """Return the blocks: the larger number of the two colours first, lest bits mean others."""
        in_order, reverse = self._reaches_wide(bright, dark), self._reaches_wide(dark, bright)
        exchanged = self._ones * 0x5555 & ~in_order
        equal = in_order & reverse
        words = (
            _choose(in_order, bright, dark),
            _choose(in_order, dark, bright),
            *((half ^ exchanged) & ~equal for half in steps),
        )
        blocks = bytearray(8 * self._count)
        for number, word in enumerate(words):
            lanes = word.to_bytes(2 * self._count, "little")
            blocks[2 * number :: 8] = lanes[::2]
            blocks[2 * number + 1 :: 8] = lanes[1::2]
        return bytes(blocks)


def _choose(mask: int, one: int, other: int) -> int:
    """Return one where the mask has ones, else the other."""
    return other ^ ((one ^ other) & mask)
