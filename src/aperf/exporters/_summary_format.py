"""How the summary writes numbers, names and places. Pure functions."""

from __future__ import annotations

from typing import Final

__all__ = (
    "bar",
    "clean",
    "count",
    "counted",
    "duration",
    "escape_for",
    "fit",
    "fit_tail",
    "is_drawable",
    "percent",
    "place",
    "to_ascii",
)

#: Unit, ns in it, and up to where it is used: 999.6 µs would be rounded to "1000 µs".
_UNITS: Final = (
    ("µs", 10**3, 999_500),
    ("ms", 10**6, 999_500_000),
    ("s", 10**9, 59_950_000_000),
)

_EIGHTHS: Final = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")

#: What the summary itself has outside of ASCII. A block less than half full becomes a dot.
_DRAWING: Final = "µ·×…─█▉▊▋▌▍▎▏"
_TO_ASCII: Final = str.maketrans(_DRAWING, "u-x~-#####...")


def to_ascii(text: str) -> str:
    """Replace what the summary itself has outside of ASCII, each character by one."""
    return text.translate(_TO_ASCII)


def is_drawable(encoding: str) -> bool:
    """Say whether an encoding has what the summary has outside of ASCII."""
    return escape_for(encoding, _DRAWING) == _DRAWING


def escape_for(encoding: str, text: str) -> str:
    """Escape what an encoding does not have."""
    return text.encode(encoding, "backslashreplace").decode(encoding)


def duration(ns: int) -> str:
    """Return a duration with three digits that matter and the unit that fits, at most 8 wide."""
    if ns < 1000:
        return f"{ns} ns" if ns else "0 s"
    for unit, size, end in _UNITS:
        if ns < end:
            return f"{_three_digits(ns / size)} {unit}"
    minutes, seconds = divmod(round(ns / 10**9), 60)
    if minutes < 60:
        return f"{minutes}m {seconds:02}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h {minutes:02}m"
    return f"{hours // 24}d {hours % 24:02}h"


def _three_digits(value: float) -> str:
    decimals = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{decimals}f}"


def count(number: int) -> str:
    """Return a count at most 9 wide: exact as long as that is possible."""
    if number < 10**7:
        return f"{number:,}"
    return f"{number / 10**6:,.1f} M"


def counted(number: int, noun: str) -> str:
    """Return "1 task", "2 tasks"."""
    return f"{count(number)} {noun}" if number == 1 else f"{count(number)} {noun}s"


def percent(part: int, whole: int) -> str:
    """Return a share, "<0.1 %" rather than 0 for what is not nothing."""
    if not part or not whole:
        return "0 %"
    share = 100 * part / whole
    return "<0.1 %" if share < 0.05 else f"{share:.1f} %"


def bar(part: int, whole: int, width: int) -> str:
    """Return a bar as long as the share, drawn in eighths of a character."""
    if not part or not whole:
        return ""
    share = min(part / whole, 1)
    full, eighths = divmod(max(round(8 * width * share), 1), 8)
    return "█" * full + _EIGHTHS[eighths]


def clean(text: str) -> str:
    """Escape what would move the cursor, break the line or change the colour of a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def fit(text: str, width: int) -> str:
    """Cut a text at its end, with a mark."""
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"[:width]


def fit_tail(text: str, width: int, separator: str) -> str:
    """Cut a text at its beginning, since of a path or a qualified name the end says more.

    It is cut at a separator if that leaves at least half of the room in use.
    """
    if len(text) <= width:
        return text
    tail = text[len(text) - max(width - 1, 0) :]
    if -1 < (cut := tail.find(separator)) < width // 2:
        tail = tail[cut:].lstrip(".")  # "…/file.py", but "…function"
    return "…"[:width] + tail


def place(file: str, line: int, directory: str) -> str:
    """Return "file:line", "" if unknown, relative to the directory if the file lies in it.

    Args:
        file: the path, "" if unknown.
        line: 0 if unknown.
        directory: ends with a separator.
    """
    file = clean(file.removeprefix(directory))
    return f"{file}:{line}" if file and line else file
