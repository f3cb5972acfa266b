"""What a connection tells about its peer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from ._versions import QueryKind

__all__ = ("Closed", "Event", "Hello", "Query")


@dataclass(frozen=True, slots=True)
class Hello:
    """A viewer connected and said which version it speaks; welcome or refuse it."""

    version: int


@dataclass(frozen=True, slots=True)
class Query:
    """The viewer asks, or tells, something."""

    kind: QueryKind
    ptr: int
    extra: int


@dataclass(frozen=True, slots=True)
class Closed:
    """Nothing more will come, and nothing more is read."""

    by_query: bool  #: the viewer said so; else it just hung up


Event: TypeAlias = Hello | Query | Closed
