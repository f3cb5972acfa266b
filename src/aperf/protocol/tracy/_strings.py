"""What ids mean: texts, places in sources, frames of call stacks, names of threads and fibers.

Events carry ids; the viewer asks once for what it has not seen. An id keeps its meaning as long as
the tables live, so every viewer that connects can be answered from them.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from ._texts import cut

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("MAX_SOURCES", "Frame", "Source", "Strings")

#: A viewer that sees more than 32,767 places gives up. Some are kept back for it.
MAX_SOURCES: Final = 32_000
#: Frames have ids far from the small numbers that 0.13 asks for by mistake.
_FIRST_FRAME: Final = 1 << 32
_UNKNOWN: Final = "???"
_GENERIC: Final = "(more places than a viewer takes)"


class Source(NamedTuple):
    """A place where zones begin; texts are ids."""

    name: int  #: 0: the function's name is shown
    function: int
    file: int
    line: int
    color: int  #: 0xRRGGBB; 0: the viewer chooses


class Frame(NamedTuple):
    """A line of a function that was being executed."""

    function: str
    file: str
    line: int
    symbol: int  #: id of the function


class Strings:
    """Tables with ids. They only grow: by as many names and places as the program has.

    Args:
        program: name of the program, shown beside frames and threads.
        sources: reads the text of a file that a place or frame named, for viewers that ask; returns
            None if there is none. Without it nothing is ever sent.
    """

    def __init__(
        self, program: str = "python", *, sources: Callable[[str], bytes | None] | None = None
    ) -> None:
        self.program = program
        self._read_source = sources
        self._texts: list[str] = [_UNKNOWN]
        self._text_ids: dict[str, int] = {}
        self._sources: dict[int, Source] = {}
        self._source_ids: dict[tuple[str, str, str, int, int], int] = {}
        self._inlines: dict[tuple[str, str, str, int, int], bytes] = {}
        self._frames: dict[int, Frame] = {}
        self._frame_ids: dict[tuple[str, str, int], int] = {}
        self._symbols: dict[int, tuple[str, int]] = {}
        self._symbol_ids: dict[tuple[str, str], int] = {}
        self._files: set[str] = set()
        self._threads: dict[int, str] = {}
        self._fibers: dict[int, str] = {}
        self._generic = self._new_source("", _GENERIC, "", 0, 0)

    # --------------------------------------------------------------------------------------- texts

    def text(self, text: str) -> int:
        """Return the id of a text, never 0: for names of plots, frames and pools, and literals."""
        number = self._text_ids.get(text)
        if number is None:
            number = self._text_ids[text] = len(self._texts)
            self._texts.append(text)
        return number

    def text_of(self, number: int) -> str:
        """Return a text by its id; "???" if there is none."""
        return self._texts[number] if number < len(self._texts) else _UNKNOWN

    def thread(self, tid: int, name: str) -> None:
        """Name a thread; a viewer that has asked already keeps the name it got."""
        self._threads[tid] = name

    def thread_name(self, tid: int) -> str:
        """Return the name of a thread."""
        return self._threads.get(tid) or f"thread {tid}"

    def fiber(self, fiber: int, name: str) -> None:
        """Name a fiber; a viewer that has asked already keeps the name it got."""
        self._fibers[fiber] = name

    def fiber_name(self, fiber: int) -> str:
        """Return the name of a fiber."""
        return self._fibers.get(fiber) or f"fiber {fiber}"

    # -------------------------------------------------------------------------------------- places

    def source(self, name: str, function: str, file: str, line: int, color: int = 0) -> int:
        """Return the id of a place where zones begin, never 0.

        Args:
            name: what zones show; "" for the function.
            function: its name.
            file: of the source.
            line: in the file.
            color: 0xRRGGBB; 0 for the viewer's choice.

        Returns:
            An id; of a generic place (see `source_is_generic`) once there are `MAX_SOURCES`.
        """
        key = (name, function, file, line, color)
        number = self._source_ids.get(key)
        if number is None:
            if len(self._sources) > MAX_SOURCES:
                return self._generic
            number = self._source_ids[key] = self._new_source(*key)
        return number

    def source_is_generic(self, source: int) -> bool:
        """Whether an id stands for all places beyond the limit: zones there need a name."""
        return source == self._generic

    def source_of(self, number: int) -> Source:
        """Return a place by its id; the generic one if there is none."""
        return self._sources.get(number) or self._sources[self._generic]

    def _new_source(self, name: str, function: str, file: str, line: int, color: int) -> int:
        number = len(self._sources) + 1
        name_id = self.text(name) if name else 0
        self._sources[number] = Source(
            name_id, self.text(function), self.text(file), line & 0xFFFF_FFFF, color & 0xFF_FFFF
        )
        self._files.add(file)
        return number

    def inline(self, name: str, function: str, file: str, line: int, color: int = 0) -> bytes:
        """Return a place as it is sent with a zone; arguments as for `source`.

        Viewers count these on their own, and take as many: beyond `MAX_SOURCES` a generic place is
        returned (see `inline_is_generic`).
        """
        key = (name, function, file, line, color)
        place = self._inlines.get(key)
        if place is None:
            if len(self._inlines) >= MAX_SOURCES:
                return _GENERIC_INLINE
            place = self._inlines[key] = _inline(*key)
        return place

    def inline_is_generic(self, place: bytes) -> bool:
        """Whether a place stands for all beyond the limit: zones there need a name."""
        return place is _GENERIC_INLINE

    # -------------------------------------------------------------------------------------- frames

    def frame(self, function: str, file: str, line: int) -> int:
        """Return the id of a line of a function, an address made up, for call stacks."""
        key = (function, file, line)
        number = self._frame_ids.get(key)
        if number is None:
            number = self._frame_ids[key] = _FIRST_FRAME + len(self._frames)
            symbol = self._symbol_ids.get((function, file))
            if symbol is None:
                symbol = self._symbol_ids[function, file] = _FIRST_FRAME + len(self._symbols)
                self._symbols[symbol] = (file, line)
                self._files.add(file)
            self._frames[number] = Frame(function, file, line & 0xFFFF_FFFF, symbol)
        return number

    def frame_of(self, number: int) -> Frame:
        """Return a frame by its id; one without a symbol if there is none."""
        return self._frames.get(number) or Frame(_UNKNOWN, _UNKNOWN, 0, 0)

    def symbol_of(self, number: int) -> tuple[str, int]:
        """Return file and line of a function by its id."""
        return self._symbols.get(number) or (_UNKNOWN, 0)

    def source_text(self, file: str) -> bytes | None:
        """Return the text of a file, if sources are to be sent and it is one of ours."""
        if self._read_source is None or file not in self._files:
            return None
        return self._read_source(file)


#: What the texts of a place sent with its zone may have together: they share 16 bits of length.
_MAX_INLINE: Final = 60_000


def _inline(name: str, function: str, file: str, line: int, color: int) -> bytes:
    texts = b"\0".join(
        cut(text.replace("\0", ""), _MAX_INLINE // 3) for text in (function, file, name)
    )
    return struct.pack("<II", color & 0xFF_FFFF, line & 0xFFFF_FFFF) + texts


_GENERIC_INLINE: Final = _inline("", _GENERIC, "", 0, 0)
