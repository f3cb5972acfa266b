"""What the encoder writes, the official protobuf classes must read as the spans of the batch."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2

from aperf.model import (
    WIDTH,
    Attributes,
    Category,
    Column,
    Detail,
    Event,
    Flag,
    Link,
    Span,
    SpanBatch,
    SpanContext,
    Template,
    ThreadInfo,
)
from aperf.protocol.otlp import EncodedSpans, Encoder, pack
from aperf.protocol.otlp._await_rows import records
from aperf.protocol.otlp._wire import VARINT, _read_value, _read_varint

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

UINT64 = (1 << 64) - 1

# ---------------------------------------------------------------------------------- reading back


def decode(data: bytes) -> list[trace_pb2.Span]:
    """Return the spans of a request."""
    request = ExportTraceServiceRequest.FromString(data)
    return [
        span
        for resource_spans in request.resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    ]


def python_value(value: AnyValue) -> Any:
    """Return what an AnyValue holds."""
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [python_value(item) for item in value.array_value.values]
        case "kvlist_value":
            return dict_of(value.kvlist_value.values)
        case field:
            return getattr(value, field)


def dict_of(pairs: Sequence[KeyValue]) -> dict[str, Any]:
    """Return attributes as a dict; none may come twice."""
    keys = [pair.key for pair in pairs]
    assert len(set(keys)) == len(keys)
    return {pair.key: python_value(pair.value) for pair in pairs}


def expected_value(value: object) -> Any:
    """Return what must arrive of an attribute's value."""
    match value:
        case str():
            return expected_text(value)
        case bool() | float() | bytes() | None:
            return value
        case int():
            return value if -(1 << 63) <= value < 1 << 63 else str(value)
        case Mapping():
            return {expected_text(key): expected_value(item) for key, item in value.items()}
        case Sequence():
            return [expected_value(item) for item in value]
    raise TypeError(value)


def expected_text(value: str) -> str:
    """Return what must arrive of a string: UTF-8."""
    return value.encode("utf-8", "replace").decode()


def expected_dict(pairs: Attributes | Mapping[str, object]) -> dict[str, Any]:
    """Return what must arrive of attributes."""
    return {expected_text(k): expected_value(v) for k, v in dict(pairs).items()}


def same(left: Any, right: Any) -> bool:
    """Compare type and value; NaN equals NaN, 1 does not equal True."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left):
        return math.isnan(right)
    return type(left) is type(right) and bool(left == right)


def assert_link(expected: Link, actual: trace_pb2.Span.Link) -> None:
    """Compare a link with what arrived."""
    assert expected.context.trace_id == int.from_bytes(actual.trace_id, "big")
    assert expected.context.span_id == int.from_bytes(actual.span_id, "big")
    assert int(expected.context.sampled) == actual.flags
    assert same(expected_dict(expected.attributes), dict_of(actual.attributes))


def assert_event(expected: Event, actual: trace_pb2.Span.Event) -> None:
    """Compare an event with what arrived."""
    assert expected_text(expected.name) == actual.name
    assert expected.time_ns == actual.time_unix_nano
    assert same(expected_dict(expected.attributes), dict_of(actual.attributes))


def assert_span(expected: Span, actual: trace_pb2.Span) -> None:
    """Compare a span with what arrived."""
    assert expected.trace_id.to_bytes(16, "big") == actual.trace_id
    assert expected.span_id.to_bytes(8, "big") == actual.span_id
    parent = expected.parent_span_id
    assert (parent.to_bytes(8, "big") if parent else b"") == actual.parent_span_id
    assert actual.trace_state == ""
    assert expected_text(expected.name) == actual.name
    assert actual.kind == trace_pb2.Span.SPAN_KIND_INTERNAL
    assert expected.start_ns == actual.start_time_unix_nano
    assert expected.end_ns == actual.end_time_unix_nano
    assert same(expected_dict(expected.attributes), dict_of(actual.attributes))
    for expected_event, event in zip(expected.events, actual.events, strict=True):
        assert_event(expected_event, event)
    for expected_link, link in zip(expected.links, actual.links, strict=True):
        assert_link(expected_link, link)
    assert expected.status.value == actual.status.code
    assert expected_text(expected.status_message) == actual.status.message
    assert (0x301 if expected.flags & Flag.REMOTE_PARENT else 0x101) == actual.flags


def assert_agrees(batch: SpanBatch, data: bytes) -> None:
    """Compare the sampled spans of a batch with those of a request."""
    sampled = [span for span in batch if span.flags & Flag.SAMPLED]
    for expected, actual in zip(sampled, decode(data), strict=True):
        assert_span(expected, actual)


# ---------------------------------------------------------------------------------- any batch

any_text = st.text(st.characters(codec=None), max_size=12)  # with lone surrogates
scalars = (
    any_text
    | st.booleans()
    | st.integers()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats()
    | st.binary(max_size=8)
)
values = st.recursive(
    scalars | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple),
    max_leaves=6,
) | st.dictionaries(st.text(max_size=3), scalars, max_size=2)
keys = any_text | st.sampled_from(
    ["code.function.name", "aperf.ready_ns", "aperf.cancelled", "thread.id", "asyncio.task.name"]
)


def unique_when_encoded(pairs: dict[str, Any]) -> bool:
    """Say whether the keys still differ in UTF-8."""
    return len({expected_text(key) for key in pairs}) == len(pairs)


attribute_sets: st.SearchStrategy[Any] = (
    st.dictionaries(keys, values, max_size=4)
    .filter(unique_when_encoded)
    .map(lambda pairs: tuple(pairs.items()))
)
contexts = st.builds(
    SpanContext, st.integers(1, (1 << 128) - 1), st.integers(1, UINT64), st.booleans()
)
events = st.builds(Event, any_text, st.integers(0, UINT64), attribute_sets)
links = st.builds(Link, contexts, attribute_sets)
details = st.builds(
    Detail,
    attribute_sets,
    st.lists(events, max_size=2).map(tuple),
    st.lists(links, max_size=2).map(tuple),
    any_text,
)
templates = st.builds(Template, st.sampled_from(Category), any_text, attribute_sets)
plain_awaits = st.builds(
    Template, st.just(Category.AWAIT), any_text, st.just((("code.line.number", 7),))
)

ids = st.integers(1, UINT64)
counts = st.integers(0, UINT64) | st.integers(0, 1000) | st.integers(0, 1 << 56)


@st.composite
def batches(draw: st.DrawFn) -> SpanBatch:
    """Return any batch that the model allows."""
    threads = [ThreadInfo(0, ""), *draw(st.lists(st.builds(ThreadInfo, counts, any_text)))]
    batch = SpanBatch(
        templates=draw(st.lists(templates | plain_awaits, min_size=1, max_size=4)),
        threads=threads,
        texts=["", *draw(st.lists(any_text, max_size=2))],
        details=[Detail(), *draw(st.lists(details, max_size=2))],
    )

    def index_of(table: Sequence[object]) -> st.SearchStrategy[int]:
        return st.just(0) | st.integers(0, len(table) - 1)

    columns = {
        Column.TEMPLATE: st.integers(0, len(batch.templates) - 1),
        Column.FLAGS: st.sampled_from([0, 1, 1, 1]) | st.integers(0, sum(Flag)),
        Column.SPAN: ids,
        Column.TRACE_LO: ids,
        Column.PARENT: st.just(0) | ids,
        Column.THREAD: index_of(batch.threads),
        Column.TEXT: index_of(batch.texts),
        Column.DETAIL: index_of(batch.details),
        Column.LINK_LO: ids,
        Column.LINK_SPAN: st.just(0) | ids,
    }
    row = st.tuples(*[columns.get(column, counts) for column in Column])
    for numbers in draw(st.lists(row, max_size=6)):
        batch.rows.extend(numbers)
    return batch


@settings(deadline=None)  # the first example pays for the imports
@given(batches())
def test_agrees_with_the_view(batch: SpanBatch) -> None:
    """Whatever a batch holds, the official classes read the spans that `Span` shows."""
    assert_agrees(batch, Encoder(()).encode(batch))


@settings(deadline=None)  # likewise, in another order of the tests
@given(attribute_sets)
def test_resource(resource: Attributes) -> None:
    """Attributes of the process arrive as the resource."""
    data = Encoder(resource).encode(SpanBatch([], []))
    (resource_spans,) = ExportTraceServiceRequest.FromString(data).resource_spans
    assert same(expected_dict(resource), dict_of(resource_spans.resource.attributes))


# ---------------------------------------------------------------------------------- known batches

AWAIT = Template(Category.AWAIT, "await sleep", (("aperf.wait.kind", "sleep"),), "sleep")
TASK = Template(Category.TASK, "main", (("code.function.name", "main"),))


def a_row(**values: int) -> list[int]:
    """Return a sampled row, with these values."""
    known = {"FLAGS": 1, "TRACE_HI": 1, "TRACE_LO": 2, "SPAN": 3, "PARENT": 4} | values
    return [known.get(column.name, 0) for column in Column]


def a_batch(*rows: list[int]) -> SpanBatch:
    """Return a batch of these rows."""
    batch = SpanBatch(
        templates=[AWAIT, TASK],
        threads=[ThreadInfo(0, ""), ThreadInfo(140_000_000_000_000, "MainThread")],
        texts=["", "Task-1"],
        details=[Detail(), Detail(status_message="ValueError")],
    )
    for row in rows:
        batch.rows.extend(row)
    return batch


def test_many_rows_of_all_kinds() -> None:
    """Rows that take the short way and rows that take the long way keep their order."""
    rows = [
        a_row(
            TEMPLATE=number % 7 == 0,
            SPAN=number + 1,
            READY=number**4,
            LINK_SPAN=number % 3,
            FLAGS=0 if number % 11 == 5 else 1,
            DETAIL=number % 13 == 1,
            THREAD=1,
            TEXT=1,
        )
        for number in range(1500)
    ]
    batch = a_batch(*rows)
    assert_agrees(batch, Encoder(()).encode(batch))


@pytest.mark.parametrize("ready", [0, 1, 127, 128, (1 << 56) - 1, 1 << 56, UINT64])
def test_ready_times(ready: int) -> None:
    """A ready time that does not fit the fixed width of the short way takes the long one."""
    batch = a_batch(a_row(READY=ready, LINK_SPAN=5), a_row(READY=3))
    assert_agrees(batch, Encoder(()).encode(batch))


def test_numbers_of_32_bits_are_short() -> None:
    """None takes more than 5 bytes: protobuf.js would read what follows from the wrong place."""
    record, position = records(array("Q", a_row(LINK_SPAN=5))) or b"", 0
    sizes = []
    while position < len(record):
        key, start = _read_varint(record, position)
        _, position = _read_value(record, start, key & 7)
        if key & 7 == VARINT:
            sizes.append(position - start)
    assert sizes
    assert 5 >= max(sizes)


@pytest.mark.parametrize("waker", [0, 8])
@pytest.mark.parametrize(
    "detail",
    [
        Detail(attributes=(("code.stacktrace", "main (app.py:1)\n" * 20),)),
        Detail(attributes=(("aperf.wait.kind", "set by the call site too"),)),
        Detail(attributes=(("aperf.ready_ns", "set by the row too"),)),
        Detail(attributes=(("a", 1),), links=(Link(SpanContext(5, 6)),)),
        Detail(events=(Event("woken", 7),)),
        Detail(status_message="late"),
    ],
    ids=["stack", "key of the call site", "key of the row", "link", "event", "status"],
)
def test_awaits_with_a_detail(detail: Detail, waker: int) -> None:
    """Attributes are added to the short way; whatever says more takes the long one."""
    batch = a_batch(a_row(READY=5, DETAIL=2, LINK_SPAN=waker), a_row(READY=7))
    batch.details.append(detail)
    assert_agrees(batch, Encoder(()).encode(batch))


def test_only_the_rows_asked_for() -> None:
    """`start` and `stop` mean what they mean in a slice."""
    batch = a_batch(*[a_row(SPAN=number) for number in range(1, 9)])
    data = Encoder(()).encode(batch, 2, 5)
    assert [3, 4, 5] == [int.from_bytes(span.span_id, "big") for span in decode(data)]


def test_templates_that_come_later() -> None:
    """A table that grew between two batches is read on from where it ended."""
    table = [TASK]
    first = SpanBatch(table, [], array("Q", a_row()))
    encoder = Encoder(())
    encoder.encode(first)
    table.append(AWAIT)
    second = SpanBatch(table, [], array("Q", a_row(TEMPLATE=1)))
    assert_agrees(second, encoder.encode(second))


def test_rows_are_left_alone() -> None:
    """Encoding reads a batch and changes nothing in it."""
    batch = a_batch(a_row(READY=5), a_row(TEMPLATE=1))
    before = batch.rows[:]
    Encoder(()).encode(batch)
    assert before == batch.rows


def test_scope_and_schema() -> None:
    """The scope says who recorded, and the schema URL by which conventions."""
    encoder = Encoder((("service.name", "shop"),), "aperf", "1.2", "https://example.org/1.0")
    request = ExportTraceServiceRequest.FromString(encoder.encode(a_batch(a_row())))
    (resource_spans,) = request.resource_spans
    (scope_spans,) = resource_spans.scope_spans
    assert {"service.name": "shop"} == dict_of(resource_spans.resource.attributes)
    assert ("aperf", "1.2") == (scope_spans.scope.name, scope_spans.scope.version)
    assert "https://example.org/1.0" == resource_spans.schema_url == scope_spans.schema_url


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError


def test_values_without_counterpart() -> None:
    """Objects, huge integers and lists that hold themselves become text, and nothing raises."""
    endless: list[Any] = []
    endless.append(endless)
    pairs: Any = (("a", Hostile()), ("b", 10**5000), ("c", {1, 2}), ("d", endless))
    data = Encoder(pairs).encode(SpanBatch([], []))
    (resource_spans,) = ExportTraceServiceRequest.FromString(data).resource_spans
    read = dict_of(resource_spans.resource.attributes)
    assert "<Hostile>" == read["a"]
    assert hex(10**5000) == read["b"]
    assert "{1, 2}" == read["c"]
    assert isinstance(read["d"], list)


# ---------------------------------------------------------------------------------- packing


def test_pack_limits() -> None:
    """No group exceeds either limit, nothing is lost, and empty parts vanish."""
    parts = [
        EncodedSpans(bytes(size), spans)
        for size, spans in ((40, 4), (50, 1), (0, 0), (20, 2), (1, 6))
    ]
    groups = list(pack(parts, max_spans=7, max_bytes=100))
    assert [part for part in parts if part.span_count] == [
        part for group in groups for part in group
    ]
    assert [2, 1, 1] == [len(group) for group in groups]


def test_pack_part_that_is_too_large() -> None:
    """A part beyond the limit travels alone."""
    parts = [EncodedSpans(b"1", 1), EncodedSpans(bytes(500), 1), EncodedSpans(b"1", 1)]
    assert [(part,) for part in parts] == list(pack(parts, max_bytes=100))


def test_parts_joined_in_one_request() -> None:
    """Spans encoded apart and joined read like spans encoded together."""
    batch = a_batch(*[a_row(SPAN=number) for number in range(1, 9)])
    encoder = Encoder((("service.name", "shop"),))
    parts = [encoder.encode_spans(batch, start, start + 3) for start in range(0, 9, 3)]
    assert [3, 3, 2] == [part.span_count for part in parts]
    assert encoder.encode(batch) == encoder.request(parts)
    assert len(batch.rows) // WIDTH == len(decode(encoder.request(parts)))
