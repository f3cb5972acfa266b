"""Frames: rounds that a program marks, and pictures of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from aperf.protocol.tracy._versions import QueryKind

from ._faults import InstrumentationFailure, Undiagnosed
from ._slot import Slot

if TYPE_CHECKING:
    from ._context import Context, Handlers
    from ._welcome import OnDemand

__all__ = ("FrameImage", "FrameSet", "Frames", "SubFrame")

#: Up to this version a client that is connected to on demand must not end what never began either.
_STRICT: Final = 64

#: Pictures come in blocks of this many pixels in each direction, which take 8 bytes.
_PIXELS: Final = 4
_BLOCK: Final = 8


class SubFrame(NamedTuple):
    """A stretch of a set whose frames have gaps; `end_ns` is None while it lasts."""

    start_ns: int
    end_ns: int | None


class FrameImage(NamedTuple):
    """A picture, compressed (BC1), of the frame that this mark of the default set began."""

    frame: int
    width: int
    height: int
    flip: bool
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameSet:
    """A set of frames, which follow one another without gaps, or have begins and ends.

    Attributes:
        name: what it is called; "" for the default set.
        marks: the ends of the frames, in a set without gaps.
        sub_frames: the frames, in a set with gaps.
    """

    name: str
    marks: tuple[int, ...] = ()
    sub_frames: tuple[SubFrame, ...] = ()


@dataclass(slots=True)
class _Growing:
    last_ns: int
    marks: list[int] = field(default_factory=list)
    sub_frames: list[SubFrame] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        return bool(self.sub_frames) and self.sub_frames[-1].end_ns is None


class Frames:
    """The events of frames."""

    def __init__(self, context: Context, on_demand: OnDemand | None) -> None:
        self._context = context
        self._frames_before = on_demand.frames if on_demand else 0
        self._starts_ns = on_demand.t_ns if on_demand else context.welcome.first_frame_ns
        self._sets: dict[int, _Growing] = {}
        self._data: Slot[bytes] = Slot("picture")
        self._images: dict[int, FrameImage] = {}
        self.handlers: Handlers = {
            "FrameMarkMsg": self._mark,
            "FrameMarkMsgStart": self._start,
            "FrameMarkMsgEnd": self._end,
            "FrameImageData": lambda id, payload: self._data.put(payload),
            "FrameImage": self._image,
        }

    def picture(self) -> tuple[FrameSet, ...]:
        """Return the sets in the order in which they appeared."""
        names = self._context.texts
        return tuple(
            FrameSet(
                name=names.get(QueryKind.FRAME_NAME, name) if name else "",
                marks=tuple(frames.marks),
                sub_frames=tuple(frames.sub_frames),
            )
            for name, frames in self._sets.items()
        )

    def images(self) -> tuple[FrameImage, ...]:
        """Return the pictures in the order in which they were sent."""
        return tuple(self._images.values())

    def _reach(self, name: int, t_ns: int, *, has_gaps: bool) -> _Growing:
        frames = self._sets.get(name)
        if frames is None:
            # The default set has frames already: those up to the connection are one.
            frames = self._sets[name] = _Growing(t_ns if name else self._starts_ns)
            if name:
                self._context.texts.ask(QueryKind.FRAME_NAME, name)
        if frames.marks if has_gaps else frames.sub_frames:
            raise Undiagnosed("frames with gaps and without in one set")
        if t_ns < frames.last_ns:
            raise Undiagnosed("time of a frame before that of the frame before it")
        frames.last_ns = t_ns
        return frames

    def _mark(self, *, t: int, name: int) -> None:
        self._reach(name, t, has_gaps=False).marks.append(t)

    def _start(self, *, t: int, name: int) -> None:
        frames = self._reach(name, t, has_gaps=True)
        if frames.is_open:
            raise Undiagnosed("frame begins before the one before it ended")
        frames.sub_frames.append(SubFrame(t, None))

    def _end(self, *, t: int, name: int) -> None:
        frames = self._reach(name, t, has_gaps=True)
        if frames.is_open:
            frames.sub_frames[-1] = frames.sub_frames[-1]._replace(end_ns=t)
        elif frames.sub_frames:
            raise Undiagnosed("frame ends twice")
        elif not self._context.welcome.on_demand or self._context.version <= _STRICT:
            raise InstrumentationFailure("Discontinuous frame begin/end mismatch.")

    def _image(self, *, frame: int, width: int, height: int, flip: int) -> None:
        data = self._data.take()
        blocks = (width // _PIXELS) * (height // _PIXELS)
        if width % _PIXELS or height % _PIXELS or len(data) != blocks * _BLOCK or not data:
            raise Undiagnosed(f"picture of {width} x {height} in {len(data)} bytes")
        if frame < self._frames_before:
            raise Undiagnosed(f"picture of frame {frame}, which was over before the connection")
        if frame in self._images:
            raise InstrumentationFailure("Multiple frame images were sent for a single frame.")
        self._images[frame] = FrameImage(frame, width, height, bool(flip), data)
