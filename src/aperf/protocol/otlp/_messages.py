"""The messages inside a span, and its field numbers (opentelemetry/proto/trace/v1/trace.proto)."""

from __future__ import annotations

import enum
import struct
from typing import TYPE_CHECKING, Final

from aperf.model._batch import WOKEN_BY

from ._values import attributes
from ._wire import LENGTH, VARINT, fixed32, fixed64, length_delimited, tag, text, varint

if TYPE_CHECKING:
    from aperf.model import Attributes, Event, Link, StatusCode

__all__ = (
    "HAS_IS_REMOTE",
    "IS_REMOTE",
    "KIND_INTERNAL",
    "SAMPLED",
    "SPAN_ID_HEAD",
    "TRACE_ID_HEAD",
    "WOKEN_BY_REST",
    "SpanField",
    "event_message",
    "ids",
    "link_message",
    "status_message",
)


class SpanField(enum.IntEnum):
    """Field numbers of Span."""

    TRACE_ID = 1
    SPAN_ID = 2
    PARENT_SPAN_ID = 4
    NAME = 5
    KIND = 6
    START_TIME = 7
    END_TIME = 8
    ATTRIBUTES = 9
    DROPPED_ATTRIBUTES = 10
    EVENTS = 11
    DROPPED_EVENTS = 12
    LINKS = 13
    DROPPED_LINKS = 14
    STATUS = 15
    FLAGS = 16


KIND_INTERNAL: Final = 1

# The bits of `flags`: those of W3C's traceparent, then what is known about where the parent ran.
SAMPLED: Final = 0x001
HAS_IS_REMOTE: Final = 0x100
IS_REMOTE: Final = 0x200


# The ids of a span and of a link's target stand under the same field numbers.
TRACE_ID_HEAD: Final = tag(SpanField.TRACE_ID, LENGTH) + varint(16)
SPAN_ID_HEAD: Final = tag(SpanField.SPAN_ID, LENGTH) + varint(8)
_IDS: Final = struct.Struct(">2sQQ2sQ")


def ids(trace_hi: int, trace_lo: int, span_id: int) -> bytes:
    """Encode the trace id and the span id of a span or of a link's target."""
    return _IDS.pack(TRACE_ID_HEAD, trace_hi, trace_lo, SPAN_ID_HEAD, span_id)


def event_message(event: Event) -> bytes:
    """Encode a Span.Event."""
    name = length_delimited(2, text(event.name))
    return fixed64(1, event.time_ns) + name + attributes(3, event.attributes)


def link_message(link: Link) -> bytes:
    """Encode a Span.Link."""
    trace_hi, trace_lo = divmod(link.context.trace_id, 1 << 64)
    return ids(trace_hi, trace_lo, link.context.span_id) + _link_rest(
        link.attributes, link.context.sampled
    )


def _link_rest(pairs: Attributes, sampled: bool) -> bytes:
    return attributes(4, pairs) + fixed32(6, SAMPLED if sampled else 0)


#: What follows the ids in a link to the task that woke the span's own.
WOKEN_BY_REST: Final = _link_rest(WOKEN_BY, sampled=True)


def status_message(code: StatusCode, message: str) -> bytes:
    """Encode a Status; empty for one that says nothing."""
    result = length_delimited(2, text(message)) if message else b""
    return result + tag(3, VARINT) + varint(code) if code else result
