"""The current trace, carried to where contexts do not go: other processes, threads, messages.

OpenTelemetry is imported when something is attached; to look at what is current, only where the
program has imported it.
"""

from ._current import current_trace_headers, current_trace_id
from ._headers import TraceHeaders
from ._session import current_tracing_session, tracing_session
from ._wrap import wrap

__all__ = (
    "TraceHeaders",
    "current_trace_headers",
    "current_trace_id",
    "current_tracing_session",
    "tracing_session",
    "wrap",
)
