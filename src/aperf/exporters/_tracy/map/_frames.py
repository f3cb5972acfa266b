"""Frames that the program marks, and pictures of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aperf._recorder import FrameOp

if TYPE_CHECKING:
    from aperf.model import RecordTables
    from aperf.protocol.tracy import Stream

    from ._task import Happening
    from ._thread import Thread

__all__ = ("Frames",)

_MARK, _BEGIN = int(FrameOp.MARK), int(FrameOp.BEGIN)


class _Set:
    """Frames of one name: either marks, or blocks that have a begin and an end."""

    __slots__ = ("is_marked", "is_open", "last_ns")

    def __init__(self, *, is_marked: bool) -> None:
        self.is_marked = is_marked
        self.is_open = False
        self.last_ns = 0

    def at(self, t_ns: int) -> int:
        """Return a time that is not before the one before: threads are read one by one."""
        self.last_ns = max(t_ns, self.last_ns)
        return self.last_ns


class Frames:
    """Draws FRAME and IMAGE records of one connection.

    What comes first in a set decides whether it is marked or made of blocks; the other kind is left
    out. Of blocks that overlap, each ends where the next one begins.
    """

    def __init__(self, stream: Stream, tables: RecordTables) -> None:
        self._stream = stream
        self._tables = tables
        self._sets: dict[int, _Set] = {}
        self._count = 0  # of the default set
        self._pictured = 0  # the last one that has a picture

    def frame(self, thread: Thread, event: Happening) -> None:
        """Draw a FRAME."""
        is_marked = event.flags == _MARK
        name = self._stream.strings.text(self._tables.name(event.ref)) if event.ref else 0
        frames = self._sets.get(name)
        if frames is None:
            if not name and not is_marked:
                return
            frames = self._sets[name] = _Set(is_marked=is_marked)
        if frames.is_marked is not is_marked:
            return
        if is_marked:
            self._count += not name
            self._stream.frame_mark(frames.at(event.t_ns), name)
        else:
            self._end(name, frames, event.t_ns)
            if event.flags == _BEGIN:
                frames.is_open = True
                self._stream.frame_begin(frames.at(event.t_ns), name)

    def _end(self, name: int, frames: _Set, t_ns: int) -> None:
        if frames.is_open:
            frames.is_open = False
            self._stream.frame_end(frames.at(t_ns), name)

    def image(self, thread: Thread, event: Happening) -> None:
        """Draw an IMAGE, unless it is gone, or the last frame has one, or none has ended yet."""
        picture = self._tables.picture(event.a)
        if picture is not None and self._pictured < self._count:
            self._pictured = self._count
            width, height, blocks, flip = picture
            self._stream.frame_image(self._count, width, height, blocks, flip)

    def close(self, t_ns: int) -> None:
        """End what is open."""
        for name, frames in self._sets.items():
            self._end(name, frames, t_ns)
