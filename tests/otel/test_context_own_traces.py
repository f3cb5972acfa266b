"""In traces that aperf begins, the program can be told on the loop what the exporter will say."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, detach, set_value

import aperf
from aperf._spans import current_context
from aperf.exporters import MemoryExporter
from tests.otel_tree import Programs, Told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aperf._recorder import Recorder
    from aperf.model import Span
    from tests.watched import LoopFactory

Place = tuple[int, int]


@pytest.fixture
def programs(twin: type[Recorder], lazy_loop_factory: LoopFactory) -> Programs:
    """Runs programs on both twins, asyncio's loop and uvloop's."""
    return Programs(lazy_loop_factory)


@pytest.fixture(autouse=True)
def no_complaint(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """OpenTelemetry has nothing to complain about."""
    yield
    assert not [r for r in caplog.records if r.name.startswith("opentelemetry")]


class Notes:
    """What the program was told where it was, by name of the task or span."""

    def __init__(self) -> None:
        self.places: dict[str, Place | None] = {}

    def note(self, name: str = "") -> None:
        """Note where the caller is."""
        task = asyncio.current_task()
        name = name or (task.get_name() if task else "")
        context = current_context()
        self.places[name] = None if context is None else (context.trace_id, context.span_id)

    async def child(self) -> None:
        """A task that notes where it is, before and after its first suspension."""
        before = _place()
        await asyncio.sleep(0)
        self.note()
        assert before == _place()


def told_tasks(told: Told, *names: str) -> dict[str, Place]:
    """Return where tasks are, by their names."""
    return {name: told.place(told.task(name)) for name in names}


def test_tasks_and_their_children(programs: Programs) -> None:
    """A task is in the trace of whoever made it, under an id of its own."""
    notes = Notes()

    async def parent() -> None:
        notes.note()
        await asyncio.create_task(notes.child(), name="child")
        async with asyncio.TaskGroup() as group:
            _ = group.create_task(notes.child(), name="in group")

    async def program() -> None:
        await asyncio.create_task(parent(), name="parent")

    told = programs.run(program)
    assert told_tasks(told, "parent", "child", "in group") == notes.places
    assert 1 == len({trace_id for trace_id, _ in told_tasks(told, *notes.places).values()})


def test_user_spans(programs: Programs) -> None:
    """The innermost counts; what it holds is in its trace."""
    notes = Notes()

    async def program() -> None:
        with aperf.span("outer"):
            notes.note("outer")
            with aperf.span("inner"):
                notes.note("inner")
                await asyncio.create_task(notes.child(), name="child")
            notes.note("outer")

    told = programs.run(program)
    expected = {name: told.place(told.user(name)) for name in ("outer", "inner")}
    assert expected | told_tasks(told, "child") == notes.places
    assert told.place(told.user("inner")) == told.parent(told.task("child"))


def test_user_spans_outside_of_tasks(programs: Programs) -> None:
    """One in a plain thread begins a trace, and what is in it belongs to that."""
    notes = Notes()

    def work() -> None:
        with aperf.span("outer"):
            notes.places["outer"] = _place()
            with aperf.span("inner"):
                notes.places["inner"] = _place()

    async def program() -> None:
        thread = threading.Thread(target=work)
        thread.start()
        await asyncio.to_thread(thread.join)

    told = programs.run(program)
    assert {name: told.place(told.user(name)) for name in notes.places} == notes.places


def _place() -> Place | None:
    context = current_context()
    return None if context is None else (context.trace_id, context.span_id)


def test_a_program_within_a_span(twin: type[Recorder]) -> None:
    """A loop that runs inside of a span: all tasks of its main task are in that trace."""
    notes, exporter = Notes(), MemoryExporter()
    with aperf.session(enabled=True, exporters=[exporter], loops="all"), aperf.span("script"):
        asyncio.run(notes.child())
    told = Told(exporter.spans, ())
    [name] = notes.places
    assert told_tasks(told, name) == notes.places
    assert told.place(told.user("script")) == told.parent(told.task(name))


@pytest.mark.parametrize("around", ["task", "span"])
def test_what_a_plain_callback_makes_begins_a_trace(programs: Programs, around: str) -> None:
    """Also where it inherited the context of somebody who has a span open."""
    notes, tasks = Notes(), []

    def accept() -> None:
        tasks.append(asyncio.get_running_loop().create_task(notes.child(), name="connection"))

    async def program() -> None:
        loop = asyncio.get_running_loop()
        if around == "span":
            with aperf.span("server"):
                loop.call_soon(accept)
                await asyncio.sleep(0.001)
        else:
            loop.call_soon(accept)
            await asyncio.sleep(0.001)
        await tasks[0]

    told = programs.run(program)
    assert told_tasks(told, "connection") == notes.places
    assert told.parent(told.task("connection")) is None


def test_what_a_plain_callback_makes_in_a_span_of_its_own(programs: Programs) -> None:
    """The span is the parent: it was opened for this."""
    notes, tasks = Notes(), []

    def accept() -> None:
        with aperf.span("accept"):
            tasks.append(asyncio.get_running_loop().create_task(notes.child(), name="connection"))

    async def program() -> None:
        asyncio.get_running_loop().call_soon(accept, context=contextvars.Context())
        await asyncio.sleep(0.001)
        await tasks[0]

    told = programs.run(program)
    assert told_tasks(told, "connection") == notes.places
    assert told.place(told.user("accept")) == told.parent(told.task("connection"))


def test_tasks_that_lived_before(programs: Programs) -> None:
    """The session's own task, adopted, begins a trace; so does another that was there."""
    notes = Notes()

    async def program() -> None:
        notes.note("main")
        await asyncio.create_task(notes.child(), name="child")

    told = programs.run(program)
    assert told_tasks(told, "child") == {"child": notes.places["child"]}
    assert told.parent(told.task("child")) == notes.places["main"]


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="came with Python 3.12")
def test_eager_tasks(twin: type[Recorder]) -> None:
    """They know it already in the step that they run inside of `create_task`."""
    notes, exporter = Notes(), MemoryExporter()

    async def child() -> None:
        notes.note("child")
        await asyncio.sleep(0)

    async def eager() -> None:
        notes.note("eager")
        await asyncio.create_task(child(), name="child")
        notes.note("eager")

    async def main() -> None:
        async with aperf.session(enabled=True, exporters=[exporter]):
            loop: Any = asyncio.get_running_loop()
            loop.set_task_factory(asyncio.eager_task_factory)
            with aperf.span("around"):
                task = asyncio.create_task(eager(), name="eager")
                notes.note("around")
            await task

    asyncio.run(main())
    told = Told(exporter.spans, ())
    expected = told_tasks(told, "eager", "child")
    assert expected | {"around": told.place(told.user("around"))} == notes.places


def test_tasks_of_a_factory(programs: Programs) -> None:
    """`aperf.task_factory` sees their births, too, and theirs alone count."""
    notes = Notes()

    async def parent() -> None:
        notes.note()
        await asyncio.create_task(notes.child(), name="child")
        notes.note()

    async def program() -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(aperf.task_factory())
        try:
            await asyncio.create_task(parent(), name="parent")
        finally:
            loop.set_task_factory(None)

    told = programs.run(program)
    assert told_tasks(told, "parent", "child") == notes.places


@pytest.mark.parametrize("rule", ["child", "link", "root"])
def test_parents_by_rule(programs: Programs, rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`APERF_TASK_PARENT` counts on the loop as well."""
    monkeypatch.setenv("APERF_TASK_PARENT", rule)
    notes, tasks = Notes(), []

    def accept() -> None:
        tasks.append(asyncio.get_running_loop().create_task(notes.child(), name="connection"))

    async def program() -> None:
        with aperf.span("server"):
            asyncio.get_running_loop().call_soon(accept)
            await asyncio.create_task(notes.child(), name="child")
            await asyncio.sleep(0.001)
            await tasks[0]

    told = programs.run(program)
    assert told_tasks(told, "connection", "child") == notes.places


def test_a_task_that_goes_on_in_another_trace(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the exporter has cut it, the loop is told the new trace, and so are its children."""
    monkeypatch.setenv("APERF_SEGMENT_SPANS", "5")
    places: list[Place | None] = []

    async def program() -> None:
        [session] = sessions
        for _ in range(8):
            await asyncio.sleep(0)
        await session.flush()
        places.append(_place())
        await asyncio.create_task(notes.child(), name="child")

    notes = Notes()
    sessions: list[aperf.Session] = []
    exporter = MemoryExporter()

    async def main() -> None:
        async with aperf.session(enabled=True, exporters=[exporter]) as session:
            sessions.append(session)
            await program()

    asyncio.run(main())
    told = Told(exporter.spans, ())
    assert told.place(told.task("child")) == notes.places["child"]
    assert told.parent(told.task("child")) == places[0]


# --------------------------------------------------------------------------- OpenTelemetry within


def test_spans_of_opentelemetry_lie_in_ours(programs: Programs) -> None:
    """In the block, and in tasks that are made in it, below those."""
    tracer = programs.tracer

    async def child() -> None:
        with tracer.start_as_current_span("in child"):
            await asyncio.sleep(0)

    async def program() -> None:
        with aperf.span("ours"):
            with tracer.start_as_current_span("inside"), aperf.span("within"):
                tracer.start_span("innermost").end()
            await asyncio.create_task(child(), name="child")
        tracer.start_span("after").end()

    told = programs.run(program)
    chain: list[Any] = [
        told.user("ours"), told.other("inside"), told.user("within"), told.other("innermost")
    ]  # fmt: skip
    assert [told.place(each) for each in chain[:-1]] == [told.parent(each) for each in chain[1:]]
    assert told.place(told.user("ours")) == told.parent(told.task("child"))
    assert told.place(told.task("child")) == told.parent(told.other("in child"))
    assert told.place("in child") == told.parent(told.awaits("child")[0])
    assert told.parent(told.other("after")) is None


def test_a_span_that_is_over_holds_nothing(programs: Programs) -> None:
    """What a task opens later that was made in it lies below the task."""
    tracer = programs.tracer

    async def child(go: asyncio.Event) -> None:
        await go.wait()
        tracer.start_span("late").end()
        await asyncio.create_task(grandchild(), name="grandchild")

    async def grandchild() -> None:
        tracer.start_span("later").end()

    async def program() -> None:
        go = asyncio.Event()
        with aperf.span("ours"):
            task = asyncio.create_task(child(go), name="child")
            await asyncio.sleep(0)
        go.set()
        await task

    told = programs.run(program)
    assert told.place(told.task("child")) == told.parent(told.other("late"))
    assert told.place(told.task("grandchild")) == told.parent(told.other("later"))


def test_a_server_in_a_span_does_not_swallow_its_requests(programs: Programs) -> None:
    """Its connections begin traces, and a request that would be a root without aperf is one."""
    tracer, tasks = programs.tracer, []

    async def serve() -> None:
        with tracer.start_as_current_span("request"):
            await asyncio.sleep(0)

    def accept() -> None:
        tasks.append(asyncio.get_running_loop().create_task(serve(), name="connection"))

    async def program() -> None:
        with aperf.span("server"):
            asyncio.get_running_loop().call_soon(accept)
            await asyncio.sleep(0.001)
            await tasks[0]

    told = programs.run(program)
    assert told.parent(told.other("request")) is None


def test_an_abandoned_generator(programs: Programs) -> None:
    """Its span stays current nowhere."""

    async def numbers(closed: asyncio.Event) -> Any:
        try:
            with aperf.span("never ended"):
                yield 1
        finally:
            closed.set()

    async def following() -> None:
        programs.tracer.start_span("root").end()

    async def program() -> None:
        closed = asyncio.Event()
        async for _ in numbers(closed):
            break
        await closed.wait()
        await asyncio.create_task(following())

    told = programs.run(program)
    assert told.parent(told.other("root")) is None


# ------------------------------------------------------------------------------ headers, sampling


def test_headers_lead_to_the_task(programs: Programs) -> None:
    """Whoever is called goes on in its trace, though the program never opened a span."""
    headers: list[aperf.TraceHeaders | None] = []

    async def child() -> None:
        headers.append(aperf.current_trace_headers())
        assert aperf.current_trace_id() == f"{told_id(headers[0])[0]:032x}"

    async def program() -> None:
        await asyncio.create_task(child(), name="child")

    told = programs.run(program)
    assert told.place(told.task("child")) == told_id(headers[0])


def told_id(headers: aperf.TraceHeaders | None) -> Place:
    """Return the ids in a traceparent."""
    assert headers is not None
    _, trace_id, span_id, _ = headers.traceparent.split("-")
    return int(trace_id, 16), int(span_id, 16)


def test_no_headers_where_nobody_exports_tasks(twin: type[Recorder]) -> None:
    """A parent that nobody has ever seen would tear the trace apart; logs may name it."""

    async def main() -> None:
        async with aperf.session(enabled=True, exporters=[]):
            assert aperf.current_trace_headers() is None
            assert aperf.current_trace_id() is None
            assert _place() is not None

    asyncio.run(main())


@pytest.mark.parametrize(("sampler", "sampled"), [("always_on", True), ("always_off", False)])
def test_the_sampler_is_asked_on_the_loop(
    programs: Programs, sampler: str, sampled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Headers say what it said, spans of OpenTelemetry follow, and what is exported agrees."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    headers: list[aperf.TraceHeaders | None] = []

    async def program() -> None:
        with aperf.span("ours"):
            headers.append(aperf.current_trace_headers(sampled_only=False))
            programs.tracer.start_span("theirs").end()

    told = programs.run(program)
    assert headers[0] is not None
    assert sampled == headers[0].is_sampled
    assert sampled == bool(told.theirs)
    assert sampled == bool([span for span in told.ours if span.context.sampled])


@pytest.mark.parametrize("around", ["nothing", "request"])
def test_what_is_to_be_kept_quiet_is_not_exported(programs: Programs, around: str) -> None:
    """Tasks made where instrumentation is suppressed, and theirs; they are counted all the same."""
    headers: list[aperf.TraceHeaders | None] = []

    async def child() -> None:
        headers.append(aperf.current_trace_headers() if around == "nothing" else None)
        with aperf.span("in child"):
            await asyncio.create_task(asyncio.sleep(0), name="grandchild")

    async def program() -> None:
        if around == "nothing":
            await quietly()
        else:
            with programs.tracer.start_as_current_span("request"):
                await quietly()

    async def quietly() -> None:
        token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        task = asyncio.create_task(child(), name="child")
        detach(token)
        await task

    told = programs.run(program)
    quiet = {"child", "grandchild", "in child"}
    assert not [s for s in told.ours if s.context.sampled and quiet & {s.name, *_task_name(s)}]
    assert not told.task("child").context.sampled
    assert [None] == headers


def _task_name(span: Span) -> tuple[str, ...]:
    name = dict(span.attributes).get("asyncio.task.name")
    return (str(name),) if name else ()


def test_a_wrapped_function_goes_on_in_the_trace(programs: Programs) -> None:
    """On threads, which take no context along, spans are children of whoever wrapped it."""

    def work() -> None:
        with aperf.span("in thread"):
            pass
        programs.tracer.start_span("theirs").end()

    async def program() -> None:
        with aperf.span("ours"):
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(None, aperf.wrap(work))

    told = programs.run(program)
    assert told.place(told.user("ours")) == told.parent(told.other("theirs"))
    assert told.place(told.user("ours")) == told.parent(told.user("in thread"))


def test_after_the_session_nothing_is_told(twin: type[Recorder]) -> None:
    """Not even in a span that is still open."""

    async def main() -> None:
        span = aperf.span("open")
        async with aperf.session(enabled=True, exporters=[MemoryExporter()]):
            span = aperf.span("open")
            span.__enter__()
            assert trace.get_current_span().get_span_context().is_valid
        assert _place() is None
        span.__exit__(None, None, None)
        assert not trace.get_current_span().get_span_context().is_valid

    asyncio.run(main())
