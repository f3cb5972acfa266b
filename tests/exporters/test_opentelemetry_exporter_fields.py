"""What the SDK's own OTLP exporter makes of aperf's spans is what aperf sends itself."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits
from opentelemetry.trace import SpanKind

import aperf
from aperf.exporters import MemoryExporter
from aperf.exporters._opentelemetry_spans import SpanBuilder
from aperf.exporters.opentelemetry import OpenTelemetryExporter
from aperf.model import (
    Category,
    Column,
    Detail,
    Event,
    Flag,
    Link,
    SpanBatch,
    SpanContext,
    Template,
    ThreadInfo,
)
from aperf.protocol.otlp import Encoder
from tests.opentelemetry_sdk import RESOURCE, Collecting
from tests.watched import run_plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SCHEMA_URL = "https://example.com/schema"
UNLIMITED = SpanLimits(*[SpanLimits.UNSET] * 8)

# ---------------------------------------------------------------------------------- comparing


def by_id(requests: Iterable[ExportTraceServiceRequest]) -> dict[bytes, Any]:
    """Return the spans of requests without that in which the two ways may differ."""
    spans = [
        span
        for request in requests
        for resource_spans in request.resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    ]
    for span in spans:
        _normalize(span)
    found = {span.span_id: span for span in spans}
    assert len(spans) == len(found)
    return found


def _normalize(span: Any) -> None:
    for message in (span, *span.events, *span.links):
        message.attributes.sort(key=lambda pair: pair.key)
    # The SDK's encoder knows of W3C's flags only whether a parent is remote, if there is one.
    span.flags &= 0x300 if span.parent_span_id else 0x100
    for link in span.links:
        link.flags = 0
    if not span.status.code:  # a description is for errors
        span.ClearField("status")


def ours(batches: Iterable[SpanBatch]) -> dict[bytes, Any]:
    """Return what aperf sends itself."""
    encoder = Encoder((), "aperf", "1.2", SCHEMA_URL)
    parse = ExportTraceServiceRequest.FromString
    return by_id([parse(encoder.encode(batch)) for batch in batches])


def theirs(spans: Sequence[ReadableSpan]) -> dict[bytes, Any]:
    """Return what the SDK sends."""
    return by_id([encode_spans(spans)])


def built(batch: SpanBatch, limits: SpanLimits = UNLIMITED) -> list[ReadableSpan]:
    """Return the SDK's spans of a batch."""
    return SpanBuilder("1.2", SCHEMA_URL, limits).build(batch, 0, len(batch), RESOURCE)


# -------------------------------------------------------------------------------- rich programs


async def rich_program() -> None:
    """Have tasks of all ends, awaits of many kinds, jobs, user spans with all they can have."""

    async def fail() -> None:
        await asyncio.sleep(0.002)
        raise ValueError("ü\ud800")

    queue: asyncio.Queue[int] = asyncio.Queue()
    with aperf.span("order", count=3, price=2.5, paid=True, items=["a", "ß"], huge=1 << 70) as span:
        span.add_event("packed", {"weight": 1.5})
        waiting = asyncio.create_task(queue.get(), name="consumer")
        await asyncio.gather(asyncio.sleep(0.001), fail(), return_exceptions=True)
        queue.put_nowait(1)
        await waiting
        await asyncio.to_thread(int)
    endless = asyncio.create_task(asyncio.sleep(20))
    await asyncio.sleep(0)
    endless.cancel()
    await asyncio.wait([endless])
    asyncio.get_running_loop().call_soon(lambda: spawned.append(asyncio.ensure_future(queue.get())))
    spawned: list[asyncio.Future[int]] = []
    await asyncio.sleep(0.001)


def test_a_rich_program() -> None:
    """Nothing differs in what a session delivers either way."""

    async def main() -> None:
        async with aperf.session(enabled=True, exporters=[memory, exporter]):
            await rich_program()

    collecting, memory = Collecting(), MemoryExporter()
    exporter = OpenTelemetryExporter(collecting.provider)
    run_plain(main())
    batches = list(dict.fromkeys(span._batch for span in memory.spans))
    expected, actual = ours(batches), theirs(collecting.spans)
    assert expected == actual
    categories = {span.category for span in memory.spans}
    assert {Category.TASK, Category.AWAIT, Category.USER, Category.EXECUTOR} <= categories
    assert any(span.events for span in collecting.spans)
    assert any(span.links for span in collecting.spans)
    assert any(not span.status.is_ok for span in collecting.spans)
    assert any(span.parent is None for span in collecting.spans)


# ------------------------------------------------------------------------------------ any batch

UINT64 = (1 << 64) - 1

any_text = st.text(st.characters(codec=None), max_size=8)  # with lone surrogates
scalars = any_text | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats(allow_nan=False)
values = scalars | st.lists(any_text, max_size=3) | st.lists(st.integers(), max_size=3).map(tuple)
keys = st.text("abü", min_size=1, max_size=3) | st.sampled_from(
    ["aperf.ready_ns", "aperf.cancelled", "thread.id", "asyncio.task.name"]
)
attribute_sets: st.SearchStrategy[Any] = st.dictionaries(keys, values, max_size=4).map(
    lambda pairs: tuple(pairs.items())
)
contexts = st.builds(
    SpanContext, st.integers(1, (1 << 128) - 1), st.integers(1, UINT64), st.booleans()
)
details = st.builds(
    Detail,
    attribute_sets,
    st.lists(st.builds(Event, any_text, st.integers(0, UINT64), attribute_sets), max_size=2).map(
        tuple
    ),
    st.lists(st.builds(Link, contexts, attribute_sets), max_size=2).map(tuple),
    any_text,
)
templates = st.builds(Template, st.sampled_from(Category), any_text, attribute_sets)
ids = st.integers(1, UINT64)
numbers = st.integers(0, UINT64) | st.integers(0, 1000)


@st.composite
def batches(draw: st.DrawFn) -> SpanBatch:
    """Return any batch that the model allows."""
    batch = SpanBatch(
        templates=draw(st.lists(templates, min_size=1, max_size=3)),
        threads=[ThreadInfo(0, ""), draw(st.builds(ThreadInfo, numbers, any_text))],
        texts=["", draw(any_text)],
        details=[Detail(), draw(details)],
    )
    columns = {
        Column.TEMPLATE: st.integers(0, len(batch.templates) - 1),
        Column.FLAGS: st.sampled_from([0, 1, 1, 3]) | st.integers(0, sum(Flag)),
        Column.TRACE_LO: ids,
        Column.PARENT: st.just(0) | ids,
        Column.LINK_LO: ids,
        Column.LINK_SPAN: st.just(0) | ids,
        **dict.fromkeys((Column.THREAD, Column.TEXT, Column.DETAIL), st.integers(0, 1)),
    }
    rows = st.lists(st.tuples(*[columns.get(column, numbers) for column in Column]), max_size=4)
    for span_id, row in enumerate(draw(rows), 1):
        batch.rows.extend((*row[: Column.SPAN], span_id, *row[Column.SPAN + 1 :]))
    return batch


@settings(deadline=None)  # the first example pays for the imports
@given(batches())
def test_any_batch(batch: SpanBatch) -> None:
    """Whatever a batch holds, both ways send the same."""
    assert ours([batch]) == theirs(built(batch))


# --------------------------------------------------------------------------- beside the encoding


def test_what_is_not_encoded() -> None:
    """Kind, scope, resource and flags are what processors expect."""
    batch = SpanBatch([Template(Category.USER, "order")], [ThreadInfo(0, "")])
    row = {"FLAGS": Flag.SAMPLED | Flag.REMOTE_PARENT, "TRACE_LO": 1, "SPAN": 2, "PARENT": 3}
    batch.rows.extend(int(row.get(column.name, 0)) for column in Column)
    (span,) = built(batch)
    assert SpanKind.INTERNAL is span.kind
    assert RESOURCE is span.resource
    scope = span.instrumentation_scope
    assert scope is not None
    assert ("aperf", "1.2", SCHEMA_URL) == (scope.name, scope.version, scope.schema_url)
    assert (1, False) == (span.context.trace_flags, span.context.is_remote)
    assert span.parent is not None
    assert (3, 1, True) == (span.parent.span_id, span.parent.trace_flags, span.parent.is_remote)
    assert '"name": "order"' in span.to_json()


def test_each_span_has_its_own_attributes() -> None:
    """Some processors write into them, though nothing allows it."""
    batch = SpanBatch([Template(Category.AWAIT, "await", (("a", 1),))], [ThreadInfo(0, "")])
    for span_id in (1, 2):
        batch.rows.extend((0, 1, 1, 2, span_id, 0, 10, 20, 1, 0, 5, *[0] * 8))
    first, second = built(batch)
    attributes: Any = first._attributes
    attributes["b"] = 2
    assert {"a": 1, "aperf.ready_ns": 5} == dict(second.attributes or {})


def rich_batch() -> SpanBatch:
    """Return a span with three of everything."""
    three = (("a", "long text"), ("b", ("long text", "x")), ("c", 3))
    links = tuple(Link(SpanContext(1, number), three) for number in (1, 2, 3))
    detail = Detail(
        three, tuple(Event(f"event {number}", number, three) for number in (1, 2, 3)), links
    )
    batch = SpanBatch(
        [Template(Category.USER, "order", three[:1])],
        [ThreadInfo(0, "")],
        details=[Detail(), detail],
    )
    row = {"FLAGS": 1, "TRACE_LO": 1, "SPAN": 2, "DETAIL": 1}
    batch.rows.extend(row.get(column.name, 0) for column in Column)
    return batch


@pytest.mark.parametrize("most", [0, 2, 3])
def test_limits(most: int, caplog: pytest.LogCaptureFixture) -> None:
    """The first ones are kept, values are cut, and what is left out is counted without a word."""
    limits = SpanLimits(
        max_attributes=most, max_events=most, max_links=most, max_attribute_length=4
    )
    (span,) = built(rich_batch(), limits)
    (encoded,) = theirs([span]).values()
    left_out = 3 - most
    three = {"a": "long", "b": ("long", "x"), "c": 3}
    expected = dict(list(three.items())[:most])
    assert expected == dict(span.attributes or {})
    assert left_out == span.dropped_attributes == encoded.dropped_attributes_count
    assert [f"event {number}" for number in range(1, most + 1)] == [e.name for e in span.events]
    assert left_out == span.dropped_events == encoded.dropped_events_count
    assert list(range(1, most + 1)) == [link.context.span_id for link in span.links]
    assert left_out == span.dropped_links == encoded.dropped_links_count
    parts: list[Any] = [*span.events, *span.links]
    for part in parts:
        assert expected == dict(part.attributes or {})
        assert left_out == part.dropped_attributes
    assert not caplog.records


def test_no_limits() -> None:
    """Everything arrives as it is."""
    (span,) = built(rich_batch())
    assert 3 == len(span.events) == len(span.links)
    assert "long text" == (span.attributes or {})["a"]
    assert not span.dropped_attributes + span.dropped_events + span.dropped_links


def test_values_that_otlp_does_not_know() -> None:
    """They are text, or an exporter would lose them or the whole batch."""
    odd: Any = (("big", 1 << 70), ("bytes", b"x"), ("none", None), ("nan", math.nan))
    batch = SpanBatch([Template(Category.USER, "order", odd)], [ThreadInfo(0, "")])
    batch.rows.extend((0, 1, 1, 2, 3, *[0] * 14))
    (span,) = built(batch)
    attributes = dict(span.attributes or {})
    assert math.isnan(attributes.pop("nan"))  # type: ignore[arg-type]
    assert {"big": str(1 << 70), "bytes": "b'x'", "none": "None"} == attributes
