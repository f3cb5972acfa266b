from __future__ import annotations

import asyncio
import gc
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from aperf._recorder._layout import CloseFlag
from aperf._spans import current_span, instrument, span
from tests.spans.watching import named, run, seen

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator

    from aperf._recorder import Recorder
    from tests.watched import LoopFactory


@instrument(name="numbers")
def numbers(count: int) -> Generator[int, Any, str]:
    """Yield numbers, each made in a span of its own."""
    for number in range(count):
        with span(f"make {number}"):
            pass
        yield number
    return "done"


@instrument(name="async numbers")
async def async_numbers(count: int) -> AsyncGenerator[int, Any]:
    """Yield numbers, each made in a span of its own, and not at once."""
    for number in range(count):
        with span(f"make {number}"):
            await asyncio.sleep(0)
        yield number


def test_not_current_between_items(recorder: Recorder) -> None:
    """The consumer's spans stay its own, the generator's are below the generator's."""
    with span("consumer") as consumer:
        for number in numbers(2):
            assert consumer == current_span()
            with span(f"use {number}"):
                pass
        assert consumer == current_span()
    spans = named(seen(recorder))
    for number in range(2):
        assert spans["numbers"].key == spans[f"make {number}"].parent
        assert spans["consumer"].key == spans[f"use {number}"].parent
    assert all([0] == one.ends for one in spans.values())


def test_not_current_between_async_items(recorder: Recorder, loop_factory: LoopFactory) -> None:
    """The same for asynchronous generators."""

    async def program() -> None:
        with span("consumer") as consumer:
            async for number in async_numbers(2):
                assert consumer == current_span()
                with span(f"use {number}"):
                    await asyncio.sleep(0)
            assert consumer == current_span()

    run(recorder, program(), loop_factory)
    spans = named(seen(recorder))
    for number in range(2):
        assert spans["async numbers"].key == spans[f"make {number}"].parent
        assert spans["consumer"].key == spans[f"use {number}"].parent
    assert all([0] == one.ends for one in spans.values())


def test_span_open_over_a_yield(recorder: Recorder) -> None:
    """What a decorated generator opens around a yield stays inside, too."""

    @instrument(name="generator")
    def generator() -> Iterator[None]:
        with span("over yield"):
            yield
            with span("below"):
                yield

    with span("consumer") as consumer:
        for _ in generator():
            assert consumer == current_span()
    spans = named(seen(recorder))
    assert spans["generator"].key == spans["over yield"].parent
    assert spans["over yield"].key == spans["below"].parent


def test_consumer_opens_a_span_between_items(recorder: Recorder) -> None:
    """The end of a generator leaves the span alone that its consumer opened meanwhile."""
    iterator = numbers(1)
    next(iterator)
    with span("consumer") as consumer:
        assert [] == list(iterator)
        assert consumer == current_span()
    assert [0] == named(seen(recorder))["numbers"].ends


def test_consumer_opens_a_span_between_async_items(recorder: Recorder) -> None:
    """The same for asynchronous generators."""

    async def program() -> None:
        iterator = async_numbers(1)
        await anext(iterator)
        with span("consumer") as consumer:
            assert [] == [number async for number in iterator]
            assert consumer == current_span()

    run(recorder, program())
    assert [0] == named(seen(recorder))["async numbers"].ends


def test_protocol_passes_through(recorder: Recorder) -> None:
    """send, throw, close and the return value reach the generator and its caller."""

    @instrument
    def echo() -> Generator[object, object, str]:
        received: object = "start"
        while received != "stop":
            try:
                received = yield received
            except KeyError as error:
                received = error
        return "stopped"

    generator = echo()
    assert "start" == next(generator)
    assert 1 == generator.send(1)
    error = KeyError()
    assert error is generator.throw(error)
    with pytest.raises(StopIteration) as stop:
        generator.send("stop")
    assert "stopped" == stop.value.value
    closed = echo()
    next(closed)
    closed.close()
    failing = echo()
    next(failing)
    with pytest.raises(ZeroDivisionError):
        failing.throw(ZeroDivisionError())
    assert [[0], [0], [CloseFlag.ERROR]] == [one.ends for one in seen(recorder)]


def test_async_protocol_passes_through(recorder: Recorder) -> None:
    """asend, athrow and aclose too."""

    @instrument
    async def echo() -> AsyncGenerator[object, object]:
        received: object = "start"
        while received != "stop":
            try:
                received = yield received
            except KeyError as error:
                received = error
            await asyncio.sleep(0)

    async def program() -> None:
        generator = echo()
        assert "start" == await anext(generator)
        assert 1 == await generator.asend(1)
        error = KeyError()
        assert error is await generator.athrow(error)
        with pytest.raises(StopAsyncIteration):
            await generator.asend("stop")
        closed = echo()
        await anext(closed)
        await closed.aclose()
        failing = echo()
        await anext(failing)
        with pytest.raises(ZeroDivisionError):
            await failing.athrow(ZeroDivisionError())

    run(recorder, program())
    assert [[0], [0], [CloseFlag.ERROR]] == [one.ends for one in seen(recorder)]


def test_generator_that_is_never_started(recorder: Recorder) -> None:
    """It is no span."""
    numbers(1).close()
    numbers(1)

    async def program() -> None:
        await async_numbers(1).aclose()
        async_numbers(1)

    run(recorder, program())
    assert [] == seen(recorder)


def test_generator_abandoned(recorder: Recorder) -> None:
    """A generator that is dropped ends as Python ends it."""
    next(numbers(2))
    gc.collect()
    assert [0] == named(seen(recorder))["numbers"].ends


@instrument(name="slow to close")
async def slow_to_close(closed: list[str]) -> AsyncIterator[int]:
    """Yield, and need the loop for its end."""
    try:
        with span("inside"):
            yield 1
            yield 2
    finally:
        await asyncio.sleep(0)
        closed.append("closed")


def test_async_generator_abandoned(recorder: Recorder, loop_factory: LoopFactory) -> None:
    """A generator that its consumer drops is closed by the loop, once, without complaints."""

    async def consume(closed: list[str]) -> None:
        async for _ in slow_to_close(closed):
            break
        with span("afterwards"):
            pass

    async def program() -> None:
        closed: list[str] = []
        await consume(closed)
        while not closed:
            await asyncio.sleep(0)
        assert ["closed"] == closed

    run(recorder, program(), loop_factory)
    spans = named(seen(recorder))
    assert [[0], [0]] == [spans[name].ends for name in ("slow to close", "inside")]
    assert (spans["afterwards"].owner, 0) == spans["afterwards"].parent


def test_async_generator_closed_with_the_loop(
    recorder: Recorder, loop_factory: LoopFactory
) -> None:
    """A generator that is still suspended when the loop shuts down is closed once, in order."""
    closed: list[str] = []
    kept: list[AsyncIterator[int]] = []

    async def program() -> None:
        for _ in range(3):
            kept.append(slow_to_close(closed))
            await anext(kept[-1])

    run(recorder, program(), loop_factory)
    assert ["closed"] * 3 == closed
    assert [[0]] * 6 == [one.ends for one in seen(recorder)]


def test_async_generator_without_a_loop(recorder: Recorder) -> None:
    """A generator for which no loop cares ends when it is dropped, as Python ends it."""

    async def start() -> None:
        generator = async_numbers(2)
        while await anext(generator) != 0:
            pass

    coroutine = start()
    coroutine.send(None)  # the sleep inside
    with pytest.raises(StopIteration):
        coroutine.send(None)
    del coroutine
    gc.collect()
    assert [[0]] * 2 == [one.ends for one in seen(recorder)]


def test_undecorated_async_generator_abandoned(recorder: Recorder) -> None:
    """A span in a plain generator that is dropped does not stay current once it is closed."""

    async def plain() -> AsyncIterator[int]:
        with span("in generator"):
            yield 1

    async def consume() -> None:
        async for _ in plain():
            break

    async def program() -> None:
        await consume()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with span("afterwards"):
            pass

    run(recorder, program())
    spans = named(seen(recorder))
    assert [0] == spans["in generator"].ends
    assert (spans["afterwards"].owner, 0) == spans["afterwards"].parent


def test_moved_between_tasks(recorder: Recorder) -> None:
    """A generator may go on in another task; what is opened there belongs to that task."""

    async def step(generator: AsyncGenerator[int, Any]) -> None:
        with span("step"):
            await anext(generator)

    async def program() -> None:
        generator = async_numbers(2)
        await asyncio.create_task(step(generator))
        await asyncio.create_task(step(generator))
        await asyncio.create_task(generator.aclose())

    run(recorder, program())
    spans = seen(recorder)
    first, second = (one for one in spans if one.name == "step")
    whole = named(spans)["async numbers"]
    assert (first.owner, first.key, [0]) == (whole.owner, whole.parent, whole.ends)
    assert whole.key == named(spans)["make 0"].parent
    made = named(spans)["make 1"]
    assert (second.owner, (second.owner, 0)) == (made.owner, made.parent)


def test_cancelled_inside(recorder: Recorder) -> None:
    """A cancellation that arrives inside a generator passes through it."""

    @instrument
    async def waits() -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()
        yield 2

    async def consume() -> None:
        async for _ in waits():
            pass

    async def program() -> None:
        task = asyncio.create_task(consume())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    run(recorder, program())
    assert [[CloseFlag.CANCELLED]] == [one.ends for one in seen(recorder)]


def test_context_managers(recorder: Recorder) -> None:
    """Below contextmanager and asynccontextmanager the decorator works as usual."""

    @contextmanager
    @instrument(name="manager")
    def manager() -> Iterator[int]:
        yield 1

    @asynccontextmanager
    @instrument(name="async manager")
    async def async_manager() -> AsyncIterator[int]:
        yield 1

    async def program() -> None:
        with pytest.raises(KeyError):
            async with async_manager():
                raise KeyError

    with manager() as value:
        assert 1 == value
    run(recorder, program())
    spans = named(seen(recorder))
    assert [[0], [CloseFlag.ERROR]] == [one.ends for one in spans.values()]
