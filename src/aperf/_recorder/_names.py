"""Names that records refer to by number: of user spans, attribute keys, functions without code."""

from __future__ import annotations

from typing import Final

__all__ = ("Names",)

#: More distinct names than this are no names but data; the rest is shown as `OTHER`.
MAX_NAMES: Final = 65_536
OTHER: Final = "(other)"


class Names:
    """A table that only grows, up to a bound. Number 0 is `OTHER`."""

    __slots__ = ("_numbers", "_texts")

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._texts: list[str] = [OTHER]

    def intern(self, text: str) -> int:
        """Return the number of a name.

        Threads may race: `setdefault` is atomic under the GIL, and a number handed out names one
        text.
        """
        number = self._numbers.get(text)
        if number is not None:
            return number
        if len(self._texts) >= MAX_NAMES:
            return 0
        self._texts.append(text)
        number = len(self._texts) - 1
        while self._texts[number] is not text:  # another thread was faster
            number -= 1
        return self._numbers.setdefault(text, number)

    def text(self, number: int) -> str:
        """Return the name of a number."""
        return self._texts[number] if number < len(self._texts) else OTHER
