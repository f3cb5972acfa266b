"""Where a log record was made: in which trace, which span and which task.

Nothing is imported to find out. A program without OpenTelemetry or asyncio has neither a trace of
the one nor a task of the other.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aperf import _spans
from aperf._spans._node import nearest_open

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator

__all__ = (
    "Origin",
    "current_otel_span",
    "current_user_span",
    "origin_now",
    "origin_of",
    "spans_around",
    "stamp",
)

#: What is remembered in a record: it may be formatted on another thread.
_KEY: Final = "_aperf_origin"


class Origin(NamedTuple):
    """Where a record was made. What is not known is empty."""

    trace_id: str = ""  #: 32 hexadecimal digits
    span: str = ""  #: its name
    task: str = ""  #: its name


def origin_now() -> Origin:
    """Return where the caller is. This never raises."""
    return Origin(*(_tried(look) for look in (_trace_id, _span_name, _task_name)))


def stamp(record: logging.LogRecord) -> Origin:
    """Give a record the attributes `trace_id` and `task`, unless the program gave it others.

    To be called where the record is made.
    """
    origin = origin_now()
    task = getattr(record, "taskName", None)  # 3.12+; says it also for records from elsewhere
    if isinstance(task, str):
        origin = origin._replace(task=task)
    known = record.__dict__
    known[_KEY] = origin
    known.setdefault("trace_id", origin.trace_id)
    known.setdefault("task", origin.task)
    return origin


def origin_of(record: logging.LogRecord) -> Origin:
    """Return where a record was made; one without a stamp is made here and now."""
    known: Origin | None = getattr(record, _KEY, None)
    return stamp(record) if known is None else known


def current_otel_span() -> Any:  # noqa: ANN401 - anybody may put anything there
    """Return OpenTelemetry's current span, None where there is none."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    span: Any = trace.get_current_span()
    return span if span.get_span_context().is_valid else None


def current_user_span(otel_span: object) -> _spans.ActiveSpan | None:
    """Return the current span of aperf's, None if OpenTelemetry's is inside of it."""
    module = sys.modules.get("aperf.otel._task_span")
    if otel_span is not None and (module is None or not isinstance(otel_span, module.StandIn)):
        return None
    span = _spans.current_span()
    return span if span.is_recording else None


def spans_around() -> Iterator[tuple[str, Mapping[str, object]]]:
    """Go through the spans open around the caller, with what is known of their attributes.

    Of OpenTelemetry's, only the innermost is known; of aperf's attributes, nothing until it has
    ended.
    """
    yield from _otel_spans()
    node = nearest_open(_spans.SPAN_VAR.get())
    while node is not None:
        yield node.name, {}
        node = nearest_open(node.outer)


def _otel_spans() -> list[tuple[str, Mapping[str, object]]]:
    try:
        span = current_otel_span()
        attributes = getattr(span, "attributes", None)
        name: str = getattr(span, "name", "")
        return [(name, attributes if isinstance(attributes, Mapping) else {})] if name else []
    except Exception:
        return []


def _tried(look: Any) -> str:  # noqa: ANN401 - one of the functions below
    try:
        text = look()
        return text if isinstance(text, str) else str(text or "")
    except Exception:
        return ""


def _trace_id() -> str:
    current_context: Any = getattr(_spans, "current_context", None)
    context = None if current_context is None else current_context()
    if context is None:
        span = current_otel_span()
        context = None if span is None else span.get_span_context()
    return "" if context is None else f"{context.trace_id:032x}"


def _span_name() -> str:
    otel_span = current_otel_span()
    user_span = current_user_span(otel_span)
    if user_span is not None and user_span.name:
        return user_span.name
    name: str = getattr(otel_span, "name", "")
    return name


def _task_name() -> str:
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or asyncio._get_running_loop() is None:
        return ""
    task = asyncio.current_task()
    name: str = "" if task is None else task.get_name()
    return name
