"""Headers that are attached, and what is current."""

from __future__ import annotations

import asyncio
import gc
import pickle
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

import aperf
from aperf._propagation import TraceHeaders, current_trace_headers, current_trace_id, wrap
from aperf._propagation._attach import Attachment
from aperf.exporters import MemoryExporter
from tests.opentelemetry_sdk import Collecting
from tests.otel_tree import Programs
from tests.programs import run_program
from tests.propagated import PARENT, TRACE, look, look_later

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from aperf._recorder import Recorder
    from tests.watched import LoopFactory

OTHER = PARENT.replace("0af7", "0bf7")


@pytest.fixture
def programs(twin: type[Recorder], lazy_loop_factory: LoopFactory) -> Programs:
    """Runs programs on both twins, asyncio's loop and uvloop's."""
    return Programs(lazy_loop_factory)


@pytest.fixture(autouse=True)
def nothing_left(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What was current before is so after, and OpenTelemetry has nothing to complain about."""
    before = otel_context.get_current()
    yield
    assert before is otel_context.get_current()
    assert not [r for r in caplog.records if r.name.startswith("opentelemetry")]


def headers_of(traceparent: str = PARENT, **others: str) -> TraceHeaders:
    """Return headers as another process sends them."""
    return TraceHeaders.parse({"traceparent": traceparent, **others})


# ------------------------------------------------------------------------------------------ attach


def test_attached_for_a_block() -> None:
    """In the block the trace and the baggage of the headers are current, and afterwards not."""
    with headers_of(baggage="user=7").attach():
        seen = look()
        assert TRACE == current_trace_id()
    assert f"{seen.trace_id:032x}" == TRACE
    assert (True, {"user": "7"}) == (seen.is_remote, seen.baggage)
    assert current_trace_id() is None


def test_attached_for_an_asynchronous_block() -> None:
    """`async with` does the same, and other tasks do not see it."""

    async def program() -> list[str | None]:
        async with headers_of().attach():
            inside = asyncio.create_task(asyncio.sleep(0, current_trace_id()))
            await asyncio.sleep(0)
            return [current_trace_id(), await inside]

    async def around() -> list[Any]:
        found = await asyncio.gather(program(), asyncio.sleep(0, current_trace_id()))
        return [*found, current_trace_id()]

    assert [[TRACE, TRACE], None, None] == asyncio.run(around())


def test_exceptions_pass() -> None:
    """A block that fails is left as any other."""
    with pytest.raises(LookupError), headers_of().attach():
        raise LookupError
    assert current_trace_id() is None


def test_empty_headers_change_nothing() -> None:
    """Who got no headers goes on with what is current."""
    with headers_of().attach(), TraceHeaders().attach():
        assert TRACE == current_trace_id()


def test_baggage_alone_keeps_the_span() -> None:
    """Headers without a trace do not end the one that is current; baggage is added."""
    with headers_of(baggage="a=1,b=2").attach(), TraceHeaders(baggage="b=3").attach():
        assert TRACE == current_trace_id()
        assert {"a": "1", "b": "3"} == look().baggage


def test_nested() -> None:
    """The inner one counts, and then again the outer one."""
    with headers_of().attach():
        with headers_of(OTHER).attach():
            assert current_trace_id() != TRACE
        assert TRACE == current_trace_id()


def test_ended_out_of_order() -> None:
    """What has ended does not come back when something inside of it ends later."""
    outer, inner = headers_of().attach(), headers_of(OTHER).attach()
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)
    assert OTHER[3:35] == current_trace_id()
    inner.__exit__(None, None, None)
    assert current_trace_id() is None


def test_a_span_opened_inside_stays() -> None:
    """A span of somebody else's that outlives the block is left alone."""
    before = otel_context.get_current()
    attachment = headers_of().attach()
    attachment.__enter__()
    token = otel_context.attach(trace.set_span_in_context(trace.INVALID_SPAN))
    attachment.__exit__(None, None, None)
    assert trace.INVALID_SPAN is trace.get_current_span()
    assert otel_context.get_current() is not before
    otel_context.detach(token)
    otel_context.attach(before)


def test_entered_once() -> None:
    """A block cannot be entered again: it could not tell what was current before."""
    attachment = headers_of().attach()
    with attachment:
        pass
    with pytest.raises(RuntimeError, match="entered once"):
        attachment.__enter__()


def test_abandoned_generators(caplog: pytest.LogCaptureFixture) -> None:
    """A generator that holds a block may end in whatever context: nobody notices."""

    async def items() -> AsyncIterator[str | None]:
        with headers_of().attach():
            yield current_trace_id()
            yield None

    async def take(generator: AsyncIterator[str | None]) -> str | None:
        return await anext(generator)

    async def program() -> list[str | None]:
        generator = items()
        found = [await asyncio.create_task(take(generator)), current_trace_id()]
        del generator
        gc.collect()
        await asyncio.sleep(0)
        return [*found, current_trace_id()]

    assert [TRACE, None, None] == asyncio.run(program())
    assert not caplog.records


def test_generators_between_tasks(caplog: pytest.LogCaptureFixture) -> None:
    """A generator begun in one task and ended in another changes nothing in that one."""

    async def items() -> AsyncIterator[None]:
        with headers_of().attach():
            yield

    async def end(generator: AsyncIterator[None]) -> str | None:
        with headers_of(OTHER).attach():
            assert await anext(generator, "over") == "over"
            return current_trace_id()

    async def program() -> str | None:
        generator = items()
        await asyncio.create_task(anext(generator))  # type: ignore[arg-type]
        return await asyncio.create_task(end(generator))

    assert OTHER[3:35] == asyncio.run(program())
    assert not caplog.records


@pytest.mark.parametrize("with_spans", [False, True])
def test_chains_of_tasks(with_spans: bool) -> None:
    """Tasks that start each other from inside their blocks do not hold all their predecessors."""
    tracer = Collecting().provider.get_tracer("test")
    tasks: list[asyncio.Task[None]] = []

    async def link(number: int, end: asyncio.Future[int]) -> None:
        with headers_of().attach():
            if number == 0:
                end.set_result(sum(isinstance(each, Attachment) for each in gc.get_objects()))
                return
            with tracer.start_as_current_span("link") if with_spans else nullcontext():
                tasks.append(asyncio.create_task(link(number - 1, end)))
                tasks[:-1] = []

    async def program() -> int:
        end: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        await link(50, end)
        return await end

    before = sum(isinstance(each, Attachment) for each in gc.get_objects())
    assert 4 >= asyncio.run(program()) - before


def test_user_spans_inside(twin: type[Recorder]) -> None:
    """An `aperf.span` in the block is of its trace, and the block still ends."""

    async def program() -> tuple[str | None, str | None]:
        async with aperf.session(enabled=True, exporters=[MemoryExporter()]):
            async with headers_of().attach():
                with aperf.span("inside"):
                    await asyncio.sleep(0)
                    inside = current_trace_id()
            return inside, current_trace_id()

    inside, after = asyncio.run(program())
    assert TRACE == inside
    assert TRACE != after


def test_tasks_are_in_the_attached_trace(programs: Programs) -> None:
    """Tasks and awaits in the block are of the sender's trace, children of the span it sent."""

    async def work() -> None:
        async with headers_of().attach():
            await asyncio.create_task(asyncio.sleep(0), name="handler")
        await asyncio.sleep(0)

    async def program() -> None:
        await asyncio.create_task(work(), name="worker")

    told = programs.run(program)
    sent = int(TRACE, 16), 0xB7AD6B7169203331
    assert sent == told.parent(told.task("handler"))
    worker = told.place(told.task("worker"))
    assert [sent, worker] == [told.parent(each) for each in told.awaits("worker")]


def test_without_opentelemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it cannot be imported, blocks just run."""
    with monkeypatch.context() as patch:
        patch.setitem(__import__("sys").modules, "opentelemetry", None)
        with headers_of().attach():
            pass


# ---------------------------------------------------------------------------------- what is current


def test_no_trace() -> None:
    """Outside of a trace there is no id, and there are no headers."""
    assert (None, None) == (current_trace_id(), current_trace_headers())


def test_a_span_of_the_program() -> None:
    """Its ids are the current ones, with its baggage."""
    tracer = Collecting().provider.get_tracer("test")
    with tracer.start_as_current_span("request") as span:
        context = span.get_span_context()
        token = otel_context.attach(baggage.set_baggage("user", "ä b"))
        headers = current_trace_headers()
        otel_context.detach(token)
        assert f"{context.trace_id:032x}" == current_trace_id()
    assert headers is not None
    assert f"00-{context.trace_id:032x}-{context.span_id:016x}-01" == headers.traceparent
    assert ("", "user=%C3%A4+b") == (headers.tracestate, headers.baggage)


def test_traces_that_are_not_recorded() -> None:
    """They have no id to look for, but who asks can pass on that they are not recorded."""
    with Collecting(sampler=ALWAYS_OFF).provider.get_tracer("t").start_as_current_span("request"):
        assert (None, None) == (current_trace_id(), current_trace_headers())
        headers = current_trace_headers(sampled_only=False)
        assert headers is not None
        assert current_trace_id(sampled_only=False) == headers.trace_id
    assert headers.traceparent.endswith("-00")


@pytest.mark.parametrize(
    ("flags", "sent"), [(0, "00"), (1, "01"), (2, "00"), (3, "01"), (255, "01")]
)
def test_flags(flags: int, sent: str) -> None:
    """Of the flags only "sampled" is sent."""
    context = SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(flags))
    before = otel_context.get_current()
    otel_context.attach(trace.set_span_in_context(NonRecordingSpan(context)))
    headers = current_trace_headers(sampled_only=False)
    otel_context.attach(before)
    assert TraceHeaders(traceparent=f"00-{1:032x}-{2:016x}-{sent}") == headers


@pytest.mark.parametrize(
    "sent",
    [
        {"tracestate": "vendor=a:b;c,other@x=1"},
        {"baggage": "user=a%20b;ttl=60;private,plain=x+y"},
        {"tracestate": "a=1", "baggage": "k="},
    ],
)
def test_sent_on_as_it_came(sent: dict[str, str]) -> None:
    """Tracestate and baggage of others are passed on untouched."""
    headers = headers_of(**sent)
    with headers.attach():
        assert headers == current_trace_headers()


def test_changed_baggage_is_sent() -> None:
    """What the program adds goes along."""
    with headers_of(baggage="a=1;p").attach():
        token = otel_context.attach(baggage.set_baggage("b", "2"))
        headers = current_trace_headers()
        otel_context.detach(token)
    assert headers is not None
    assert {"a", "b"} == {entry.split("=")[0] for entry in headers.baggage.split(",")}


def test_what_is_broken() -> None:
    """Whatever was put where span and baggage belong, nothing is raised."""

    class Broken:
        def __str__(self) -> str:
            raise LookupError

    before = otel_context.get_current()
    span = NonRecordingSpan(SpanContext(1, 2, is_remote=False))
    span.get_span_context = lambda: 1 / 0  # type: ignore[method-assign,assignment,return-value]
    otel_context.attach(trace.set_span_in_context(span, baggage.set_baggage("user", Broken())))
    found = current_trace_id(), current_trace_headers(sampled_only=False)
    wrapped = wrap(look_later)
    otel_context.attach(before)
    assert (None, None) == found
    assert "look_later" in repr(pickle.dumps(wrapped))


def test_the_task_is_current(programs: Programs) -> None:
    """In a task inside of a trace, others are sent the task's span."""
    sent: list[TraceHeaders | None] = []

    async def child() -> None:
        await asyncio.sleep(0)
        sent.append(current_trace_headers())

    async def program() -> None:
        with programs.tracer.start_as_current_span("request"):
            await asyncio.create_task(child(), name="child")

    told = programs.run(program)
    trace_id, span_id = told.place(told.task("child"))
    assert [TraceHeaders(traceparent=f"00-{trace_id:032x}-{span_id:016x}-01")] == sent


def test_looking_imports_nothing() -> None:
    """A program that does not use OpenTelemetry does not pay for its import."""
    done = run_program("""
        import sys
        from aperf import _propagation

        headers = _propagation.TraceHeaders.parse({"traceparent": "nonsense"})
        with headers.attach():
            print(_propagation.current_trace_id(), _propagation.current_trace_headers())
            print(_propagation.wrap(abs)(-1), _propagation.current_tracing_session())
        print([name for name in sys.modules if name.startswith(("opentelemetry", "asyncio"))])
    """)
    assert ("None None\n1 None\n[]\n", "", 0) == done
