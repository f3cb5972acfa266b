"""The await chain, as a recorder walks it: which frame awaits which."""

from __future__ import annotations

import asyncio
import types
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from aperf._recorder import Cold, Hint, StepFlag
from tests.watched import run

if TYPE_CHECKING:
    from aperf._recorder import Recorder

Future: TypeAlias = "asyncio.Future[None]"
Program: TypeAlias = Callable[[Future], Coroutine[Any, Any, None]]


async def inner(future: Future) -> None:
    """Wait at the end of a chain."""
    await future


class Object:
    """An awaitable that is a generator inside."""

    def __init__(self, future: Future) -> None:
        self.future = future

    def __await__(self) -> Generator[Any, None, None]:
        yield from self.future.__await__()


@types.coroutine
def old_style(future: Future) -> Generator[Any, None, None]:
    """Wait as coroutines did before `async def`."""
    yield from inner(future).__await__()


async def agen(future: Future) -> AsyncGenerator[int, None]:
    """Wait inside of an asynchronous generator."""
    await inner(future)
    yield 1


@asynccontextmanager
async def manager(future: Future) -> AsyncIterator[None]:
    """Wait on the way in."""
    await inner(future)
    yield


async def by_coroutine(future: Future) -> None:
    """Await a coroutine."""
    await inner(future)


async def by_object(future: Future) -> None:
    """Await an object with `__await__`."""
    await Object(future)


async def by_generator(future: Future) -> None:
    """Await a generator-based coroutine."""
    await old_style(future)


async def by_async_for(future: Future) -> None:
    """Iterate."""
    async for _ in agen(future):
        pass


async def by_anext(future: Future) -> None:
    """Take one element."""
    await anext(agen(future))


async def by_anext_with_default(future: Future) -> None:
    """Take one element, or the default."""
    await anext(agen(future), 0)


async def by_asend(future: Future) -> None:
    """Send something in."""
    await agen(future).asend(None)


async def by_manager(future: Future) -> None:
    """Enter a context manager."""
    async with manager(future):
        pass


async def by_closing(future: Future) -> None:
    """Close a generator, which waits on its way out."""

    async def closes() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await inner(future)

    generator: Any = closes()
    await anext(generator)
    await generator.aclose()


async def by_throwing(future: Future) -> None:
    """Throw into a generator, which waits when it has caught it."""

    async def catches() -> AsyncIterator[int]:
        try:
            yield 1
        except ValueError:
            await inner(future)
        yield 2

    generator: Any = catches()
    await anext(generator)
    await generator.athrow(ValueError())


CHAINS: dict[Program, list[str]] = {
    inner: ["inner"],
    by_coroutine: ["inner", "by_coroutine"],
    by_object: ["Object.__await__", "by_object"],
    by_generator: ["inner", "old_style", "by_generator"],
    by_async_for: ["inner", "agen", "by_async_for"],
    by_anext: ["inner", "agen", "by_anext"],
    by_anext_with_default: ["inner", "agen", "by_anext_with_default"],
    by_asend: ["inner", "agen", "by_asend"],
    by_manager: ["inner", "manager", "_AsyncGeneratorContextManager.__aenter__", "by_manager"],
    by_closing: ["inner", "by_closing.<locals>.closes", "by_closing"],
    by_throwing: ["inner", "by_throwing.<locals>.catches", "by_throwing"],
}


def waits_of(recorder: Recorder, program: Program) -> list[Any]:
    """Run a program in a task until its future is done; return the sites of its waits."""

    async def main() -> None:
        future = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(program(future), name="program")
        while not getattr(task, "_fut_waiter", None):
            await asyncio.sleep(0)
        future.set_result(None)
        await task

    story = run(recorder, main())
    waits = [step for step in story.steps("program") if not step.flags & StepFlag.FIRST]
    return [recorder.resolve(step.ref) for step in waits]


@pytest.mark.parametrize("program", CHAINS, ids=lambda program: program.__name__)
def test_the_whole_chain_is_walked(recorder_class: type[Recorder], program: Program) -> None:
    """After a long wait all frames are told, through whatever hides the next one."""
    recorder = recorder_class(Cold(), stack_min_ns=0)
    [(hint, awaited, frames)] = waits_of(recorder, program)
    assert CHAINS[program] == [code.co_qualname for code, _ in frames]
    assert hint & Hint.FULL
    assert awaited is asyncio.Future
    lines = [list(code.co_positions())[lasti // 2][0] for code, lasti in frames]
    assert all(
        line is not None and line > code.co_firstlineno
        for line, (code, _) in zip(lines, frames, strict=True)
    )


@pytest.mark.parametrize("program", CHAINS, ids=lambda program: program.__name__)
def test_of_a_short_wait_the_ends_are_told(
    recorder_class: type[Recorder], program: Program
) -> None:
    """The innermost frame, and the innermost of the program's own where that is another one."""
    recorder = recorder_class(Cold(), stack_min_ns=1 << 62)
    [(hint, awaited, frames)] = waits_of(recorder, program)
    assert CHAINS[program][:1] == [code.co_qualname for code, _ in frames]
    assert not hint & Hint.FULL
    assert awaited is asyncio.Future


def test_the_innermost_frame_of_the_program_itself_is_told(recorder_class: type[Recorder]) -> None:
    """Below it may be any number of library frames; the line that the reader knows is kept."""

    async def program(future: Future) -> None:
        lock = asyncio.Event()
        future.add_done_callback(lambda _: lock.set())
        await lock.wait()

    recorder = recorder_class(Cold(), stack_min_ns=1 << 62)
    [(_, _, frames)] = waits_of(recorder, program)
    assert ["Event.wait", program.__qualname__] == [code.co_qualname for code, _ in frames]


def test_a_bare_yield_awaits_nothing(recorder_class: type[Recorder]) -> None:
    """sleep(0) has no awaitable at its end."""

    async def program(future: Future) -> None:
        await asyncio.sleep(0)
        await future

    recorder = recorder_class(Cold(), stack_min_ns=0)
    [(_, nothing, frames), (_, awaited, _)] = waits_of(recorder, program)
    assert [None, asyncio.Future] == [nothing, awaited]
    assert ["__sleep0", "sleep", program.__qualname__] == [code.co_qualname for code, _ in frames]


@pytest.mark.parametrize("depth", [32, 33, 200])
def test_a_deep_chain_keeps_its_inner_end(recorder_class: type[Recorder], depth: int) -> None:
    """Of more frames than anybody reads, the innermost 32 are kept."""

    async def deep(future: Future, left: int = depth) -> None:
        if left > 1:
            await deep(future, left - 1)
        else:
            await inner(future)

    recorder = recorder_class(Cold(), stack_min_ns=0)
    [(_, _, frames)] = waits_of(recorder, deep)
    assert ["inner"] + [deep.__qualname__] * 31 == [code.co_qualname for code, _ in frames]


class Classy(Coroutine[Any, Any, None]):
    """A coroutine without frames, of a class of its own."""

    def __init__(self, awaitable: Awaitable[None]) -> None:
        self._steps = awaitable.__await__()

    def send(self, value: Any) -> Any:
        return self._steps.send(value)

    def throw(self, *error: Any) -> Any:
        return self._steps.throw(*error)

    def close(self) -> None:
        self._steps.close()

    def __await__(self) -> Generator[Any, None, None]:
        return (yield from self._steps)


@pytest.mark.parametrize("stack_min_ns", [0, 1 << 62])
def test_a_coroutine_without_frames_has_an_empty_chain(
    recorder_class: type[Recorder], stack_min_ns: int
) -> None:
    """It is known by its name, and what it awaits by its type."""

    def program(future: Future) -> Classy:
        return Classy(future)

    recorder = recorder_class(Cold(), stack_min_ns=stack_min_ns)
    [(_, awaited, frames)] = waits_of(recorder, program)
    assert (asyncio.Future, ()) == (awaited, frames)
