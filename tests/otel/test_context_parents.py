"""Tasks and awaits lie below the OpenTelemetry span that is open around them."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

import aperf
from aperf._config import read_settings
from aperf.model import Category
from tests.otel_tree import Programs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from aperf._recorder import Recorder
    from tests.watched import LoopFactory


@pytest.fixture
def programs(twin: type[Recorder], loop_factory: LoopFactory) -> Programs:
    """Runs programs on both twins and all kinds of loops."""
    return Programs(loop_factory)


@pytest.fixture(autouse=True)
def no_complaint(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """OpenTelemetry has nothing to complain about."""
    yield
    assert not [r for r in caplog.records if r.name.startswith("opentelemetry")]


async def work() -> None:
    """Wait once."""
    await asyncio.sleep(0)


def remote(trace_id: int = 0xABC, span_id: int = 0xDEF, flags: int = 1) -> NonRecordingSpan:
    """Return a span of another process."""
    context = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
    return NonRecordingSpan(context)


def test_a_task_made_in_a_span_is_its_child(programs: Programs) -> None:
    """The trace is that of the span, and so are the awaits' in it."""

    async def program() -> None:
        with programs.tracer.start_as_current_span("request"):
            await asyncio.create_task(work(), name="job")

    told = programs.run(program)
    job = told.task("job")
    assert told.place("request") == told.parent(job)
    assert [told.place(job)] == [told.parent(each) for each in told.awaits("job")]


def test_a_task_made_by_such_a_task_is_the_child_of_that(programs: Programs) -> None:
    """What a task has only inherited lies above it already."""

    async def middle() -> None:
        await asyncio.sleep(0)
        await asyncio.create_task(work(), name="inner")

    async def program() -> None:
        with programs.tracer.start_as_current_span("request"):
            await asyncio.create_task(middle(), name="middle")

    told = programs.run(program)
    assert told.place("request") == told.parent(told.task("middle"))
    assert told.place(told.task("middle")) == told.parent(told.task("inner"))


def test_awaits_lie_below_the_span_opened_in_the_task(programs: Programs) -> None:
    """Before and after it they are the task's own."""

    async def steps() -> None:
        await asyncio.sleep(0)
        with programs.tracer.start_as_current_span("part"):
            await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def program() -> None:
        with programs.tracer.start_as_current_span("request"):
            await asyncio.create_task(steps(), name="steps")

    told = programs.run(program)
    own = told.place(told.task("steps"))
    expected = [own, told.place("part"), own]
    assert expected == [told.parent(each) for each in told.awaits("steps")]


def test_a_root_span_stays_a_root_and_has_its_awaits_and_tasks(programs: Programs) -> None:
    """A worker's messages have a trace each, not one in all."""

    async def worker(queue: asyncio.Queue[int]) -> None:
        for _ in range(2):
            number = await queue.get()
            with programs.tracer.start_as_current_span(f"message {number}"):
                await asyncio.create_task(work(), name=f"job {number}")

    async def program() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue()
        running = asyncio.create_task(worker(queue), name="worker")
        for number in (1, 2):
            await queue.put(number)
            await asyncio.sleep(0)
        await running

    told = programs.run(program)
    messages = [told.other(f"message {number}") for number in (1, 2)]
    assert [None, None] == [told.parent(message) for message in messages]
    assert told.place(messages[0])[0] != told.place(messages[1])[0]
    for number, message in enumerate(messages, 1):
        assert told.place(message) == told.parent(told.task(f"job {number}"))
        assert told.place(message) in [told.parent(each) for each in told.awaits("worker")]
    assert told.place("message 1")[0] != told.task("worker").context.trace_id


def test_user_spans_and_spans_of_opentelemetry_count_by_age(programs: Programs) -> None:
    """Each lies below what was opened last, whoever opened it."""

    async def mixed() -> None:
        with programs.tracer.start_as_current_span("outer"), aperf.span("ours"):
            await asyncio.sleep(0)
            await asyncio.create_task(work(), name="in ours")
            with programs.tracer.start_as_current_span("inner"):
                await asyncio.create_task(work(), name="in inner")
            await asyncio.sleep(0)

    async def program() -> None:
        await asyncio.create_task(mixed(), name="mixed")

    told = programs.run(program)
    ours, inner = told.place(told.user("ours")), told.place("inner")
    assert told.place("outer") == told.parent(told.user("ours"))
    assert ours == told.parent(told.task("in ours"))
    assert inner == told.parent(told.task("in inner"))
    parents = [told.parent(each) for each in told.awaits("mixed")]
    assert [ours, ours, inner, ours] == parents


def connection(loop: asyncio.AbstractEventLoop, name: str) -> asyncio.Task[None]:
    """Make a task as a server's callback does."""
    return loop.create_task(work(), name=name)


async def from_callback(name: str, before: Any = lambda: None) -> None:
    """Have a plain callback make a task that inherits the context of the caller, and wait."""
    loop = asyncio.get_running_loop()
    made: asyncio.Future[asyncio.Task[None]] = loop.create_future()

    def callback() -> None:
        before()
        made.set_result(connection(loop, name))

    loop.call_soon(callback)
    await (await made)


def test_a_callback_that_inherits_a_request_begins_a_trace(programs: Programs) -> None:
    """On a kept connection the next request must not land in the trace of the one before."""

    async def request(number: int) -> None:
        with programs.tracer.start_as_current_span(f"request {number}"):
            await from_callback(f"next {number}")

    async def program() -> None:
        for number in (1, 2):
            await asyncio.create_task(request(number), name=f"request {number}")

    told = programs.run(program)
    traces = set()
    for number in (1, 2):
        following = told.task(f"next {number}")
        assert told.parent(following) is None
        assert (told.place(f"request {number}"), "created_by") in told.linked(following)
        traces |= {following.context.trace_id, told.place(f"request {number}")[0]}
    assert 4 == len(traces)


def test_a_span_that_a_callback_opened_itself_is_the_parent(programs: Programs) -> None:
    """It is the request's, not left over from another one."""

    def attach() -> None:
        span = programs.tracer.start_span("accepted")
        otel_context.attach(trace.set_span_in_context(span))
        spans.append(span)

    spans: list[trace.Span] = []
    told = programs.run(lambda: from_callback("handler", attach))
    spans[0].end()
    context = spans[0].get_span_context()
    assert (context.trace_id, context.span_id) == told.parent(told.task("handler"))


def test_a_remote_parent_that_a_callback_attached_is_the_parent(programs: Programs) -> None:
    """But not of what inherits it later."""
    span = remote()

    async def program() -> None:
        def attach() -> None:
            otel_context.attach(trace.set_span_in_context(span))

        await from_callback("first", attach)
        otel_context.attach(trace.set_span_in_context(span))
        await from_callback("second")

    told = programs.run(program)
    assert (0xABC, 0xDEF) == told.parent(told.task("first"))
    assert told.parent(told.task("second")) is None
    assert ((0xABC, 0xDEF), "created_by") in told.linked(told.task("second"))


@pytest.mark.parametrize(("flags", "sampled"), [(0, False), (1, True), (2, False), (3, True)])
def test_the_sampled_flag_is_inherited(programs: Programs, flags: int, sampled: bool) -> None:
    """Only the lowest bit says it."""

    async def program() -> None:
        otel_context.attach(trace.set_span_in_context(remote(flags=flags)))
        await asyncio.create_task(work(), name="job")

    job = programs.run(program).task("job")
    assert (0xABC, 0xDEF, sampled) == (
        job.context.trace_id,
        job.parent_span_id,
        job.context.sampled,
    )


def test_an_unsampled_local_span_is_a_parent_too(programs: Programs) -> None:
    """Nothing of its trace is exported."""
    tracer = programs.tracer_of(ALWAYS_OFF)
    seen: list[SpanContext] = []

    async def program() -> None:
        with tracer.start_as_current_span("request") as span:
            seen.append(span.get_span_context())
            await asyncio.create_task(work(), name="job")

    job = programs.run(program).task("job")
    assert (seen[0].trace_id, seen[0].span_id) == (job.context.trace_id, job.parent_span_id)
    assert not job.context.sampled


def test_a_background_task_outlives_its_request(programs: Programs) -> None:
    """Its parent is the span it was made in; what it makes later is its own child."""

    async def background(go: asyncio.Event) -> None:
        await go.wait()
        await asyncio.create_task(work(), name="late")

    async def program() -> None:
        go = asyncio.Event()
        with programs.tracer.start_as_current_span("request"):
            task = asyncio.create_task(background(go), name="background")
        await asyncio.sleep(0)
        go.set()
        await task

    told = programs.run(program)
    assert told.place("request") == told.parent(told.task("background"))
    assert told.place(told.task("background")) == told.parent(told.task("late"))


def test_a_span_that_has_ended_is_linked(programs: Programs) -> None:
    """Somebody left it in the context."""

    async def program() -> None:
        span = programs.tracer.start_span("over")
        otel_context.attach(trace.set_span_in_context(span))
        span.end()
        await asyncio.create_task(maker(), name="maker")

    async def maker() -> None:
        await asyncio.sleep(0)

    told = programs.run(program)
    maker_span = told.task("maker")
    assert told.place("over") != told.parent(maker_span)
    assert (told.place("over"), "created_by") in told.linked(maker_span)


def test_an_explicit_context_is_read_and_never_written(programs: Programs) -> None:
    """It is the program's."""
    contexts: list[Any] = []

    async def program() -> None:
        with programs.tracer.start_as_current_span("given"):
            context = copy_context()
        before = dict(context.items())
        with programs.tracer.start_as_current_span("around"):
            await asyncio.get_running_loop().create_task(work(), name="job", context=context)
        contexts.append((before, dict(context.items())))

    told = programs.run(program)
    # "given" had ended when the task was made.
    assert (told.place("given"), "created_by") in told.linked(told.task("job"))
    [(before, after)] = contexts
    assert before == after


def test_generators_that_hold_a_span_may_be_abandoned(
    programs: Programs, caplog: pytest.LogCaptureFixture
) -> None:
    """Only OpenTelemetry's own token may be in a wrong context; none of ours is."""

    async def numbers() -> AsyncIterator[int]:
        with aperf.span("ours"):
            for number in range(3):
                await asyncio.sleep(0)
                yield number

    async def program() -> None:
        with programs.tracer.start_as_current_span("request"):
            moved = numbers()
            await anext(moved)
            await asyncio.create_task(take(moved), name="other")
            left = numbers()
            await anext(left)
            del left
            await asyncio.sleep(0.01)

    async def take(moved: AsyncIterator[int]) -> None:
        await anext(moved)

    caplog.set_level(logging.DEBUG, "opentelemetry.context")
    programs.run(program)
    assert "different Context" not in caplog.text


def test_a_long_task_goes_on_in_a_trace_of_its_own(programs: Programs) -> None:
    """The trace that OpenTelemetry began does not grow for ever."""

    async def long() -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    async def program() -> None:
        with programs.tracer.start_as_current_span("request"):
            await asyncio.create_task(long(), name="long")

    settings = dataclasses.replace(read_settings({}, enabled=True), segment_spans=8)
    told = programs.run(program, settings=settings)
    parts = [s for s in told.ours if s.category is Category.TASK and s.name.endswith("long")]
    assert told.place("request") == told.parent(parts[0])
    assert len(parts) > 1
    assert [None] * (len(parts) - 1) == [told.parent(part) for part in parts[1:]]
    assert (told.place(parts[0]), "previous_segment") in told.linked(parts[1])
