"""Several sessions at once: each sees what happens while it is open, whoever ends first."""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import aperf
from aperf import _runtime
from aperf._config import Settings
from aperf.exporters import MemoryExporter
from aperf.model import Category, Flag, Span, Statistics
from tests.delivery import Doubtful, Stuck
from tests.loops import in_loop
from tests.watched import until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("twin")


async def work(name: str) -> None:
    """Suspend once, in a task called so."""
    await asyncio.create_task(asyncio.sleep(0), name=name)


def open_session(exporter: MemoryExporter | Stuck, **options: Any) -> aperf.Session:
    """Return a session for an exporter."""
    return aperf.session(enabled=True, exporters=[exporter], **options)


def names(exporter: MemoryExporter) -> set[str]:
    """Return the names of the tasks that were seen."""
    return {str(dict(span.attributes).get("asyncio.task.name")) for span in tasks(exporter)}


def tasks(exporter: MemoryExporter) -> list[Span]:
    """Return the spans of tasks."""
    return [span for span in exporter.spans if span.category is Category.TASK]


def task(exporter: MemoryExporter, name: str) -> Span:
    """Return the span of the one task of a name."""
    [found] = [
        span for span in tasks(exporter) if dict(span.attributes).get("asyncio.task.name") == name
    ]
    return found


@in_loop
async def test_inner_sees_what_happens_meanwhile() -> None:
    """The inner session has what happened while it was open, the outer one has everything."""
    outer, inner = MemoryExporter(), MemoryExporter()
    asyncio.current_task().set_name("main")  # type: ignore[union-attr]
    async with open_session(outer):
        await work("before")
        async with open_session(inner):
            await work("during")
        await work("after")
    assert {"main", "during"} == names(inner)
    assert {"main", "before", "during", "after"} == names(outer)


@in_loop
async def test_tasks_that_live_already_are_adopted() -> None:
    """The inner session knows a task that was made just before it, by name, place and parent."""
    outer, inner = MemoryExporter(), MemoryExporter()
    async with open_session(outer):
        event = asyncio.Event()
        waiting = asyncio.create_task(event.wait(), name="waiting")
        await asyncio.sleep(0)
        async with open_session(inner):
            event.set()
            await waiting
    span = task(inner, "waiting")
    assert "Event.wait" == span.name
    assert span.flags & Flag.ADOPTED
    assert not task(outer, "waiting").flags & Flag.ADOPTED


@in_loop
async def test_task_that_ended_just_before() -> None:
    """A task that ended before the inner session began is not seen in it, drained or not."""
    outer, inner = MemoryExporter(), MemoryExporter()
    async with open_session(outer):
        await work("before")
        async with open_session(inner) as session:
            await session.flush()
            assert 1 == session.statistics().live_tasks
    assert "before" not in names(inner)
    assert not [span for span in tasks(inner) if span.flags & Flag.INCOMPLETE]


@in_loop
async def test_what_happens_after_the_end_stays_out() -> None:
    """What a loop does after a sync end, but before its delivery, is not the session's."""
    outer, inner = MemoryExporter(), MemoryExporter()
    async with open_session(outer) as session:
        living = asyncio.create_task(asyncio.sleep(0.01), name="living")
        with open_session(inner):
            await work("during")
        await work("after")
        await living
        await session.flush()
    assert "after" not in names(inner)
    span = task(inner, "living")
    assert span.flags & Flag.UNFINISHED
    assert span.busy_ns + span.ready_ns + span.waiting_ns == span.end_ns - span.start_ns
    assert not task(outer, "living").flags & Flag.UNFINISHED


@in_loop
async def test_inner_sees_the_waits_that_end_in_it() -> None:
    """A wait that is under way when the inner session begins counts there from then on."""
    outer, inner = MemoryExporter(), MemoryExporter()
    async with open_session(outer):
        sleeping = asyncio.create_task(asyncio.sleep(0.02), name="sleeping")
        await asyncio.sleep(0.01)
        async with open_session(inner):
            await sleeping
    of_outer, of_inner = task(outer, "sleeping"), task(inner, "sleeping")
    assert of_outer.start_ns < of_inner.start_ns
    assert of_inner.waiting_ns < of_outer.waiting_ns
    awaits = [span for span in inner.spans if span.category is Category.AWAIT]
    [own] = [span for span in awaits if span.parent_span_id == of_inner.span_id]
    assert (of_inner.start_ns, "await sleep") == (own.start_ns, own.name)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_any_order_of_ends(order: tuple[int, ...]) -> None:
    """Three sessions end in any order: each is complete, and nothing stays behind."""
    exporters = [MemoryExporter() for _ in range(3)]
    sessions = [open_session(exporter) for exporter in exporters]
    untouched = vars(asyncio.BaseEventLoop).get("__init__")
    for session in sessions:
        session.__enter__()
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        for ended, index in enumerate(order):
            runner.run(work(f"round {ended}"))
            sessions[index].__exit__()
        assert not {"create_task", "call_soon", "run_in_executor"} & vars(loop).keys()
        runner.run(work("unseen"))
    assert untouched is vars(asyncio.BaseEventLoop).get("__init__")
    for ended, index in enumerate(order):
        seen = {name for name in names(exporters[index]) if name.startswith(("round", "unseen"))}
        assert {f"round {number}" for number in range(ended + 1)} == seen


def test_recorder_is_retired_and_made_anew() -> None:
    """One recorder serves all sessions; after the last one it is gone, and a new one comes."""
    with aperf.session(enabled=True, exporters=[]):
        first = _runtime.current()
        with aperf.session(enabled=True, exporters=[]):
            assert first is _runtime.current()
        assert first is _runtime.current()
        assert first is not None
        assert first.recorder.armed
    assert _runtime.current() is None
    assert not first.recorder.armed
    exporter = MemoryExporter()
    with open_session(exporter):
        assert first is not _runtime.current()
        asyncio.run(work("anew"))
    assert "anew" in names(exporter)


@in_loop
async def test_foreign_wrapper_stays() -> None:
    """Who wrapped our hook keeps his wrapper; ours lets everything through from then on."""
    calls: list[str] = []
    loop: Any = asyncio.get_running_loop()
    first, second = MemoryExporter(), MemoryExporter()
    async with open_session(first):
        ours = loop.create_task

        def create_task(coro: Any, **kwargs: Any) -> Any:
            calls.append(coro.__qualname__)
            return ours(coro, **kwargs)

        loop.create_task = create_task
        await work("one")
    await work("two")
    async with open_session(second):
        await work("three")
    assert create_task is loop.create_task
    await work("four")
    assert ["sleep"] * 4 == calls
    assert "one" in names(first)
    assert "three" in names(second)
    assert not {"two", "four"} & (names(first) | names(second))


@in_loop
async def test_counters_are_the_session_s_own() -> None:
    """What the shared recorder dropped before, between and after is not the inner session's."""
    settings = Settings(enabled=True, ring_bytes=1 << 13)
    async with aperf.session(settings=settings, exporters=[]) as outer:
        runtime = _runtime.current()
        assert runtime is not None
        overflow(runtime)
        lost = outer.statistics().dropped_records
        assert lost > 0
        async with aperf.session(enabled=True, exporters=[]) as inner:
            assert 0 == inner.statistics().dropped_records
            overflow(runtime)
            assert inner.statistics().dropped_records > 0
        both = inner.statistics().dropped_records
        assert await outer.flush()
        overflow(runtime)
        assert both == inner.statistics().dropped_records
        assert outer.statistics().dropped_records > lost + both


def overflow(runtime: _runtime.Runtime) -> None:
    """Write more than a ring holds, without letting the exporter thread come in between."""
    with runtime.pipeline._taking:
        for number in range(2_000):
            runtime.recorder.put(7, 0, 0, number, 0)


@in_loop
async def test_begins_and_ends_beside_a_stuck_exporter() -> None:
    """Another session's exporter that hangs costs neither time nor records."""
    stuck, exporter = Stuck(), MemoryExporter()
    async with open_session(stuck) as outer:
        await work("before")
        flushed = asyncio.create_task(outer.flush())
        await asyncio.to_thread(stuck.entered.wait)
        begin_s = time.monotonic()
        with open_session(exporter):
            await work("during")
        assert time.monotonic() - begin_s < 3
        stuck.released.set()
        assert await flushed
    until(lambda: "during" in names(exporter), "the delivery")
    assert "before" not in names(exporter)


@in_loop
async def test_one_doubtful_exporter_delays_nobody_else() -> None:
    """A session that waits for its receiver does not keep another from being delivered."""
    doubtful, exporter = Doubtful(), MemoryExporter()
    async with aperf.session(enabled=True, exporters=[doubtful]) as first:
        async with open_session(exporter) as second:
            waiting = asyncio.create_task(first.flush(20))
            await work("during")
            assert await second.flush(5)
            assert "during" in names(exporter)
            assert not waiting.done()
        doubtful.confirmed.set()
        assert await waiting


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns as often as they can, so that they meet in the middle of things."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("restless")
def test_sessions_come_and_go_while_loops_run() -> None:
    """Sessions may begin and end on one thread while the loop of another is at work."""
    stop = threading.Event()

    async def busy() -> None:
        while not stop.is_set():
            await asyncio.gather(*(work("busy") for _ in range(10)))
            await asyncio.sleep(0.001)  # else there is more to record than the thread can read

    thread = threading.Thread(target=lambda: asyncio.run(busy()))
    with aperf.session(enabled=True, exporters=[]) as outer:
        thread.start()
        inner: list[Statistics] = []
        for _ in range(30):
            with aperf.session(enabled=True, exporters=[]) as session:
                time.sleep(0.001)
            inner.append(session.statistics())
        stop.set()
        thread.join()
    assert 0 == outer.statistics().internal_errors
    assert {0} == {statistics.internal_errors for statistics in inner}
    assert 0 == outer.statistics().live_tasks


@pytest.mark.usefixtures("restless")
def test_sessions_of_many_threads() -> None:
    """Threads that open and close sessions all the time do not get into each other's way."""
    results: list[Statistics] = []

    async def program() -> None:
        for number in range(20):
            exporter = MemoryExporter()
            async with open_session(exporter, loops=("all", "current")[number % 2]) as session:
                await work("mine")
                session.summary()
            results.append(session.statistics())
            assert "mine" in names(exporter)

    failures: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(program())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == failures
    assert {(0, 0, 0)} == {(s.internal_errors, s.dropped_records, s.live_tasks) for s in results}
