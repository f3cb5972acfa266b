"""The texts of source files, which a client sends when it said that it can."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from aperf.protocol.tracy._versions import QueryKind

from ._texts import text_of

if TYPE_CHECKING:
    from ._context import Handlers
    from ._questions import Questions
    from ._welcome import ReceivedWelcome

__all__ = ("Files",)

#: How much of a name a query carries: the 64 bits of what it is about and its 32 bits more.
_PART: Final = struct.Struct("<QI")


class Files:
    """Asks for each file once. A real server does so for files that it cannot read itself."""

    def __init__(self, welcome: ReceivedWelcome, questions: Questions) -> None:
        self._asks = welcome.code_transfer and welcome.executable_s != 0
        self._questions = questions
        self._names: dict[str, int] = {}
        self._texts: dict[int, str] = {}
        self.handlers: Handlers = {
            "SourceCode": self._text,
            "AckSourceCodeNotAvailable": self._no_text,
            "AckServerQueryNoop": self._done,
        }

    def want(self, name: str) -> None:
        """Ask for a file. Its name goes first, in pieces."""
        if not self._asks or not name or name in self._names:
            return
        number = self._names[name] = len(self._names) + 1
        data = name.encode() + b"\0"
        self._questions.ask(QueryKind.DATA_TRANSFER, len(data))
        for start in range(0, len(data), _PART.size):
            part = data[start : start + _PART.size].ljust(_PART.size, b"\0")
            self._questions.ask(QueryKind.DATA_TRANSFER_PART, *_PART.unpack(part))
        self._questions.ask(QueryKind.SOURCE_CODE, number)

    def picture(self) -> dict[str, str]:
        """Return the texts by the names of their files."""
        names = {number: name for name, number in self._names.items()}
        return {names[number]: text for number, text in self._texts.items()}

    def _text(self, *, id: int, payload: bytes) -> None:
        self._texts[self._questions.answered(QueryKind.SOURCE_CODE, id)] = text_of(payload)

    def _no_text(self, *, id: int) -> None:
        self._questions.answered(QueryKind.SOURCE_CODE, id)

    def _done(self) -> None:
        """Take the answer to what has none: parts of names, and parameters."""
        self._questions.answered(QueryKind.DATA_TRANSFER)
