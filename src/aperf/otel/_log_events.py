"""Log records as events of the span around them."""

from __future__ import annotations

import logging
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from ._log_context import current_otel_span, current_user_span
from ._log_values import error_of, extras_of, plain, text_of, words

if TYPE_CHECKING:
    from aperf._spans import ActiveSpan

__all__ = ("SpanEventHandler",)

#: Conventions have it for errors without a type.
_OTHER: Final = "_OTHER"
#: Integers have 64 bits in OpenTelemetry's protocol.
_LARGEST: Final = 1 << 63


class SpanEventHandler(logging.Handler):
    """Adds log records to the current span, and lets errors mark it.

    In OpenTelemetry's spans the event is called like the message, and a record of level ERROR gives
    the span that status, unless it has one. In aperf's it is called "log", with the message as an
    attribute, since names of events are few; an error sets the attribute `error.type`. A logged
    exception is an event of its own, called "exception".

    Args:
        level: of the records that are added.
    """

    def __init__(self, level: int | str = logging.INFO) -> None:
        super().__init__(level)
        self._busy = threading.local()

    def createLock(self) -> None:
        """Have none: spans take care of themselves."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Add a record, unless a filter says no."""
        kept = bool(self.filter(record))
        if kept:
            self.emit(record)
        return kept

    def emit(self, record: logging.LogRecord) -> None:
        """Add a record. What is logged meanwhile is not added. This never raises."""
        if getattr(self._busy, "now", False):
            return
        self._busy.now = True
        try:
            self._add(record)
        except Exception:
            pass  # the program goes on, with one event less
        finally:
            self._busy.now = False

    @staticmethod
    def _add(record: logging.LogRecord) -> None:
        otel_span = current_otel_span()
        user_span = current_user_span(otel_span)
        if user_span is not None:
            _to_user_span(user_span, record)
        elif otel_span is not None and otel_span.is_recording():
            _to_otel_span(otel_span, record)


def _to_user_span(span: ActiveSpan, record: logging.LogRecord) -> None:
    error = error_of(record)
    span.add_event("log", {"message": text_of(record), **_attributes(record)})
    if error is not None:
        span.record_exception(error)
    if record.levelno >= logging.ERROR:
        span.set_attribute("error.type", _OTHER if error is None else type(error).__qualname__)


def _to_otel_span(span: Any, record: logging.LogRecord) -> None:  # noqa: ANN401 - of any SDK
    error = error_of(record)
    text = text_of(record)
    span.add_event(text, _attributes(record))
    if error is not None:
        span.record_exception(error)
    if record.levelno >= logging.ERROR:
        codes = sys.modules["opentelemetry.trace"].StatusCode
        status = getattr(span, "status", None)
        if status is None or status.status_code is codes.UNSET:
            span.set_status(codes.ERROR, text)


def _attributes(record: logging.LogRecord) -> dict[str, Any]:
    extras = {key: _attribute(value) for key, value in extras_of(record).items()}
    return {
        **extras,
        "level": words(record.levelname),
        "logger": words(record.name),
        "code.file.path": words(record.pathname),
        "code.line.number": record.lineno,
        "code.function.name": words(record.funcName),
    }


def _attribute(value: object) -> str | int | float:
    simple = plain(value)
    if isinstance(simple, int) and not -_LARGEST <= simple < _LARGEST:
        return words(simple)
    return simple if isinstance(simple, str | int | float) else words(value)
