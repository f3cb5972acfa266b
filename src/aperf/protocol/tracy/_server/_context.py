"""What all parts of the reader share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from ._files import Files
from ._slot import Slot
from ._sources import Sources
from ._texts import Texts, text_of

if TYPE_CHECKING:
    from ._questions import Questions
    from ._welcome import ReceivedWelcome

__all__ = ("Clock", "Context", "Handlers")

#: By name of the event; called with its fields.
Handlers: TypeAlias = dict[str, Callable[..., None]]


class Clock:
    """A running reference: each event that uses it adds its difference."""

    def __init__(self) -> None:
        self._now = 0

    def advance(self, dt: int) -> int:
        """Return the time of an event."""
        self._now += dt
        return self._now

    def reset(self) -> None:
        """Start from 0 again."""
        self._now = 0


class Context:
    """How the connection began, the clocks, and the tables that several parts look into.

    Attributes:
        tid: the thread that the next events are about.
        thread_clock: of zones, fibers, plots and sections; `ThreadContext` sets it to 0.
        serial_clock: of locks, memory and serial GPU zones.
        switch_clock: of context switches and samples.
        gpu_clock: of the times that GPUs report.
        text: what `SingleStringData` left.
        second_text: what `SecondStringData` left.
    """

    def __init__(self, version: int, welcome: ReceivedWelcome, questions: Questions) -> None:
        self.version = version
        self.welcome = welcome
        self.questions = questions
        self.tid = 0
        self.thread_clock = Clock()
        self.serial_clock = Clock()
        self.switch_clock = Clock()
        self.gpu_clock = Clock()
        self.text: Slot[str] = Slot("string")
        self.second_text: Slot[str] = Slot("second string")
        self.texts = Texts(questions)
        self.files = Files(welcome, questions)
        self.sources = Sources(self.texts, self.files, questions)
        self.handlers: Handlers = {
            "ThreadContext": self._thread,
            "SingleStringData": lambda payload: self.text.put(text_of(payload)),
            "SecondStringData": lambda payload: self.second_text.put(text_of(payload)),
        }

    def _thread(self, tid: int) -> None:
        self.tid = tid
        self.thread_clock.reset()
