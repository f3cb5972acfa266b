"""I4 with nesting: what is held to tell coroutines apart is held for one step, and harms nobody."""

from __future__ import annotations

import asyncio
import gc
import sys
import types
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from aperf._recorder import Cold
from tests.chains import WAYS, Way, in_a_task, links_of, pause
from tests.isolated import run_isolated
from tests.records import decode
from tests.watched import Story, watched

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterator

    from aperf._recorder import Recorder


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    """Each mechanism, on each kind of loop."""
    return WAYS[request.param]


@pytest.fixture
def recorder(recorder_class: type[Recorder]) -> Recorder:
    """A recorder of whom somebody wants to know how coroutines are nested."""
    recorder = recorder_class(Cold(), ring_slots=1 << 12)
    recorder.nesting = True
    return recorder


async def fetch(times: int = 1) -> None:
    """Be suspended so many times."""
    for _ in range(times):
        await pause()


async def fails() -> None:
    """Be suspended, then raise."""
    await pause()
    raise ValueError


async def numbers() -> AsyncGenerator[int, None]:
    """Be suspended before each item."""
    for number in range(2):
        await pause()
        yield number


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Switch the garbage collector off: only reference counts free anything."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
def test_i4_what_ended_in_a_step_is_gone_after_it(recorder: Recorder, way: Way) -> None:
    """When anybody else runs, coroutines that have ended are free, however they ended."""
    references: list[weakref.ref[Any]] = []
    alive: list[bool] = []

    def noted(coroutine: Any) -> Any:
        references.append(weakref.ref(coroutine))
        return coroutine

    async def program() -> None:
        for _ in range(3):
            await noted(fetch())
            asyncio.get_running_loop().call_soon(look)
            await pause()
            try:
                await noted(fails())
            except ValueError:
                asyncio.get_running_loop().call_soon(look)
            await pause()

    def look() -> None:
        alive.extend(reference() is not None for reference in references)

    way(recorder, in_a_task(program))
    assert len(alive) == 21
    assert not any(alive)


@pytest.mark.usefixtures("no_collector")
def test_i4_a_generator_that_is_dropped_is_gone_at_once(recorder: Recorder, way: Way) -> None:
    """Its finalizer runs where the program leaves it, not when the step is over."""
    gone: list[bool] = []

    async def program() -> None:
        generator = numbers()
        reference = weakref.ref(generator)
        async for _ in generator:
            break
        del generator
        gone.append(reference() is None)

    way(recorder, in_a_task(program))
    assert [True] == gone


@pytest.mark.usefixtures("no_collector")
def test_i4_whoever_waits_is_not_held(recorder: Recorder, way: Way) -> None:
    """While a task is suspended, its coroutines have the references that they have without us."""
    counts: list[int] = []

    async def main() -> None:
        for nesting in (False, True):
            recorder.nesting = nesting
            coroutine = fetch(4)
            task = asyncio.create_task(waits(coroutine))
            for _ in range(3):
                await pause()
            counts.append(sys.getrefcount(coroutine))
            await task

    async def waits(coroutine: Any) -> None:
        await coroutine

    way(recorder, main())
    assert counts[0] == counts[1]


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_i4_an_exception_that_leaves_the_loop_takes_nothing_along(
    recorder: Recorder, way: Way, error: type[BaseException]
) -> None:
    """The frames of our own that it has passed hold no coroutine."""
    references: list[weakref.ref[Any]] = []

    async def program() -> None:
        coroutine = fetch()
        references.append(weakref.ref(coroutine))
        await coroutine
        del coroutine
        raise error

    with pytest.raises(error) as raised:
        way(recorder, program())
    recorder.armed = False
    assert raised.value.__traceback__ is not None
    assert references[0]() is None


class Faulty(Cold):
    """A recorder's slow side that fails while it is told to."""

    fails = False

    def classify(self, code: Any) -> int:
        """Fail for code that has not been seen before."""
        if self.fails:
            raise RuntimeError("a fault of our own")
        return super().classify(code)


@pytest.mark.usefixtures("no_collector")
def test_i4_a_fault_of_our_own_holds_nothing(recorder_class: type[Recorder]) -> None:
    """Where the chain cannot be recorded, it is let go all the same, and the next begins anew."""
    cold = Faulty()
    recorder = recorder_class(cold)
    recorder.nesting = True
    alive: list[bool] = []

    @types.coroutine
    def unknown() -> Generator[None, None, None]:
        yield

    async def program() -> None:
        coroutine = fetch()
        reference = weakref.ref(coroutine)
        await coroutine
        del coroutine
        asyncio.get_running_loop().call_soon(lambda: alive.append(reference() is not None))
        cold.fails = True
        await unknown()
        cold.fails = False
        await pause(2)

    with asyncio.Runner() as runner, watched(recorder, runner.get_loop()):
        runner.run(program())
    assert 1 == recorder.internal_errors
    assert [False] == alive
    links = links_of(recorder, Story(decode(recorder)), program)
    assert [("fetch", 0), ("pause", 0), ("pause", 2)] == [
        (link.names[1], link.kept) for link in links
    ]


ROUNDS = """
import asyncio, gc, sys, types
from aperf._recorder import Cold, Recorder

@types.coroutine
def pause():
    yield

async def numbers():
    for number in range(3):
        await pause()
        yield number

async def fails():
    await pause()
    raise ValueError

async def fetch():
    await pause()
    await pause()
    async for _ in numbers():
        break
    try:
        await fails()
    except ValueError:
        pass

recorder = Recorder(Cold(), ring_slots=64)
recorder.nesting = True
loop = asyncio.new_event_loop()

def factory(loop, coro, **kwargs):
    kwargs.pop("eager_start", None)
    return asyncio.Task(recorder.wrap(coro, None, None), loop=loop, **kwargs)

if sys.argv[1] == "hook":
    hook = recorder.hook(loop)
    loop.create_task, loop.call_soon = hook.create_task, hook.call_soon
    hook.armed = True
else:
    loop.set_task_factory(factory)
recorder.armed = True

async def main():
    counts = []
    for _ in range(6):
        for _ in range(300):
            await asyncio.gather(fetch(), fails(), return_exceptions=True)
        recorder.drain(64)
        gc.collect()
        counts.append(sys.getallocatedblocks())
    growth = (counts[-1] - counts[3]) / 600
    print("steady" if growth < 0.1 else f"grows: {counts}")

loop.run_until_complete(main())
loop.close()
assert recorder.internal_errors == 0
"""


@pytest.mark.leaks
@pytest.mark.parametrize("mechanism", ["hook", "wrapper"])
def test_chains_leave_nothing(implementation: str, mechanism: str) -> None:
    """Memory blocks are the same after many suspensions as before."""
    pure = "1" if implementation == "python" else "0"
    assert "steady\n" == run_isolated(ROUNDS, mechanism, APERF_PURE_PYTHON=pure)
