"""A server's kept connections: a request's spans never land in the trace of another request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context

from tests.otel_tree import Programs

if TYPE_CHECKING:
    from collections.abc import Iterator

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


class Server(asyncio.Protocol):
    """Answers each line in a task of its own, as HTTP servers do.

    It resumes reading from inside of a request, so that asyncio's loop hands the request's context
    to whatever arrives next (cpython#140947).
    """

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        name = data.decode().strip()
        task = asyncio.get_running_loop().create_task(self._answer(name), name=f"handler {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, name: str) -> None:
        with self._tracer.start_as_current_span(f"request {name}"):
            self._transport.pause_reading()
            await asyncio.create_task(self._query(name), name=f"query {name}")
            self._transport.resume_reading()
        self._transport.write(b"done\n")

    async def _query(self, name: str) -> None:
        with self._tracer.start_as_current_span(f"sql {name}"):
            await asyncio.sleep(0)


def test_one_trace_for_each_request_on_a_kept_connection(programs: Programs) -> None:
    """With its handler's children in it, and nothing of another one."""
    names = ["1", "2", "3"]

    async def program() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Server(programs.tracer), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for name in names:
                writer.write(f"{name}\n".encode())
                assert b"done\n" == await reader.readline()
            writer.write_eof()
            assert b"" == await reader.read()
        writer.close()
        server.close()

    told = programs.run(program)
    traces = {told.place(f"request {name}")[0] for name in names}
    assert len(names) == len(traces)
    for name in names:
        request, query = told.other(f"request {name}"), told.task(f"query {name}")
        assert told.parent(request) is None
        assert told.place(request) == told.parent(query)
        assert told.place(query) == told.parent(told.other(f"sql {name}"))
        handler = told.task(f"handler {name}")
        assert told.parent(handler) is None
        assert handler.trace_id not in traces
        assert told.place(request) in [told.parent(each) for each in told.awaits(f"handler {name}")]


def test_what_is_left_over_is_dropped_and_the_rest_is_kept(programs: Programs) -> None:
    """Only the ended span goes; baggage stays as it was."""
    seen: list[tuple[object, trace.Span]] = []

    async def handler() -> None:
        seen.append((baggage.get_baggage("key"), trace.get_current_span()))
        await asyncio.sleep(0)

    async def program() -> None:
        loop = asyncio.get_running_loop()
        made: asyncio.Future[asyncio.Task[None]] = loop.create_future()
        token = otel_context.attach(baggage.set_baggage("key", "value"))
        with programs.tracer.start_as_current_span("before"):
            loop.call_soon(lambda: made.set_result(loop.create_task(handler(), name="handler")))
        otel_context.detach(token)
        await (await made)

    told = programs.run(program)
    assert [("value", trace.INVALID_SPAN)] == seen
    assert (told.place("before"), "created_by") in told.linked(told.task("handler"))


def test_a_span_that_is_still_open_stays_current(programs: Programs) -> None:
    """It may be the program's wish, and without aperf it were so, too."""
    seen: list[trace.Span] = []

    async def handler() -> None:
        seen.append(trace.get_current_span())
        await asyncio.sleep(0)

    async def program() -> None:
        loop = asyncio.get_running_loop()
        made: asyncio.Future[asyncio.Task[None]] = loop.create_future()
        with programs.tracer.start_as_current_span("serving") as serving:
            loop.call_soon(lambda: made.set_result(loop.create_task(handler())))
            await (await made)
        assert [serving] == seen

    programs.run(program)
