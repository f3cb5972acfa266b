"""The clock that locks, memory and devices share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._rows import Rows

if TYPE_CHECKING:
    from ._strings import Strings

__all__ = ("Serial",)


class Serial(Rows):
    """Events that name their thread themselves and have one running clock for all threads."""

    def __init__(self, version: int, strings: Strings, *, strict: bool = False) -> None:
        super().__init__(version, strings, strict=strict)
        self._serial_ns = 0
