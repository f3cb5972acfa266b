"""Which trace the code that asks is in."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from aperf._spans import current_context

from ._headers import BAGGAGE_TEXT, TraceHeaders

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import SpanContext

__all__ = (
    "current_trace_headers",
    "current_trace_id",
    "has_trace",
    "headers_now",
    "known_context",
)


def current_trace_id(*, sampled_only: bool = True) -> str | None:
    """Return the current trace's id, 32 hexadecimal digits, None outside of a trace.

    It is that of the innermost span, OpenTelemetry's or aperf's, down to that of the task. Those of
    aperf count only where they are exported.

    Args:
        sampled_only: return None also for a trace that is not recorded: nobody will find it.
    """
    headers = current_trace_headers(sampled_only=sampled_only)
    return None if headers is None else headers.trace_id


def current_trace_headers(*, sampled_only: bool = True) -> TraceHeaders | None:
    """Return what makes somebody else go on with the current trace, None outside of one.

    Args:
        sampled_only: return None also for a trace that is not recorded. False passes on the
            decision not to record it.
    """
    headers = headers_now()
    if headers.trace_id is None or (sampled_only and not headers.is_sampled):
        return None
    return headers


def known_context() -> Context | None:
    """Return OpenTelemetry's context, None as long as the program has not imported it."""
    if "opentelemetry.context" not in sys.modules:
        return None
    try:
        from opentelemetry.context import get_current
    except ImportError:
        return None  # another thread is importing it just now
    return get_current()


def headers_now() -> TraceHeaders:
    """Return what is current, sampled or not."""
    context, ours = known_context(), current_context(exported=True)
    found = {} if context is None else {**_trace_of(context), "baggage": _baggage_of(context)}
    if ours is not None:
        parent = f"00-{ours.trace_id:032x}-{ours.span_id:016x}-{int(ours.sampled):02x}"
        if found.get("traceparent") != parent:
            found.update(traceparent=parent, tracestate="")
    return TraceHeaders.parse(found)


def has_trace(context: Context) -> bool:
    """Say whether a context has a span that is valid."""
    return _span_of(context) is not None


# Anybody may put anything there, so nothing of what follows raises.


def _span_of(context: Context) -> SpanContext | None:
    """Return what identifies the current span, None for none that is valid."""
    try:
        from opentelemetry.trace import get_current_span

        span = get_current_span(context).get_span_context()
        return span if span.is_valid else None
    except Exception:
        return None


def _trace_of(context: Context) -> dict[str, str]:
    span = _span_of(context)
    if span is None:
        return {}
    try:
        parent = f"00-{span.trace_id:032x}-{span.span_id:016x}-{int(span.trace_flags) & 1:02x}"
        return {"traceparent": parent, "tracestate": span.trace_state.to_header()}
    except Exception:
        return {}


def _baggage_of(context: Context) -> str:
    try:
        from opentelemetry.baggage import get_all
        from opentelemetry.baggage.propagation import W3CBaggagePropagator

        entries = dict(get_all(context))
        known = context.get(BAGGAGE_TEXT)
        if isinstance(known, tuple) and known[0] == entries:
            return str(known[1])
        carrier: dict[str, str] = {}
        W3CBaggagePropagator().inject(carrier, context)
        return carrier.get("baggage", "")
    except Exception:
        return ""
