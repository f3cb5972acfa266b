from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aperf._recorder._dxt1 import encode
from aperf._recorder._pictures import KEPT, MIN_INTERVAL_NS, Pictures
from tests.events.dxt1 import decode

if TYPE_CHECKING:
    from tests.events.dxt1 import Pixel

#: What five or six bits for each colour cannot tell apart.
ROUNDING = 8

sides = st.integers(1, 12).map(lambda blocks: 4 * blocks)
colors = st.tuples(*[st.integers(0, 255)] * 3)


def picture(rows: list[list[Pixel]], channels: int = 3) -> bytes:
    """Return rows of pixels as bytes; what comes after the colours must not matter."""
    return b"".join(bytes((*pixel, 77)[:channels]) for row in rows for pixel in row)


def brightness(pixel: Pixel) -> int:
    """Return how bright a pixel is, as the encoder weighs it."""
    red, green, blue = pixel
    return 3 * red + 6 * green + blue


def difference(one: Pixel, other: Pixel) -> int:
    """Return the largest difference between two pixels in any colour."""
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


@given(width=sides, height=sides, color=colors, channels=st.sampled_from([3, 4]))
def test_one_color(width: int, height: int, color: Pixel, channels: int) -> None:
    """A picture of one colour keeps it, in any size."""
    rows = [[color] * width for _ in range(height)]
    blocks = encode(picture(rows, channels), width, height, channels)
    assert width * height // 2 == len(blocks)
    for row in decode(blocks, width, height):
        assert all(difference(color, pixel) <= ROUNDING for pixel in row)


@given(data=st.data(), width=sides, height=sides, channels=st.sampled_from([3, 4]))
@settings(deadline=None)
def test_any_picture(data: st.DataObject, width: int, height: int, channels: int) -> None:
    """Each pixel gets a step at most a sixth of its block's span of brightness away."""
    pixels = data.draw(st.binary(min_size=width * height * 3, max_size=width * height * 3))
    rows: list[list[Pixel]] = [
        [struct.unpack_from("3B", pixels, 3 * (y * width + x)) for x in range(width)]
        for y in range(height)
    ]
    decoded = decode(encode(picture(rows, channels), width, height, channels), width, height)
    for top in range(0, height, 4):
        for left in range(0, width, 4):
            places = [(top + y, left + x) for y in range(4) for x in range(4)]
            values = [brightness(rows[y][x]) for y, x in places]
            allowed = (max(values) - min(values)) / 6 + 10 * ROUNDING
            for (y, x), value in zip(places, values, strict=True):
                assert abs(value - brightness(decoded[y][x])) <= allowed


@given(one=colors, other=colors, pattern=st.integers(0, 0xFFFF))
def test_two_colors(one: Pixel, other: Pixel, pattern: int) -> None:
    """Two colours of different brightness in a block stay what they are."""
    if abs(brightness(one) - brightness(other)) < 20:
        return
    rows = [[one if pattern >> 4 * y + x & 1 else other for x in range(4)] for y in range(4)]
    for row, decoded in zip(rows, decode(encode(picture(rows), 4, 4, 3), 4, 4), strict=True):
        assert all(
            difference(pixel, found) <= ROUNDING for pixel, found in zip(row, decoded, strict=True)
        )


def test_gradient() -> None:
    """A gradient over several strips comes out as one, and each strip but the first may pause."""
    width, height, pauses = 256, 144, []
    rows = [[(x, y, (x + y) // 2) for x in range(width)] for y in range(height)]
    blocks = encode(picture(rows, 4), width, height, 4, lambda: pauses.append(1))
    assert 4 == len(pauses)
    for row, decoded in zip(rows, decode(blocks, width, height), strict=True):
        for pixel, found in zip(row, decoded, strict=True):
            assert difference(pixel, found) <= 2 * ROUNDING


def test_no_third_mode() -> None:
    """The colours are in the order in which all four steps are colours, or equal."""
    rows = [[(8 * x, 255 - 8 * x, 3 * y) for x in range(16)] for y in range(16)]
    for first, second, bits in struct.iter_unpack("<HHI", encode(picture(rows), 16, 16, 3)):
        assert first > second or (first == second and not bits)


# ---------------------------------------------------------------------------------------- the store


def add(pictures: Pictures, color: int) -> int:
    """Keep a small picture of one colour."""
    return pictures.add(bytes([color]) * 48, 4, 4, 3, flip=bool(color & 1))


def test_get() -> None:
    """A picture is there under its number, compressed, as often as somebody asks."""
    pictures = Pictures()
    one, two = add(pictures, 80), add(pictures, 161)
    for _ in range(2):
        assert (4, 4, encode(bytes([80]) * 48, 4, 4, 3), False) == pictures.get(one)
        assert (4, 4, encode(bytes([161]) * 48, 4, 4, 3), True) == pictures.get(two)
    assert pictures.get(0) is None
    assert pictures.get(two + 1) is None


def test_newest_are_kept() -> None:
    """The oldest pictures go; those that nobody has seen are counted."""
    pictures = Pictures()
    numbers = [add(pictures, number) for number in range(KEPT)]
    assert pictures.get(numbers[0]) is not None
    numbers += [add(pictures, number) for number in range(3)]
    assert [None] * 3 == [pictures.get(number) for number in numbers[:3]]
    assert all(pictures.get(number) is not None for number in numbers[3:])
    assert 2 == pictures.dropped


@pytest.mark.parametrize("begin_ns", [0, 10**15])
def test_due(begin_ns: int) -> None:
    """The first picture may come at any time; one too soon after another one is counted."""
    pictures = Pictures()
    times = [0, 1, MIN_INTERVAL_NS - 1, MIN_INTERVAL_NS, MIN_INTERVAL_NS + 1, 3 * MIN_INTERVAL_NS]
    due = [pictures.is_due(begin_ns + time) for time in times]
    assert [True, False, False, True, False, True] == due
    assert 3 == pictures.dropped
