"""Tasks that live already when watching begins are adopted, at their next wake-up at the latest."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest

from aperf._recorder import Cold, StepFlag
from aperf.model import Flag
from aperf.testing import Capture, capture
from tests.records import decode
from tests.watched import LoopFactory, Story, run_plain, watched

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from aperf._recorder import Recorder


@pytest.fixture
def recorder(recorder_class: type[Recorder]) -> Recorder:
    """A recorder whose time stands still until it is told otherwise."""
    return recorder_class(Cold(), ring_slots=1 << 12, manual_clock=True)


def spawn(coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
    """Start a task with a name, known from its birth on all versions."""
    return asyncio.get_running_loop().create_task(coroutine, name=name)


async def program(future: asyncio.Future[Any]) -> None:
    """Wait for a future, and end."""
    await future


def adopted(
    recorder: Recorder,
    before: Callable[[], Coroutine[Any, Any, Any]],
    during: Callable[[], Coroutine[Any, Any, Any]],
    loop_factory: LoopFactory,
    *,
    at_once: bool = False,
) -> Story:
    """Do something unwatched, and something else watched.

    Args:
        at_once: whether all tasks are adopted when watching begins, as sessions do.
    """

    async def main() -> None:
        kept = await before()
        loop = asyncio.get_running_loop()
        with watched(recorder, loop):
            if at_once:
                for task in asyncio.all_tasks(loop):
                    recorder.hook(loop).adopt(task)
            await during()
        del kept

    run_plain(main(), loop_factory)
    assert 0 == recorder.internal_errors
    return Story(decode(recorder))


def one_waiting(name: str) -> tuple[Any, Any]:
    """Return two programs: the first leaves a task waiting, the second ends it."""
    held: list[Any] = []

    async def before() -> None:
        future = asyncio.get_running_loop().create_future()
        held[:] = future, spawn(program(future), name)
        await asyncio.sleep(0)

    async def during() -> None:
        future, task = held
        future.set_result(None)
        await task

    return before, during


@pytest.mark.parametrize("at_once", [False, True])
def test_a_waiting_task_is_adopted(
    recorder: Recorder, loop_factory: LoopFactory, at_once: bool
) -> None:
    """It has a birth that says so, its name, its code, and the wait that it was in."""
    before, during = one_waiting("waiting")
    story = adopted(recorder, before, during, loop_factory, at_once=at_once)
    assert story.is_adopted("waiting")
    assert "" == story.creator("waiting")
    birth: Any = recorder.resolve(story.birth("waiting").ref)
    assert program.__code__ is birth[2][0][0]
    [step] = story.steps("waiting")
    assert StepFlag.DONE == step.flags  # not its first
    site: Any = recorder.resolve(step.ref)
    assert [program.__code__] == [code for code, _ in site[2]]
    assert asyncio.Future is site[1]


def test_a_task_that_has_not_run_yet_is_adopted(
    recorder: Recorder, lazy_loop_factory: LoopFactory
) -> None:
    """Its first step, queued already, is not seen; the next ones are."""
    held: list[Any] = []

    async def before() -> None:
        held.append(spawn(asyncio.sleep(0), "new"))

    async def during() -> None:
        await held[0]

    story = adopted(recorder, before, during, lazy_loop_factory, at_once=True)
    assert story.is_adopted("new")
    assert story.end("new") & StepFlag.DONE


def test_the_task_that_begins_to_watch_is_adopted(
    recorder: Recorder, loop_factory: LoopFactory
) -> None:
    """It runs at that moment: no wait of it is made up."""

    async def nothing() -> None:
        pass

    async def during() -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    story = adopted(recorder, nothing, during, loop_factory, at_once=True)
    [name] = story.names.values()
    assert story.is_adopted(name)
    sites: list[Any] = [recorder.resolve(step.ref) for step in story.steps(name)]
    frames = [[code.co_name for code, _ in site[2]] for site in sites if site is not None]
    assert all("__sleep0" in names for names in frames)


def test_time_counts_from_the_adoption(recorder: Recorder, loop_factory: LoopFactory) -> None:
    """What was before is not known, and not told."""
    before, end = one_waiting("waiting")

    async def during() -> None:
        recorder.set_time_ns(100)
        await asyncio.sleep(0)
        recorder.set_time_ns(130)
        await end()

    recorder.set_time_ns(70)
    story = adopted(recorder, before, during, loop_factory, at_once=True)
    assert 70 == story.birth("waiting").t_ns
    [step] = story.steps("waiting")
    assert (130, 0) == (step.t_ns, step.ready_ns)


def test_adopting_twice_is_adopting_once(recorder: Recorder, loop_factory: LoopFactory) -> None:
    """Each session adopts what it finds; a task has one birth all the same."""
    before, end = one_waiting("waiting")

    async def during() -> None:
        loop = asyncio.get_running_loop()
        numbers = {recorder.adopt(task) for _ in range(3) for task in asyncio.all_tasks(loop)}
        assert len(asyncio.all_tasks(loop)) == len(numbers)
        await end()

    story = adopted(recorder, before, during, loop_factory, at_once=True)
    assert 2 == len(story.births)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager_start came with 3.12")
def test_a_task_started_by_hand_is_adopted(recorder: Recorder, loop_factory: LoopFactory) -> None:
    """`asyncio.Task(…, eager_start=True)` passes by create_task: it is seen from its first wake."""

    async def nothing() -> None:
        pass

    async def by_hand() -> None:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        task = asyncio.Task(program(future), loop=loop, name="by hand", eager_start=True)
        await asyncio.sleep(0)
        future.set_result(None)
        await task

    story = adopted(recorder, nothing, by_hand, loop_factory)
    assert story.is_adopted("by hand")
    assert StepFlag.DONE == story.end("by hand")


def test_a_task_made_by_hand_is_seen_from_its_first_step(
    recorder: Recorder, loop_factory: LoopFactory
) -> None:
    """`asyncio.Task(…)` schedules its first step through the loop."""

    async def nothing() -> None:
        pass

    async def by_hand() -> None:
        await asyncio.Task(asyncio.sleep(0), loop=asyncio.get_running_loop(), name="by hand")

    story = adopted(recorder, nothing, by_hand, loop_factory)
    assert [StepFlag.FIRST, StepFlag.DONE] == [step.flags for step in story.steps("by hand")]


# ----------------------------------------------------------------------------------------- sessions


@pytest.mark.usefixtures("twin")
def test_a_session_adopts_what_it_finds(loop_factory: LoopFactory) -> None:
    """Spans of adopted tasks begin with the session, and say that they are adopted."""

    async def main() -> Capture:
        future = asyncio.get_running_loop().create_future()
        task = spawn(program(future), "waiting")
        await asyncio.sleep(0)
        async with capture() as captured:
            future.set_result(None)
            await task
        return captured

    captured = run_plain(main(), loop_factory)
    spans = {span.name: span for span in captured.tasks}
    assert {main.__qualname__, program.__qualname__} == set(spans)
    assert all(Flag.ADOPTED in span.flags for span in spans.values())
    waiting = spans[program.__qualname__]
    assert waiting.duration_ns == waiting.busy_ns + waiting.ready_ns + waiting.waiting_ns
    assert "await Future" in {span.name for span in captured.awaits}


@pytest.mark.usefixtures("twin")
def test_a_nested_session_adopts_what_the_outer_one_sees(loop_factory: LoopFactory) -> None:
    """Tasks that live when it begins are adopted by it, and have their full life in the outer."""

    async def main() -> list[Capture]:
        async with capture() as outer:
            future = asyncio.get_running_loop().create_future()
            task = spawn(program(future), "waiting")
            await asyncio.sleep(0)
            async with capture() as inner:
                future.set_result(None)
                await task
        return [outer, inner]

    outer, inner = run_plain(main(), loop_factory)
    flags = [captured.span(program.__qualname__).flags for captured in (outer, inner)]
    assert [False, True] == [Flag.ADOPTED in each for each in flags]
