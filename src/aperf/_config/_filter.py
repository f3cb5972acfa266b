"""Filters: what is let through, by module or logger, by level, and by the span around it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from aperf._errors import ConfigurationError

from ._directives import DIRECTIVE_TEXT, Directive, Level, read_directive, split, split_target
from ._switch import complaint

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("NOISE", "Filter", "Parsed", "parse_filter")

#: A span by its name and attributes.
NamedSpan: TypeAlias = tuple[str, Mapping[str, object]]

#: What talks about its own work rather than about the program's, unless the program asks it to.
NOISE: Final = (
    "aiohttp",
    "asyncio",
    "botocore",
    "grpc",
    "h2",
    "hpack",
    "httpcore",
    "httpx",
    "opentelemetry",
    "requests",
    "s3transfer",
    "urllib3",
)
#: Names of loggers are few, unless somebody makes one for each request.
_MOST_TARGETS: Final = 4096


class Parsed(NamedTuple):
    """A filter, the directives of its text that it consists of, and those that are none."""

    filter: Filter
    accepted: str
    refused: tuple[str, ...]


class Filter:
    """Decides what is let through. It never changes, so that decisions can be remembered.

    Of the directives that apply, the one counts that says most: one about a span before all others,
    then the one with more fields, then the longest target, then the last one.

    Args:
        directives: what it consists of.
        rest: level of what no directive applies to.
    """

    __slots__ = (
        "_about_spans",
        "_about_targets",
        "_directives",
        "_levels",
        "_named",
        "_rest",
        "_spans",
    )

    def __init__(self, directives: Iterable[Directive] = (), rest: Level = Level.INFO) -> None:
        self._directives = tuple(directives)
        self._rest = rest
        # Those that count before others stand before them.
        ranked = list(reversed(self._directives))
        ranked.sort(key=lambda directive: directive.weight, reverse=True)
        self._about_spans = [each for each in ranked if each.is_about_spans]
        self._about_targets = [each for each in ranked if not each.is_about_spans]
        # What has been decided, by target, and by target and name of a span.
        self._levels: dict[str, Level] = {}
        self._spans: dict[str, Sequence[Directive]] = {}
        self._named: dict[tuple[str, str], Level | None] = {}

    @staticmethod
    def parse(text: str) -> Filter:
        """Read a filter such as ``info,shop.db=debug,[request{method=GET}]=trace``.

        What no directive is about is let through up to `info`, unless there is a bare level.

        Raises:
            ConfigurationError: one line for each directive that is none.
        """
        parsed = parse_filter(text)
        if parsed.refused:
            lines = [complaint("filter", piece, DIRECTIVE_TEXT) for piece in parsed.refused]
            raise ConfigurationError("\n".join(lines))
        return parsed.filter

    def quietened(self, noise: Iterable[str] = NOISE, level: Level = Level.WARN) -> Filter:
        """Return a filter that lets less through of what is named, where nobody asked for it.

        A directive with exactly this target asks for it. What is quieter already stays so.
        """
        asked = {directive.target for directive in self._about_targets}
        quiet = [
            Directive(level, split_target(name))
            for name in noise
            if split_target(name) not in asked and self.level(name) > level
        ]
        return Filter((*quiet, *self._directives), self._rest)

    @property
    def most(self) -> Level:
        """The level beyond which nothing is let through, whatever it is."""
        return max((each.level for each in self._directives), default=self._rest)

    def level(self, target: str, spans: Iterable[NamedSpan] = ()) -> Level:
        """Return up to which level things are let through.

        Args:
            target: name of the logger, or of the module that a span is opened in.
            spans: for a log record, the spans open around it; for a span, the span itself.
        """
        if self._about_spans:
            spans = tuple(spans)
            for directive in self._about_spans_in(target):
                if any(directive.matches(name, attributes) for name, attributes in spans):
                    return directive.level
        known = self._levels.get(target)
        if known is None:
            known = self._level(target)
            _remember(self._levels, target, known)
        return known

    def level_of_span(self, target: str, name: str) -> Level | None:
        """Return what `level` would for a span, None if that depends on its attributes.

        The answer holds for all spans of one call site, and is remembered.
        """
        site = target, name
        if site in self._named:
            return self._named[site]
        level: Level | None = self.level(target)
        for directive in self._about_spans_in(target):
            if directive.span in ("", name):
                level = None if directive.fields else directive.level
                break
        _remember(self._named, site, level)
        return level

    def _about_spans_in(self, target: str) -> Sequence[Directive]:
        known = self._spans.get(target)
        if known is None:
            parts = split_target(target)
            known = tuple(each for each in self._about_spans if each.covers(parts))
            _remember(self._spans, target, known)
        return known

    def _level(self, target: str) -> Level:
        parts = split_target(target)
        covering = (each.level for each in self._about_targets if each.covers(parts))
        return next(covering, self._rest)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Filter):
            return NotImplemented
        return (self._directives, self._rest) == (other._directives, other._rest)

    def __hash__(self) -> int:
        return hash((self._directives, self._rest))

    def __repr__(self) -> str:
        return f"<Filter {', '.join(map(_text, self._directives)) or self._rest.name.lower()}>"


def _text(directive: Directive) -> str:
    fields = ",".join(key if text is None else f"{key}={text}" for key, text in directive.fields)
    span = directive.span + (f"{{{fields}}}" if fields else "")
    about = ".".join(directive.target) + (f"[{span}]" if span else "")
    return f"{about}={directive.level.name.lower()}" if about else directive.level.name.lower()


def _remember(decisions: dict[Any, Any], key: object, decision: object) -> None:
    if len(decisions) >= _MOST_TARGETS:
        decisions.clear()
    decisions[key] = decision


def parse_filter(text: str) -> Parsed:
    """Read a filter, leaving out the directives that are none."""
    directives, accepted, refused = [], [], []
    for piece in split(text):
        try:
            directives.append(read_directive(piece))
            accepted.append(piece)
        except ValueError:
            refused.append(piece)
    return Parsed(Filter(directives), ",".join(accepted), tuple(refused))
