"""Frames: a program that repeats something shows where each round ends, and what came of it."""

from __future__ import annotations

from . import _active
from ._checks import check_name
from ._images import measured

TYPE_CHECKING = False  # typing itself takes milliseconds to import
if TYPE_CHECKING:
    from types import TracebackType

    from ._recording import Recording

__all__ = ("Subframe", "frame_image", "frame_mark", "subframe")


def frame_mark(name: str | None = None) -> None:
    """Say that a frame is over and the next one begins.

    Args:
        name: of the set of frames; None for the one that a viewer shows on top. A name is used
            here or for `subframe`, not for both.

    Raises:
        TypeError: the name is no str.
        ConfigurationError: the name is empty.
    """
    if name is not None and (type(name) is not str or not name):
        check_name("frame_mark", name)
    recording = _active.recording
    if recording is not None and recording.recorder.armed:
        recording.frame_mark(name)


def subframe(name: str) -> Subframe:
    """Show a block of code as one frame of a set, with gaps between its frames.

    A plain `with`, also around `await`; it ends however the block ends.

    Args:
        name: of the set. One frame of a set at a time: what overlaps belongs into spans.

    Raises:
        TypeError: the name is no str.
        ConfigurationError: the name is empty.
    """
    if type(name) is not str or not name:
        check_name("subframe", name)
    recording = _active.recording
    if recording is None or not recording.recorder.armed:
        return _INERT
    return Subframe(name)


def frame_image(
    image: object, *, width: int | None = None, height: int | None = None, flip: bool = False
) -> None:
    """Show a picture of the frame that the last `frame_mark()` ended.

    The caller pays for a copy; it is compressed elsewhere, if a viewer is there to see it. Ten in a
    second are kept at most, the others are dropped.

    Args:
        image: uint8 of the shape (height, width, 3 or 4), RGB or RGBA: a numpy array, or anything
            else with the buffer protocol or `__array_interface__`. Or the bytes of such rows, then
            with width and height.
        width: a multiple of 4.
        height: a multiple of 4; not more than 640 × 360 pixels in all.
        flip: whether the first row is the lowest one.

    Raises:
        TypeError: the image is something else.
        ConfigurationError: its size is not accepted, or not the one that it has.
    """
    found = measured(image, width, height)
    recording = _active.recording
    if recording is not None and recording.recorder.armed:
        recording.frame_image(found, bool(flip))


class Subframe:
    """A block of code that is a frame; made by `subframe`."""

    __slots__ = ("_name", "_recording")

    def __init__(self, name: str) -> None:
        self._name = name
        self._recording: Recording | None = None

    def __enter__(self) -> None:
        recording = _active.active()
        if recording is not None and recording.frame_begin(self._name):
            self._recording = recording

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        recording, self._recording = self._recording, None
        if recording is not None and recording is _active.active():
            recording.frame_end(self._name)


class _Inert(Subframe):
    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


#: What everybody gets while nothing is recorded.
_INERT = _Inert("")
