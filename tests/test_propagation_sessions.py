"""Tracing sessions: one id for all that happens in a block."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING

import pytest
from opentelemetry import baggage
from opentelemetry import context as otel_context

import aperf
from aperf._propagation import (
    current_trace_headers,
    current_tracing_session,
    tracing_session,
    wrap,
)
from aperf.model import Category
from tests.opentelemetry_sdk import Collecting
from tests.otel_tree import Programs
from tests.propagated import look

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aperf._recorder import Recorder
    from tests.watched import LoopFactory

KEY = "rerun_session_id"


@pytest.fixture
def programs(twin: type[Recorder], lazy_loop_factory: LoopFactory) -> Programs:
    """Runs programs on both twins, asyncio's loop and uvloop's."""
    return Programs(lazy_loop_factory)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """What was current before is so after."""
    before = otel_context.get_current()
    yield
    assert before is otel_context.get_current()


def test_ids() -> None:
    """Each session has an id of its own, which code inside can ask for."""
    found = []
    for _ in range(2):
        with tracing_session() as session_id:
            assert re.fullmatch("rs_[0-9a-f]{8}", session_id)
            assert session_id == current_tracing_session()
            found.append(session_id)
    assert 2 == len(set(found))
    assert current_tracing_session() is None


def test_nested() -> None:
    """The inner session counts while it lasts, also if it fails."""
    with tracing_session() as outer:
        with tracing_session() as inner:
            assert inner == current_tracing_session()
        with pytest.raises(LookupError), tracing_session():
            raise LookupError
        assert inner != outer
        assert outer == current_tracing_session()


def test_tasks_and_threads() -> None:
    """Tasks and wrapped functions are in the session in which they were made."""

    async def child() -> str | None:
        await asyncio.sleep(0)
        return current_tracing_session()

    async def program() -> tuple[str, list[str | None]]:
        loop = asyncio.get_running_loop()
        outside = asyncio.create_task(child())
        async with tracing_session() as session_id:
            inside = [
                await asyncio.create_task(child()),
                await loop.run_in_executor(None, wrap(current_tracing_session)),
            ]
        return session_id, [*inside, await outside]

    session_id, found = asyncio.run(program())
    assert [session_id, session_id, None] == found


def test_sent_along() -> None:
    """Other processes are told in the baggage, beside what is there."""
    with Collecting().provider.get_tracer("test").start_as_current_span("request"):
        token = otel_context.attach(baggage.set_baggage("user", "7"))
        with tracing_session(key="work.id") as session_id:
            headers = current_trace_headers()
            assert {"user": "7", "work.id": session_id} == look().baggage
        otel_context.detach(token)
    assert headers is not None
    assert f"user=7,work.id={session_id}" == headers.baggage
    with headers.attach():
        assert session_id == current_tracing_session(key="work.id")
        assert current_tracing_session() is None


@pytest.mark.parametrize(
    "value",
    ["", "rs_", "rs_1234567", "rs_123456789", "rs_1234567G", "RS_12345678", "rs_ABCDEF01", 7],
)
def test_what_is_no_id(value: object) -> None:
    """What others have put there counts only if it is an id."""
    token = otel_context.attach(baggage.set_baggage(KEY, value))
    found = current_tracing_session()
    otel_context.detach(token)
    assert found is None


def test_the_span_around_it() -> None:
    """The program's own span around the session tells its id."""
    collecting = Collecting()
    tracer = collecting.provider.get_tracer("test")
    with tracer.start_as_current_span("request"), tracing_session() as session_id:
        pass
    assert {KEY: session_id} == dict(collecting.spans[0].attributes or {})


def test_a_named_session_is_a_span(programs: Programs) -> None:
    """With a name the block is a span, opened where the program says so."""
    started: list[str] = []

    async def program() -> None:
        async with tracing_session("nightly import") as session_id:
            started.append(session_id)
            await asyncio.sleep(0)

    told = programs.run(program)
    attributes = dict(told.user("nightly import").attributes)
    assert started[0] == attributes[KEY]
    assert __file__ == attributes["code.file.path"]


def test_the_task_around_it(programs: Programs) -> None:
    """The task that begins the session tells its id; with a name its span does so, too."""
    started: list[str] = []

    async def work() -> None:
        with tracing_session() as session_id:
            started.append(session_id)

    async def program() -> None:
        await asyncio.create_task(work(), name="work")

    told = programs.run(program)
    assert started[0] == dict(told.task("work").attributes)[KEY]
    assert not [span for span in told.ours if span.category is Category.USER]


def test_log_lines(caplog: pytest.LogCaptureFixture) -> None:
    """Begin and end are told, the end only if the block does not fail."""
    with caplog.at_level(logging.INFO, "aperf"):
        with tracing_session() as first:
            pass
        with pytest.raises(LookupError), tracing_session() as second:
            raise LookupError
    started, finished, again = (record.getMessage() for record in caplog.records)
    assert f"tracing session started: {first}" == started
    assert re.fullmatch(
        f"tracing session finished: {first} elapsed_s=[0-9]+[.][0-9]{{3}}", finished
    )
    assert f"tracing session started: {second}" == again


@pytest.mark.parametrize("key", ["", "a b", "a=b", "ä", "a,b"])
def test_keys_that_baggage_cannot_have(key: str) -> None:
    """A key that could not be sent is refused where it is given."""
    with pytest.raises(ValueError, match=r"tracing_session: key=.* is not accepted"):
        tracing_session(key=key)


def test_with_aperf_off() -> None:
    """Ids go along also where aperf records nothing."""
    assert not aperf.is_active()
    with tracing_session("unseen") as session_id:
        assert session_id == current_tracing_session()
