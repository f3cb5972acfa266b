from __future__ import annotations

import asyncio
import itertools
import sys
import types
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest

import aperf
from aperf.model import Category, Flag, StatusCode
from tests.every_await import see

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Generator

    from tests.watched import LoopFactory

pytestmark = [
    pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring came with Python 3.12"),
    pytest.mark.usefixtures("twin"),
]


async def fetch() -> str:
    """Complete without suspending, after another one."""
    return await answer()


async def answer() -> str:
    """Complete without suspending."""
    return "42"


async def nap() -> None:
    """Suspend once."""
    await asyncio.sleep(0.001)


# ------------------------------------------------------------------------------------- nesting


def test_awaits_that_do_not_suspend_are_spans_nested_as_they_ran(
    loop_factory: LoopFactory,
) -> None:
    """One span for each coroutine that was awaited, below the one that awaited it."""

    async def program() -> None:
        await fetch()
        await answer()

    assert """\
task program
  call await fetch
    call await answer
  call await answer
""" == see(program, loop_factory).tree()


def test_a_suspension_lies_in_the_coroutine_that_was_innermost(loop_factory: LoopFactory) -> None:
    """Await spans are what they are without, and have the innermost call as their parent."""

    async def program() -> None:
        await outer()

    async def outer() -> None:
        await fetch()
        await nap()
        await asyncio.sleep(0)
        await fetch()

    seen = see(program, loop_factory)
    assert """\
task program
  call await outer
    call await fetch
      call await answer
    call await nap
      call await sleep
        await await sleep
    call await sleep
      call await __sleep0
        await await sleep(0)
    call await fetch
      call await answer
""" == seen.tree()


def test_a_future_awaited_after_a_call_lies_in_the_caller(loop_factory: LoopFactory) -> None:
    """When a call that suspended is over, its caller is the innermost again."""

    async def program() -> None:
        await outer()
        await later()

    async def outer() -> None:
        await nap()
        await later()

    def later() -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_soon(future.set_result, None)
        return future

    assert """\
task program
  call await outer
    call await nap
      call await sleep
        await await sleep
    await await Future
  await await Future
""" == see(program, loop_factory).tree()


def test_asyncio_s_own_coroutines_are_awaits_like_others() -> None:
    """What a program awaits of asyncio tells something also when it did not have to wait."""

    async def program() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue()
        await queue.put(1)
        await queue.get()
        async with asyncio.Semaphore():
            pass
        event = asyncio.Event()
        event.set()
        await event.wait()

    assert """\
task program
  call await Queue.put
  call await Queue.get
  call await _ContextManagerMixin.__aenter__
    call await Semaphore.acquire
  call await _ContextManagerMixin.__aexit__
  call await Event.wait
""" == see(program).tree()


def test_each_step_of_an_asynchronous_generator_is_a_call(loop_factory: LoopFactory) -> None:
    """From one item to the next; what it awaits in between lies in that step."""

    async def program() -> None:
        async for _ in items():
            await answer()
        generator = items()
        await anext(generator)
        await generator.aclose()

    async def items() -> AsyncGenerator[int]:
        await answer()
        yield 1
        await nap()
        yield 2

    assert """\
task program
  call await items
    call await answer
  call await answer
  call await items
    call await nap
      call await sleep
        await await sleep
  call await answer
  call await items
  call await items
    call await answer
  call await items
""" == see(program, loop_factory).tree()


def test_asynchronous_context_managers_are_calls() -> None:
    """Both of their methods, also when they do not suspend or fail."""

    class Fragile:
        async def __aenter__(self) -> None:
            raise LookupError

        async def __aexit__(self, *_: object) -> None: ...

    @asynccontextmanager
    async def connection() -> AsyncIterator[None]:
        await answer()
        yield

    async def program() -> None:
        async with connection():
            await answer()
        with pytest.raises(LookupError):
            async with Fragile():
                pass

    seen = see(program)
    assert """\
task program
  call await _AsyncGeneratorContextManager.__aenter__
    call await connection
      call await answer
  call await answer
  call await _AsyncGeneratorContextManager.__aexit__
    call await connection
  call await Fragile.__aenter__
""" == seen.tree()
    [failed] = seen.named(f"await {Fragile.__qualname__}.__aenter__")
    assert StatusCode.ERROR is failed.status


def test_recursion_nests() -> None:
    """Activations of one function are told apart, whether or not they suspend."""

    async def program() -> None:
        await descend(20)

    async def descend(depth: int) -> None:
        if depth:
            await descend(depth - 1)
            await asyncio.sleep(0)

    seen = see(program)
    calls = seen.named(f"await {descend.__qualname__}")
    assert 21 == len(calls)
    for caller, callee in itertools.pairwise(calls):
        assert caller.span_id == callee.parent_span_id


def test_a_coroutine_made_of_a_generator_is_a_call() -> None:
    """`types.coroutine` makes awaitables of generators; plain generators are none."""

    @types.coroutine
    def bare() -> Generator[None, None, int]:
        yield
        return sum(number for number in range(3))

    async def program() -> None:
        await bare()

    assert """\
task program
  call await bare
    await await yield
""" == see(program).tree()


# ------------------------------------------------------------------------------------ exceptions


def test_only_real_exceptions_are_errors() -> None:
    """Cancellation is none, nor is what ends a generator."""

    async def program() -> None:
        with pytest.raises(ValueError, match="no"):
            await fails()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await stuck()
        generator = items()
        await anext(generator)
        await generator.aclose()
        with pytest.raises(StopAsyncIteration):
            await exhausted()

    async def fails() -> None:
        raise ValueError("no")

    async def stuck() -> None:
        await asyncio.get_running_loop().create_future()

    async def items() -> AsyncGenerator[int]:
        yield 1

    async def exhausted() -> None:
        await anext(generator_without_items())

    async def generator_without_items() -> AsyncIterator[int]:
        if program is None:
            yield

    seen = see(program)

    def facts(function: Any) -> list[Flag]:
        calls = seen.named(f"await {function.__qualname__}")
        return [call.flags & (Flag.ERROR | Flag.CANCELLED) for call in calls]

    assert [Flag.ERROR] == facts(fails)
    assert [Flag.CANCELLED] == facts(stuck)
    assert [Flag(0), Flag(0)] == facts(items)
    assert [Flag(0)] == facts(exhausted)
    assert [Flag(0)] == facts(generator_without_items)


def test_a_caught_cancellation_leaves_the_nesting_intact(loop_factory: LoopFactory) -> None:
    """It is thrown into the innermost frame, which may go on and suspend anew."""

    async def program() -> None:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_later(0.001, task.cancel)
        await stubborn()
        await answer()
        task.uncancel()

    async def stubborn() -> None:
        await catcher()
        await answer()

    async def catcher() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await nap()

    assert """\
task program
  call await stubborn
    call await catcher
      call await sleep
        await await sleep
      call await nap
        call await sleep
          await await sleep
    call await answer
  call await answer
""" == see(program, loop_factory).tree()


# ----------------------------------------------------------------------------------------- tasks


def test_the_root_coroutine_of_a_task_is_the_task(loop_factory: LoopFactory) -> None:
    """It has no call of its own; tasks that run inside each other (eager ones) stay apart."""

    async def program() -> None:
        await answer()
        async with asyncio.TaskGroup() as group:
            group.create_task(child())
        await answer()

    async def child() -> None:
        await nap()
        await asyncio.create_task(fetch())

    seen = see(program, loop_factory)
    calls = [span for span in seen.spans if span.category is Category.CALL]
    assert [] == [call for call in calls if call.name.endswith(("child", "program"))]
    assert "task child\n  call await nap\n" in seen.tree("child")
    assert "task fetch\n  call await answer\n" == seen.tree("fetch")
    assert 2 == seen.tree().count("\n  call await answer\n")


def test_a_task_that_a_library_wraps_is_the_wrapped_coroutine() -> None:
    """anyio runs tasks in a coroutine of its own, which the task span does not show either."""

    async def program() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(fetch)

    assert "task fetch\n  call await answer\n" == see(program).tree("fetch")


def test_a_task_started_by_hand_inside_another_one_leaves_it_alone() -> None:
    """Nobody says that its first step is a task's, so it is taken for a call, and no more."""

    async def program() -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.Task(child(), loop=loop, eager_start=True)
        await answer()
        await task

    async def child() -> None:
        await nap()
        await fetch()

    tree = see(program).tree()
    assert "\n  call await answer\n" in tree
    assert "\n  await await Task" in tree


def test_frames_that_ran_before_anybody_watched_are_no_calls() -> None:
    """Calls that begin later belong to the task."""

    async def main() -> str:
        from aperf.exporters import MemoryExporter
        from tests.every_await import Seen, session

        begin, memory = asyncio.Event(), MemoryExporter()
        task = asyncio.create_task(early(begin))
        await asyncio.sleep(0)
        async with session(memory) as watching:
            begin.set()
            await task
        return Seen(memory.spans, watching.statistics()).tree("early")

    async def early(begin: asyncio.Event) -> None:
        await inner(begin)
        await answer()

    async def inner(begin: asyncio.Event) -> None:
        await begin.wait()
        await nap()
        await fetch()

    assert """\
task early
  await await Event.wait
  call await nap
    call await sleep
      await await sleep
  call await fetch
    call await answer
  call await answer
""" == asyncio.run(main())


def test_coroutines_driven_by_hand_do_not_confuse_their_driver() -> None:
    """They are calls while they run, whatever order they end in, and may be dropped midway."""

    async def program() -> None:
        first, second = nap(), nap()
        first.send(None)
        second.send(None)
        first.close()
        await answer()
        del second
        await fetch()
        await nap()

    tree = see(program).tree()
    assert """\
  call await answer
  call await fetch
    call await answer
  call await nap
    call await sleep
      await await sleep
""" == tree[tree.index("  call await answer") :]


# ---------------------------------------------------------------------------------- user spans


def test_calls_and_user_spans_lie_in_each_other() -> None:
    """A call in the user span that was opened around it, an await in whatever is innermost."""

    async def program() -> None:
        with aperf.span("outer"):
            await fetch()
            await inner()

    async def inner() -> None:
        await nap()
        with aperf.span("within"):
            await answer()
            await asyncio.sleep(0)

    assert """\
task program
  user outer
    call await fetch
      call await answer
    call await inner
      call await nap
        call await sleep
          await await sleep
    user within
      call await answer
      call await sleep
        call await __sleep0
          await await sleep(0)
""" == see(program).tree()


def test_aperf_s_own_coroutines_are_no_calls() -> None:
    """A decorated coroutine function is one span and one call, not a wrapper's besides."""

    @aperf.instrument(name="decorated")
    async def decorated() -> None:
        await answer()

    async def program() -> None:
        await decorated()

    assert """\
task program
  user decorated
    call await decorated
      call await answer
""" == see(program).tree()


# ------------------------------------------------------------------------------------- counting


def test_an_await_counts_once() -> None:
    """Suspensions, and calls in which there was none."""

    async def program() -> None:
        await fetch()  # two that did not suspend
        await nap()  # one suspension, in two calls
        with pytest.raises(ValueError, match="no"):
            await fails()  # one

    async def fails() -> None:
        raise ValueError("no")

    def count(program: Any) -> int:
        return see(program).statistics.awaits

    assert 4 == count(program) - count(answer)
