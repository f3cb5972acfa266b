"""Pictures that records refer to by number: of what a program showed in a frame.

Whoever gives one pays for a copy; it is compressed when somebody asks for it, on that one's thread.
"""

from __future__ import annotations

import itertools
import time
from typing import Final

from ._dxt1 import encode

__all__ = ("KEPT", "MIN_INTERVAL_NS", "Pictures")

#: Viewers show them as thumbnails; more of them in between would show nothing more.
MIN_INTERVAL_NS: Final = 100_000_000
#: Up to 1 MB each, until somebody asks for them.
KEPT: Final = 16
#: For other threads to get the GIL between two strips of a picture.
PAUSE_S: Final = 100e-6


class _Picture:
    __slots__ = ("blocks", "channels", "flip", "height", "pixels", "width")

    def __init__(self, pixels: bytes, width: int, height: int, channels: int, flip: bool) -> None:
        self.pixels = pixels
        self.width = width
        self.height = height
        self.channels = channels
        self.flip = flip
        self.blocks = b""

    def compressed(self) -> bytes:
        pixels = self.pixels
        if pixels:
            self.blocks = encode(
                pixels, self.width, self.height, self.channels, lambda: time.sleep(PAUSE_S)
            )
            self.pixels = b""  # last: a thread that finds them gone finds the blocks
        return self.blocks


class Pictures:
    """The newest pictures. Every method may be called on every thread.

    Attributes:
        dropped: pictures that came too soon after another one, or went before anybody saw them.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._kept: dict[int, _Picture] = {}
        self._numbers = itertools.count(1)
        self._last_ns = -MIN_INTERVAL_NS

    def is_due(self, t_ns: int) -> bool:
        """Say whether a picture may come at this time; one that may not is counted."""
        if t_ns - self._last_ns < MIN_INTERVAL_NS:
            self.dropped += 1
            return False
        self._last_ns = t_ns
        return True

    def add(self, pixels: bytes, width: int, height: int, channels: int, flip: bool) -> int:
        """Keep a picture and return its number; the oldest one goes if there are too many.

        Args:
            pixels: its rows; red, green and blue are the first three bytes of each pixel.
            width: a multiple of 4.
            height: a multiple of 4.
            channels: bytes of a pixel, 3 or 4.
            flip: whether its first row is the lowest one.
        """
        number = next(self._numbers)
        self._kept[number] = _Picture(pixels, width, height, channels, flip)
        gone = self._kept.pop(number - KEPT, None)
        if gone is not None and not gone.blocks:
            self.dropped += 1
        return number

    def get(self, number: int) -> tuple[int, int, bytes, bool] | None:
        """Return width, height, DXT1 blocks and whether it is upside down; None if it is gone."""
        picture = self._kept.get(number)
        if picture is None:
            return None
        return picture.width, picture.height, picture.compressed(), picture.flip
