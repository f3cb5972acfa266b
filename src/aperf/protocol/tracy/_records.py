"""Encoders of single events, made once for each version."""

from __future__ import annotations

import struct
from functools import cache, partial
from typing import TYPE_CHECKING, Final

from ._layouts import SHORT, layouts
from ._texts import cut

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ._layouts import Layout

__all__ = ("MAX_STACK", "call_stack", "packer", "records", "second", "single", "split_color")

#: The version that split strings into short and long ones.
_SPLIT_SINCE: Final = 80
#: Innermost frames of a stack that are sent. More say little and cost eight bytes each every time.
MAX_STACK: Final = 128


@cache
def records(version: int) -> Mapping[str, Callable[..., bytes]]:
    """Return by event name what packs its fields, and the length of its string if it has one."""
    return {
        name: partial(struct.Struct(layout.format).pack, layout.number)
        for name, layout in layouts(version).items()
    }


def packer(*events: Layout) -> Callable[..., bytes]:
    """Return what packs several events in one go; each argument list begins with the number."""
    return struct.Struct("<" + "".join(event.format[1:] for event in events)).pack


def split_color(rgb: int) -> tuple[int, int, int]:
    """Return the blue, green and red of 0xRRGGBB, as events have them."""
    return rgb & 0xFF, rgb >> 8 & 0xFF, rgb >> 16 & 0xFF


def single(version: int, text: str) -> bytes:
    """Return the record with the text for the event that follows."""
    return _string(version, "SingleStringData", text)


def second(version: int, text: str) -> bytes:
    """Return the record with another text for the event that follows."""
    return _string(version, "SecondStringData", text)


def _string(version: int, name: str, text: str) -> bytes:
    data = cut(text)
    size = len(data)
    if version >= _SPLIT_SINCE:
        if size <= SHORT:
            return records(version)[name + "8"](size) + data
        size -= SHORT + 1
    return records(version)[name](size) + data


def call_stack(version: int, stack: Sequence[int]) -> bytes:
    """Return the record with the frames, innermost first, for the event that follows."""
    stack = stack[:MAX_STACK]
    count = len(stack)
    head = records(version)["CallstackPayload"](0, 8 * count)
    return head + struct.pack(f"<{count}Q", *stack)
