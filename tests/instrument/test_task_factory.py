"""`aperf.task_factory`: tasks watched without a finger on the loop."""

from __future__ import annotations

import asyncio
import inspect
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import uvloop

import aperf
from aperf.exporters import MemoryExporter
from aperf.model import Category, Flag, Span, StatusCode
from tests.watched import LoopFactory, run_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

pytestmark = pytest.mark.usefixtures("twin")

NEW_LOOPS: dict[str, LoopFactory] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def with_factory(
    new_loop: LoopFactory, base: Callable[..., asyncio.Future[Any]] | None = None
) -> LoopFactory:
    """Return what makes loops that have the factory."""

    def make() -> asyncio.AbstractEventLoop:
        loop = new_loop()
        loop.set_task_factory(aperf.task_factory(base))
        return loop

    return make


@pytest.fixture(params=NEW_LOOPS)
def factory_loop(request: pytest.FixtureRequest) -> LoopFactory:
    """Makes loops of asyncio's or uvloop's with the factory."""
    return with_factory(NEW_LOOPS[request.param])


class Seen:
    """The spans of a session."""

    def __init__(self, spans: list[Span]) -> None:
        self.spans = spans

    def task(self, name: str) -> Span:
        """Return the span of the one task that runs this coroutine."""
        [span] = [s for s in self.spans if s.category is Category.TASK and s.name.endswith(name)]
        return span

    def awaits(self, name: str) -> list[str]:
        """Return what the task waited for."""
        task = self.task(name).task_id
        return [s.name for s in self.spans if s.category is Category.AWAIT and s.task_id == task]


def seen(main: Callable[[], Coroutine[Any, Any, Any]], new_loop: LoopFactory) -> Seen:
    """Run a program while a session is open that watches no loop."""
    memory = MemoryExporter()
    session = aperf.session(enabled=True, exporters=[memory], loops="current")
    with session:
        run_plain(main(), new_loop)
    assert 0 == session.statistics().internal_errors
    return Seen(memory.spans)


async def child() -> str:
    """Take a few steps."""
    await asyncio.sleep(0)
    await asyncio.sleep(0.001)
    return "done"


def test_births_steps_and_waits(factory_loop: LoopFactory) -> None:
    """Tasks have spans, with their steps, what they waited for, and their creator as parent."""

    async def main() -> None:
        assert "done" == await asyncio.create_task(child())

    result = seen(main, factory_loop)
    task = result.task("child")
    assert 3 == task.steps
    assert ["await sleep(0)", "await sleep"] == result.awaits("child")
    assert result.task("main").span_id == task.parent_span_id
    assert task.duration_ns == task.busy_ns + task.ready_ns + task.waiting_ns
    assert Flag.ADOPTED not in task.flags


def test_names(factory_loop: LoopFactory) -> None:
    """A task is known by the name that it was given, also where asyncio gives it late."""

    async def main() -> None:
        await asyncio.create_task(child(), name="by asyncio")
        async with asyncio.TaskGroup() as group:
            group.create_task(child(), name="by a group")

    result = seen(main, factory_loop)
    names = {span.task_name for span in result.spans if span.name == "child"}
    assert {"by asyncio", "by a group"} == names


def test_failures_and_cancellations(factory_loop: LoopFactory) -> None:
    """They are told as elsewhere, and reach whoever awaits."""

    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("bad")

    async def waits() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        failing, waiting = asyncio.create_task(fails()), asyncio.create_task(waits())
        with pytest.raises(ValueError, match="bad"):
            await failing
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
        assert waiting.cancelled()

    result = seen(main, factory_loop)
    assert StatusCode.ERROR == result.task("fails").status
    assert "ValueError: bad" == result.task("fails").status_message
    assert Flag.CANCELLED in result.task("waits").flags
    assert StatusCode.UNSET == result.task("waits").status


def test_the_coroutine_inside_answers(factory_loop: LoopFactory) -> None:
    """`get_coro()` is a wrapper that looks like what it wraps."""

    async def main() -> None:
        coroutine = child()
        task: Any = asyncio.create_task(coroutine)
        wrapper: Any = task.get_coro()
        assert asyncio.iscoroutine(task.get_coro())
        assert inspect.CORO_CREATED == inspect.getcoroutinestate(wrapper)
        await asyncio.sleep(0)
        assert inspect.CORO_SUSPENDED == inspect.getcoroutinestate(wrapper)
        for name in ("cr_frame", "cr_code", "cr_await", "cr_running", "cr_origin"):
            assert getattr(coroutine, name) is getattr(wrapper, name)
        assert ("child", "child") == (wrapper.__name__, wrapper.__qualname__)
        with pytest.raises(AttributeError, match="no_such"):
            wrapper.no_such  # noqa: B018
        assert "child" in repr(task)
        await task
        assert inspect.CORO_CLOSED == inspect.getcoroutinestate(wrapper)

    seen(main, factory_loop)


# ---------------------------------------------------------------------------------- other factories


def old_base(loop: Any, coro: Any, context: Any = None) -> asyncio.Future[Any]:
    """Make tasks as factories did that have never heard of names."""
    return asyncio.Task(coro, loop=loop, context=context)


class Marked(asyncio.Task[Any]):
    """A task of a kind of its own."""


BASES: dict[str, Any] = {
    "old": old_base,
    "lambda": lambda loop, coro, context=None: asyncio.Task(coro, loop=loop, context=context),
    "kwargs": lambda loop, coro, **kwargs: Marked(coro, loop=loop, **kwargs),
    **({"eager": asyncio.eager_task_factory} if sys.version_info >= (3, 12) else {}),
}


@pytest.mark.parametrize("new_loop", NEW_LOOPS.values(), ids=NEW_LOOPS)
@pytest.mark.parametrize("base", BASES)
def test_a_base_factory_makes_the_tasks(new_loop: LoopFactory, base: str) -> None:
    """Whatever its signature: below ours it works even where uvloop passes it `eager_start`."""

    async def main() -> Any:
        return await asyncio.create_task(child())

    result = seen(main, with_factory(new_loop, BASES[base]))
    assert 3 == result.task("child").steps


def test_the_type_of_tasks_is_the_base_s() -> None:
    """Nobody's task class is replaced."""

    async def main() -> None:
        task = asyncio.create_task(child())
        assert type(task) is Marked
        await task

    seen(main, with_factory(asyncio.new_event_loop, BASES["kwargs"]))


# ------------------------------------------------------------------------------------------ company


def test_a_loop_that_a_session_watches_counts_once(factory_loop: LoopFactory) -> None:
    """With a hook on the loop, the factory only makes tasks."""
    memory = MemoryExporter()

    async def main() -> None:
        async with aperf.session(enabled=True, exporters=[memory]):
            task = asyncio.create_task(child())
            assert inspect.iscoroutine(task.get_coro())
            await task

    run_plain(main(), factory_loop)
    assert 3 == Seen(memory.spans).task("child").steps
    assert Flag.ADOPTED not in Seen(memory.spans).task("child").flags


def test_without_a_session_it_only_makes_tasks(factory_loop: LoopFactory) -> None:
    """Off means untouched coroutines."""

    async def main() -> None:
        task = asyncio.create_task(child())
        assert inspect.iscoroutine(task.get_coro())
        await task

    run_plain(main(), factory_loop)


def test_a_session_that_begins_later(factory_loop: LoopFactory) -> None:
    """Tasks that the factory made while nobody watched are adopted by a session on the loop."""
    memory = MemoryExporter()

    async def main() -> None:
        task = asyncio.create_task(child())
        await asyncio.sleep(0)
        async with aperf.session(enabled=True, exporters=[memory]):
            await task

    run_plain(main(), factory_loop)
    assert Flag.ADOPTED in Seen(memory.spans).task("child").flags


def test_a_task_goes_on_after_its_session(factory_loop: LoopFactory) -> None:
    """A wrapper whose session has ended passes everything through."""

    async def main() -> None:
        session = aperf.session(enabled=True, exporters=[], loops="current")
        session.__enter__()
        aperf.uninstrument_loop()
        session.unwatch(asyncio.get_running_loop())
        task = asyncio.create_task(child())
        await asyncio.sleep(0)
        await session.__aexit__(None, None, None)
        assert "done" == await task

    run_plain(main(), factory_loop)


def test_anyio_works_on_it(factory_loop: LoopFactory) -> None:
    """anyio's task groups and cancel scopes look deep into tasks: they find what they look for."""
    order: list[str] = []

    async def sleeper(name: str, *, task_status: Any = anyio.TASK_STATUS_IGNORED) -> None:
        task_status.started(name)
        try:
            await anyio.sleep(30)
        finally:
            order.append(name)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            assert "first" == await group.start(sleeper, "first")
            group.start_soon(sleeper, "second")
            await anyio.wait_all_tasks_blocked()
            assert 3 <= len(anyio.get_running_tasks())
            group.cancel_scope.cancel()
        with anyio.move_on_after(0.001) as scope:
            await anyio.sleep(30)
        assert scope.cancelled_caught
        assert 1 == await anyio.to_thread.run_sync(int, "1")
        with pytest.raises(ExceptionGroup):
            await group_that_fails()

    async def group_that_fails() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(sleeper, "third")
            group.start_soon(fails)

    async def fails() -> None:
        await anyio.sleep(0)
        raise ValueError

    result = seen(main, factory_loop)
    assert ["first", "second"] == sorted(order)[:2]
    assert {"third"} == set(order[2:])
    assert StatusCode.ERROR == result.task("fails").status


def test_nothing_is_kept_alive(factory_loop: LoopFactory) -> None:
    """Coroutines, tasks and exceptions are freed without the garbage collector."""
    import gc
    import weakref

    references: list[weakref.ref[Any]] = []

    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError

    async def main() -> None:
        gc.collect()
        gc.disable()
        try:
            for function in (child, fails):
                coroutine: Any = function()
                task = asyncio.create_task(coroutine)
                references.extend([weakref.ref(coroutine), weakref.ref(task)])
                del coroutine
                await asyncio.wait([task])
                task.exception()
                del task
            assert [None] * 4 == [reference() for reference in references]
        finally:
            gc.enable()

    seen(main, factory_loop)
