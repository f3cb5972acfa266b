"""Log lines that say which trace, span and task they belong to.

`install` shows them, without taking anything from the application's own logging. The other names
are parts of it, for applications that set up their logging themselves.
"""

from __future__ import annotations

from aperf.otel._log_events import SpanEventHandler
from aperf.otel._log_formats import LineFormatter
from aperf.otel._log_stamps import TraceContextFilter, add_trace_context

from ._install import Handle, install

__all__ = (
    "Handle",
    "LineFormatter",
    "SpanEventHandler",
    "TraceContextFilter",
    "add_trace_context",
    "install",
)
