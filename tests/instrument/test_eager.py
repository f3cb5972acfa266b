"""Eager tasks: their first step runs inside create_task, and may be their last."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest

from aperf._recorder import BirthFlag, Cold, Kind, StepFlag
from aperf.model import Flag
from aperf.testing import Capture, capture
from tests.conftest import eager_loop
from tests.records import decode
from tests.watched import Story, run, run_plain, watched

if TYPE_CHECKING:
    from aperf._recorder import Recorder

pytestmark = pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")

FIRST, DONE, EAGER = StepFlag.FIRST, StepFlag.DONE, StepFlag.EAGER


@pytest.fixture
def recorder(recorder_class: type[Recorder]) -> Recorder:
    """A recorder whose time stands still until it is told otherwise."""
    return recorder_class(Cold(), ring_slots=1 << 12, manual_clock=True)


async def returns() -> str:
    """End at once."""
    return "at once"


async def yields() -> str:
    """Take two steps."""
    await asyncio.sleep(0)
    return "later"


def flags_of(story: Story, name: str) -> list[int]:
    """Return the flags of a task's steps."""
    return [step.flags for step in story.steps(name)]


def test_a_task_that_ends_at_once(recorder: Recorder) -> None:
    """Birth, name, and one step that is the first, the last and eager."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(returns(), name="child")
        assert task.done()
        assert "at once" == await task

    story = run(recorder, main(), eager_loop)
    number = story.number("child")
    kinds = [record.kind for record in story.records if number in (record.a, record.task)]
    assert [Kind.BIRTH, Kind.NAME, Kind.STEP] == kinds
    assert [FIRST | DONE | EAGER] == flags_of(story, "child")


def test_a_task_that_goes_on(recorder: Recorder) -> None:
    """Only the first step is eager; the wake-up after it is a task's own."""

    async def main() -> None:
        task = asyncio.get_running_loop().create_task(yields(), name="child")
        assert not task.done()
        assert "later" == await task

    story = run(recorder, main(), eager_loop)
    assert [FIRST | EAGER, DONE] == flags_of(story, "child")
    assert ["child"] == story.wakers("child")
    assert "" != story.creator("child")


def test_it_is_nested_in_the_step_of_its_creator(recorder: Recorder) -> None:
    """Time in an eager child is told as the child's, within the creator's step."""
    now = 0

    def advance(ns: int) -> None:
        nonlocal now
        now += ns
        recorder.set_time_ns(now)

    async def child() -> None:
        advance(3)

    async def main() -> None:
        advance(1)
        asyncio.get_running_loop().create_task(child(), name="child").result()
        advance(5)

    story = run(recorder, main(), eager_loop)
    inner, outer = story.all_steps[:2]
    assert (1, 0, 3) == (inner.t_ns, inner.ready_ns, inner.busy_ns)
    assert (0, 0, 9) == (outer.t_ns, outer.ready_ns, outer.busy_ns)


def test_children_and_wakes_of_the_first_step_are_its_own(recorder: Recorder) -> None:
    """What runs inside of create_task is the new task's doing, not its creator's."""

    async def parent(event: asyncio.Event) -> None:
        await asyncio.get_running_loop().create_task(returns(), name="grandchild")
        event.set()

    async def main() -> None:
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        waiter = loop.create_task(_wait(event), name="waiter")
        loop.create_task(parent(event), name="parent").result()
        assert recorder.current() == 1
        await waiter

    story = run(recorder, main(), eager_loop)
    assert "parent" == story.creator("grandchild")
    assert ["parent"] == story.wakers("waiter")
    assert [1, 1] == [story.birth(name).b for name in ("parent", "waiter")]


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


def test_a_failure_in_the_first_step(recorder: Recorder) -> None:
    """It is told like any other."""

    async def fails() -> None:
        raise ValueError("at once")

    async def main() -> None:
        task = asyncio.get_running_loop().create_task(fails(), name="child")
        assert isinstance(task.exception(), ValueError)

    story = run(recorder, main(), eager_loop)
    assert [FIRST | DONE | EAGER | StepFlag.FAILED] == flags_of(story, "child")
    assert [story.number("child")] == [r.a for r in story.records if r.kind is Kind.FAILURE]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_programs_passes_through_create_task(
    recorder: Recorder, error: type[BaseException]
) -> None:
    """It leaves the creator's step, too, and no task stays current."""

    async def fails() -> None:
        raise error

    async def main() -> None:
        asyncio.get_running_loop().create_task(fails(), name="child").done()

    with (
        asyncio.Runner(loop_factory=eager_loop) as runner,
        watched(recorder, runner.get_loop()),
        pytest.raises(error),
    ):
        runner.run(main())
    assert 0 == recorder.internal_errors
    assert 0 == recorder.current()
    assert [] == recorder.live()
    story = Story(decode(recorder))
    assert len(story.births) == len({birth.a for birth in story.births})


def test_a_birth_that_comes_to_nothing(recorder: Recorder) -> None:
    """When the loop refuses the coroutine, the birth told before is taken back."""

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        with pytest.raises(TypeError):
            loop.create_task(1)

    story = run(recorder, main(), eager_loop)
    born = {record.a for record in story.births}
    gone = {record.a for record in story.records if record.kind is Kind.ABANDON}
    ended = {step.task for step in story.all_steps if step.flags & DONE}
    assert born == gone | ended
    assert set() == gone & ended
    assert [] == recorder.live()


def test_a_factory_that_is_not_eager(recorder: Recorder) -> None:
    """With any task factory the birth is told first; tasks that it does not start run later."""

    def factory(loop: Any, coroutine: Any, **kwargs: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coroutine, loop=loop, **kwargs)

    def new_loop() -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        loop.set_task_factory(factory)
        return loop

    async def main() -> None:
        task = asyncio.get_running_loop().create_task(yields())
        task.set_name("child")
        await task

    story = run(recorder, main(), new_loop)
    assert [FIRST, DONE] == flags_of(story, "child")
    assert 0 == story.birth("child").flags & BirthFlag.ADOPTED
    assert 2 == len(story.births)


def test_a_factory_that_wraps_the_coroutine(recorder: Recorder) -> None:
    """A task that runs something around what it was given is one task, from its birth on."""

    async def around(coroutine: Any) -> Any:
        return await coroutine

    def factory(loop: Any, coroutine: Any, **kwargs: Any) -> asyncio.Task[Any]:
        return asyncio.Task(around(coroutine), loop=loop, **kwargs)

    def new_loop() -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        loop.set_task_factory(factory)
        return loop

    async def main() -> None:
        task = asyncio.get_running_loop().create_task(yields())
        task.set_name("child")
        await task

    story = run(recorder, main(), new_loop)
    assert 2 == len(story.births)
    assert [] == [record for record in story.records if record.kind is Kind.ABANDON]
    assert [FIRST, DONE] == flags_of(story, "child")


def test_eager_start_by_argument(recorder: Recorder) -> None:
    """`create_task(…, eager_start=True)` of newer versions, as a loop may take it on any."""

    class Loop(asyncio.SelectorEventLoop):
        def create_task(self, coro: Any, **kwargs: Any) -> Any:
            eager_start = kwargs.pop("eager_start", False)
            return asyncio.Task(coro, loop=self, eager_start=eager_start, **kwargs)

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        task = loop.create_task(yields(), name="eager", eager_start=True)
        other = loop.create_task(yields(), name="not", eager_start=False)
        await asyncio.wait([task, other])

    story = run(recorder, main(), Loop)
    assert [FIRST | EAGER, DONE] == flags_of(story, "eager")
    assert [FIRST, DONE] == flags_of(story, "not")


@pytest.mark.usefixtures("twin")
def test_the_span_of_an_eager_task() -> None:
    """It says that it is eager, and its times add up."""

    async def main() -> Capture:
        async with capture() as captured:
            await asyncio.create_task(yields())
        return captured

    span = run_plain(main(), eager_loop).span("yields")
    assert Flag.EAGER in span.flags
    assert True is span.attributes["aperf.eager"]
    assert span.duration_ns == span.busy_ns + span.ready_ns + span.waiting_ns
