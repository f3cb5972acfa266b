"""Inside a user's trace, a task stands between the span it was made in and those opened in it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import Status, StatusCode

import aperf
from aperf.model import Category
from aperf.otel._task_span import TaskSpan
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


def test_spans_opened_in_a_task_are_its_children(programs: Programs) -> None:
    """One tree of both kinds of spans, as deep as the program."""

    async def inner() -> None:
        with programs.tracer.start_as_current_span("inner span"):
            await asyncio.sleep(0)

    async def outer() -> None:
        await asyncio.sleep(0)
        with programs.tracer.start_as_current_span("outer span"):
            await asyncio.create_task(inner(), name="inner")

    async def program() -> None:
        with programs.tracer.start_as_current_span("request"):
            await asyncio.create_task(outer(), name="outer")

    told = programs.run(program)
    chain: list[Any] = [
        "request",
        told.task("outer"),
        "outer span",
        told.task("inner"),
        "inner span",
    ]
    assert [told.place(each) for each in chain[:-1]] == [
        told.parent(told.other(each) if isinstance(each, str) else each) for each in chain[1:]
    ]
    assert 1 == len({told.place(each)[0] for each in chain})


def test_one_tree_without_orphans(programs: Programs) -> None:
    """Whatever has a parent has one that was exported, too."""

    async def leaf(number: int) -> None:
        with programs.tracer.start_as_current_span(f"leaf {number}"):
            await asyncio.sleep(0)

    async def branch(number: int) -> None:
        with aperf.span(f"branch {number}"):
            await asyncio.gather(leaf(2 * number), leaf(2 * number + 1))

    async def program() -> None:
        with programs.tracer.start_as_current_span("request"):
            async with asyncio.TaskGroup() as group:
                for number in range(3):
                    group.create_task(branch(number))

    told = programs.run(program)
    trace_id = told.place("request")[0]
    everything: list[Any] = [*told.ours, *told.theirs]
    inside = [span for span in everything if told.place(span)[0] == trace_id]
    places = {told.place(span) for span in inside}
    parents = [told.parent(span) for span in inside]
    assert 1 == parents.count(None)
    assert set() == {parent for parent in parents if parent is not None} - places


def test_what_is_said_about_the_current_span_goes_to_the_users(programs: Programs) -> None:
    """Exactly as without aperf."""

    async def child() -> None:
        current = trace.get_current_span()
        assert isinstance(current, TaskSpan)
        assert current.is_recording()
        current.set_attribute("one", 1)
        current.set_attributes({"two": 2})
        current.add_event("seen", {"by": "child"})
        current.record_exception(ValueError("bad"))
        current.set_status(Status(StatusCode.ERROR, "why"))
        current.update_name("renamed")
        current.add_link(current.get_span_context())
        assert "renamed" == current.name
        await asyncio.sleep(0)

    async def program() -> None:
        with programs.tracer.start_as_current_span("request"):
            await asyncio.create_task(child(), name="child")

    told = programs.run(program)
    request = told.other("renamed")
    assert {"one": 1, "two": 2} == dict(request.attributes or {})
    assert ["seen", "exception"] == [event.name for event in request.events]
    assert (StatusCode.ERROR, "why") == (request.status.status_code, request.status.description)
    assert 1 == len(request.links)


def test_baggage_and_the_like_stay(programs: Programs) -> None:
    """Only the span is another one."""
    seen: list[object] = []

    async def child() -> None:
        seen.append(baggage.get_baggage("user"))
        await asyncio.sleep(0)

    async def program() -> None:
        token = otel_context.attach(baggage.set_baggage("user", "me"))
        with programs.tracer.start_as_current_span("request"):
            await asyncio.create_task(child())
        otel_context.detach(token)

    programs.run(program)
    assert ["me"] == seen


def test_no_task_span_outside_of_a_users_trace(programs: Programs) -> None:
    """Spans that would be roots stay roots."""
    current: list[trace.Span] = []

    async def child() -> None:
        current.append(trace.get_current_span())
        with programs.tracer.start_as_current_span("root"):
            await asyncio.sleep(0)

    async def program() -> None:
        await asyncio.create_task(child())

    told = programs.run(program)
    assert [trace.INVALID_SPAN] == current
    assert told.parent(told.other("root")) is None


def test_an_explicit_context_is_never_written_to(programs: Programs) -> None:
    """It belongs to the program, and may be shared."""

    async def child() -> None:
        assert not isinstance(trace.get_current_span(), TaskSpan)
        await asyncio.sleep(0)

    async def program() -> None:
        with programs.tracer.start_as_current_span("request"):
            context = copy_context()
            before = dict(context.items())
            await asyncio.get_running_loop().create_task(child(), context=context)
            assert before == dict(context.items())

    programs.run(program)


def test_the_creators_context_stays_as_it_is(programs: Programs) -> None:
    """A task's span is current in the task only."""

    async def child() -> None:
        await asyncio.sleep(0)

    async def program() -> None:
        with programs.tracer.start_as_current_span("request") as span:
            await asyncio.create_task(child())
            assert span is trace.get_current_span()

    programs.run(program)


def test_an_unsampled_trace_stays_unsampled(programs: Programs) -> None:
    """The decision is inherited through the task."""
    tracer = programs.tracer_of(ParentBased(ALWAYS_OFF))
    sampled: list[bool] = []

    async def child() -> None:
        with programs.tracer.start_as_current_span("span") as span:
            sampled.append(span.get_span_context().trace_flags.sampled)
            await asyncio.sleep(0)

    async def program() -> None:
        with tracer.start_as_current_span("request"):
            await asyncio.create_task(child())

    told = programs.run(program)
    assert [False] == sampled
    assert () == told.theirs


def test_a_context_that_a_callback_inherited_nests_nothing(programs: Programs) -> None:
    """The task is a root, so that nothing in it can be the task's child in the old trace."""

    async def handler() -> None:
        assert not isinstance(trace.get_current_span(), TaskSpan)
        await asyncio.create_task(deeper())

    async def deeper() -> None:
        assert not isinstance(trace.get_current_span(), TaskSpan)
        await asyncio.sleep(0)

    async def program() -> None:
        loop = asyncio.get_running_loop()
        made: asyncio.Future[asyncio.Task[None]] = loop.create_future()
        with programs.tracer.start_as_current_span("request"):
            loop.call_soon(lambda: made.set_result(loop.create_task(handler())))
        await (await made)

    programs.run(program)


def test_threads_that_inherit_the_context_are_inside_the_task(programs: Programs) -> None:
    """As asyncio.to_thread does it."""
    names: list[str] = []

    def blocking() -> None:
        names.append(threading.current_thread().name)
        with programs.tracer.start_as_current_span("in thread"):
            pass

    async def child() -> None:
        await asyncio.to_thread(blocking)

    async def program() -> None:
        with programs.tracer.start_as_current_span("request"):
            await asyncio.create_task(child(), name="child")

    told = programs.run(program)
    assert threading.current_thread().name not in names
    assert told.place(told.task("child")) == told.parent(told.other("in thread"))


def test_a_worker_s_jobs_are_in_the_trace_of_their_message(programs: Programs) -> None:
    """Whether they end before the worker is suspended, or while it handles the next message."""
    go_on = threading.Event()

    def slow() -> None:
        assert go_on.wait(10)

    async def program() -> None:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as pool:
            with programs.tracer.start_as_current_span("message 1"):
                await asyncio.sleep(0)
            with programs.tracer.start_as_current_span("message 2"):
                quick = loop.run_in_executor(pool, int)
                pool.submit(int).result(10)  # so the one before it is over
                running = loop.run_in_executor(pool, slow)
            with programs.tracer.start_as_current_span("message 3"):
                await asyncio.sleep(0)
                go_on.set()
                await asyncio.gather(quick, running)

    told = programs.run(program)
    jobs = [span for span in told.ours if span.category is Category.EXECUTOR]
    assert [told.place("message 2")] * 2 == [told.parent(job) for job in jobs]


def test_task_groups_of_anyio(programs: Programs) -> None:
    """Their tasks are tasks as any."""

    async def child(number: int) -> None:
        with programs.tracer.start_as_current_span(f"span {number}"):
            await anyio.sleep(0)

    async def program() -> None:
        with programs.tracer.start_as_current_span("request"):
            async with anyio.create_task_group() as group:
                for number in range(3):
                    group.start_soon(child, number, name=f"child {number}")

    told = programs.run(program)
    for number in range(3):
        task = told.task(f"child {number}")
        assert told.place("request") == told.parent(task)
        assert told.place(task) == told.parent(told.other(f"span {number}"))


def test_generators_moved_between_tasks(programs: Programs) -> None:
    """A generator that holds an `aperf.span` may begin in one task and end in another."""

    async def numbers() -> AsyncIterator[int]:
        with aperf.span("ours"):
            for number in range(3):
                await asyncio.sleep(0)
                yield number

    async def take(generator: Any, rest: bool) -> None:
        await anext(generator)
        if rest:
            async for _ in generator:
                pass

    async def program() -> None:
        with programs.tracer.start_as_current_span("request"):
            generator = numbers()
            await asyncio.create_task(take(generator, False), name="first")
            await asyncio.create_task(take(generator, True), name="second")
            abandoned = numbers()
            await asyncio.create_task(take(abandoned, False), name="third")
            del abandoned

    told = programs.run(program)
    assert 2 == len([span for span in told.ours if span.name == "ours"])


def test_without_a_destination_for_tasks_nothing_is_nested(programs: Programs) -> None:
    """A parent that nobody exports would tear the user's trace apart."""

    async def child() -> None:
        assert not isinstance(trace.get_current_span(), TaskSpan)
        await asyncio.sleep(0)

    async def main() -> None:
        async with aperf.session(enabled=True, exporters=[]):
            with programs.tracer.start_as_current_span("request"):
                await asyncio.create_task(child())

    asyncio.run(main())


def test_eager_tasks_are_left_alone(twin: type[Recorder]) -> None:
    """Their first step runs before anything could be put into their context."""
    programs = Programs(asyncio.new_event_loop)

    async def child() -> None:
        with programs.tracer.start_as_current_span("span"):
            await asyncio.sleep(0)

    async def program() -> None:
        factory = getattr(asyncio, "eager_task_factory", None)  # 3.12+
        asyncio.get_running_loop().set_task_factory(factory)
        with programs.tracer.start_as_current_span("request"):
            await asyncio.create_task(child(), name="child")

    told = programs.run(program)
    assert told.place("request") == told.parent(told.task("child"))
    if hasattr(asyncio, "eager_task_factory"):
        assert told.place("request") == told.parent(told.other("span"))
