"""Runs programs by every mechanism with `Recorder.nesting` on, and reads the CHAIN records."""

from __future__ import annotations

import asyncio
import sys
import types
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import uvloop

from aperf._recorder import Hint, Kind, StepFlag
from tests.conftest import LOOPS
from tests.records import Record, decode
from tests.watched import LoopFactory, Story, run, run_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

    from aperf._recorder import Recorder

__all__ = ("WAYS", "Link", "Way", "described", "in_a_task", "links_of", "pause")

#: Runs a program while a recorder watches, and returns what was recorded.
Way: TypeAlias = "Callable[[Recorder, Coroutine[Any, Any, object]], Story]"


class Link(NamedTuple):
    """What one CHAIN says: the names of its functions, outermost first, and how many were kept."""

    names: list[str]
    kept: int


@types.coroutine
def pause(times: int = 1) -> Generator[None, None, None]:
    """Suspend the task, so many times in one and the same generator."""
    for _ in range(times):
        yield


def in_a_task(program: Callable[[], Coroutine[Any, Any, None]]) -> Coroutine[Any, Any, None]:
    """Return a main function that runs a program in a task of its own."""

    async def main() -> None:
        await asyncio.create_task(program())

    return main()


def _hooked(new_loop: LoopFactory) -> Way:
    """Watch by what stands in for methods of the loop."""

    def go(recorder: Recorder, program: Coroutine[Any, Any, object]) -> Story:
        return run(recorder, program, new_loop)

    return go


def _wrapped(new_loop: LoopFactory, *, eager: bool = False) -> Way:
    """Watch by coroutines around those of the program, as `aperf.task_factory` does."""

    def go(recorder: Recorder, program: Coroutine[Any, Any, object]) -> Story:
        def make(loop: Any, coro: Any, **kwargs: Any) -> asyncio.Task[Any]:
            given = {key: value for key, value in kwargs.items() if value is not None}
            if eager and loop.is_running():
                given["eager_start"] = True
            wrapper: Any = recorder.wrap(coro, given.get("name"), given.get("context"))
            return asyncio.Task(wrapper, loop=loop, **given)

        def make_loop() -> asyncio.AbstractEventLoop:
            loop = new_loop()
            loop.set_task_factory(make)
            return loop

        recorder.armed = True
        run_plain(program, make_loop)
        recorder.armed = False
        assert 0 == recorder.internal_errors
        return Story(decode(recorder))

    return go


WAYS: Final[dict[str, Way]] = {
    **{name: _hooked(new_loop) for name, new_loop in LOOPS.items()},
    "asyncio wrapped": _wrapped(asyncio.new_event_loop),
    "uvloop wrapped": _wrapped(uvloop.new_event_loop),
}
if sys.version_info >= (3, 12):
    WAYS["eager wrapped"] = _wrapped(asyncio.new_event_loop, eager=True)


def links_of(recorder: Recorder, story: Story, function: Any) -> list[Link]:
    """Return the chains of the tasks that run a function.

    Each must follow a step that its task did not end with, at the time of that step's end.
    """
    found = []
    for step, record in zip(story.records, story.records[1:], strict=False):
        if record.kind is not Kind.CHAIN:
            continue
        assert step.kind in (Kind.STEP, Kind.WIDE)
        assert (step.task, step.t_ns + step.busy_ns) == (record.a, record.t_ns)
        assert not step.flags & StepFlag.DONE
        site: Any = recorder.resolve(record.ref)
        hint, _, frames = site
        assert hint & Hint.FULL
        codes = [code for code, _ in reversed(frames)]
        assert record.b <= len(codes)
        if codes and codes[0] is function.__code__:
            found.append(Link([code.co_name for code in codes], record.b))
    return found


def described(recorder: Recorder, record: Record) -> tuple[Record, Any]:
    """Return a record with its site in place of the number, which depends on what came before."""
    return record._replace(ref=0), recorder.resolve(record.ref)
