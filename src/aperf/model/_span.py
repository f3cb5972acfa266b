"""Nouns of a trace, named as OpenTelemetry names them."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

__all__ = (
    "AttributeValue",
    "Attributes",
    "Category",
    "Event",
    "Link",
    "SpanContext",
    "StatusCode",
)

AttributeValue: TypeAlias = (
    str | bool | int | float | Sequence[str] | Sequence[bool] | Sequence[int] | Sequence[float]
)
#: Attributes as they are stored: pairs in the order in which they were set, keys unique.
Attributes: TypeAlias = tuple[tuple[str, AttributeValue], ...]


class Category(enum.IntEnum):
    """What a span stands for."""

    TASK = 1  #: one task, or one segment of a long one
    AWAIT = 2  #: one suspension of a task, from suspend to resume
    USER = 3  #: a piece of code that the program marked with `aperf.span`
    EXECUTOR = 4  #: one job in a thread pool
    CALL = 5  #: one awaited coroutine, seen with `awaits="all"`


class StatusCode(enum.IntEnum):
    """OpenTelemetry's status codes."""

    UNSET = 0
    OK = 1
    ERROR = 2


@dataclass(frozen=True, slots=True)
class SpanContext:
    """What identifies a span.

    Attributes:
        trace_id: 128 bits, never 0.
        span_id: 64 bits, never 0.
        sampled: whether the trace is exported.
    """

    trace_id: int
    span_id: int
    sampled: bool = True


@dataclass(frozen=True, slots=True)
class Link:
    """A relation to a span that is not the parent."""

    context: SpanContext
    attributes: Attributes = ()


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at one instant of a span (time in ns since 1970)."""

    name: str
    time_ns: int
    attributes: Attributes = ()
