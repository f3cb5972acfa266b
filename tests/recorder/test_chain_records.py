"""Nesting: after each suspension the whole chain, and how much of it was there before."""

from __future__ import annotations

import asyncio
import threading
import types
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from aperf._recorder import Cold, Hint, Kind
from tests.chains import WAYS, Link, Way, described, in_a_task, links_of, pause
from tests.records import of_kind
from tests.watched import run

if TYPE_CHECKING:
    from aperf._recorder import Recorder

Program: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

NEVER = 1 << 62


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    """Each mechanism, on each kind of loop."""
    return WAYS[request.param]


@pytest.fixture
def recorder(recorder_class: type[Recorder]) -> Recorder:
    """A recorder of whom somebody wants to know how coroutines are nested."""
    recorder = recorder_class(Cold(), ring_slots=1 << 12, stack_min_ns=NEVER)
    recorder.nesting = True
    return recorder


# ---------------------------------------------------------------------- the same, and not the same


async def fetch(times: int = 1) -> None:
    """Be suspended so many times, each time in a generator of its own."""
    for _ in range(times):
        await pause()


async def numbers() -> AsyncGenerator[int, None]:
    """Be suspended before each item."""
    for number in range(2):
        await pause()
        yield number


async def calls_twice() -> None:
    """Await the same coroutine function twice, at the same place."""
    for _ in range(2):
        await fetch()


async def calls_one_that_waits_twice() -> None:
    """Await one coroutine that is suspended twice."""
    await fetch(2)


async def is_suspended_twice_in_one_place() -> None:
    """Have nothing in the chain end."""
    await pause(2)


async def iterates() -> None:
    """Take items from a generator that waits for each of them, and wait between them."""
    async for _ in numbers():
        await fetch()


async def iterates_twice() -> None:
    """Take items from two generators of the same function."""
    for _ in range(2):
        async for _ in numbers():
            pass


async def takes_one() -> None:
    """Leave a generator in its midst, and take another one."""
    for _ in range(2):
        async for _ in numbers():
            break


async def gathers() -> None:
    """Wait for children, then alone."""
    await asyncio.gather(fetch(), fetch())
    await fetch()


async def fails(depth: int) -> None:
    """Raise below some coroutines, after a wait."""
    if depth:
        await fails(depth - 1)
    await pause()
    raise ValueError


async def gets_over() -> None:
    """Catch what came from below, and wait again."""
    try:
        await fails(2)
    except ValueError:
        await fetch()


async def survives() -> None:
    """Wait where several coroutines have been left by one exception."""
    await gets_over()
    await fetch()


async def resists() -> None:
    """Wait again when cancelled."""
    try:
        await fetch()
    except asyncio.CancelledError:
        await fetch()


async def is_cancelled() -> None:
    """Be cancelled in a coroutine that goes on."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await resists()


EXPECTED: dict[Program, list[Link]] = {
    calls_twice: [
        Link(["calls_twice", "fetch", "pause"], 0),
        Link(["calls_twice", "fetch", "pause"], 1),
    ],
    calls_one_that_waits_twice: [
        Link(["calls_one_that_waits_twice", "fetch", "pause"], 0),
        Link(["calls_one_that_waits_twice", "fetch", "pause"], 2),
    ],
    is_suspended_twice_in_one_place: [
        Link(["is_suspended_twice_in_one_place", "pause"], 0),
        Link(["is_suspended_twice_in_one_place", "pause"], 2),
    ],
    iterates: [
        Link(["iterates", "numbers", "pause"], 0),
        Link(["iterates", "fetch", "pause"], 1),
        Link(["iterates", "numbers", "pause"], 1),
        Link(["iterates", "fetch", "pause"], 1),
    ],
    iterates_twice: [
        Link(["iterates_twice", "numbers", "pause"], 0),
        Link(["iterates_twice", "numbers", "pause"], 2),
        Link(["iterates_twice", "numbers", "pause"], 1),
        Link(["iterates_twice", "numbers", "pause"], 2),
    ],
    takes_one: [
        Link(["takes_one", "numbers", "pause"], 0),
        Link(["takes_one", "numbers", "pause"], 1),
    ],
    gathers: [
        Link(["gathers"], 0),
        Link(["gathers", "fetch", "pause"], 1),
    ],
    survives: [
        Link(["survives", "gets_over", "fails", "fails", "fails", "pause"], 0),
        Link(["survives", "gets_over", "fetch", "pause"], 2),
        Link(["survives", "fetch", "pause"], 1),
    ],
    is_cancelled: [
        Link(["is_cancelled", "resists", "fetch", "pause"], 0),
        Link(["is_cancelled", "resists", "fetch", "pause"], 2),
    ],
}


@pytest.mark.parametrize("program", EXPECTED, ids=lambda program: program.__name__)
def test_what_is_kept_is_what_has_not_ended(recorder: Recorder, way: Way, program: Program) -> None:
    """Coroutines of one function, started at one place, are told apart by who they are."""
    story = way(recorder, in_a_task(program))
    assert EXPECTED[program] == links_of(recorder, story, program)


def test_a_group_stays_below_its_end(recorder: Recorder, way: Way) -> None:
    """The coroutines of a TaskGroup are library code like any other."""

    async def groups() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fetch())
            await fetch()
            group.create_task(fetch(3))
        await fetch()

    links = links_of(recorder, way(recorder, in_a_task(groups)), groups)
    assert ["pause", "__aexit__", "pause"] == [
        "__aexit__" if "__aexit__" in link.names else link.names[-1] for link in links
    ]
    assert [0, 1, 1] == [link.kept for link in links]


def test_every_suspension_has_one(recorder: Recorder, way: Way) -> None:
    """Each step but a task's last is followed by a CHAIN, also an eager task's first."""

    async def program() -> None:
        await asyncio.gather(fetch(2), fetch(), *(asyncio.sleep(0) for _ in range(3)))

    story = way(recorder, in_a_task(program))
    chains = of_kind(story.records, Kind.CHAIN)
    for task in {step.task for step in story.all_steps}:
        steps = [step for step in story.all_steps if step.task == task]
        assert len(steps) - 1 == len([chain for chain in chains if chain.a == task])


# ------------------------------------------------------------------------------------------- depth


@pytest.mark.parametrize("depth", [31, 32, 100])
def test_of_a_deep_chain_the_inner_end_counts(recorder: Recorder, way: Way, depth: int) -> None:
    """`b` is an index into the frames that the site has, 32 at most."""

    async def deep(left: int = depth) -> None:
        if left > 1:
            await deep(left - 1)
        else:
            await pause(2)
            await pause()

    links = links_of(recorder, way(recorder, in_a_task(deep)), deep)
    length = min(depth + 1, 32)
    assert [["deep"] * (length - 1) + ["pause"]] * 3 == [link.names for link in links]
    assert [0, length, length - 1] == [link.kept for link in links]


def test_a_deep_chain_that_moves_keeps_nothing(recorder: Recorder, way: Way) -> None:
    """Where other frames are cut off, those that remain are not at the places where they were."""

    async def deep(left: int = 40) -> None:
        if left > 1:
            await deep(left - 1)
        await pause()

    links = links_of(recorder, way(recorder, in_a_task(deep)), deep)
    # While 32 frames remain, each suspension is one frame nearer to the outermost.
    assert [0] * 10 + list(range(30, 0, -1)) == [link.kept for link in links]


# ------------------------------------------------------------------------------------------- sites


def test_the_site_is_that_of_a_long_wait(recorder: Recorder, way: Way) -> None:
    """It has the type of the awaitable and the hints; the STEP of a long wait has the same one."""
    recorder.stack_min_ns = 0

    async def program() -> None:
        loop, event = asyncio.get_running_loop(), threading.Event()
        await fetch()
        await asyncio.shield(asyncio.create_task(fetch()))
        loop.call_soon(event.set)
        await loop.run_in_executor(None, event.wait)

    records = way(recorder, in_a_task(program)).records
    waits = {}
    sites: list[Any] = []
    for record in records:
        if record.kind is Kind.CHAIN:
            waits[record.a] = record.ref
            sites.append(recorder.resolve(record.ref))
        elif record.task in waits:
            assert waits.pop(record.task) == record.ref
    assert [
        (Hint.FULL, None),
        (Hint.FULL | Hint.SHIELD, asyncio.Future),
        (Hint.FULL | Hint.EXECUTOR, asyncio.Future),
    ] == [
        (hint, awaited)
        for hint, awaited, frames in sites
        if program.__code__ in [code for code, _ in frames]
    ]


class Classy(Coroutine[Any, Any, None]):
    """A coroutine without frames, as Cython makes them."""

    def __init__(self) -> None:
        self._steps = fetch(2).__await__()

    def send(self, value: Any) -> Any:
        return self._steps.send(value)

    def throw(self, *error: Any) -> Any:
        return self._steps.throw(*error)

    def close(self) -> None:
        self._steps.close()

    def __await__(self) -> Generator[Any, None, None]:
        return (yield from self._steps)


def test_a_coroutine_without_frames_has_an_empty_chain(recorder: Recorder, way: Way) -> None:
    """There is nothing that could be kept."""
    chains = of_kind(way(recorder, in_a_task(Classy)).records, Kind.CHAIN)
    sites: list[Any] = [recorder.resolve(chain.ref) for chain in chains]
    kept = [chain.b for chain, site in zip(chains, sites, strict=True) if not site[2]]
    assert len(kept) >= 2  # uvloop has such coroutines, too
    assert not any(kept)


def test_nothing_else_changes(recorder_class: type[Recorder], way: Way) -> None:
    """All other records are the same with and without."""

    async def program() -> None:
        await asyncio.gather(*(other() for other in EXPECTED), return_exceptions=True)

    told = []
    for nesting in (False, True):
        recorder = recorder_class(Cold(), ring_slots=1 << 12, manual_clock=True, stack_min_ns=NEVER)
        assert recorder.nesting is False
        recorder.nesting = nesting
        records = way(recorder, program()).records
        assert nesting == bool(of_kind(records, Kind.CHAIN))
        told.append(
            [
                described(recorder, record)
                for record in records
                if record.kind not in (Kind.CHAIN, Kind.NAME, Kind.BIRTH)  # names: Task-N
            ]
        )
    assert told[0] == told[1]


# ----------------------------------------------------------------------------------- on, off, lost


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ("on on on", [0, 2, 2]),
        ("on off on on", [0, 0, 2]),
        ("off on on off off on", [0, 2, 0]),
        ("off off", []),
    ],
)
def test_it_may_be_switched_at_any_step(
    recorder: Recorder, way: Way, states: str, expected: list[int]
) -> None:
    """The first chain since somebody wants to know begins anew: the one before was not told."""

    @types.coroutine
    def switch() -> Generator[None, None, None]:
        for state in states.split():
            recorder.nesting = state == "on"
            yield

    async def program() -> None:
        await switch()

    links = links_of(recorder, way(recorder, in_a_task(program)), program)
    assert expected == [link.kept for link in links]


@pytest.mark.parametrize(
    ("first", "second", "between", "expected"),
    [
        (True, True, True, [0, 1, 1, 2]),
        (True, True, False, [0, 1, 0, 2]),
        (True, False, True, [0, 0, 2]),
        (False, True, True, [0, 1, 2]),
        (False, False, True, [0, 2]),
    ],
)
def test_it_may_be_switched_between_steps(
    recorder: Recorder, way: Way, first: bool, second: bool, between: bool, expected: list[int]
) -> None:
    """A chain is kept only if it was told, and if it was known when the task went on."""

    async def program(future: asyncio.Future[None]) -> None:
        recorder.nesting = first
        await pause()
        recorder.nesting = second
        await future
        recorder.nesting = True
        await pause(2)

    async def main() -> None:
        future = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(program(future))
        await pause(3)
        recorder.nesting = between
        future.set_result(None)
        await task

    links = links_of(recorder, way(recorder, main()), program)
    assert expected == [link.kept for link in links]


def test_a_chain_after_one_that_was_lost_begins_anew(recorder_class: type[Recorder]) -> None:
    """What found no room is not known to the reader."""
    recorder = recorder_class(Cold(), ring_slots=64)
    recorder.nesting = True
    drained = []

    async def program() -> None:
        await pause()
        while recorder.put(Kind.EVENT, 0, 0, 0, 0):
            pass
        await pause()
        drained.extend(recorder.drain(64))
        await pause(2)

    links = links_of(recorder, run(recorder, program()), program)
    assert drained
    assert [0, 2] == [link.kept for link in links]
