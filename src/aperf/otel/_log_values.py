"""What log records contain, as text and as JSON. Nothing here raises, whatever was logged."""

from __future__ import annotations

import logging
import math
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

__all__ = ("error_of", "escaped", "extras_of", "plain", "stacks_of", "text_of", "time_of", "words")

#: What every record has; all else was given as `extra`.
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {
    "asctime",
    "message",
    "task",
    "taskName",
    "trace_id",
}
#: Beyond it, nested values are shown as text.
_MAX_DEPTH: Final = 6
#: Control characters end lines or speak to a terminal; a message must not look like a line of ours.
_ESCAPES: Final = {
    **{code: f"\\x{code:02x}" for code in (*range(32), *range(0x7F, 0xA0))},
    ord("\n"): "\\n",
    ord("\r"): "\\r",
    ord("\t"): "\t",
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}


def escaped(text: str) -> str:
    """Return a text that stays on one line."""
    return text if text.isprintable() else text.translate(_ESCAPES)  # the former is fast


def words(value: object) -> str:
    """Return a value as text."""
    try:
        return str(value)
    except Exception as fault:
        return f"<{type(value).__name__}: its text raised {type(fault).__name__}>"


def text_of(record: logging.LogRecord) -> str:
    """Return the message; where the arguments do not fit, both, and why."""
    try:
        return words(record.getMessage())
    except Exception as fault:
        why = f"{type(fault).__name__}: {words(fault)}"
        return f"{words(record.msg)} <with {_shown(record.args)}: {why}>"


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception:
        return "arguments that cannot be shown"


def time_of(record: logging.LogRecord) -> str:
    """Return when it was made, in UTC and as RFC 3339 has it."""
    try:
        moment = datetime.fromtimestamp(record.created, UTC)
    except (OverflowError, OSError, TypeError, ValueError):
        return "-"  # somebody made the record up
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def extras_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return what was given as `extra`."""
    return {
        words(key): value
        for key, value in record.__dict__.items()
        if key not in _STANDARD and not words(key).startswith("_")
    }


def error_of(record: logging.LogRecord) -> BaseException | None:
    """Return the exception that was logged with it."""
    info = record.exc_info
    error = info[1] if isinstance(info, tuple) and len(info) == 3 else info
    return error if isinstance(error, BaseException) else None


def stacks_of(record: logging.LogRecord) -> list[str]:
    """Return the traceback and the stack of a record, those that it has."""
    stacks: list[object] = []
    error = error_of(record)
    if error is not None:
        stacks.append(_traceback(error))
    elif record.exc_text:  # a record from another process, or queued
        stacks.append(record.exc_text)
    if record.stack_info:
        stacks.append(record.stack_info)
    return [words(each).rstrip("\n") for each in stacks]


def _traceback(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:
        return f"{type(error).__qualname__}: {words(error)}"


def plain(value: object, depth: int = 0) -> Any:  # noqa: ANN401 - what JSON can say
    """Return a value as JSON can say it, and as text where it cannot."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else words(value)
    if depth < _MAX_DEPTH:
        try:
            if isinstance(value, Mapping):
                return {words(key): plain(each, depth + 1) for key, each in value.items()}
            if isinstance(value, (list, tuple, set, frozenset)):
                return [plain(each, depth + 1) for each in value]
        except Exception:
            pass  # it changes meanwhile, or is only called a mapping
    return words(value)
