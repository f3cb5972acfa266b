"""An `aperf.span` and OpenTelemetry's spans lie in each other as they were opened."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace

import aperf
from tests.otel_tree import Programs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from aperf._recorder import Recorder
    from tests.watched import LoopFactory


@pytest.fixture
def programs(twin: type[Recorder], lazy_loop_factory: LoopFactory) -> Programs:
    """Runs programs on both twins, asyncio's loop and uvloop's."""
    return Programs(lazy_loop_factory)


@pytest.fixture(autouse=True)
def no_complaint(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """OpenTelemetry has nothing to complain about."""
    yield
    assert not [r for r in caplog.records if r.name.startswith("opentelemetry")]


def test_both_kinds_alternate(programs: Programs) -> None:
    """Each is the child of the one opened last, in any task."""
    tracer = programs.tracer

    async def child() -> None:
        with aperf.span("three"), tracer.start_as_current_span("four"):
            await asyncio.sleep(0)

    async def program() -> None:
        with (
            tracer.start_as_current_span("zero"),
            aperf.span("one"),
            tracer.start_as_current_span("two"),
        ):
            await asyncio.create_task(child(), name="child")

    told = programs.run(program)
    chain: list[Any] = [
        told.other("zero"),
        told.user("one"),
        told.other("two"),
        told.task("child"),
        told.user("three"),
        told.other("four"),
    ]
    assert [told.place(each) for each in chain[:-1]] == [told.parent(each) for each in chain[1:]]
    assert told.place(told.other("four")) == told.parent(told.awaits("child")[0])


def test_afterwards_all_is_as_before(programs: Programs) -> None:
    """Also when they are closed out of order."""
    tracer = programs.tracer

    async def program() -> None:
        with tracer.start_as_current_span("request") as request:
            with aperf.span("first"):
                assert request is not trace.get_current_span()
            assert request is trace.get_current_span()
            outer, inner = aperf.span("outer"), aperf.span("inner")
            outer.__enter__()
            inner.__enter__()
            outer.__exit__(None, None, None)
            tracer.start_span("in inner").end()
            inner.__exit__(None, None, None)
            assert request is trace.get_current_span()
            tracer.start_span("last").end()

    told = programs.run(program)
    assert told.place(told.user("inner")) == told.parent(told.other("in inner"))
    assert told.place("request") == told.parent(told.other("last"))


def test_a_span_opened_around_the_end_of_ours_stays(programs: Programs) -> None:
    """What somebody else has made current is not touched."""
    tracer = programs.tracer

    async def program() -> None:
        with tracer.start_as_current_span("request"):
            ours = aperf.span("ours")
            ours.__enter__()
            with tracer.start_as_current_span("theirs") as theirs:
                ours.__exit__(None, None, None)
                assert theirs is trace.get_current_span()
            tracer.start_span("after").end()

    told = programs.run(program)
    assert told.place("request") == told.parent(told.other("after"))


def test_a_task_that_outlives_the_span_it_was_made_in(programs: Programs) -> None:
    """Its own spans are its children all the same."""

    async def child(go: asyncio.Event) -> None:
        await go.wait()
        programs.tracer.start_span("late").end()

    async def program() -> None:
        go = asyncio.Event()
        with programs.tracer.start_as_current_span("request"):
            with aperf.span("ours"):
                task = asyncio.create_task(child(go), name="child")
            await asyncio.sleep(0)
        go.set()
        await task

    told = programs.run(program)
    assert told.place(told.user("ours")) == told.parent(told.task("child"))
    assert told.place(told.task("child")) == told.parent(told.other("late"))


def test_what_is_said_about_the_current_span_goes_to_the_users(programs: Programs) -> None:
    """As without aperf: it is OpenTelemetry's span that is meant."""

    async def program() -> None:
        with programs.tracer.start_as_current_span("request"), aperf.span("ours"):
            trace.get_current_span().set_attribute("key", "value")

    told = programs.run(program)
    assert {"key": "value"} == dict(told.other("request").attributes or {})


@aperf.instrument
async def numbers(tracer: trace.Tracer) -> AsyncIterator[int]:
    """Yield numbers inside of a span."""
    for number in range(2):
        tracer.start_span(f"inside {number}").end()
        yield number


def test_a_decorated_generator_leaves_its_consumer_alone(programs: Programs) -> None:
    """Its span is current while it runs, and not in between."""
    tracer = programs.tracer

    async def program() -> None:
        with tracer.start_as_current_span("request"), aperf.span("consumer"):
            async for number in numbers(tracer):
                tracer.start_span(f"between {number}").end()
            tracer.start_span("after").end()
        with tracer.start_as_current_span("bare"):
            async for number in numbers(tracer):
                tracer.start_span(f"bare {number}").end()

    told = programs.run(program)
    consumer = told.place(told.user("consumer"))
    names = ["between 0", "between 1", "after"]
    assert [consumer] * 3 == [told.parent(told.other(name)) for name in names]
    bare = [told.parent(told.other(f"bare {number}")) for number in range(2)]
    assert [told.place("bare")] * 2 == bare
    generators = {told.place(s) for s in told.ours if s.name == "numbers"}
    assert 2 == len(generators)
    inside = [told.parent(span) for span in told.theirs if span.name.startswith("inside")]
    assert 4 == len(inside)
    assert generators == set(inside)


def test_a_span_of_the_consumer_survives_the_generator(programs: Programs) -> None:
    """One that was opened between two items stays current."""
    tracer = programs.tracer

    async def program() -> None:
        with tracer.start_as_current_span("request"):
            generator = numbers(tracer)
            await anext(generator)
            with tracer.start_as_current_span("around") as around:
                await anext(generator)
                assert around is trace.get_current_span()
            await generator.aclose()  # type: ignore[attr-defined]
            tracer.start_span("after").end()

    told = programs.run(program)
    assert told.place("request") == told.parent(told.other("after"))


def test_abandoned_generators(programs: Programs) -> None:
    """What they held is over; what is opened next is not below it."""
    tracer = programs.tracer

    async def held() -> AsyncIterator[int]:
        with aperf.span("held"):
            yield 1

    async def take(generator: AsyncIterator[int]) -> None:
        await anext(generator)

    async def program() -> None:
        with tracer.start_as_current_span("request"):
            generator = held()
            await take(generator)
            del generator
            gc.collect()
            for _ in range(3):
                await asyncio.sleep(0)
            tracer.start_span("after").end()
            other = held()
            await asyncio.create_task(take(other), name="taker")
            await other.aclose()  # type: ignore[attr-defined]
            tracer.start_span("at last").end()

    told = programs.run(program)
    assert told.place("request") == told.parent(told.other("after"))
    assert told.place("request") == told.parent(told.other("at last"))


def test_segments_do_not_change_the_ids_of_user_spans(programs: Programs) -> None:
    """Both sides compute them, and the loop's knows no segments."""
    import dataclasses

    from aperf._config import read_settings

    async def long() -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        with programs.tracer.start_as_current_span("part"), aperf.span("ours"):
            programs.tracer.start_span("inner").end()

    async def program() -> None:
        await asyncio.create_task(long())

    settings = dataclasses.replace(read_settings({}, enabled=True), segment_spans=8)
    told = programs.run(program, settings=settings)
    assert told.place(told.user("ours")) == told.parent(told.other("inner"))
