"""What is remembered of a live task."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .sites import Frames

__all__ = ("Entry",)


class Entry:
    """A live task.

    Attributes:
        id: its number; never 0, never used again.
        name: the name that was recorded last.
        site: where it was suspended last, 0 before it ran.
        frames: of the await chain there: it does not change while the task is suspended.
        since_ns: when it was suspended, or born.
        first: whether it has not run yet.
        root: what its trace begins with (see `Recorder.root`).
        running: whether it runs right now.
        chained: whether a CHAIN says how it is suspended.
    """

    __slots__ = ("chained", "first", "frames", "id", "name", "root", "running", "since_ns", "site")

    def __init__(self, number: int, since_ns: int, root: int = 0) -> None:
        self.id = number
        self.root = root
        self.name = ""
        self.site = 0
        self.frames: Frames = ()
        self.since_ns = since_ns
        self.first = True
        self.running = False
        self.chained = False
