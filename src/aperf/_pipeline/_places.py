"""Places in code, as a person reads them: function, file, line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import CodeType

    from aperf.model import Attributes

__all__ = ("Place", "code_attributes", "module_of", "place_of", "stacktrace")

#: Directories whose content is imported by its path below them.
_INSTALLED: Final = ("/site-packages/", "/dist-packages/")


@dataclass(frozen=True, slots=True)
class Place:
    """A place in code: the function's qualified name, its file and the line."""

    function: str
    file: str
    line: int


def place_of(code: CodeType, lasti: int) -> Place:
    """Return the place of a frame.

    Args:
        code: what the frame runs.
        lasti: the offset at which it stands, -1 for its beginning.
    """
    return Place(code.co_qualname, code.co_filename, _line_of(code, lasti))


def _line_of(code: CodeType, lasti: int) -> int:
    # A suspended frame stands at its YIELD_VALUE or right behind it (CPython 3.13); what follows
    # there belongs to the same await. Instructions without a line count to the line before.
    line = code.co_firstlineno
    if lasti >= 0:
        for start, end, number in code.co_lines():
            if start > lasti:
                break
            line = number or line
            if lasti < end:
                break
    return line


def stacktrace(frames: Iterable[tuple[CodeType, int]]) -> str:
    """Return frames, given innermost first, as Python's tracebacks show them: outermost first."""
    places = [place_of(code, lasti) for code, lasti in frames]
    return "\n".join(
        f'  File "{place.file}", line {place.line}, in {place.function}'
        for place in reversed(places)
    )


def code_attributes(place: Place) -> Attributes:
    """Return a place under OpenTelemetry's names."""
    return (
        ("code.function.name", place.function),
        ("code.file.path", place.file),
        ("code.line.number", place.line),
    )


def module_of(code: CodeType) -> str:
    """Return the name of the module that library code belongs to, by its file's name.

    That is the path below site-packages; of the standard library, which may lie anywhere, the last
    two parts of the path.
    """
    path = code.co_filename.replace("\\", "/").removesuffix(".py")
    for directory in _INSTALLED:
        _, found, below = path.rpartition(directory)
        if found:
            return below.replace("/", ".")
    return ".".join(path.split("/")[-2:])
