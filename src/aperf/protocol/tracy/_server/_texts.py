"""Names by their ids. The client sends ids, and what they mean when it is asked."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from aperf.protocol.tracy._versions import QueryKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._context import Handlers
    from ._questions import Questions

__all__ = ("UNKNOWN", "Texts", "text_of")

#: Stands for a text that was not answered.
UNKNOWN: Final = "???"

_ANSWERS: Final = {
    "StringData": QueryKind.STRING,
    "ThreadName": QueryKind.THREAD_STRING,
    "PlotName": QueryKind.PLOT_NAME,
    "FrameName": QueryKind.FRAME_NAME,
    "FiberName": QueryKind.FIBER_NAME,
    "ExternalName": QueryKind.EXTERNAL_NAME,
}


class Texts:
    """Asks for each text once. Every kind of query has ids of its own."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions
        self._asked: set[tuple[QueryKind, int]] = set()
        self._known: dict[tuple[QueryKind, int], str] = {}
        self._waiting: defaultdict[int, list[Callable[[str], None]]] = defaultdict(list)
        #: Names of threads of other programs.
        self.external_threads: dict[int, str] = {}
        self.handlers: Handlers = {
            "ExternalThreadName": self._external_thread,
            **{event: self._taker(kind) for event, kind in _ANSWERS.items()},
        }

    def ask(self, kind: QueryKind, about: int) -> None:
        """Ask for a text, unless that was done before."""
        if (kind, about) not in self._asked:
            self._asked.add((kind, about))
            self._questions.ask(kind, about)

    def ask_string(self, about: int, then: Callable[[str], None] | None = None) -> None:
        """Ask for a string, and do something with it once it is known."""
        self.ask(QueryKind.STRING, about)
        if then is None:
            return
        known = self._known.get((QueryKind.STRING, about))
        if known is None:
            self._waiting[about].append(then)
        else:
            then(known)

    def get(self, kind: QueryKind, about: int) -> str:
        """Return a text as far as it is known."""
        return self._known.get((kind, about), UNKNOWN)

    def string(self, about: int) -> str:
        """Return a string, "" for id 0, which stands for none."""
        return self.get(QueryKind.STRING, about) if about else ""

    def _taker(self, kind: QueryKind) -> Callable[..., None]:
        def take(*, id: int, payload: bytes) -> None:
            self._questions.answered(kind, id)
            text = self._known[kind, id] = text_of(payload)
            if kind is QueryKind.STRING:
                for then in self._waiting.pop(id, ()):
                    then(text)

        return take

    def _external_thread(self, *, id: int, payload: bytes) -> None:
        self.external_threads[id] = text_of(payload)


def text_of(payload: bytes) -> str:
    """Return a text as the client sent it. Viewers show what is not UTF-8 somehow, so do we."""
    return payload.decode("utf-8", "replace")
