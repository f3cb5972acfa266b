"""Who woke a task: the task that ran at that moment, or whose end made a callback run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio
import pytest

from aperf._recorder import Cold
from tests.watched import LoopFactory, run

if TYPE_CHECKING:
    from aperf._recorder import Recorder

Main: TypeAlias = Callable[[], Coroutine[Any, Any, None]]


@pytest.fixture
def recorder(recorder_class: type[Recorder]) -> Recorder:
    """A recorder with room for all that these programs do."""
    return recorder_class(Cold(), ring_slots=1 << 14)


def spawn(coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
    """Start a task with a name, known from its birth on all versions."""
    return asyncio.get_running_loop().create_task(coroutine, name=name)


async def settle() -> None:
    """Let all others run until they wait."""
    for _ in range(5):
        await asyncio.sleep(0)


async def wakes(waits: Callable[[], Awaitable[Any]], act: Callable[[], Any]) -> None:
    """Let one task wait, and another one do something about it."""

    async def waiter() -> None:
        await waits()

    async def actor() -> None:
        result = act()
        if asyncio.iscoroutine(result):
            await result

    waiting = spawn(waiter(), "waiter")
    await settle()
    await spawn(actor(), "actor")
    await asyncio.wait([waiting])


# ------------------------------------------------------------------------------- by a task directly


async def by_event() -> None:
    """Set an event."""
    event = asyncio.Event()
    await wakes(event.wait, event.set)


async def by_result() -> None:
    """Give a future its result."""
    future = asyncio.get_running_loop().create_future()
    await wakes(lambda: future, lambda: future.set_result(None))


async def by_queue_put() -> None:
    """Put something into a queue."""
    queue: asyncio.Queue[int] = asyncio.Queue()
    await wakes(queue.get, lambda: queue.put(1))


async def by_queue_get() -> None:
    """Make room in a queue."""
    queue: asyncio.Queue[int] = asyncio.Queue(1)
    queue.put_nowait(0)
    await wakes(lambda: queue.put(1), queue.get)


async def by_task_done() -> None:
    """Finish the last job of a queue."""
    queue: asyncio.Queue[int] = asyncio.Queue()
    queue.put_nowait(0)
    await wakes(queue.join, queue.task_done)


async def by_lock() -> None:
    """Release a lock."""
    lock = asyncio.Lock()
    await lock.acquire()
    await wakes(lock.acquire, lock.release)


async def by_semaphore() -> None:
    """Release a semaphore."""
    semaphore = asyncio.Semaphore(0)
    await wakes(semaphore.acquire, semaphore.release)


async def by_cancellation() -> None:
    """Cancel the waiter."""
    future = asyncio.get_running_loop().create_future()
    tasks: list[asyncio.Task[Any]] = []

    async def waits() -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        await future

    await wakes(waits, lambda: tasks[0].cancel())


async def by_anyio_event() -> None:
    """Set an event of anyio's."""
    event = anyio.Event()
    await wakes(event.wait, event.set)


async def by_anyio_stream() -> None:
    """Send something through a stream of anyio's."""
    send, receive = anyio.create_memory_object_stream[int](0)
    with send, receive:
        await wakes(receive.receive, lambda: send.send(1))


DIRECT: list[Main] = [
    by_event,
    by_result,
    by_queue_put,
    by_queue_get,
    by_task_done,
    by_lock,
    by_semaphore,
    by_cancellation,
    by_anyio_event,
    by_anyio_stream,
]


@pytest.mark.parametrize("program", DIRECT, ids=lambda program: program.__name__)
def test_whoever_acts_is_the_waker(
    recorder: Recorder, loop_factory: LoopFactory, program: Main
) -> None:
    """The task that does what another one waits for has woken it."""
    story = run(recorder, program(), loop_factory)
    assert "actor" in story.wakers("waiter")
    assert {"actor", "waiter"} >= set(story.wakers("waiter"))  # anyio yields once, by itself


def test_a_task_that_yields_wakes_itself(recorder: Recorder, loop_factory: LoopFactory) -> None:
    """sleep(0) is a wake-up of one's own."""

    async def program() -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def main() -> None:
        await spawn(program(), "program")

    assert ["program"] * 2 == run(recorder, main(), loop_factory).wakers("program")


def test_the_child_wakes_whoever_awaits_it(recorder: Recorder, loop_factory: LoopFactory) -> None:
    """`await task` ends by the task's end."""

    async def main() -> None:
        child = spawn(asyncio.sleep(0), "child")
        await spawn(_await(child), "parent")

    assert ["child"] == run(recorder, main(), loop_factory).wakers("parent")


async def _await(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


# --------------------------------------------------------------------- by a task through a callback


async def turns(number: int) -> int:
    """Take so many turns of the loop."""
    for _ in range(number):
        await asyncio.sleep(0)
    return number


def children() -> list[asyncio.Task[int]]:
    """Start three tasks, of which "last" ends last, and neither first nor last in the list."""
    lives = {"short": 2, "last": 12, "middle": 6}
    return [spawn(turns(number), name) for name, number in lives.items()]


async def with_gather() -> None:
    """Wait for all with gather."""
    await asyncio.gather(*children())


async def with_wait() -> None:
    """Wait for all with wait."""
    await asyncio.wait(children())


async def with_task_group() -> None:
    """Wait for all with a task group."""
    lives = {"short": 2, "last": 12, "middle": 6}
    async with asyncio.TaskGroup() as group:
        for name, number in lives.items():
            group.create_task(turns(number), name=name)


async def with_anyio_group() -> None:
    """Wait for all with a task group of anyio's."""
    lives = {"short": 2, "last": 12, "middle": 6}
    async with anyio.create_task_group() as group:
        for name, number in lives.items():
            group.start_soon(turns, number, name=name)


async def with_shield() -> None:
    """Wait for one behind a shield."""
    await asyncio.shield(spawn(turns(5), "last"))


async def with_wait_for() -> None:
    """Wait for one with a timeout."""
    await asyncio.wait_for(spawn(turns(5), "last"), 10)


async def with_gather_of_gathers() -> None:
    """Wait for several that wait for several."""
    await asyncio.gather(asyncio.gather(*children()), asyncio.gather(spawn(turns(1), "other")))


THROUGH: list[Main] = [
    with_gather,
    with_wait,
    with_task_group,
    with_anyio_group,
    with_shield,
    with_wait_for,
    with_gather_of_gathers,
]


@pytest.mark.parametrize("program", THROUGH, ids=lambda program: program.__name__)
def test_the_last_to_end_is_the_waker(
    recorder: Recorder, loop_factory: LoopFactory, program: Main
) -> None:
    """Whoever waits for several is woken by the last of them, through asyncio's callbacks."""

    async def main() -> None:
        await spawn(program(), "parent")

    assert "last" == run(recorder, main(), loop_factory).wakers("parent")[-1]


def test_as_completed_is_woken_by_each(recorder: Recorder, loop_factory: LoopFactory) -> None:
    """Each result is the doing of the task that it comes from."""

    async def parent() -> None:
        for first in asyncio.as_completed(children()):
            await first

    async def main() -> None:
        await spawn(parent(), "parent")

    assert ["short", "middle", "last"] == run(recorder, main(), loop_factory).wakers("parent")


def test_a_callback_of_the_program_passes_the_cause_on(
    recorder: Recorder, loop_factory: LoopFactory
) -> None:
    """A done callback that sets an event acts for the task that ended."""

    async def main() -> None:
        event = asyncio.Event()
        waiter = spawn(event.wait(), "waiter")
        child = spawn(turns(3), "child")
        child.add_done_callback(lambda _: event.set())
        await asyncio.wait([waiter, child])

    assert ["child"] == run(recorder, main(), loop_factory).wakers("waiter")


# -------------------------------------------------------------------------------- by nobody's doing


async def by_sleep() -> None:
    """Sleep until a timer."""
    await asyncio.sleep(0.001)


async def by_timer() -> None:
    """Wait for what a timer does."""
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.001, future.set_result, None)
    await future


async def by_thread() -> None:
    """Wait for what another thread has the loop do."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    thread = threading.Thread(
        target=lambda: loop.call_soon_threadsafe(future.set_result, None), daemon=True
    )
    thread.start()
    await future
    thread.join()


async def by_executor() -> None:
    """Wait for an executor."""
    await asyncio.get_running_loop().run_in_executor(None, int)


async def by_soon() -> None:
    """Wait for what a callback does that runs outside of all tasks."""
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_result, None)
    await future


NOBODY: list[Main] = [by_sleep, by_timer, by_thread, by_executor, by_soon]


@pytest.mark.parametrize("program", NOBODY, ids=lambda program: program.__name__)
def test_what_no_task_did_has_no_waker(
    recorder: Recorder, loop_factory: LoopFactory, program: Main
) -> None:
    """Timers, threads and plain callbacks are nobody."""

    async def main() -> None:
        await spawn(program(), "waiter")

    assert [""] == run(recorder, main(), loop_factory).wakers("waiter")


def test_the_cause_ends_with_the_callback(recorder: Recorder, loop_factory: LoopFactory) -> None:
    """A timer that follows a done callback on the loop does not inherit its cause."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        future, done = loop.create_future(), loop.create_future()
        waiter = spawn(_await(future), "waiter")
        child = spawn(turns(2), "child")

        def failing(_: object) -> None:
            loop.call_later(0, future.set_result, None)
            done.set_result(None)
            raise ValueError("ends the callback early")

        loop.set_exception_handler(lambda _, told: None)
        child.add_done_callback(failing)
        await done
        await waiter

    assert [""] == run(recorder, main(), loop_factory).wakers("waiter")
