"""What the numbers of places and names in records are to a viewer: source locations.

Each is worked out once per connection; afterwards a dictionary answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from aperf._pipeline import classify_wait, place_of
from aperf._recorder import OWN, USER, WRAPPER, Hint, classify

if TYPE_CHECKING:
    from types import CodeType

    from aperf.model import RecordTables, Site, WaitKind
    from aperf.protocol.tracy import Strings

__all__ = ("UNKNOWN", "Chain", "Frame", "Source", "Sources")

UNKNOWN: Final = "(unknown)"

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

#: Answers that are kept of each kind. All are worked out anew when there are more, as where a
#: program makes code without end.
MOST: Final = 1 << 15

#: Frames that are recorded of a chain, the innermost ones.
_MOST_FRAMES: Final = 32

#: What waits look like: contention red, other tasks green, the network blue, threads violet.
_CONTENTION, _TASKS, _NETWORK, _THREADS = 0xA04040, 0x407A50, 0x35658C, 0x6A4B93
_QUEUES, _SIGNALS, _TIME = 0x94702E, 0x6F6F42, 0x4A4A5C
COLORS: Final[dict[WaitKind, int]] = {
    "lock": _CONTENTION,
    "semaphore": _CONTENTION,
    "barrier": _CONTENTION,
    "condition": _SIGNALS,
    "event": _SIGNALS,
    "future": _SIGNALS,
    "task": _TASKS,
    "gather": _TASKS,
    "wait": _TASKS,
    "shield": _TASKS,
    "task_group": _TASKS,
    "queue_get": _QUEUES,
    "queue_put": _QUEUES,
    "executor": _THREADS,
    "thread": _THREADS,
    "subprocess": _THREADS,
    "socket": _NETWORK,
    "stream_read": _NETWORK,
    "stream_drain": _NETWORK,
    "dns": _NETWORK,
    "sleep": _TIME,
    "yield": _TIME,
    "unknown": _TIME,
}


class Source(NamedTuple):
    """A source location."""

    id: int
    label: str = ""  #: to be given to each zone, where the location stands for many
    name: str = ""
    code: CodeType | None = None  #: what runs there


class Frame(NamedTuple):
    """A coroutine that is awaited, shown as a zone."""

    place: int  #: in the whole chain, outermost first
    code: CodeType
    source: Source


class Chain(NamedTuple):
    """Where a task is suspended."""

    shown: tuple[Frame, ...]  #: outermost first
    depth: int  #: of the whole chain
    root: Source | None  #: the outermost one, if that is known
    wait: Source
    stack: tuple[int, ...]  #: ids of frames, innermost first


class Sources:
    """Finds the source locations of one connection.

    Args:
        strings: hands out numbers for texts and places.
        tables: what the numbers in records mean.
    """

    def __init__(self, strings: Strings, tables: RecordTables) -> None:
        self._strings = strings
        self._tables = tables
        self._chains: dict[tuple[int, CodeType | None], Chain] = {}
        self._functions: dict[tuple[int, bool], Source] = {}
        self._spans: dict[tuple[int, int], Source] = {}
        self._frames: dict[CodeType, Source] = {}
        self._fixed: dict[tuple[str, int], Source] = {}
        self._places: dict[int, Source] = {}
        self._stacks: dict[int, tuple[int, ...]] = {}

    def _source(
        self,
        name: str,
        function: str,
        file: str,
        line: int,
        color: int = 0,
        code: CodeType | None = None,
    ) -> Source:
        number = self._strings.source(name, function, file, line, color)
        label = name or function if self._strings.source_is_generic(number) else ""
        return Source(number, label, name or function, code)

    def fixed(self, name: str, color: int = 0) -> Source:
        """Return the location of zones that are no code of the program's."""
        known = self._fixed.get((name, color))
        if known is None:
            known = self._source(name, name, "aperf", 0, color)
            _keep(self._fixed, (name, color), known)
        return known

    def function(self, ref: int, uncoded: bool, site: Site | None = None) -> Source:
        """Return the location of a coroutine function, or of a job's.

        Args:
            ref: number of the site of its code, or of its name.
            uncoded: whether it is a name.
            site: what the number stood for, where it may have been released since.
        """
        known = self._functions.get((ref, uncoded))
        if known is None:
            if not uncoded:
                site = site or self._tables.resolve(ref)
            known = self._function(self._tables.name(ref) if uncoded else UNKNOWN, site)
            _keep(self._functions, (ref, uncoded), known)
        return known

    def _function(self, name: str, site: Site | None) -> Source:
        if site is None or not site[2]:
            return self._source(name, "", "", 0)
        return self._of_code(site[2][0][0])

    def _of_code(self, code: CodeType) -> Source:
        known = self._frames.get(code)
        if known is None:
            name, file, line = code.co_qualname, code.co_filename, code.co_firstlineno
            known = self._source(name, name, file, line, 0, code)
            _keep(self._frames, code, known)
        return known

    def span(self, name: int, site: int, place: Site | None = None) -> Source:
        """Return the location of a user span.

        Args:
            name: number of its name.
            site: where it was opened.
            place: what `site` stood for, where it may have been released since.
        """
        known = self._spans.get((name, site))
        if known is None:
            place = place or self._tables.resolve(site)
            known = self._at(self._tables.name(name), place)
            _keep(self._spans, (name, site), known)
        return known

    def place(self, site: int) -> Source | None:
        """Return the location of a place in the program; None if it is not known."""
        known = self._places.get(site)
        if known is None:
            resolved = self._tables.resolve(site)
            if resolved is None or not resolved[2]:
                return None
            known = self._at("", resolved)
            _keep(self._places, site, known)
        return known

    def _at(self, name: str, site: Site | None) -> Source:
        if site is None or not site[2]:
            return self._source(name, "", "", 0)
        code, lasti = site[2][0]
        place = place_of(code, lasti)
        return self._source(name, place.function, place.file, place.line, 0, code)

    def chain(self, site: int, root: CodeType | None) -> Chain:
        """Return what to draw of a task that is suspended at a site.

        Args:
            site: its number.
            root: the task's own code, which is the task's zone already.
        """
        known = self._chains.get((site, root))
        if known is None:
            known = self._chain(site, root)
            _keep(self._chains, (site, root), known)
        return known

    def _chain(self, site: int, root: CodeType | None) -> Chain:
        known = self._tables.resolve(site)
        wait, resolved = classify_wait(known), known or (0, None, ())
        codes = [code for code, _ in reversed(resolved[2])]
        place = wait.place
        source = self._source(
            wait.name,
            place.function if place else "",
            place.file if place else "",
            place.line if place else 0,
            COLORS[wait.kind],
        )
        # The outermost one is the task's, but of chains that were too long to be recorded wholly.
        is_whole = bool(resolved[0] & Hint.FULL) and 0 < len(codes) < _MOST_FRAMES
        first = codes.index(root) + 1 if root in codes else int(len(codes) < _MOST_FRAMES)
        last = len(codes)
        while last > first and _is_standard(codes[last - 1]):
            last -= 1  # how the standard library waits is what the wait's zone says
        shown = tuple(
            Frame(index, codes[index], self._of_code(codes[index]))
            for index in range(first, last)
            if not classify(codes[index]) & (WRAPPER | OWN)
        )
        outermost = self._of_code(codes[0]) if is_whole else None
        return Chain(shown, len(codes), outermost, source, self.stack(site))

    def stack(self, site: int) -> tuple[int, ...]:
        """Return the frames of a site as a viewer knows them, innermost first."""
        known = self._stacks.get(site)
        if known is None:
            places = [
                place_of(*frame) for frame in (self._tables.resolve(site) or (0, None, ()))[2]
            ]
            known = tuple(
                self._strings.frame(place.function, place.file, place.line) for place in places
            )
            _keep(self._stacks, site, known)
        return known


def _keep(known: dict[_Key, _Value], key: _Key, value: _Value) -> None:
    if len(known) >= MOST:
        known.clear()
    known[key] = value


def _is_standard(code: CodeType) -> bool:
    """Say whether code belongs to the standard library."""
    installed = "/site-packages/", "/dist-packages/", "\\site-packages\\"
    return not classify(code) & USER and not any(part in code.co_filename for part in installed)
