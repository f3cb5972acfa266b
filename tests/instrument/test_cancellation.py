"""Who cancelled a task, as its span says; and that a cancellation is no error."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from aperf.model import Flag, Span, StatusCode
from aperf.testing import capture
from tests.watched import LoopFactory, run_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from aperf.testing import Capture

pytestmark = pytest.mark.usefixtures("twin")


def captured(main: Callable[[], Coroutine[Any, Any, Any]], loop_factory: LoopFactory) -> Capture:
    """Run a program in a task of its own, and return what was captured of it."""

    async def outside() -> Capture:
        async with capture() as result:
            await spawn(main(), "main")
        return result

    result = run_plain(outside(), loop_factory)
    assert 0 == result.statistics.internal_errors
    return result


def spawn(coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
    """Start a task with a name, known from its birth on all versions."""
    return asyncio.get_running_loop().create_task(coroutine, name=name)


async def forever() -> None:
    """Wait for what never happens."""
    await asyncio.get_running_loop().create_future()


async def settle() -> None:
    """Let all others run until they wait."""
    for _ in range(3):
        await asyncio.sleep(0)


def span_of(result: Capture, name: str) -> Span:
    """Return the span of the task of this name."""
    [span] = [span for span in result.tasks if span.task_name == name]
    return span


def cancelled_by(result: Capture, name: str) -> Any:
    """Return who cancelled a task, None if that is not known; it must have been cancelled."""
    span = span_of(result, name)
    assert span.attributes["aperf.cancelled"] is True
    assert StatusCode.UNSET == span.status
    assert () == span.events
    return span.attributes.get("aperf.cancelled_by")


def links_of(span: Span) -> list[tuple[object, int]]:
    """Return what a span's links mean, and where they lead."""
    return [(dict(link.attributes)["aperf.link"], link.context.span_id) for link in span.links]


# ---------------------------------------------------------------------------------------- by a task


def test_by_a_task(loop_factory: LoopFactory) -> None:
    """The cancelling task is named, and linked."""

    async def canceller(task: asyncio.Task[Any]) -> None:
        await settle()
        task.cancel()

    async def main() -> None:
        victim = spawn(forever(), "victim")
        await spawn(canceller(victim), "canceller")
        await asyncio.wait([victim])

    result = captured(main, loop_factory)
    assert "canceller" == cancelled_by(result, "victim")
    link = ("cancelled_by", span_of(result, "canceller").span_id)
    assert link in links_of(span_of(result, "victim"))
    for name in ("main", "canceller"):
        assert Flag.CANCELLED not in span_of(result, name).flags


def test_by_a_task_that_awaits_it(loop_factory: LoopFactory) -> None:
    """Cancelling and awaiting at once is the most common way."""

    async def main() -> None:
        victim = spawn(forever(), "victim")
        await settle()
        victim.cancel()
        with suppress(asyncio.CancelledError):
            await victim

    result = captured(main, loop_factory)
    assert "main" == cancelled_by(result, "victim")
    assert Flag.CANCELLED not in span_of(result, "main").flags


@pytest.mark.parametrize("waits", ["gather", "task", "wait_for", "shield", "nested"])
def test_the_cancellation_of_a_parent_reaches_its_child(
    loop_factory: LoopFactory, waits: str
) -> None:
    """A cancelled child that its parent waits for was cancelled by whoever cancelled the parent."""

    async def parent() -> None:
        child = spawn(forever(), "child")
        if waits == "gather":
            await asyncio.gather(child, asyncio.sleep(0))
        elif waits == "wait_for":
            await asyncio.wait_for(child, 30)
        elif waits == "shield":
            try:
                await asyncio.shield(child)
            finally:
                child.cancel()
                await asyncio.wait([child])
        elif waits == "nested":
            await asyncio.gather(asyncio.gather(child))
        else:
            await child

    async def main() -> None:
        task = spawn(parent(), "parent")
        await settle()
        task.cancel()
        await asyncio.wait([task])

    result = captured(main, loop_factory)
    assert "main" == cancelled_by(result, "parent")
    # Behind a shield it is the parent that cancels it; on 3.11, wait_for runs in the parent, too.
    by_parent = waits == "shield" or (waits == "wait_for" and sys.version_info < (3, 12))
    assert ("parent" if by_parent else "main") == cancelled_by(result, "child")


def test_a_task_group_cancels_the_others(loop_factory: LoopFactory) -> None:
    """When one child fails, its end cancels its siblings."""

    async def fails() -> None:
        await settle()
        raise ValueError("fails")

    async def main() -> None:
        with suppress(BaseExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(forever(), name="sibling")
                group.create_task(fails(), name="failing")

    result = captured(main, loop_factory)
    assert "failing" == cancelled_by(result, "sibling")
    assert StatusCode.ERROR == span_of(result, "failing").status
    assert Flag.CANCELLED not in span_of(result, "main").flags


def test_a_cancelled_task_group_cancels_its_children(loop_factory: LoopFactory) -> None:
    """The group's task passes on what happened to it."""

    async def parent() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(forever(), name="child")

    async def main() -> None:
        task = spawn(parent(), "parent")
        await settle()
        task.cancel()
        await asyncio.wait([task])

    result = captured(main, loop_factory)
    assert "main" == cancelled_by(result, "parent")
    assert "parent" == cancelled_by(result, "child")


def test_an_anyio_scope_cancelled_by_a_task(loop_factory: LoopFactory) -> None:
    """`scope.cancel()` is the doing of the task that calls it."""

    async def parent() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(forever, name="child")
            await settle()
            group.cancel_scope.cancel()

    result = captured(parent, loop_factory)
    assert "main" == cancelled_by(result, "child")
    assert Flag.CANCELLED not in span_of(result, "main").flags


# ------------------------------------------------------------------------------------- by a timeout


async def by_asyncio_timeout() -> None:
    """Let asyncio.timeout end it."""
    async with asyncio.timeout(0.001):
        await forever()


async def by_fail_after() -> None:
    """Let anyio.fail_after end it."""
    with anyio.fail_after(0.001):
        await forever()


@pytest.mark.parametrize("program", [by_asyncio_timeout, by_fail_after])
def test_the_wait_that_a_timeout_ends_says_so(loop_factory: LoopFactory, program: Any) -> None:
    """The await was cancelled by a timeout; the task failed with TimeoutError or went on."""

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await program()

    result = captured(main, loop_factory)
    [wait] = [span for span in result.awaits if Flag.CANCELLED in span.flags]
    assert "timeout" == wait.attributes["aperf.cancelled_by"]
    assert Flag.CANCELLED not in span_of(result, "main").flags


def test_a_child_that_a_timeout_cancels(loop_factory: LoopFactory) -> None:
    """The timeout of the parent ends the child that it awaits."""

    async def main() -> None:
        child = spawn(forever(), "child")
        await settle()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await child

    result = captured(main, loop_factory)
    assert "timeout" == cancelled_by(result, "child")
    assert [] == [link for link in links_of(span_of(result, "child")) if "cancel" in str(link[0])]


def test_children_that_wait_for_cancels(loop_factory: LoopFactory) -> None:
    """`wait_for` ends what it was given when its time is over."""

    async def main() -> None:
        child = spawn(forever(), "child")
        await settle()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(child, 0.001)

    # On 3.11 the timer wakes the parent, and that cancels what it was waiting for.
    by = "timeout" if sys.version_info >= (3, 12) else "main"
    assert by == cancelled_by(captured(main, loop_factory), "child")


@pytest.mark.parametrize("scope", [anyio.move_on_after, anyio.fail_after])
def test_children_of_an_anyio_scope_that_times_out(loop_factory: LoopFactory, scope: Any) -> None:
    """All tasks in the scope, however deep, were cancelled by the timeout."""

    async def child() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(forever, name="grandchild")
            await forever()

    async def main() -> None:
        with suppress(TimeoutError), scope(30) as limit:
            async with anyio.create_task_group() as group:
                group.start_soon(child, name="child")
                await settle()
                # Far enough away to be a timer's: what is over when it is set, the task cancels.
                limit.deadline = anyio.current_time() + 0.1

    result = captured(main, loop_factory)
    assert "timeout" == cancelled_by(result, "child")
    assert "timeout" == cancelled_by(result, "grandchild")
    assert Flag.CANCELLED not in span_of(result, "main").flags


def test_a_task_that_survives_a_timeout_and_is_cancelled_later(loop_factory: LoopFactory) -> None:
    """What ended the task counts, not what it got over before."""

    async def child() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.001):
                await forever()
        ready.set()
        await forever()

    ready = asyncio.Event()

    async def main() -> None:
        victim = spawn(child(), "victim")
        await ready.wait()
        await settle()
        victim.cancel()
        await asyncio.wait([victim])

    assert "main" == cancelled_by(captured(main, loop_factory), "victim")


# ------------------------------------------------------------------------------------ by a callback


def test_by_a_timer_of_the_program(loop_factory: LoopFactory) -> None:
    """A plain callback that cancels a task is not a timeout, and not a task."""

    async def main() -> None:
        victim = spawn(forever(), "victim")
        await settle()
        asyncio.get_running_loop().call_later(0.001, victim.cancel)
        await asyncio.wait([victim])

    assert "callback" == cancelled_by(captured(main, loop_factory), "victim")


def test_by_a_thread(loop_factory: LoopFactory) -> None:
    """What another thread has the loop do is a callback, too."""

    async def main() -> None:
        victim = spawn(forever(), "victim")
        loop = asyncio.get_running_loop()
        await settle()
        await asyncio.to_thread(lambda: loop.call_soon_threadsafe(victim.cancel))
        await asyncio.wait([victim])

    assert "callback" == cancelled_by(captured(main, loop_factory), "victim")


# ---------------------------------------------------------------------------------------- by nobody


def test_a_task_cancelled_before_it_ran(lazy_loop_factory: LoopFactory) -> None:
    """It ends cancelled in its first step; by whom is not known."""

    async def main() -> None:
        victim = spawn(forever(), "victim")
        victim.cancel()
        await asyncio.wait([victim])

    assert cancelled_by(captured(main, lazy_loop_factory), "victim") is None


def test_a_task_that_cancels_itself(loop_factory: LoopFactory) -> None:
    """A task may end by raising CancelledError: nobody cancelled it."""

    async def victim() -> None:
        await asyncio.sleep(0)
        raise asyncio.CancelledError

    async def main() -> None:
        await asyncio.wait([spawn(victim(), "victim")])

    assert cancelled_by(captured(main, loop_factory), "victim") is None


def test_a_cancellation_that_is_caught_leaves_no_mark(loop_factory: LoopFactory) -> None:
    """A task that goes on and returns was not cancelled; its wait was."""

    async def stubborn() -> str:
        with suppress(asyncio.CancelledError):
            await forever()
        return "still here"

    async def main() -> None:
        victim = spawn(stubborn(), "victim")
        await settle()
        victim.cancel()
        assert "still here" == await victim

    result = captured(main, loop_factory)
    span = span_of(result, "victim")
    assert not {"aperf.cancelled", "aperf.cancelled_by"} & set(span.attributes)
    waits = [s for s in result.awaits if s.task_id == span.task_id]
    assert [True] == [Flag.CANCELLED in wait.flags for wait in waits]
