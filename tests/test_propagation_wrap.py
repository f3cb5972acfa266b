"""Functions that take the trace along to threads and processes."""

from __future__ import annotations

import asyncio
import functools
import inspect
import multiprocessing
import pickle
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context

from aperf._propagation import TraceHeaders, current_trace_headers, wrap
from tests.opentelemetry_sdk import Collecting
from tests.propagated import PARENT, Seen, look, look_later, raising

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from opentelemetry.trace import Span

IS_MARKED = sys.version_info >= (3, 12)  # before, inspect knows no mark for coroutine functions


@pytest.fixture
def request_span() -> Iterator[Span]:
    """A span of the program's own, which is current, with baggage."""
    with Collecting().provider.get_tracer("test").start_as_current_span("request") as span:
        token = otel_context.attach(baggage.set_baggage("user", "7"))
        yield span
        otel_context.detach(token)


def ids(span: Span) -> tuple[int, int]:
    """Return the ids of trace and span."""
    context = span.get_span_context()
    return context.trace_id, context.span_id


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_worker_processes(request_span: Span, method: str) -> None:
    """A worker sees the trace of who submitted the work, and its baggage, for that work only."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
        inside, outside = pool.submit(wrap(look), 1).result(), pool.submit(look).result()
    assert Seen(*ids(request_span), True, False, {"user": "7"}) == inside
    assert Seen(0, 0, False, False, {}) == outside


def test_fork(request_span: Span) -> None:
    """A forked process does not write to its copies of its parent's spans."""
    receiving, sending = multiprocessing.Pipe(duplex=False)
    wrapped = wrap(look)

    def work() -> None:
        sending.send(wrapped())

    process = multiprocessing.get_context("fork").Process(target=work, daemon=True)
    process.start()
    assert Seen(*ids(request_span), True, False, {"user": "7"}) == receiving.recv()
    process.join()


@pytest.mark.parametrize("times", [1, 3])
def test_pickled(request_span: Span, times: int) -> None:
    """It stays the same however often it is handed on."""
    wrapped = wrap(functools.partial(look, 1))
    for _ in range(times):
        wrapped = pickle.loads(pickle.dumps(wrapped))
    otel_context.attach(otel_context.Context())  # a worker has nothing of the kind
    assert Seen(*ids(request_span), True, False, {"user": "7"}) == wrapped()


def test_threads(request_span: Span) -> None:
    """In a thread the very span is current: it can be written to."""
    seen: list[Span] = []

    def work() -> None:
        seen.append(trace.get_current_span())

    thread = threading.Thread(target=wrap(work))
    thread.start()
    thread.join()
    assert [request_span] == seen


def test_executors(request_span: Span) -> None:
    """Threads of a pool have the trace for the work alone, and not for what comes next."""

    async def program() -> list[Seen]:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as pool:
            inside = await loop.run_in_executor(pool, wrap(look))
            outside = await loop.run_in_executor(pool, look)
        return [inside, outside, await asyncio.to_thread(wrap(look), "argument")]

    mine = Seen(*ids(request_span), False, True, {"user": "7"})
    assert [mine, Seen(0, 0, False, False, {}), mine] == asyncio.run(program())


def test_coroutines() -> None:
    """A coroutine runs in the trace of where its function was wrapped, and its caller does not."""
    with TraceHeaders(traceparent=PARENT).attach():
        wrapped = wrap(look_later)

    async def program() -> tuple[Seen, Seen]:
        return await wrapped(), look()

    inside, outside = asyncio.run(program())
    assert (int(PARENT[3:35], 16), 0) == (inside.trace_id, outside.trace_id)
    again = pickle.loads(pickle.dumps(wrapped))
    assert inside == asyncio.run(again())
    assert IS_MARKED == inspect.iscoroutinefunction(again)


def test_objects_with_a_coroutine() -> None:
    """Objects that are called count by what their call is."""

    class Handler:
        async def __call__(self) -> Seen:
            await asyncio.sleep(0)
            return look()

    with TraceHeaders(traceparent=PARENT).attach():
        wrapped = wrap(Handler())
    assert int(PARENT[3:35], 16) == asyncio.run(wrapped()).trace_id


def test_looks_like_the_function() -> None:
    """Name, documentation and signature are the function's; exceptions pass."""
    wrapped: Any = wrap(raising)
    assert ("raising", "Fail.") == (wrapped.__name__, wrapped.__doc__)
    assert inspect.signature(raising) == inspect.signature(wrapped)
    with pytest.raises(LookupError, match="on purpose"):
        wrapped()


def test_outside_of_a_trace() -> None:
    """There it changes nothing but that a trace found later does not count."""
    wrapped = wrap(current_trace_headers)
    assert wrapped() is None
    with TraceHeaders(traceparent=PARENT).attach():
        assert wrapped() is None


def test_what_cannot_be_wrapped() -> None:
    """Generators run after the call, and what is no function not at all."""

    def items() -> Iterator[int]:
        yield 1

    async def later() -> AsyncIterator[int]:
        yield 1

    for function in (items, later):
        with pytest.raises(TypeError, match="it is a generator"):
            wrap(function)
    wrong: Any = "look"
    with pytest.raises(TypeError, match="'look' is not accepted"):
        wrap(wrong)
