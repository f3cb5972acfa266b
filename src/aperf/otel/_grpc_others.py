"""Calls that ``opentelemetry-instrumentation-grpc`` observes as well: one span of each is enough.

Its instrumentors put their interceptors in front of all others. On a client, its span is open and
current when ours are asked. On a server it opens only around the handler; so where it has made any
interceptor for a server, ours wait until then with a span of their own.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as contexts
from opentelemetry import trace

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, SpanKind

__all__ = ("context_of_handler", "may_open_later", "span_of_call")

_SCOPE: Final = "opentelemetry.instrumentation.grpc"
_SERVERS: Final = f"{_SCOPE}._aio_server"  # imported for the first interceptor of a server


def may_open_later() -> bool:
    """Say whether a span may be opened for a call between its arrival and its handler."""
    return _SERVERS in sys.modules


def context_of_handler(sent: Context, before: Span) -> Context:
    """Return where the span of a call belongs, now that its handler begins.

    That is the current context if a span was opened in the client's trace meanwhile: by the
    instrumentation, be it only to say that the trace is not sampled.

    Args:
        sent: the client's context.
        before: the span that was current when the call came.
    """
    span = trace.get_current_span()
    there, remote = span.get_span_context(), trace.get_current_span(sent).get_span_context()
    if span is before or not there.is_valid or there.is_remote:
        return sent
    is_same = not remote.is_valid or remote.trace_id == there.trace_id
    return contexts.get_current() if is_same else sent


def span_of_call(context: Context, kind: SpanKind, method: str) -> Span | None:
    """Return the span that the instrumentation has opened for this very call, None without one.

    Args:
        context: in which it would be current.
        kind: the side.
        method: as ``package.Service/Method``: a span of that side may be current for another call.
    """
    span: Any = trace.get_current_span(context)
    scope = getattr(span, "instrumentation_scope", None)
    if getattr(scope, "name", None) != _SCOPE or span.kind is not kind or not span.is_recording():
        return None
    names = (span.attributes.get(key) for key in ("rpc.service", "rpc.method"))
    return span if method == "/".join(filter(None, names)) else None
