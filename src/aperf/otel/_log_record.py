"""A log record of Python's as one of OpenTelemetry's.

It is encoded where it is made: what it refers to may change, and must not live longer for it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from aperf._spans import current_context
from aperf.protocol.otlp import encode_log

from ._log_context import current_otel_span, origin_of
from ._log_values import error_of, extras_of, plain, stacks_of, text_of, words

if TYPE_CHECKING:
    from aperf._config import LogsSettings
    from aperf.protocol.otlp import EncodedLog

__all__ = ("encoded",)

#: OpenTelemetry's numbers; between two levels they go on counting, up to three more.
_SEVERITIES: Final = (
    (logging.CRITICAL, 21),
    (logging.ERROR, 17),
    (logging.WARNING, 13),
    (logging.INFO, 9),
    (logging.DEBUG, 5),
    (1, 1),
)


def encoded(record: logging.LogRecord, settings: LogsSettings) -> EncodedLog:
    """Encode a record; to be called where it is made."""
    trace_id, span_id, flags = _span_of(record)
    pairs = [pair for pair in _attributes(record).items() if pair[1] is not None]
    if settings.attribute_length is not None:
        pairs = [(key, _cut(value, settings.attribute_length)) for key, value in pairs]
    return encode_log(
        scope=words(record.name),
        time_ns=int(record.created * 1e9),
        observed_ns=time.time_ns(),
        severity_number=_severity(record.levelno),
        severity_text=words(record.levelname),
        body=_body(record),
        pairs=pairs[: settings.attributes],
        dropped=max(len(pairs) - settings.attributes, 0),
        trace_id=trace_id,
        span_id=span_id,
        flags=flags,
    )


def _span_of(record: logging.LogRecord) -> tuple[int, int, int]:
    """Return trace id, span id and flags, zeros for what is not known."""
    trace_id = origin_of(record).trace_id
    if not trace_id:
        return 0, 0, 0
    ours, span = current_context(), current_otel_span()
    theirs = None if span is None else span.get_span_context()
    if ours is not None and (theirs is None or theirs.span_id != ours.span_id):
        found = ours.trace_id, ours.span_id, int(ours.sampled)
    elif theirs is not None:
        found = theirs.trace_id, theirs.span_id, int(theirs.trace_flags)
    else:
        found = 0, 0, 0
    # A record that was made elsewhere knows its trace, but not where in it.
    return found if f"{found[0]:032x}" == trace_id else (int(trace_id, 16), 0, 0)


def _severity(level: int) -> int:
    for start, number in _SEVERITIES:
        if level >= start:
            return number + min(level - start, 3)
    return 0


def _body(record: logging.LogRecord) -> object:
    """Return the message; of what logs whole events (as structlog can), the event."""
    if isinstance(record.msg, Mapping) and not record.args:
        return plain(record.msg)
    return text_of(record)


def _attributes(record: logging.LogRecord) -> dict[str, Any]:
    """Return the attributes; what was given as `extra` comes last, and takes the place of none."""
    found: dict[str, Any] = {
        "code.file.path": plain(record.pathname),
        "code.line.number": plain(record.lineno),
        "code.function.name": plain(record.funcName),
        "thread.id": plain(record.thread),
        "thread.name": plain(record.threadName),
    }
    if task := origin_of(record).task:
        found["asyncio.task.name"] = task
    error = error_of(record)
    if error is not None:
        found["exception.type"] = type(error).__qualname__
        found["exception.message"] = words(error)
    names = ["exception.stacktrace"] if error is not None or record.exc_text else []
    found.update(zip((*names, "code.stacktrace"), stacks_of(record), strict=False))
    for key, value in extras_of(record).items():
        found.setdefault(key, plain(value))
    return found


def _cut(value: Any, length: int) -> Any:  # noqa: ANN401 - whatever attributes may be
    if isinstance(value, str):
        return value[:length]
    if isinstance(value, list):
        return [_cut(each, length) for each in value]
    return value
