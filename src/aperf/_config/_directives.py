"""The grammar of filters: what one directive says, and how it is written.

`RUST_LOG` made it known: ``info,shop.db=debug,[request{method=GET}]=trace``. Directives are
separated by commas. Each has a target, a span with fields, a level, or several of these::

    directive = level | [target] ["[" [name] ["{" field {"," field} "}"] "]"] ["=" level]
    field     = key ["=" value]

A word that is no level is a target. Without a level, everything is meant (`trace`).
"""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ("DIRECTIVE_TEXT", "Directive", "Level", "read_directive", "split", "split_target")

DIRECTIVE_TEXT: Final = (
    "LEVEL or TARGET[SPAN{FIELD=VALUE}]=LEVEL, with off, error, warn, info, debug or trace"
)


class Level(enum.IntEnum):
    """How much is let through: everything up to here."""

    OFF = 0
    ERROR = 1
    WARN = 2
    INFO = 3
    DEBUG = 4
    TRACE = 5

    @classmethod
    def of_logging(cls, number: int) -> Level:
        """Return the level of a record of the standard library's logging."""
        if number >= 40:
            return cls.ERROR
        if number >= 30:
            return cls.WARN
        if number >= 20:
            return cls.INFO
        return cls.DEBUG if number >= 10 else cls.TRACE


#: Rust also reads digits, and Python's name for one of them is longer.
_LEVELS: Final = {
    **{level.name.lower(): level for level in Level},
    **{str(level.value): level for level in Level},
    "warning": Level.WARN,
}

_DIRECTIVE: Final = re.compile(
    r"""(?P<target>[^\s\[\]{}=,"]*)
        (?:\[ (?P<span>[^\[\]{}="]*) (?:\{(?P<fields>.*)\})? \])?
        (?:=(?P<level>\w+))?""",
    re.VERBOSE,
)
#: Commas in brackets separate fields; brackets in a quoted text end nothing.
_PIECE: Final = re.compile(r'(?:\[(?:"[^"]*"|[^]"])*\]|[^,])+')
_FIELD: Final = re.compile(
    r"""\s* (?P<key>[^\s"=,{}]+)
        (?:\s*=\s* (?:"(?P<quoted>[^"]*)" | (?P<plain>[^",{}]*?)))? \s* (?:,|$)""",
    re.VERBOSE,
)


class Directive(NamedTuple):
    """One directive.

    Attributes:
        level: what it lets through of what it is about.
        target: modules or loggers, by their first parts; () for all.
        span: a span's name, "" for any.
        fields: attributes that the span must have, with the text of their value or None for any.
    """

    level: Level
    target: tuple[str, ...] = ()
    span: str = ""
    fields: tuple[tuple[str, str | None], ...] = ()

    @property
    def is_about_spans(self) -> bool:
        """Whether a span decides if it applies."""
        return bool(self.span or self.fields)

    @property
    def weight(self) -> tuple[bool, int, int]:
        """How much it says: of two that apply, the heavier one counts."""
        return self.is_about_spans, bool(self.span) + len(self.fields), len(self.target)

    def covers(self, target: tuple[str, ...]) -> bool:
        """Say whether it is about this module or logger."""
        return target[: len(self.target)] == self.target

    def matches(self, name: str, attributes: Mapping[str, object]) -> bool:
        """Say whether it is about this span."""
        if self.span not in ("", name):
            return False
        return all(
            key in attributes and (text is None or _as_text(attributes[key]) == text)
            for key, text in self.fields
        )


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def split_target(text: str) -> tuple[str, ...]:
    """Return the parts of the name of a module or logger, in Python's spelling or in Rust's."""
    return tuple(text.replace("::", ".").split(".")) if text else ()


def split(text: str) -> Iterator[str]:
    """Return the directives of a filter, each as it is written; empty ones count as none."""
    return filter(None, map(str.strip, _PIECE.findall(text)))


def read_directive(text: str) -> Directive:
    """Read one directive.

    Raises:
        ValueError: it is none.
    """
    if (level := _LEVELS.get(text.lower())) is not None:
        return Directive(level)
    found = _DIRECTIVE.fullmatch(text)
    if found is None or (found["span"] == "" and not found["fields"]):
        raise ValueError(text)
    level = _LEVELS.get((found["level"] or "trace").lower())
    target, span = split_target(found["target"]), (found["span"] or "").strip()
    if level is None or "" in target or not (target or found["span"] is not None):
        raise ValueError(text)
    return Directive(level, target, span, tuple(_fields(found["fields"])))


def _fields(text: str | None) -> Iterator[tuple[str, str | None]]:
    position, text = 0, (text or "").strip()
    while position < len(text):
        found = _FIELD.match(text, position)
        if found is None:
            raise ValueError(text)
        yield found["key"], found["plain"] if found["quoted"] is None else found["quoted"]
        position = found.end()
