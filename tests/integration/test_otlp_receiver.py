"""Spans sent by aperf, read back from receivers that others wrote."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Literal

import pytest

from aperf.exporters.otlp import OtlpExporter
from aperf.model import (
    Category,
    Column,
    Detail,
    Event,
    Flag,
    Link,
    SessionInfo,
    SpanBatch,
    SpanContext,
    Template,
    ThreadInfo,
)
from tests.mock_otlp_server import mockotlpserver
from tests.receivers import RECEIVERS, ReceivedSpan, Receiver, ddapm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Protocol = Literal["grpc", "http/protobuf"]

__all__ = ("ddapm", "mockotlpserver")  # fixtures: pytest finds them by their names in this module

# Making the receiver's environment takes a minute on a fresh machine.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

both_protocols = pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])

NOW_NS = 1_790_000_000_000_000_000
TRACE_ID = 0x0123456789ABCDEF_FEDCBA9876543210


@pytest.fixture(params=RECEIVERS)
def agent(request: pytest.FixtureRequest) -> Iterator[Receiver]:
    """A receiver, empty."""
    receiver: Receiver = request.getfixturevalue(request.param)
    receiver.clear()
    yield receiver
    receiver.clear()


def in_s(seconds: float) -> int:
    """Return a deadline."""
    return time.monotonic_ns() + int(seconds * 1e9)


def add_row(batch: SpanBatch, **values: int) -> None:
    """Add a sampled row of the trace, with these values."""
    known = {
        "FLAGS": Flag.SAMPLED,
        "TRACE_HI": TRACE_ID >> 64,
        "TRACE_LO": TRACE_ID & (1 << 64) - 1,
    } | values
    batch.rows.extend(int(known.get(column.name, 0)) for column in Column)


def hand_made_batch() -> SpanBatch:
    """Return a task, an await in it, and a failed span with everything that a span may have."""
    batch = SpanBatch(
        templates=[
            Template(Category.TASK, "main", (("code.line.number", 3),)),
            Template(Category.AWAIT, "await Queue.get", (("aperf.wait.kind", "queue_get"),)),
            Template(Category.USER, "checkout"),
        ],
        threads=[ThreadInfo(0, ""), ThreadInfo(140_000_000_000_000, "MainThread")],
        texts=["", "Task-1"],
        details=[
            Detail(),
            Detail(
                attributes=(("items", ("a", "b")), ("price", 2.5), ("paid", False), ("ü", "ß")),
                events=(Event("exception", NOW_NS, (("exception.type", "ValueError"),)),),
                links=(Link(SpanContext(TRACE_ID, 99), (("aperf.link", "previous"),)),),
                status_message="no money",
            ),
        ],
    )
    task = {"TASK": 5, "BUSY": 10, "READY": 20, "WAITING": 70, "STEPS": 4, "THREAD": 1, "TEXT": 1}
    add_row(batch, TEMPLATE=0, SPAN=1, START=NOW_NS, END=NOW_NS + 100, **task)
    link = {"LINK_HI": TRACE_ID >> 64, "LINK_LO": 7, "LINK_SPAN": 8}
    times = {"START": NOW_NS + 10, "END": NOW_NS + 30}
    add_row(batch, TEMPLATE=1, SPAN=2, PARENT=1, READY=300, **times, **link)
    flags = Flag.SAMPLED | Flag.ERROR
    add_row(batch, TEMPLATE=2, SPAN=3, PARENT=1, FLAGS=flags, DETAIL=1, **times)
    return batch


def endpoint_of(agent: Receiver, protocol: Protocol) -> str:
    """Return where the receiver takes what a protocol carries."""
    return agent.endpoint if protocol == "grpc" else agent.http_url


def send(agent: Receiver, batch: SpanBatch, protocol: Protocol) -> dict[str, ReceivedSpan]:
    """Send a batch; return what arrived, by name."""
    exporter = OtlpExporter(endpoint_of(agent, protocol), protocol=protocol)
    resource = (("service.name", "shop"), ("process.pid", 7))
    exporter.start(SessionInfo(service_name="shop", resource=resource, version="1.2"))
    exporter.export(batch, in_s(5))
    assert exporter.shutdown(in_s(20))
    return {span.name: span for span in agent.spans()}


@both_protocols
def test_hand_made_batch(agent: Receiver, protocol: Protocol) -> None:
    """Names, parents, times, attributes, links, events and status arrive as they were sent."""
    spans = send(agent, hand_made_batch(), protocol)
    assert {"main", "await Queue.get", "checkout"} == spans.keys()
    task, waiting, failed = spans["main"], spans["await Queue.get"], spans["checkout"]

    assert {f"{TRACE_ID:032x}"} == {span.trace_id for span in spans.values()}
    assert ("", f"{1:016x}") == (task.parent_span_id, task.span_id)
    assert task.span_id == waiting.parent_span_id == failed.parent_span_id
    assert (NOW_NS, NOW_NS + 100) == (task.start_ns, task.end_ns)
    assert (NOW_NS + 10, NOW_NS + 30) == (waiting.start_ns, waiting.end_ns)

    assert {
        "code.line.number": 3,
        "thread.id": 140_000_000_000_000,
        "thread.name": "MainThread",
        "asyncio.task.name": "Task-1",
        "aperf.task.id": 5,
        "aperf.task.steps": 4,
        "aperf.busy_ns": 10,
        "aperf.ready_ns": 20,
        "aperf.waiting_ns": 70,
    } == task.attributes
    assert {"aperf.wait.kind": "queue_get", "aperf.ready_ns": 300} == waiting.attributes
    assert {"items": ["a", "b"], "price": 2.5, "paid": False, "ü": "ß"} == failed.attributes

    (waker,) = waiting.links
    assert (f"{TRACE_ID >> 64:016x}{7:016x}", f"{8:016x}") == (waker.trace_id, waker.span_id)
    assert {"aperf.link": "woken_by"} == waker.attributes
    (link,) = failed.links
    assert (f"{99:016x}", {"aperf.link": "previous"}) == (link.span_id, link.attributes)
    (event,) = failed.events
    assert {"name": "exception", "attributes": {"exception.type": "ValueError"}} == event
    assert {"code": "STATUS_CODE_ERROR", "message": "no money"} == failed.status
    assert {0x101} == {span.flags for span in spans.values()}
    assert {"aperf"} == {span.scope for span in spans.values()}
    assert {"service.name": "shop", "process.pid": 7} == task.resource


PROGRAM = """
import asyncio

import aperf


async def consume(queue):
    await queue.get()


async def main():
    aperf.instrument_loop()
    await asyncio.sleep(0)  # a running task is adopted when it is woken the next time
    queue = asyncio.Queue()
    task = asyncio.create_task(consume(queue), name="consumer")
    await asyncio.sleep(0.02)
    queue.put_nowait(1)
    await task


asyncio.run(main())
"""


def test_same_over_both(agent: Receiver) -> None:
    """What arrives owes nothing to the protocol that carried it."""
    by_grpc = send(agent, hand_made_batch(), "grpc")
    agent.clear()
    assert by_grpc == send(agent, hand_made_batch(), "http/protobuf")


@both_protocols
def test_program_spans_arrive(agent: Receiver, tmp_path: Path, protocol: Protocol) -> None:
    """A program that asks for telemetry by its environment is seen task by task, wait by wait."""
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    environment = {
        "TELEMETRY_ENABLED": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint_of(agent, protocol),
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_SERVICE_NAME": "program",
    }
    before_ns = time.time_ns()
    done = subprocess.run(
        [sys.executable, script],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    after_ns = time.time_ns()
    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)

    by_name = {span.name: span for span in agent.spans()}
    main, consume = by_name["main"], by_name["consume"]
    got, slept = by_name["await Queue.get"], by_name["await sleep"]
    assert "" == main.parent_span_id
    assert main.span_id == consume.parent_span_id
    assert {main.trace_id} == {span.trace_id for span in (main, consume, got, slept)}
    assert before_ns <= main.start_ns <= consume.start_ns <= consume.end_ns <= main.end_ns
    assert main.end_ns <= after_ns
    assert "consumer" == consume.attributes["asyncio.task.name"]
    for task in (main, consume):
        parts = (task.attributes[f"aperf.{part}_ns"] for part in ("busy", "ready", "waiting"))
        assert task.end_ns - task.start_ns == sum(parts)

    assert consume.span_id == got.parent_span_id
    assert "queue_get" == got.attributes["aperf.wait.kind"]
    assert str(script) == got.attributes["code.file.path"]
    assert 8 == got.attributes["code.line.number"]
    assert [main.span_id] == [link.span_id for link in got.links]
    assert main.span_id == slept.parent_span_id
    # An await begins where its task is suspended: on a busy machine long after the timer began.
    assert main.start_ns <= slept.start_ns < slept.end_ns <= main.end_ns
    assert main.end_ns - main.start_ns >= 20_000_000
