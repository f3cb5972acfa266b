"""Lines of styled text in the colours of a terminal, by way of rich."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._summary_lines import Line, Style

__all__ = ("colored", "terminal_width")

_STYLES: Final[dict[Style, str]] = {
    "": "",
    "title": "bold",
    "dim": "dim",
    "name": "cyan",
    "running": "green",
    "ready": "yellow",
    "waiting": "blue",
    "warning": "yellow",
    "error": "bold red",
}


def terminal_width() -> int:
    """Return how many characters a line of the program's terminal holds."""
    return Console().width


def colored(lines: Iterable[Line]) -> str:
    """Return lines with the escape sequences that TERM and NO_COLOR ask for.

    rich never sees the stream that they are for: it answers a broken pipe by pointing the
    program's stdout to /dev/null and raising `SystemExit`.
    """
    text = Text()
    for line in lines:
        for piece in line:
            text.append(piece.text, _STYLES[piece.style])
        text.append("\n")
    paper = io.StringIO()
    console = Console(file=paper, force_terminal=True, highlight=False, soft_wrap=True)
    console.print(text, end="")
    return paper.getvalue()
