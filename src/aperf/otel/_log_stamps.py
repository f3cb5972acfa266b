"""Trace ids for lines that the program or another library formats."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ._log_context import origin_now, stamp

if TYPE_CHECKING:
    from collections.abc import MutableMapping

__all__ = ("TraceContextFilter", "add_trace_context")


class TraceContextFilter(logging.Filter):
    """Gives records the attributes `trace_id` and `task`, and lets all of them through.

    For handlers of the program's own, where nothing else of `aperf.logging` is wanted::

        {"filters": {"trace": {"()": "aperf.logging.TraceContextFilter"}}}
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Stamp a record; in handlers that run on another thread, that is too late."""
        stamp(record)
        return True


def add_trace_context(
    logger: object, name: str, event_dict: MutableMapping[str, object]
) -> MutableMapping[str, object]:
    """Add `trace_id` and `task` to an event, where there are any: a processor for structlog.

    Example::

        structlog.configure(processors=[aperf.logging.add_trace_context, ...])

    Args:
        logger: not looked at.
        name: not looked at.
        event_dict: the event. Keys that it has already stay as they are.
    """
    origin = origin_now()
    if origin.trace_id:
        event_dict.setdefault("trace_id", origin.trace_id)
    if origin.task:
        event_dict.setdefault("task", origin.task)
    return event_dict
