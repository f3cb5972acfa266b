"""Records as they were drained, for destinations that do not want spans."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from types import CodeType

__all__ = ("Chunk", "RecordTables", "Site")

#: What a recorder keeps of a place: hints, the type that is awaited, and (code, lasti) of each
#: frame, innermost first.
Site: TypeAlias = "tuple[int, type | None, tuple[tuple[CodeType, int], ...]]"


class RecordTables(Protocol):
    """What the numbers in records mean."""

    def resolve(self, site: int) -> Site | None:
        """Return a place by its number; None for one that has been released."""

    def name(self, number: int) -> str:
        """Return a name by its number."""

    def picture(self, number: int) -> tuple[int, int, bytes, bool] | None:
        """Return width, height, DXT1 blocks and whether it is upside down; None if it is gone."""

    def threads(self) -> list[tuple[int, str]]:
        """Return identifier and name of each ring's thread, in the order of the rings."""

    def live(self) -> list[tuple[int, int, int, bool, bool]]:
        """Return (task, site, since_ns, has not run yet, runs) of each live task."""

    def now_ns(self) -> int:
        """Return the recorder's time."""


class Chunk(NamedTuple):
    """Some slots of one ring, in order.

    An event may be cut at the end; its rest comes with the next chunk of the ring.
    """

    ring: int  #: index in `RecordTables.threads`
    data: bytes  #: slots of 32 bytes
    tables: RecordTables
