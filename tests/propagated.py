"""What worker processes run in the tests of propagation: importable, and light."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from opentelemetry import baggage, trace

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("PARENT", "TRACE", "Seen", "look", "look_later", "raising")

TRACE = "0af7651916cd43dd8448eb211c80319c"  #: of the example in the W3C's text
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


class Seen(NamedTuple):
    """What is current for a function that is called somewhere."""

    trace_id: int
    span_id: int
    is_remote: bool
    is_recording: bool
    baggage: Mapping[str, object]


def look(*_: object) -> Seen:
    """Return what is current here."""
    span = trace.get_current_span()
    context = span.get_span_context()
    entries = dict(baggage.get_all())
    return Seen(context.trace_id, context.span_id, context.is_remote, span.is_recording(), entries)


async def look_later(*_: object) -> Seen:
    """Return what is current in a coroutine."""
    return look()


def raising() -> None:
    """Fail."""
    raise LookupError("on purpose")
