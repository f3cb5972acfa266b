from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from aperf import ConfigurationError
from aperf._events import activate, deactivate, frame_image, frame_mark, subframe
from aperf._recorder import Kind
from aperf._recorder._dxt1 import encode
from aperf._recorder._layout import FrameOp
from aperf._recorder._names import MAX_NAMES
from aperf._recorder._pictures import MIN_INTERVAL_NS
from tests.events.taking import taking
from tests.records import decode, of_kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aperf._recorder import Recorder


def frames(recorder: Recorder) -> list[tuple[FrameOp, str]]:
    """Take all records out of a recorder; return what happened to which set, "" the default one."""
    text = recorder.cold.names.text
    records = of_kind(decode(recorder), Kind.FRAME)
    return [(FrameOp(record.flags), text(record.ref) if record.ref else "") for record in records]


def test_marks(recorder: Recorder) -> None:
    """Marks belong to the default set or to one with a name."""
    frame_mark()
    frame_mark("audio")
    frame_mark(None)
    assert [(FrameOp.MARK, ""), (FrameOp.MARK, "audio"), (FrameOp.MARK, "")] == frames(recorder)


def test_subframe(recorder: Recorder) -> None:
    """A block has a begin and an end, also around others."""
    with subframe("outer"), subframe("inner"):
        frame_mark()
    begin, end = FrameOp.BEGIN, FrameOp.END
    expected = [(begin, "outer"), (begin, "inner"), (FrameOp.MARK, ""), (end, "inner")]
    assert [*expected, (end, "outer")] == frames(recorder)


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, asyncio.CancelledError])
def test_subframe_and_exceptions(recorder: Recorder, error: type[BaseException]) -> None:
    """However a block ends, its frame ends, and the exception passes."""
    with pytest.raises(error), subframe("x"):
        raise error
    assert [(FrameOp.BEGIN, "x"), (FrameOp.END, "x")] == frames(recorder)


def test_subframe_around_await(recorder: Recorder) -> None:
    """A frame may lie around an await, and ends when its task is cancelled there."""

    async def program() -> None:
        with subframe("done"):
            await asyncio.sleep(0)
        task = asyncio.create_task(forever())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    async def forever() -> None:
        with subframe("cancelled"):
            await asyncio.Event().wait()

    asyncio.run(program())
    begin, end = FrameOp.BEGIN, FrameOp.END
    expected = [(begin, "done"), (end, "done"), (begin, "cancelled"), (end, "cancelled")]
    assert expected == frames(recorder)


def test_subframe_of_dropped_generator(recorder: Recorder) -> None:
    """A generator that is dropped within a frame ends it."""

    def generate() -> Iterator[int]:
        with subframe("x"):
            yield 1

    assert 1 == next(generate())
    assert [(FrameOp.BEGIN, "x"), (FrameOp.END, "x")] == frames(recorder)


def test_subframe_that_began_before(recorder: Recorder) -> None:
    """A frame ends only in the records in which it began."""
    with ExitStack() as stack:
        stack.enter_context(subframe("x"))
        deactivate()
        activate(recorder)
    with ExitStack() as stack:
        deactivate()
        stack.enter_context(subframe("y"))
        activate(recorder)
    prepared = subframe("z")
    deactivate()
    with prepared:
        pass
    assert [(FrameOp.BEGIN, "x")] == frames(recorder)


def test_no_room(recorder_class: type[Recorder]) -> None:
    """A begin that found no room has no end."""
    with taking(recorder_class, ring_slots=64) as recorder:
        for _ in range(100):
            frame_mark()
        with subframe("x"):
            decode(recorder)
        assert [] == frames(recorder)


def test_too_many_names(recorder: Recorder) -> None:
    """A set whose name has no room is not taken for the default one."""
    for number in range(MAX_NAMES):
        recorder.cold.names.intern(str(number))
    frame_mark("late")
    with subframe("late"):
        pass
    assert [] == frames(recorder)


@pytest.mark.usefixtures("off_and_on")
@pytest.mark.parametrize("function", [frame_mark, subframe])
def test_wrong_names(function: Any) -> None:
    """Wrong names are refused, whether anybody takes frames or not."""
    with pytest.raises(TypeError, match=f"{function.__name__}: name=1 is not accepted"):
        function(1)
    with pytest.raises(ConfigurationError, match=f"{function.__name__}: name=''"):
        function("")


# ---------------------------------------------------------------------------------------- pictures

PIXELS = bytes(range(8 * 4 * 4))
RGB = bytes(range(8 * 4 * 3))


class Interface:
    """Describes itself as Pillow's images do."""

    def __init__(self, data: object, shape: tuple[int, ...], **other: object) -> None:
        self.__array_interface__ = {"data": data, "shape": shape, "typestr": "|u1", **other}


def shaped(data: bytes, *shape: int) -> memoryview:
    """Return data as an array."""
    return memoryview(data).cast("B", shape)


def pictures(recorder: Recorder) -> list[tuple[int, int, bytes, bool] | None]:
    """Take all records out of a recorder; return the pictures that they name."""
    records = of_kind(decode(recorder), Kind.IMAGE)
    return [recorder.cold.pictures.get(record.a) for record in records]


@pytest.mark.parametrize(
    ("image", "options", "channels"),
    [
        (PIXELS, {"width": 8, "height": 4}, 4),
        (bytearray(PIXELS), {"width": 8, "height": 4}, 4),
        (RGB, {"width": 8, "height": 4}, 3),
        (shaped(PIXELS, 4, 8, 4), {}, 4),
        (shaped(PIXELS, 4, 8, 4), {"width": 8, "height": 4}, 4),
        (shaped(RGB, 4, 8, 3), {"height": 4}, 3),
        (Interface(PIXELS, (4, 8, 4)), {}, 4),
        (Interface(RGB, (4, 8, 3), strides=None), {}, 3),
    ],
)
def test_images(recorder: Recorder, image: Any, options: Any, channels: int) -> None:
    """Pictures come as bytes with a size, or as arrays with a shape."""
    frame_image(image, **options)
    data = PIXELS if channels == 4 else RGB
    assert [(8, 4, encode(data, 8, 4, channels), False)] == pictures(recorder)


def test_view_in_steps(recorder: Recorder) -> None:
    """The bytes of a picture need not lie next to each other."""
    frame_image(memoryview(PIXELS + PIXELS)[::2], width=8, height=4, flip=True)
    data = (PIXELS + PIXELS)[::2]
    assert [(8, 4, encode(data, 8, 4, 4), True)] == pictures(recorder)


def test_image_is_copied(recorder: Recorder) -> None:
    """The program may use its memory for something else at once."""
    image = bytearray(PIXELS)
    frame_image(image, width=8, height=4)
    image[:] = bytes(len(image))
    assert [(8, 4, encode(PIXELS, 8, 4, 4), False)] == pictures(recorder)


def test_images_at_intervals(recorder_class: type[Recorder]) -> None:
    """What comes too soon after another picture is dropped and counted."""
    from aperf._recorder import Cold

    recorder = recorder_class(Cold(), manual_clock=True)
    recorder.armed = True
    activate(recorder)
    try:
        for time_ns in (0, 1, MIN_INTERVAL_NS):
            recorder.set_time_ns(time_ns)
            frame_image(PIXELS, width=8, height=4)
    finally:
        deactivate()
    assert 2 == len(pictures(recorder))
    assert 1 == recorder.cold.pictures.dropped


@pytest.mark.usefixtures("off_and_on")
@pytest.mark.parametrize(
    ("image", "options", "error", "words"),
    [
        ("x", {}, TypeError, "an image of type str is not accepted"),
        (Interface((0, False), (4, 8, 4)), {}, TypeError, "an image of type Interface"),
        (Interface(PIXELS, (4, 8, 4), typestr="<f4"), {}, TypeError, "an image of type Interface"),
        (Interface(PIXELS, (4, 8, 4), strides=(1, 4, 32)), {}, TypeError, "type Interface"),
        (memoryview(PIXELS).cast("I"), {"width": 8, "height": 4}, TypeError, r"shape \(32,\)"),
        (shaped(PIXELS, 8, 16), {"width": 8, "height": 4}, TypeError, r"shape \(8, 16\)"),
        (PIXELS, {}, TypeError, "width=None is not accepted; an int is"),
        (PIXELS, {"width": 8}, TypeError, "height=None"),
        (PIXELS, {"width": 8, "height": 8}, ConfigurationError, "128 bytes .* 8 × 8 pixels"),
        (PIXELS, {"width": 0, "height": 4}, ConfigurationError, "0 × 4 pixels .* multiples of 4"),
        (PIXELS, {"width": -4, "height": -8}, ConfigurationError, "-4 × -8 pixels"),
        (bytes(6 * 4 * 4), {"width": 6, "height": 4}, ConfigurationError, "6 × 4 .* multiples"),
        (shaped(PIXELS, 8, 4, 4), {"width": 8}, ConfigurationError, "of 4 × 8 pixels; leave them"),
        (shaped(PIXELS, 4, 4, 8), {}, ConfigurationError, r"3 \(RGB\) or 4 \(RGBA\)"),
        (bytes(644 * 360 * 3), {"width": 644, "height": 360}, ConfigurationError, "scale it down"),
    ],
)
def test_wrong_images(image: Any, options: Any, error: type[Exception], words: str) -> None:
    """Wrong pictures are refused, whether anybody takes them or not."""
    with pytest.raises(error, match=words):
        frame_image(image, **options)


def test_largest_image(recorder: Recorder) -> None:
    """The largest picture may lie or stand."""
    frame_image(bytes(360 * 640 * 3), width=360, height=640)
    [picture] = pictures(recorder)
    assert picture is not None
    assert (360, 640, 115_200) == (picture[0], picture[1], len(picture[2]))
