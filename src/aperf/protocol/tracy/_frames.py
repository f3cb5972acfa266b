"""Frames: stretches that follow each other, like those of a screen, and pictures of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._writer import Writer

if TYPE_CHECKING:
    from ._strings import Strings

__all__ = ("Frames",)


class _FrameSet:
    __slots__ = ("continuous", "last_ns", "open")

    def __init__(self, *, continuous: bool) -> None:
        self.continuous = continuous
        self.open = False
        self.last_ns: int | None = None


class Frames(Writer):
    """Sets of frames; each is either continuous or made of frames with begin and end.

    Attributes:
        frames: how many marks the default set has got.
    """

    def __init__(self, version: int, strings: Strings, *, strict: bool = False) -> None:
        super().__init__(version, strings, strict=strict)
        self.frames = 0
        self._sets: dict[int, _FrameSet] = {}
        self._pictured: set[int] = set()

    def frame_mark(self, t_ns: int, name: int = 0) -> None:
        """End a frame of a continuous set and begin the next.

        Args:
            t_ns: when.
            name: id of the set's name, from `Strings.text`; 0 for the default set.

        Raises:
            LocalProtocolError: time goes back, or the set has frames with begin and end (strict).
        """
        frames = self._frame_set(name, continuous=True)
        if frames is None:
            return
        t_ns = self._in_order(frames, name, t_ns)
        if self._put("FrameMarkMsg", t_ns, name):
            frames.last_ns = t_ns
            self.frames += not name

    def frame_begin(self, t_ns: int, name: int) -> None:
        """Begin a frame of a set that has gaps.

        Args:
            t_ns: when.
            name: id of the set's name, from `Strings.text`.

        Raises:
            LocalProtocolError: time goes back, the frame before is open, or the set is continuous
                (strict).
        """
        frames = self._frame_set(name, continuous=False)
        if frames is None:
            return
        t_ns = self._in_order(frames, name, t_ns)
        if frames.open:
            self._misuse(f"begin a frame of set {name}", "the one before to have ended")
            self.frame_end(t_ns, name)
        if self._put("FrameMarkMsgStart", t_ns, name):
            frames.last_ns, frames.open = t_ns, True

    def frame_end(self, t_ns: int, name: int) -> None:
        """End the frame that `frame_begin` began.

        Raises:
            LocalProtocolError: time goes back, or no frame of the set is open (strict).
        """
        frames = self._sets.get(name)
        if frames is None or not frames.open:
            self._misuse(f"end a frame of set {name}", "one that has begun")
            return
        t_ns = self._in_order(frames, name, t_ns)
        if self._put("FrameMarkMsgEnd", t_ns, name):
            frames.last_ns, frames.open = t_ns, False

    def frame_image(
        self, frame: int, width: int, height: int, dxt1: bytes, flip: bool = False
    ) -> None:
        """Add a picture to a frame of the default set.

        Args:
            frame: n for the frame that the n-th mark ended; viewers have no place for a picture of
                the first one, which they saw only the end of.
            width: in pixels, a multiple of 4.
            height: in pixels, a multiple of 4.
            dxt1: blocks of 4 by 4 pixels, 8 bytes each.
            flip: whether it is upside down.

        Raises:
            LocalProtocolError: there is no such frame, it has a picture, or the sizes do not fit
                (strict).
        """
        if not 1 <= frame <= self.frames or frame in self._pictured:
            self._misuse(
                f"picture of frame {frame}", f"a frame of 1 … {self.frames} that has none yet"
            )
        elif width <= 0 or height <= 0 or width % 4 or height % 4:
            self._misuse(f"picture of {width} × {height}", "multiples of 4")
        elif len(dxt1) != width * height // 2:
            self._misuse(f"picture of {len(dxt1)} bytes", f"{width * height // 2}")
        else:
            data = self._records["FrameImageData"](0, len(dxt1)) + dxt1
            # On the wire a frame has the number of the mark that began it.
            if self._put("FrameImage", frame - 1, width, height, flip, before=data):
                self._pictured.add(frame)

    def frame_vsync(self, t_ns: int, display: int) -> None:
        """Mark a refresh of a display, by its number."""
        self._put("FrameVsync", t_ns, display)

    def _frame_set(self, name: int, *, continuous: bool) -> _FrameSet | None:
        if not name and not continuous:
            self._misuse("begin a frame of the default set", "a name: that set is continuous")
            return None
        frames = self._sets.setdefault(name, _FrameSet(continuous=continuous))
        if frames.continuous is not continuous:
            kind = "marks" if frames.continuous else "begin and end"
            self._misuse(f"frame of set {name}", f"{kind}, as of its frames before")
            return None
        return frames

    def _in_order(self, frames: _FrameSet, name: int, t_ns: int) -> int:
        last_ns = frames.last_ns
        if last_ns is not None and t_ns < last_ns:
            self._misuse(f"frame of set {name} at {t_ns}", f"a time from {last_ns} on")
            return last_ns
        return t_ns
