"""What the cases of Tracy's round trip have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from aperf.protocol.tracy import Stream, Strings
from aperf.protocol.tracy._server import Row, Source, StackFrame, Zone

__all__ = (
    "FETCH",
    "FRAMES",
    "MAIN",
    "PARSE",
    "STACK",
    "Case",
    "group",
    "stack",
    "symbols",
    "thread",
    "zone",
)

#: Says something, and returns what is to be read, by attribute of the trace.
Case: TypeAlias = Callable[[Stream, Strings], dict[str, Any]]

MAIN: Final = 7
FETCH: Final = Source("", "fetch", "app.py", 12, 0x102030)
PARSE: Final = Source("parse the page", "parse", "lib/parser.py", 34)


def zone(source: Source, start_ns: int, end_ns: int, **more: Any) -> Zone:
    """Return a zone at a place, as it is read back."""
    at = {"function": source.function, "file": source.file, "line": source.line}
    name = source.name or source.function
    given = {"name": name, **at, "color": source.color, **more}
    return Zone(start_ns=start_ns, end_ns=end_ns, **given)


def thread(*zones: Zone, name: str = f"thread {MAIN}", **more: Any) -> Row:
    """Return the row of a thread."""
    return Row(name=name, zones=zones, **more)


FRAMES: Final = (("inner", "a.py", 3), ("outer", "b.py", 40))
STACK: Final = tuple(StackFrame(*frame) for frame in FRAMES)


def stack(strings: Strings) -> list[int]:
    """Return the ids of a call stack, which is read back as `STACK`."""
    return [strings.frame(*frame) for frame in FRAMES]


def symbols(strings: Strings) -> dict[int, tuple[str, int]]:
    """Return what is known of the functions of a call stack that was sent."""
    ids = [strings.frame_of(strings.frame(*frame)).symbol for frame in FRAMES]
    return dict(zip(ids, [(file, line) for _, file, line in FRAMES], strict=True))


def group(stream: Stream, number: int) -> int:
    """Return what is read back of a fiber's group."""
    return number if stream.version >= 68 else 0
