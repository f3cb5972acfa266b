"""I6: watching begins and ends in any order, any number of times, whoever else is on the loop."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

import aperf
from aperf import InstrumentationError
from aperf._instrument.loop import Loops
from aperf._recorder import Cold
from aperf._spans import SPAN_VAR
from tests.records import decode
from tests.watched import LoopFactory, Story, run_plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from aperf._recorder import Recorder

SHADOWED = ("create_task", "call_soon", "run_in_executor")


@pytest.fixture
def recorder(recorder_class: type[Recorder]) -> Recorder:
    """A recorder that is switched on."""
    recorder = recorder_class(Cold(), ring_slots=1 << 14)
    recorder.armed = True
    return recorder


@pytest.fixture
def loops(recorder: Recorder) -> Loops:
    """The loops that it watches: none yet."""
    return Loops(recorder, SPAN_VAR)


def shadowed(loop: Any) -> set[str]:
    """Return which methods stand on the instance of a loop."""
    return set(SHADOWED) & set(vars(loop))


async def work(name: str) -> None:
    """Run a task of this name."""
    await asyncio.get_running_loop().create_task(asyncio.sleep(0), name=name)


def names_in(recorder: Recorder) -> list[str]:
    """Return the names of the tasks that were recorded."""
    names = Story(decode(recorder)).names.values()
    # Up to 3.13.2, asyncio calls an unnamed task "None" when there is any task factory.
    return [name for name in names if not name.startswith(("Task-", "None"))]


# ------------------------------------------------------------------------------- install, uninstall


def test_i6_nothing_is_left_on_the_loop(loops: Loops, loop_factory: LoopFactory) -> None:
    """Uninstalling gives back exactly the dictionary that was found."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        before = set(vars(loop))
        loops.install(loop, 1)
        assert set(SHADOWED) == shadowed(loop)
        assert loops.is_watched(loop)
        loops.uninstall(loop, 1)
        assert before == set(vars(loop))
        assert not loops.is_watched(loop)

    run_plain(main(), loop_factory)


def test_i6_install_is_idempotent(
    loops: Loops, recorder: Recorder, loop_factory: LoopFactory
) -> None:
    """However often a session installs, events come once, and one uninstall ends it."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(3):
            loops.install(loop, 1)
        await work("once")
        loops.uninstall(loop, 1)
        loops.uninstall(loop, 1)
        assert set() == shadowed(loop)

    run_plain(main(), loop_factory)
    assert ["once"] == names_in(recorder)


def test_i6_the_last_session_takes_it_off(loops: Loops, loop_factory: LoopFactory) -> None:
    """Sessions that want the same loop are counted."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loops.install(loop, 1)
        loops.install(loop, 2)
        loops.uninstall(loop, 1)
        loops.uninstall(loop, 3)  # never wanted it
        assert set(SHADOWED) == shadowed(loop)
        loops.uninstall_all(2)
        assert set() == shadowed(loop)

    run_plain(main(), loop_factory)


def test_i6_again_and_again(loops: Loops, recorder: Recorder, loop_factory: LoopFactory) -> None:
    """A loop can be watched a second time, and is unseen in between."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for name in ("first", "second"):
            loops.install(loop, 1)
            await work(name)
            loops.uninstall(loop, 1)
            await work("between")

    run_plain(main(), loop_factory)
    assert ["first", "second"] == names_in(recorder)


def test_i6_in_any_order(loops: Loops, recorder: Recorder, loop_factory: LoopFactory) -> None:
    """Random installs and uninstalls by several sessions: watched exactly while one wants it."""
    expected: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        chance, wanted = random.Random(7), set[int]()
        for number in range(200):
            session = chance.randrange(4)
            if chance.random() < 0.5:
                loops.install(loop, session)
                wanted.add(session)
            else:
                loops.uninstall(loop, session)
                wanted.discard(session)
            assert bool(wanted) == loops.is_watched(loop)
            assert (set(SHADOWED) if wanted else set()) == shadowed(loop)
            await work(f"t{number}")
            if wanted:
                expected.append(f"t{number}")
        for session in range(4):
            loops.uninstall(loop, session)

    run_plain(main(), loop_factory)
    assert expected == names_in(recorder)
    assert 0 == recorder.internal_errors


def test_i6_steps_in_flight_go_on(
    loops: Loops, recorder: Recorder, loop_factory: LoopFactory
) -> None:
    """A wake-up that was replaced before the end runs its task after it all the same."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loops.install(loop, 1)
        tasks = [loop.create_task(asyncio.sleep(0, number)) for number in range(3)]
        await asyncio.sleep(0)
        loops.uninstall(loop, 1)
        assert [0, 1, 2] == await asyncio.gather(*tasks)

    run_plain(main(), loop_factory)
    assert 0 == recorder.internal_errors


# ------------------------------------------------------------------------------- beside other tools


class Tool:
    """Another tool that puts itself over the loop's methods, and counts the calls."""

    def __init__(self, loop: Any, *names: str) -> None:
        self.calls: dict[str, int] = dict.fromkeys(names, 0)
        self.loop = loop
        self.before = {name: vars(loop).get(name) for name in names}
        for name in names:
            setattr(loop, name, self.counting(name, getattr(loop, name)))

    def counting(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            return function(*args, **kwargs)

        return counted

    def remove(self) -> None:
        for name, before in self.before.items():
            if before is None:
                delattr(self.loop, name)
            else:
                setattr(self.loop, name, before)


def test_i6_another_tool_below_ours_is_called_and_restored(
    loops: Loops, recorder: Recorder, loop_factory: LoopFactory
) -> None:
    """What stood on the instance before us is called by us, and stands there again afterwards."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        tool = Tool(loop, *SHADOWED)
        theirs = {name: vars(loop)[name] for name in SHADOWED}
        loops.install(loop, 1)
        await work("seen by both")
        await loop.run_in_executor(None, int)
        assert all(tool.calls.values()), tool.calls
        loops.uninstall(loop, 1)
        assert theirs == {name: vars(loop)[name] for name in SHADOWED}
        tool.remove()

    run_plain(main(), loop_factory)
    assert ["seen by both"] == names_in(recorder)


@pytest.mark.parametrize("first_off", ["ours", "theirs"])
def test_i6_another_tool_over_ours_stays_and_goes(
    loops: Loops, recorder: Recorder, loop_factory: LoopFactory, first_off: str
) -> None:
    """Whoever is on top is left alone; ours is a pass-through below it once we are off."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loops.install(loop, 1)
        tool = Tool(loop, *SHADOWED)
        await work("seen by both")
        if first_off == "ours":
            loops.uninstall(loop, 1)
            seen = tool.calls["create_task"]
            await work("seen by theirs")
            await loop.run_in_executor(None, int)
            assert seen + 1 == tool.calls["create_task"]
            tool.remove()
            await work("seen by nobody")
        else:
            tool.remove()
            await work("seen by ours")
            loops.uninstall(loop, 1)
            assert set() == shadowed(loop)

    run_plain(main(), loop_factory)
    expected = ["seen by both"] + (["seen by ours"] if first_off == "theirs" else [])
    assert expected == names_in(recorder)


def test_i6_a_second_time_over_another_tool(
    loops: Loops, recorder: Recorder, loop_factory: LoopFactory
) -> None:
    """Ours may stand below and above another tool's at once; events come once."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loops.install(loop, 1)
        tool = Tool(loop, *SHADOWED)
        loops.uninstall(loop, 1)
        loops.install(loop, 2)
        await work("once")
        assert 1 == tool.calls["create_task"]
        loops.uninstall(loop, 2)
        await work("unseen")
        tool.remove()

    run_plain(main(), loop_factory)
    assert ["once"] == names_in(recorder)
    assert 0 == recorder.internal_errors


# ------------------------------------------------------------------------------ loops that will not


class Closed:
    """A loop whose instances take no attributes, nor weak references."""

    __slots__ = ()

    def is_running(self) -> bool:
        return False


class ClosedButReferable(Closed):
    __slots__ = ("__weakref__",)


@pytest.mark.parametrize("loop_class", [Closed, ClosedButReferable])
def test_a_loop_that_cannot_be_shadowed_is_refused_with_the_way_out(
    loops: Loops, loop_class: type[Any]
) -> None:
    """The error names the loop, and `aperf.task_factory`, which works there."""
    with pytest.raises(InstrumentationError, match=rf"{loop_class.__name__}.*aperf\.task_factory"):
        loops.install(loop_class(), 1)


@pytest.mark.usefixtures("twin")
def test_a_session_outlives_a_loop_that_it_cannot_watch() -> None:
    """The refusal concerns that loop alone."""
    with aperf.session(enabled=True, exporters=[]) as session:
        with pytest.raises(InstrumentationError, match=r"aperf\.task_factory"):
            session.watch(Closed())
        run_plain(work("watched"))
    assert session.statistics().tasks >= 2


# ----------------------------------------------------------------------------------------- sessions


@pytest.mark.usefixtures("twin")
def test_i6_sessions_end_in_any_order(loop_factory: LoopFactory) -> None:
    """The loop is watched as long as one of them is open, and untouched afterwards."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
            sessions = [aperf.session(enabled=True, exporters=[]) for _ in range(3)]
            for session in sessions:
                await session.__aenter__()
            for left, number in enumerate(order):
                assert set(SHADOWED) == shadowed(loop)
                await sessions[number].__aexit__(None, None, None)
                assert (left < 2) == aperf.is_active()
            assert set() == shadowed(loop)

    run_plain(main(), loop_factory)


@pytest.mark.usefixtures("twin")
def test_i6_instrument_loop_is_idempotent(loop_factory: LoopFactory) -> None:
    """It may be called with every request, and undone once."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        session = aperf.instrument_loop(enabled=True, exporters=[])
        assert session is aperf.instrument_loop()
        assert session is aperf.instrument_loop(loop)
        aperf.uninstrument_loop()
        aperf.uninstrument_loop()
        assert set() == shadowed(loop)
        assert session is aperf.instrument_loop()
        assert set(SHADOWED) == shadowed(loop)
        await session.__aexit__(None, None, None)
        assert set() == shadowed(loop)

    run_plain(main(), loop_factory)


@pytest.mark.usefixtures("twin")
def test_i8_nothing_of_ours_is_seen_on_the_loop(loop_factory: LoopFactory) -> None:
    """No task of ours is among `asyncio.all_tasks()`, and none is recorded."""
    from aperf.exporters import MemoryExporter

    memory = MemoryExporter()

    async def main() -> None:
        async with AsyncExitStack() as stack:
            sessions = [
                await stack.enter_async_context(aperf.session(enabled=True, exporters=[exporter]))
                for exporter in (memory, MemoryExporter())
            ]
            assert {asyncio.current_task()} == asyncio.all_tasks()
            await asyncio.gather(*(session.flush() for session in sessions))
            assert {asyncio.current_task()} == asyncio.all_tasks()

    run_plain(main(), loop_factory)
    tasks = {span.name for span in memory.spans if span.parent_span_id is None}
    assert {main.__qualname__} == tasks
    assert "aperf-exporter" not in {span.thread.name for span in memory.spans if span.thread}
