"""Rows to requests (opentelemetry/proto/collector/trace/v1/trace_service.proto)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from aperf.model import WIDTH, Attributes, Column, SpanBatch

from . import _await_rows
from ._await_rows import MAX_ROWS, RECORD_SIZE, UNLINKED_SIZE, Head
from ._span import SpanEncoder
from ._values import attributes
from ._wire import LENGTH, length_delimited, read_fields, tag, text, varint

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ("MAX_BYTES", "MAX_SPANS", "EncodedSpans", "Encoder", "halve", "pack")

# ExportTraceServiceRequest > ResourceSpans > ScopeSpans > Span
_RESOURCE_SPANS: Final = 1
_RESOURCE: Final = 1
_SCOPE_SPANS: Final = 2
_SCOPE: Final = 1
_SPANS: Final = 2
_SCHEMA_URL: Final = 3

#: More spans bring no more throughput, and receivers refuse messages of more than 4 MiB by default.
MAX_SPANS: Final = 4096
MAX_BYTES: Final = 3 << 20


class EncodedSpans(NamedTuple):
    """Some spans, ready to be put into a request."""

    data: bytes
    span_count: int


class Encoder:
    """Encodes the spans of one session; remembers what their call sites have in common.

    Not to be used by two threads at the same time.

    Args:
        resource: attributes of the process.
        scope_name: name of the instrumentation.
        scope_version: its version.
        schema_url: which version of the semantic conventions the attributes follow.
    """

    def __init__(
        self,
        resource: Attributes,
        scope_name: str = "aperf",
        scope_version: str = "",
        schema_url: str = "",
    ) -> None:
        scope = length_delimited(1, text(scope_name)) + length_delimited(2, text(scope_version))
        self._resource = length_delimited(_RESOURCE, attributes(1, resource))
        self._scope = length_delimited(_SCOPE, scope)
        if schema_url:
            url = length_delimited(_SCHEMA_URL, text(schema_url))
            self._resource += url
            self._scope += url
        self._heads: list[Head | None] = []
        self._spans = SpanEncoder()

    def encode(self, batch: SpanBatch, start: int = 0, stop: int | None = None) -> bytes:
        """Return one ExportTraceServiceRequest with the sampled spans among the rows."""
        return self.request([self.encode_spans(batch, start, stop)])

    def request(self, parts: Iterable[EncodedSpans]) -> bytes:
        """Return one ExportTraceServiceRequest with all these spans."""
        spans = [part.data for part in parts]
        scope_length = len(self._scope) + sum(map(len, spans))
        scope_head = tag(_SCOPE_SPANS, LENGTH) + varint(scope_length)
        length = len(self._resource) + len(scope_head) + scope_length
        head = tag(_RESOURCE_SPANS, LENGTH) + varint(length)
        return b"".join((head, self._resource, scope_head, self._scope, *spans))

    def halve(self, parts: Iterable[EncodedSpans]) -> list[EncodedSpans]:
        """Split spans into two halves, as `halve` does."""
        return halve(parts)

    def encode_spans(
        self, batch: SpanBatch, start: int = 0, stop: int | None = None
    ) -> EncodedSpans:
        """Return the sampled spans among the rows from `start` to `stop`."""
        first, last, _ = slice(start, stop).indices(len(batch))
        self._learn(batch)
        pieces: list[bytes] = []
        count = 0
        for position in range(first, last, MAX_ROWS):
            count += self._append(pieces, batch, position, min(position + MAX_ROWS, last))
        return EncodedSpans(b"".join(pieces), count)

    def _learn(self, batch: SpanBatch) -> None:
        for index in range(len(self._heads), len(batch.templates)):
            self._heads.append(_await_rows.head(_SPANS, batch.templates[index]))

    def _append(self, pieces: list[bytes], batch: SpanBatch, start: int, stop: int) -> int:
        """Append the encoded rows; return how many of them were sampled."""
        rows = batch.rows[start * WIDTH : stop * WIDTH]
        records = _await_rows.records(rows)
        heads, count, end = self._heads, 0, 0
        for row, template, flags, parent, detail, waker in zip(
            range(start, stop),
            rows[Column.TEMPLATE :: WIDTH],
            rows[Column.FLAGS :: WIDTH],
            rows[Column.PARENT :: WIDTH],
            rows[Column.DETAIL :: WIDTH],
            rows[Column.LINK_SPAN :: WIDTH],
            strict=True,
        ):
            begin, end = end, end + RECORD_SIZE
            if not flags & 1:  # Flag.SAMPLED; members of an enum are slow to look up
                continue
            count += 1
            head = heads[template]
            if head is not None and flags == 1 and parent and records is not None:
                if not detail:
                    if waker:
                        pieces += head.linked, records[begin:end]
                    else:
                        pieces += head.unlinked, records[begin : begin + UNLINKED_SIZE]
                    continue
                record = records[begin : end if waker else begin + UNLINKED_SIZE]
                if (extended := head.extend(record, batch.details[detail])) is not None:
                    pieces += extended
                    continue
            pieces.append(length_delimited(_SPANS, self._spans.encode(batch, row)))
        return count


def pack(
    parts: Iterable[EncodedSpans], max_spans: int = MAX_SPANS, max_bytes: int = MAX_BYTES
) -> Iterator[tuple[EncodedSpans, ...]]:
    """Yield groups of parts, each as large as one request may be.

    A part that alone is too large makes a group of its own.
    """
    group: list[EncodedSpans] = []
    spans = size = 0
    for part in parts:
        if group and (spans + part.span_count > max_spans or size + len(part.data) > max_bytes):
            yield tuple(group)
            group, spans, size = [], 0, 0
        if part.span_count:
            group.append(part)
            spans += part.span_count
            size += len(part.data)
    if group:
        yield tuple(group)


def halve(parts: Iterable[EncodedSpans]) -> list[EncodedSpans]:
    """Split spans into two halves of (nearly) the same number; a single span stays alone."""
    spans = [
        length_delimited(field, value)
        for part in parts
        for field, value in read_fields(part.data)
        if isinstance(value, bytes)
    ]
    middle = (len(spans) + 1) // 2
    halves = (spans[:middle], spans[middle:])
    return [EncodedSpans(b"".join(half), len(half)) for half in halves if half]
