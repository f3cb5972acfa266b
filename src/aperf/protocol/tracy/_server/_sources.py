"""Source locations: what zones, locks and GPU zones are called and where they stand."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from aperf.protocol.tracy._errors import RemoteProtocolError
from aperf.protocol.tracy._versions import QueryKind

from ._faults import InstrumentationFailure
from ._slot import Slot
from ._texts import UNKNOWN, Texts, text_of

if TYPE_CHECKING:
    from ._context import Handlers
    from ._files import Files
    from ._questions import Questions

__all__ = ("Source", "Sources")

#: How many locations a server can number, of those that it asks for and of those sent along.
_MAX_SOURCES: Final = 32_767

_SENT_ALONG: Final = struct.Struct("<II")


class Source(NamedTuple):
    """A source location.

    Attributes:
        name: what the program calls it; "" where the function's name says it.
        function: the function's name.
        file: its file.
        line: the line in it.
        color: 0xRRGGBB, 0 for the viewer's choice.
    """

    name: str
    function: str
    file: str
    line: int
    color: int = 0


_UNANSWERED: Final = Source("", UNKNOWN, UNKNOWN, 0)


class _Ids(NamedTuple):
    name: int
    function: int
    file: int
    line: int
    color: int


class Sources:
    """Asks for each location once; the answers come in the order of the queries."""

    def __init__(self, texts: Texts, files: Files, questions: Questions) -> None:
        self._texts = texts
        self._files = files
        self._questions = questions
        self._asked: set[int] = set()
        self._known: dict[int, _Ids] = {}
        self._along: dict[Source, Source] = {}
        #: What `SourceLocationPayload` left.
        self.sent_along: Slot[Source] = Slot("source location")
        self.handlers: Handlers = {
            "SourceLocation": self._answer,
            "SourceLocationPayload": self._send_along,
        }

    def ask(self, number: int) -> None:
        """Ask for a location, unless that was done before."""
        if number in self._asked:
            return
        self._asked.add(number)
        _check_count(self._asked)
        self._questions.ask(QueryKind.SOURCE_LOCATION, number)

    def get(self, source: int | Source) -> Source:
        """Return a location as far as it is known."""
        if isinstance(source, Source):
            return source
        ids = self._known.get(source)
        if ids is None:
            return _UNANSWERED
        string = self._texts.string
        return Source(string(ids.name), string(ids.function), string(ids.file), ids.line, ids.color)

    def _answer(self, *, name: int, function: int, file: int, line: int, color: int) -> None:
        number = self._questions.answered(QueryKind.SOURCE_LOCATION)
        self._known[number] = _Ids(name, function, file, line, color)
        for text in (name, function):
            if text:
                self._texts.ask_string(text)
        if file:
            self._texts.ask_string(file, self._files.want)

    def _send_along(self, *, id: int, payload: bytes) -> None:
        """Take a location that comes with its texts; the id means nothing."""
        source = _decode(payload)
        self.sent_along.put(self._along.setdefault(source, source))
        _check_count(self._along)
        self._files.want(source.file)


def _check_count(sources: set[int] | dict[Source, Source]) -> None:
    if len(sources) > _MAX_SOURCES:
        raise InstrumentationFailure("Too many source locations.")


def _decode(payload: bytes) -> Source:
    texts = payload[_SENT_ALONG.size :].split(b"\0", 2)
    if len(texts) != len(("function", "file", "name")):
        raise RemoteProtocolError(f"source location of {len(payload)} bytes lacks a text")
    color, line = _SENT_ALONG.unpack_from(payload)
    function, file, name = map(text_of, texts)
    return Source(name, function, file, line, color)
