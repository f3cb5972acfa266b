"""Lines of styled text: what the sections of the summary are made of.

A style is a name here; what becomes of it is up to whoever prints the lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from ._summary_format import count, fit

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("COUNT", "DURATION", "Cell", "Line", "Piece", "Style", "row", "some_of", "title")

# Widths of columns. Each keeps a space to its left.
DURATION: Final = 9
COUNT: Final = 10

Style: TypeAlias = Literal[
    "", "title", "dim", "name", "running", "ready", "waiting", "warning", "error"
]


class Piece(NamedTuple):
    """A piece of a line, in one style."""

    text: str
    style: Style = ""


Line: TypeAlias = tuple[Piece, ...]


class Cell(NamedTuple):
    """What stands in a column, at its right edge."""

    text: str
    width: int
    style: Style = ""


def row(width: int, left: Iterable[Piece], *cells: Cell) -> Line:
    """Return a line with columns at its right; what stands left of them is cut to fit."""
    room = width - sum(cell.width for cell in cells)
    line: list[Piece] = []
    for piece in left:
        text = fit(piece.text, room)
        line.append(Piece(text, piece.style))
        room -= len(text)
    if cells:
        line.append(Piece(" " * room))
    line += (Piece(cell.text.rjust(cell.width), cell.style) for cell in cells)
    return tuple(line)


def title(width: int, name: str, note: str, *columns: tuple[str, int]) -> Line:
    """Return the first line of a section: its name, a note and the heads of the columns."""
    left = (Piece(name, "title"), Piece(f"  {note}" if note else "", "dim"))
    return row(width, left, *(Cell(text, size, "dim") for text, size in columns))


def some_of(shown: int, total: int) -> str:
    """Return the note of a section that does not show everything."""
    return f"{shown} of {count(total)}" if shown < total else ""
