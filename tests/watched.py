"""Runs programs on loops that a recorder watches, and says what was recorded."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from aperf._recorder import BirthFlag, Kind, StepFlag
from tests.records import Record, decode, of_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from aperf._recorder import Recorder

__all__ = ("LoopFactory", "Story", "run", "run_plain", "until", "watched")

LoopFactory: TypeAlias = "Callable[[], asyncio.AbstractEventLoop]"

T = TypeVar("T")

#: How long anything here may take: a hanging test is to end with a word, on a busy machine too.
DEADLINE_S: Final = 20.0


@contextmanager
def watched(recorder: Recorder, loop: Any) -> Iterator[None]:
    """Watch a loop, as a session does, while the block runs."""
    hook = recorder.hook(loop)
    loop.create_task, loop.call_soon = hook.create_task, hook.call_soon
    hook.armed = recorder.armed = True
    try:
        yield
    finally:
        hook.armed = recorder.armed = False
        del loop.create_task, loop.call_soon


def run(
    recorder: Recorder,
    program: Coroutine[Any, Any, object],
    loop_factory: LoopFactory = asyncio.new_event_loop,
) -> Story:
    """Run a program on a watched loop and return what was recorded of it.

    The hook must not have found any fault of its own.
    """
    with asyncio.Runner(loop_factory=loop_factory) as runner, watched(recorder, runner.get_loop()):
        runner.run(program)
    assert 0 == recorder.internal_errors
    return Story(decode(recorder))


def run_plain(
    program: Coroutine[Any, Any, T], loop_factory: LoopFactory = asyncio.new_event_loop
) -> T:
    """Run a program on a loop that nobody watches, or that it has watched itself."""
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(program)


@dataclass(frozen=True, slots=True)
class Story:
    """Records, and questions to them. Tasks are called by their names."""

    records: list[Record]

    @property
    def births(self) -> list[Record]:
        """The births, in order."""
        return of_kind(self.records, Kind.BIRTH)

    @property
    def names(self) -> dict[int, str]:
        """The name of each task by its number."""
        later = {record.a: record.text for record in of_kind(self.records, Kind.NAME)}
        return {birth.a: later.get(birth.a, birth.birth.name) for birth in self.births}

    def number(self, name: str) -> int:
        """Return the number of the one task of this name."""
        [number] = [number for number, known in self.names.items() if known == name]
        return number

    def birth(self, name: str) -> Record:
        """Return the birth of a task."""
        number = self.number(name)
        [birth] = [birth for birth in self.births if birth.a == number]
        return birth

    def creator(self, name: str) -> str:
        """Return who made a task, "" for nobody."""
        return self.names.get(self.birth(name).b, "")

    @property
    def all_steps(self) -> list[Record]:
        """The steps of all tasks, in the order in which they ended."""
        return of_kind(self.records, Kind.STEP, Kind.WIDE)

    def steps(self, name: str) -> list[Record]:
        """Return the steps of a task."""
        number = self.number(name)
        return [step for step in self.all_steps if step.task == number]

    def wakers(self, name: str) -> list[str]:
        """Return who woke a task each time, "" for nobody; its birth is no wake-up."""
        names = self.names
        return [
            names.get(step.waker, "")
            for step in self.steps(name)
            if not step.flags & StepFlag.FIRST
        ]

    def end(self, name: str) -> StepFlag:
        """Return how a task's last step ended, and by whose doing."""
        return StepFlag(self.steps(name)[-1].flags)

    def is_adopted(self, name: str) -> bool:
        """Say whether a task lived before it was seen."""
        return bool(self.birth(name).flags & BirthFlag.ADOPTED)


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for something that another thread does."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {DEADLINE_S} s"
        time.sleep(0.001)
