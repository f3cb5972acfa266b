"""Which trace the code that asks is in."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ._headers import BAGGAGE_TEXT, TraceHeaders

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import SpanContext

__all__ = ("current_trace_headers", "current_trace_id", "headers_of", "known_context")


def current_trace_id(*, sampled_only: bool = True) -> str | None:
    """Return the current trace's id, 32 hexadecimal digits, None outside of a trace.

    It is that of OpenTelemetry's current span, which in a task of such a trace is the task's.

    Args:
        sampled_only: return None also for a trace that is not recorded: nobody will find it.
    """
    context = known_context()
    span = None if context is None else _span_of(context)
    if span is None or (sampled_only and not int(span.trace_flags) & 1):
        return None
    return f"{span.trace_id:032x}"


def current_trace_headers(*, sampled_only: bool = True) -> TraceHeaders | None:
    """Return what makes somebody else go on with the current trace, None outside of one.

    Args:
        sampled_only: return None also for a trace that is not recorded. False passes on the
            decision not to record it.
    """
    headers = headers_of(known_context())
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


def headers_of(context: Context | None) -> TraceHeaders:
    """Return what a context holds, sampled or not."""
    if context is None:
        return TraceHeaders()
    return TraceHeaders.parse({**_trace_of(context), "baggage": _baggage_of(context)})


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
