from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import weakref
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

import aperf
from aperf._instrument.monitoring import TOOL_IDS
from aperf._recorder._cold import Cold
from aperf.exporters import MemoryExporter
from aperf.model import Category, Flag
from tests.every_await import Seen, see, session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aperf._recorder import Recorder

pytestmark = [
    pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring came with Python 3.12"),
    pytest.mark.usefixtures("twin"),
]


async def answer() -> str:
    """Complete without suspending."""
    return "42"


async def nap() -> None:
    """Suspend once."""
    await asyncio.sleep(0.001)


def tools() -> dict[int, str | None]:
    """Return who holds which tool identifier."""
    return {number: sys.monitoring.get_tool(number) for number in range(6)}


def holders() -> list[int]:
    """Return the identifiers that aperf holds."""
    return [number for number, name in tools().items() if name == "aperf"]


@pytest.fixture
def take() -> Iterator[Callable[[int, str], None]]:
    """Take tool identifiers, as other tools do, until the test ends."""
    taken = []

    def take(number: int, name: str) -> None:
        sys.monitoring.use_tool_id(number, name)
        taken.append(number)

    yield take
    for number in taken:
        sys.monitoring.set_events(number, 0)
        sys.monitoring.free_tool_id(number)
    sys.monitoring.restart_events()


# ------------------------------------------------------------------------- coming and going


def test_without_it_monitoring_is_left_alone() -> None:
    """A session that does not ask for every await takes no identifier and sets no event."""
    before = tools()
    with aperf.session(enabled=True, exporters=[]):
        assert before == tools()


def test_it_takes_one_identifier_and_gives_it_back() -> None:
    """Also when sessions are nested and end in any order."""
    before = tools()
    first, second = session(loops="current"), session(loops="current")
    with first:
        [held] = holders()
        second.__enter__()
        assert [held] == holders()
    assert [held] == holders()
    assert 0 != sys.monitoring.get_events(held)
    second.__exit__()
    assert before == tools()
    assert 0 == sys.monitoring.get_events(held)


def test_no_callback_stays_registered(take: Callable[[int, str], None]) -> None:
    """Whoever gets the identifier next finds it as new."""
    with session():
        [held] = holders()
    take(held, "next")
    for event in (1 << number for number in range(17)):
        assert sys.monitoring.register_callback(held, event, None) is None


def test_places_that_were_switched_off_are_on_again_for_the_next_owner(
    take: Callable[[int, str], None],
) -> None:
    """What aperf is not interested in, it switches off in its own time only."""

    def plain() -> None: ...

    with session():
        [held] = holders()
        plain()
    take(held, "next")
    seen = []
    sys.monitoring.register_callback(
        held, sys.monitoring.events.PY_START, lambda code, offset: seen.append(code)
    )
    sys.monitoring.set_events(held, sys.monitoring.events.PY_START)
    plain()
    assert plain.__code__ in seen


def test_the_next_free_identifier_is_taken(take: Callable[[int, str], None]) -> None:
    """Other tools keep theirs."""
    take(TOOL_IDS[0], "theirs")
    with session():
        assert [TOOL_IDS[1]] == holders()
        assert "theirs" == sys.monitoring.get_tool(TOOL_IDS[0])


def test_it_says_who_holds_the_identifiers_when_there_is_none(
    take: Callable[[int, str], None],
) -> None:
    """The session does not begin then, and leaves nothing behind."""
    for number in TOOL_IDS:
        if sys.monitoring.get_tool(number) is None:
            take(number, f"tool-{number}")
    with pytest.raises(
        aperf.InstrumentationError, match=r"tool identifiers.*3: tool-3.*'suspended'"
    ):
        session().__enter__()
    assert not aperf.is_active()


def test_another_tool_sees_what_it_sees_without_aperf(take: Callable[[int, str], None]) -> None:
    """Two tools at the same time do not disturb each other."""
    events = sys.monitoring.events

    def traced() -> Counter[str]:
        counts: Counter[str] = Counter()

        def seen(code: Any, offset: int, *_: Any) -> None:
            if code.co_filename == __file__:
                counts[code.co_name] += 1

        for event in (events.PY_START, events.PY_RETURN, events.LINE):
            sys.monitoring.register_callback(TOOL_IDS[-1], event, seen)
        sys.monitoring.set_events(TOOL_IDS[-1], events.PY_START | events.PY_RETURN | events.LINE)
        asyncio.run(program())
        sys.monitoring.set_events(TOOL_IDS[-1], 0)
        return counts

    async def program() -> None:
        await answer()
        await nap()

    take(TOOL_IDS[-1], "other")
    alone = traced()
    memory = MemoryExporter()
    with session(memory):
        assert alone == traced()
    assert {"await answer", "await nap"} <= {span.name for span in memory.spans}


def test_a_forked_child_is_not_monitored() -> None:
    """It starts off, as with everything else."""
    with session():
        child = os.fork()
        if child == 0:
            os._exit(len(holders()))
        _, status = os.waitpid(child, 0)
        assert 1 == len(holders())
    assert 0 == os.waitstatus_to_exitcode(status)


def test_nested_sessions_see_what_they_asked_for() -> None:
    """Calls go to the sessions that want them, from their begin on, open ones included."""

    async def program() -> None:
        every, suspended = MemoryExporter(), MemoryExporter()
        inner = aperf.session(enabled=True, exporters=[suspended])
        async with session(outer), session(every), inner:
            await nap()
            await nap()
        spans[:] = [every.spans, suspended.spans]

    outer, spans = MemoryExporter(), [[], []]  # type: ignore[var-annotated]
    asyncio.run(program())
    every, suspended = ({span.name for span in seen} for seen in spans)
    assert {"await nap", "await sleep"} <= every
    assert "await nap" in {span.name for span in outer.spans}
    assert "await nap" not in suspended
    assert "await sleep" in suspended


def test_a_session_knows_the_calls_that_were_open_when_it_began() -> None:
    """They are spans of it, from its begin on, and have their awaits in them."""

    async def program() -> Seen:
        inner, go_on = MemoryExporter(), asyncio.Event()
        async with session() as outer:
            task = asyncio.create_task(outermost(go_on))
            await asyncio.sleep(0)
            await outer.flush()
            async with session(inner) as watching:
                go_on.set()
                await task
        return Seen(inner.spans, watching.statistics())

    async def outermost(go_on: asyncio.Event) -> None:
        await waiting(go_on)

    async def waiting(go_on: asyncio.Event) -> None:
        await go_on.wait()
        await answer()

    assert """\
task outermost
  call await waiting
    call await Event.wait
      await await Event.wait
    call await answer
""" == asyncio.run(program()).tree("outermost")


def test_calls_that_are_open_at_the_end_are_unfinished() -> None:
    """So that everything in them has a parent: those that wait, and those that run."""
    memory = MemoryExporter()

    async def program() -> None:
        async with session(memory) as watching:
            task = asyncio.create_task(outermost(), name="waits")
            await asyncio.create_task(ends(watching), name="ends")
        task.cancel()

    async def outermost() -> None:
        await waiting()

    async def waiting() -> None:
        await answer()
        await asyncio.get_running_loop().create_future()

    async def ends(watching: aperf.Session) -> None:
        await closing(watching)

    async def closing(watching: aperf.Session) -> None:
        await answer()
        watching.__exit__()

    asyncio.run(program())
    known = {span.span_id for span in memory.spans}
    assert [] == [span for span in memory.spans if span.parent_span_id not in {None, *known}]
    unfinished = {
        span.name.rpartition(".")[2] for span in memory.spans if span.flags & Flag.UNFINISHED
    }
    assert {"outermost", "waiting", "closing", "await Future"} <= unfinished


# ------------------------------------------------------------------------------- no disturbance


def test_other_code_is_seen_once_and_never_again(recorder_class: type[Recorder]) -> None:
    """The interpreter calls back once for each place in code that is no coroutine's."""
    monitor = recorder_class(Cold()).monitor()
    counts: Counter[tuple[str, Any, int]] = Counter()

    def counting(name: str, callback: Callable[..., Any]) -> Callable[..., Any]:
        def counted(code: Any, offset: int, *rest: Any) -> Any:
            counts[name, code, offset] += 1
            return callback(code, offset, *rest)

        return counted

    def numbers() -> Iterator[int]:
        yield from range(3)

    number, events = TOOL_IDS[0], sys.monitoring.events
    sys.monitoring.use_tool_id(number, "counting")
    try:
        for name, callback in monitor.callbacks.items():
            sys.monitoring.register_callback(
                number, getattr(events, name), counting(name, callback)
            )
        sys.monitoring.set_events(
            number, events.PY_START | events.PY_RESUME | events.PY_YIELD | events.PY_RETURN
        )
        for _ in range(100):
            list(numbers())
    finally:
        sys.monitoring.set_events(number, 0)
        sys.monitoring.free_tool_id(number)
        sys.monitoring.restart_events()
    assert {1} == {count for (_, code, _), count in counts.items() if code is numbers.__code__}
    assert {"PY_START", "PY_RESUME", "PY_YIELD", "PY_RETURN"} == {name for name, _, _ in counts}


def test_a_fault_of_ours_passes_the_program_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is counted, and the program and the other calls are as they would have been."""
    classify = Cold.classify

    def fragile(code: Any) -> int:
        if code.co_name == "answer":
            raise MemoryError("no room for a verdict")
        return classify(code)

    async def program() -> str:
        await nap()
        return await answer()

    monkeypatch.setattr(Cold, "classify", staticmethod(fragile))
    memory = MemoryExporter()
    with session(memory) as watching:
        assert "42" == asyncio.run(program())
    assert 1 <= watching.statistics().internal_errors
    assert "await nap" in {span.name for span in memory.spans}
    assert "await answer" not in {span.name for span in memory.spans}


def test_nothing_is_kept_alive() -> None:
    """What a coroutine held is free when it ends, also by an exception, without any collection."""

    class Thing: ...

    async def holds(watched: list[weakref.ref[Thing]], *, fails: bool) -> None:
        thing = Thing()
        watched.append(weakref.ref(thing))
        await nap()
        if fails:
            raise ValueError

    async def items(watched: list[weakref.ref[Thing]]) -> Any:
        thing = Thing()
        watched.append(weakref.ref(thing))
        yield 1
        yield 2

    async def program() -> None:
        watched: list[weakref.ref[Thing]] = []
        await holds(watched, fails=False)
        try:
            await holds(watched, fails=True)
        except ValueError:
            pass
        async for _ in items(watched):
            pass
        alive.extend(reference() for reference in watched)

    alive: list[Thing | None] = []
    gc.collect()
    gc.disable()
    try:
        see(program)
    finally:
        gc.enable()
    assert [None, None, None] == alive


def test_every_segment_of_a_long_task_has_its_own_part_of_an_open_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When a trace is cut, open calls go on in the next, and nothing is left without a parent."""
    monkeypatch.setenv("APERF_SEGMENT_SPANS", "20")
    memory = MemoryExporter()

    async def program() -> None:
        await serving()

    async def serving() -> None:
        for _ in range(50):
            await nap()

    with session(memory):
        asyncio.run(program())
    known = {(span.trace_id, span.span_id) for span in memory.spans}
    inside = [span for span in memory.spans if span.category is not Category.TASK]
    assert {(span.trace_id, span.parent_span_id) for span in inside} <= known
    parts = [span for span in memory.spans if span.name.endswith("serving")]
    assert 5 < len(parts)
    assert all(span.flags & Flag.SEGMENT for span in parts[:-1])
    assert [part.end_ns for part in parts[:-1]] == [part.start_ns for part in parts[1:]]


def test_loops_in_several_threads_do_not_mix() -> None:
    """Each task has its own calls, whatever other threads do in the midst of them."""

    async def first() -> None:
        for _ in range(20):
            await nap()

    async def second() -> None:
        for _ in range(20):
            await nap()

    memory = MemoryExporter()
    with session(memory) as watching:
        threads = [threading.Thread(target=asyncio.run, args=(main(),)) for main in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    seen = Seen(memory.spans, watching.statistics())
    once = "  call await nap\n    call await sleep\n      await await sleep\n"
    for name in ("first", "second"):
        assert f"task {name}\n" + 20 * once == seen.tree(name)
