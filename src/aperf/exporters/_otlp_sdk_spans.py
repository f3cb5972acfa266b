"""Spans of OpenTelemetry's SDK on their way to an OTLP receiver, beside those of aperf."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aperf.protocol.otlp import EncodedSpans
from aperf.protocol.otlp._values import attributes
from aperf.protocol.otlp._wire import length_delimited, read_fields, text

from ._otlp_queue import Portion

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from aperf.model import Attributes

__all__ = ("SdkEncoder", "SdkPortion")

#: Rough size: to look at all that a span refers to would cost more than it tells.
_BYTES_PER_SPAN: Final = 2048

# ExportTraceServiceRequest > ResourceSpans > ScopeSpans > Span
_RESOURCE_SPANS: Final = 1
_RESOURCE: Final = 1
_SCOPE_SPANS: Final = 2
_SPANS: Final = 2
_SCHEMA_URL: Final = 3


class SdkPortion(Portion):
    """Some of the program's own spans."""

    __slots__ = ()

    @classmethod
    def of(cls, spans: Sequence[ReadableSpan]) -> SdkPortion:
        """Return one with all these spans, which are all to be exported."""
        return cls(spans, 0, len(spans), _BYTES_PER_SPAN)

    def count_sampled(self) -> int:
        """Return how many there are."""
        return self.rows


class SdkEncoder:
    """Encodes them, with the resource of aperf's session: it is the same service.

    Args:
        resource: attributes of the process.
        schema_url: which version of the semantic conventions these follow.
    """

    def __init__(self, resource: Attributes, schema_url: str = "") -> None:
        self._resource = length_delimited(_RESOURCE, attributes(1, resource))
        if schema_url:
            self._resource += length_delimited(_SCHEMA_URL, text(schema_url))

    def encode_spans(self, batch: Sequence[ReadableSpan], start: int, stop: int) -> EncodedSpans:
        """Return the spans from `start` to `stop`, grouped by scope, but those that have no form.

        One that holds what OTLP cannot say, such as a text that is no Unicode, costs no other.
        """
        try:
            return EncodedSpans(_encode(batch[start:stop]), stop - start)
        except Exception:
            if stop - start == 1:
                return EncodedSpans(b"", 0)
        parts = [self.encode_spans(batch, at, at + 1) for at in range(start, stop)]
        data = b"".join(part.data for part in parts)
        return EncodedSpans(data, sum(part.span_count for part in parts))

    def request(self, parts: Iterable[EncodedSpans]) -> bytes:
        """Return one ExportTraceServiceRequest with all these spans."""
        scopes = (part.data for part in parts)
        return length_delimited(_RESOURCE_SPANS, b"".join((self._resource, *scopes)))

    def halve(self, parts: Iterable[EncodedSpans]) -> list[EncodedSpans]:
        """Split spans into two halves of (nearly) the same number; a single span stays alone."""
        spans = [span for part in parts for span in _single_spans(part.data)]
        middle = (len(spans) + 1) // 2
        halves = (spans[:middle], spans[middle:])
        return [EncodedSpans(b"".join(half), len(half)) for half in halves if half]


def _encode(spans: Sequence[ReadableSpan]) -> bytes:
    """Return the fields of a ResourceSpans that hold spans."""
    # Only what has made spans needs it, and the SDK with it.
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

    return b"".join(
        length_delimited(_SCOPE_SPANS, scope.SerializeToString())
        for resource in encode_spans(spans).resource_spans
        for scope in resource.scope_spans
    )


def _single_spans(data: bytes) -> Iterator[bytes]:
    """Yield each span as a field of its own, in its scope."""
    for _, scope in _fields(data):
        fields = list(_fields(scope))
        about = b"".join(
            length_delimited(field, value) for field, value in fields if field != _SPANS
        )
        for field, value in fields:
            if field == _SPANS:
                yield length_delimited(_SCOPE_SPANS, about + length_delimited(_SPANS, value))


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    for field, value in read_fields(data):
        if isinstance(value, bytes):
            yield field, value
