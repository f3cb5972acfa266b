"""What the reader of a trace asks its client, no more at a time than the client may owe."""

from __future__ import annotations

import struct
from collections import deque
from typing import Final

from aperf.protocol.tracy._versions import QueryKind, query_numbers

from ._faults import Undiagnosed

__all__ = ("CREDIT", "QUERY_BYTES", "Questions")

#: Type, what it is about, and more of it.
_QUERY: Final = struct.Struct("<BQI")

QUERY_BYTES: Final = _QUERY.size

#: How many queries a real server lets its client owe at most.
CREDIT: Final = 8192 - 4

#: The first version in which these go first is that of their numbers (`query_numbers`).
_LAST_URGENT: Final = {True: 8, False: 7}
_RENUMBERED: Final = 66

#: They are answered by the same event, which does not say which of them it means.
_UNNAMED: Final = frozenset(
    {QueryKind.PARAMETER, QueryKind.DATA_TRANSFER, QueryKind.DATA_TRANSFER_PART}
)


class Questions:
    """Queries that are to be sent, and those that were and have no answer yet."""

    def __init__(self, version: int, credit: int = CREDIT) -> None:
        self._numbers = query_numbers(version)
        self._last_urgent = _LAST_URGENT[version >= _RENUMBERED]
        self._credit = credit
        self._urgent: deque[tuple[QueryKind, int, int]] = deque()
        self._rest: deque[tuple[QueryKind, int, int]] = deque()
        self._owed: dict[QueryKind, deque[int]] = {}

    @property
    def unanswered(self) -> int:
        """How many were sent and have no answer."""
        return sum(map(len, self._owed.values()))

    @property
    def pending(self) -> int:
        """How many have no answer, sent or not."""
        return self.unanswered + len(self._urgent) + len(self._rest)

    def ask(self, kind: QueryKind, about: int = 0, extra: int = 0) -> None:
        """Send a query as soon as there is credit for it."""
        urgent = self._numbers[kind] <= self._last_urgent
        (self._urgent if urgent else self._rest).append((kind, about, extra))

    def answered(self, kind: QueryKind, about: int | None = None) -> int:
        """Return what the query was about that is answered, the oldest of its kind if not said.

        Raises:
            Undiagnosed: nobody asked.
        """
        owed = self._owed.get(_group(kind), deque())
        if not owed or (about is not None and about not in owed):
            raise Undiagnosed(f"answer to a query that was not asked: {kind.name} {about}")
        if about is None:
            return owed.popleft()
        owed.remove(about)
        return about

    def take(self) -> bytes:
        """Return the queries that may be sent now."""
        out = bytearray()
        while (self._urgent or self._rest) and self.unanswered < self._credit:
            kind, about, extra = (self._urgent or self._rest).popleft()
            out += _QUERY.pack(self._numbers[kind], about, extra)
            self._owed.setdefault(_group(kind), deque()).append(about)
        return bytes(out)

    def overhear(self, query: bytes) -> None:
        """Take note of a query that somebody else has sent: the answer comes here, too."""
        number, about, _ = _QUERY.unpack(query)
        for kind, known in self._numbers.items():
            if known == number:
                self._owed.setdefault(_group(kind), deque()).append(about)

    def farewell(self) -> bytes:
        """Return the query that ends the connection. It has no answer."""
        return _QUERY.pack(self._numbers[QueryKind.TERMINATE], 0, 0)


def _group(kind: QueryKind) -> QueryKind:
    return QueryKind.PARAMETER if kind in _UNNAMED else kind
