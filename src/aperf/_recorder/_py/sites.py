"""Sites: the places in code that records refer to, each known by a small number.

A site is a sequence of frames, innermost first, each a code object with the offset at which it
stands (`f_lasti`, -1 for "its beginning"), plus the type of the awaitable at its end and some
hints. Whoever suspends at the same place again gets the same number, so a record needs four bytes
for all of that. The table holds strong references to code objects: two of equal content from
different files compare equal, so they are told apart by address, and an address must not be reused
while a record names it.
"""

from __future__ import annotations

from types import CodeType
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("MAX_SITES", "Frames", "Site", "Sites")

#: Frames of a site, innermost first.
Frames: TypeAlias = tuple[tuple[CodeType, int], ...]
#: What `resolve` returns: hints, type of the awaitable at the end (or None), frames.
Site: TypeAlias = tuple[int, type | None, Frames]

#: Above this, new sites get number 0 ("somewhere") until old ones are released. Programs have a few
#: thousand places that await; only code made by exec without end comes near.
MAX_SITES: Final = 65_536
#: Frames kept of a chain, innermost first: what a person reads of a stack.
MAX_FRAMES: Final = 32
#: Verdicts on code objects kept; made anew when there are more.
MAX_CODES: Final = 65_536
#: A sweep spares tables smaller than this.
SPARED: Final = 4_096


class Sites:
    """The table. Number 0 is "somewhere"."""

    __slots__ = ("_by_key", "_codes", "_epoch", "_last_used", "_next", "_sites", "classify")

    def __init__(self, classify: Callable[[CodeType], int]) -> None:
        self.classify = classify
        self._codes: dict[int, tuple[CodeType, int]] = {}
        self._by_key: dict[tuple[int, ...], int] = {}
        self._sites: dict[int, tuple[tuple[int, ...], Site]] = {}
        self._last_used: dict[int, int] = {}
        self._epoch = 0
        self._next = 1

    def code_bits(self, code: CodeType) -> int:
        """Return what `classify` says of a code object, asking once."""
        known = self._codes.get(id(code))
        if known is None:
            if len(self._codes) >= MAX_CODES:
                self._codes.clear()
            known = self._codes[id(code)] = (code, self.classify(code))
        return known[1]

    def intern(self, frames: Frames, awaited: type | None = None, hint: int = 0) -> int:
        """Return the number of a site, a new one for one not seen before."""
        frames = frames[:MAX_FRAMES]
        if len(frames) == 1:
            ((code, at),) = frames
            key: tuple[int, ...] = (hint, id(awaited), id(code), at)
        elif len(frames) == 2:
            (code, at), (outer, outer_at) = frames
            key = (hint, id(awaited), id(code), at, id(outer), outer_at)
        else:
            key = (hint, id(awaited), *(part for code, at in frames for part in (id(code), at)))
        number = self._by_key.get(key)
        if number is None:
            if len(self._sites) >= MAX_SITES:
                return 0
            number = self._by_key[key] = self._next
            self._next += 1
            self._sites[number] = (key, (hint, awaited, frames))
        self._last_used[number] = self._epoch
        return number

    def resolve(self, number: int) -> Site | None:
        """Return a site by its number, None for 0 and for released ones."""
        entry = self._sites.get(number)
        return None if entry is None else entry[1]

    def touch(self, number: int) -> None:
        """Say that a site is in use, though no record names it now."""
        if number in self._last_used:
            self._last_used[number] = self._epoch

    def sweep(self) -> list[int]:
        """Forget sites that were not used since the sweep before the last; return their numbers."""
        self._epoch += 1
        if len(self._sites) < SPARED:
            return []
        old = [number for number, epoch in list(self._last_used.items()) if epoch < self._epoch - 2]
        for number in old:
            key, _ = self._sites.pop(number)
            del self._by_key[key], self._last_used[number]
        return old
