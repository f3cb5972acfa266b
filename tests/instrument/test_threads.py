"""Several loops in several threads, watched at once, keep apart."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import anyio.from_thread
import pytest
import uvloop

import aperf
from aperf._recorder import Cold, Kind, StepFlag
from aperf.exporters import MemoryExporter
from aperf.model import Category
from tests.records import decode
from tests.watched import DEADLINE_S, LoopFactory, Story, run_plain, until, watched

if TYPE_CHECKING:
    from collections.abc import Callable

    from aperf._recorder import Recorder

THREADS = 6
TASKS = 40


async def child() -> None:
    """Take a few steps."""
    for _ in range(3):
        await asyncio.sleep(0)


async def program(name: str) -> None:
    """Make tasks, each named after its thread."""
    loop = asyncio.get_running_loop()
    await asyncio.gather(*(loop.create_task(child(), name=f"{name}/{n}") for n in range(TASKS)))


def in_threads(function: Callable[[int], Any]) -> list[Any]:
    """Run a function in several threads that are all alive at once."""
    start = threading.Barrier(THREADS)

    def run(number: int) -> Any:
        start.wait(DEADLINE_S)
        return function(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def test_loops_in_threads_keep_apart(recorder_class: type[Recorder]) -> None:
    """Each thread has a ring; in it every task is born by, woken by and run beside its own."""
    recorder = recorder_class(Cold(), ring_slots=1 << 14)

    def run(number: int) -> None:
        new_loop = uvloop.new_event_loop if number % 2 else asyncio.new_event_loop
        with asyncio.Runner(loop_factory=new_loop) as runner:
            loop: Any = runner.get_loop()
            hook = recorder.hook(loop)
            loop.create_task, loop.call_soon = hook.create_task, hook.call_soon
            hook.armed = True
            runner.run(program(f"t{number}"))

    recorder.armed = True
    in_threads(run)
    recorder.armed = False
    assert 0 == recorder.internal_errors
    assert THREADS == len({ident for ident, _ in recorder.threads()})
    records = decode(recorder)
    rings = {ring: Story([r for r in records if r.ring == ring]) for ring in range(THREADS)}
    assert len(records) == sum(len(story.records) for story in rings.values())
    numbers = [birth.a for story in rings.values() for birth in story.births]
    assert sorted(set(numbers)) == sorted(numbers)
    for story in rings.values():
        own = {birth.a for birth in story.births}
        assert {0} | own >= {birth.b for birth in story.births}
        assert {0} | own >= {step.waker for step in story.all_steps}
        assert own >= {step.task for step in story.all_steps}
        done = Counter(step.task for step in story.all_steps if step.flags & StepFlag.DONE)
        assert dict.fromkeys(own, 1) == done
        named = Counter(name.partition("/")[0] for name in story.names.values() if "/" in name)
        assert [TASKS] == list(named.values())


def test_a_loop_that_moves_to_another_thread(recorder_class: type[Recorder]) -> None:
    """A loop may run here now and there then: each step is written where it ran."""
    recorder = recorder_class(Cold(), ring_slots=1 << 12)
    loop = asyncio.new_event_loop()
    with watched(recorder, loop):
        task = loop.create_task(child(), name="wanderer")
        loop.run_until_complete(asyncio.sleep(0))
        thread = threading.Thread(target=loop.run_until_complete, args=(task,))
        thread.start()
        thread.join(DEADLINE_S)
    loop.close()
    story = Story(decode(recorder))
    rings = [step.ring for step in story.steps("wanderer")]
    assert [0, 1] == sorted(set(rings))
    assert StepFlag.DONE == story.end("wanderer")
    assert 0 == recorder.internal_errors


def test_a_thread_that_opened_spans_before_its_loop(recorder_class: type[Recorder]) -> None:
    """A thread's small ring gives way to a large one, and nothing of it is lost."""
    recorder = recorder_class(Cold(), ring_slots=1 << 12)
    recorder.put(Kind.EVENT, 0, 0, 77, 0)
    with asyncio.Runner() as runner, watched(recorder, runner.get_loop()):
        runner.run(child())
    records = decode(recorder)
    assert 1 == len([r for r in records if r.kind is Kind.EVENT and r.a == 77])
    ident = threading.get_ident()
    assert {ident} == {found for found, _ in recorder.threads()}


@pytest.mark.usefixtures("twin")
def test_one_session_sees_the_loops_of_all_threads() -> None:
    """With loops="all": spans name the thread that they ran in, and none is missing."""
    memory = MemoryExporter()
    with aperf.session(enabled=True, exporters=[memory], loops="all") as session:
        in_threads(lambda number: run_plain(program(f"t{number}")))
    tasks = [span for span in memory.spans if span.category is Category.TASK]
    children = [span for span in tasks if span.name == "child"]
    by_thread = Counter(span.thread.ident for span in children if span.thread is not None)
    assert [TASKS] * THREADS == list(by_thread.values())
    assert 0 == session.statistics().internal_errors
    assert 0 == session.statistics().dropped_records


@pytest.mark.usefixtures("twin")
def test_watching_a_loop_that_runs_elsewhere(loop_factory: LoopFactory) -> None:
    """`session.watch(loop)` from another thread takes hold at the loop's next turn."""
    memory = MemoryExporter()
    loop = loop_factory()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        with aperf.session(enabled=True, exporters=[memory], loops="current") as session:
            session.watch(loop)
            asyncio.run_coroutine_threadsafe(child(), loop).result(DEADLINE_S)
            asyncio.run_coroutine_threadsafe(child(), loop).result(DEADLINE_S)
            session.unwatch(loop)
            until(lambda: "create_task" not in vars(loop), "unwatch")
            asyncio.run_coroutine_threadsafe(child(), loop).result(DEADLINE_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(DEADLINE_S)
        loop.close()
    assert 2 == len([s for s in memory.spans if s.name == "child"])


@pytest.mark.usefixtures("twin")
@pytest.mark.parametrize("backend", ["asyncio", "uvloop"])
def test_anyio_s_portal(backend: str) -> None:
    """A loop that a blocking portal runs in a thread is seen like any other."""
    memory = MemoryExporter()
    options = {"use_uvloop": backend == "uvloop"}
    with (
        aperf.session(enabled=True, exporters=[memory], loops="all"),
        anyio.from_thread.start_blocking_portal("asyncio", options) as portal,
    ):
        ident = portal.call(threading.get_ident)
        portal.call(child)
    waits = [span for span in memory.spans if span.name == "await sleep(0)"]
    assert 3 == len([wait for wait in waits if wait.attributes["code.function.name"] == "child"])
    assert ident in {span.thread.ident for span in memory.spans if span.thread is not None}


@pytest.mark.usefixtures("twin")
def test_i8_threads_of_ours_are_not_watched() -> None:
    """The exporter thread's own loop, made while all loops are watched, leaves no span."""
    memory = MemoryExporter()
    with (
        aperf.session(enabled=True, exporters=[memory], loops="all") as session,
        aperf.session(enabled=True, exporters=[MemoryExporter()], loops="all"),
    ):
        run_plain(session.flush())
    names = {span.thread.name for span in memory.spans if span.thread is not None}
    assert {threading.current_thread().name} == names
