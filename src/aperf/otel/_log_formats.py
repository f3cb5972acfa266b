"""The three forms of a log line."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from aperf._errors import ConfigurationError

from ._log_context import origin_of
from ._log_values import error_of, escaped, extras_of, plain, stacks_of, text_of, time_of, words

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("LineFormatter", "LogFormat")

LogFormat: TypeAlias = Literal["pretty", "compact", "json"]

_NO_TRACE: Final = "-" * 8
_encode: Final = json.JSONEncoder(default=words).encode


class LineFormatter(logging.Formatter):
    """Formats log records with time, level, logger, place, thread, task and trace id.

    It can be given to any handler, also by the program's own configuration::

        {"formatters": {"json": {"()": "aperf.logging.LineFormatter", "format": "json"}}}

    Args:
        format: "pretty": several lines for people; "compact": one line, below it what was raised;
            "json": one object per line.

    Raises:
        ConfigurationError: there is no such format.
    """

    def __init__(self, format: LogFormat = "pretty") -> None:
        super().__init__()
        if format not in get_args(LogFormat):
            accepted = ", ".join(map(repr, get_args(LogFormat)))
            raise ConfigurationError(f"format is {format!r}: accepted are {accepted}")
        self.layout = format

    def format(self, record: logging.LogRecord) -> str:
        """Return the line or lines, without the last newline. This never raises."""
        return _LAYOUTS[self.layout](record)


def _prefix(record: logging.LogRecord) -> str:
    trace_id = origin_of(record).trace_id[:8] or _NO_TRACE
    return f"[{trace_id}] {time_of(record)} {words(record.levelname):>5}"


def _pairs(record: logging.LogRecord) -> str:
    return " ".join(f"{key}={words(value)}" for key, value in extras_of(record).items())


def _below(stacks: list[str]) -> list[str]:
    """Return the lines of stacks, indented: none looks like the beginning of a record."""
    return [f"    {escaped(line)}" for stack in stacks for line in stack.splitlines()]


def _compact(record: logging.LogRecord) -> str:
    origin = origin_of(record)
    parts = (
        _prefix(record),
        words(record.threadName),
        f"ThreadId({record.thread})",
        origin.task or "-",
        f"{origin.span}:" if origin.span else "",
        f"{words(record.name)}:",
        f"{words(record.filename)}:{record.lineno}:",
        text_of(record),
        _pairs(record),
    )
    line = escaped(" ".join(part for part in parts if part))
    return "\n".join([line, *_below(stacks_of(record))])


def _pretty(record: logging.LogRecord) -> str:
    origin = origin_of(record)
    first, *rest = text_of(record).splitlines() or [""]
    place = (
        f"at {words(record.pathname)}:{record.lineno}",
        f"on {words(record.threadName)} ThreadId({record.thread})",
        f"in task {origin.task}" if origin.task else "in no task",
        f"in span {origin.span}" if origin.span else "",
    )
    lines = [
        escaped(f"{_prefix(record)} {words(record.name)}: {first}"),
        *_below(rest),
        escaped("    " + ", ".join(part for part in place if part)),
    ]
    extras = _pairs(record)
    if extras:
        lines.append(escaped(f"    with {extras}"))
    return "\n".join([*lines, *_below(stacks_of(record))])


def _json(record: logging.LogRecord) -> str:
    origin = origin_of(record)
    told: dict[str, Any] = {"trace_id": origin.trace_id} if origin.trace_id else {}
    told |= {
        "timestamp": time_of(record),
        "level": words(record.levelname),
        "fields": _fields(record),
        "target": words(record.name),
        "filename": words(record.pathname),
        "line_number": plain(record.lineno),
        "threadName": words(record.threadName),
        "threadId": plain(record.thread),
        "task": origin.task or None,
    }
    if origin.span:
        told["span"] = {"name": origin.span}
    return _encode(told)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = {"message": text_of(record)}
    error = error_of(record)
    if error is not None:
        fields["exception.type"] = type(error).__qualname__
        fields["exception.message"] = words(error)
    stacks = stacks_of(record)
    if stacks:
        fields["exception.stacktrace" if error is not None else "stack"] = "\n".join(stacks)
    for key, value in extras_of(record).items():
        fields.setdefault(key, plain(value))
    return fields


_LAYOUTS: Final[dict[LogFormat, Callable[[logging.LogRecord], str]]] = {
    "pretty": _pretty,
    "compact": _compact,
    "json": _json,
}
