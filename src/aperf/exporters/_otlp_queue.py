"""Spans on their way to the sender threads: bounded, and known to be delivered or not."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aperf.model import WIDTH, Column, ExporterStatistics, Flag

if TYPE_CHECKING:
    from aperf.model import SpanBatch

__all__ = ("PORTION_ROWS", "Portion", "SpanQueue", "count_sampled")

#: Rows handed to a sender at once: as many as one request may hold.
PORTION_ROWS: Final = 4096

# Rough sizes of what stands beside the rows: looking at each of them would cost more than it tells.
_BYTES_PER_TEXT: Final = 128
_BYTES_PER_DETAIL: Final = 2048


def count_sampled(batch: SpanBatch, start: int, stop: int) -> int:
    """Return how many of these rows are spans to be exported."""
    sampled = Flag.SAMPLED.value
    flags = batch.rows[start * WIDTH + Column.FLAGS : stop * WIDTH : WIDTH]
    return sum(value & sampled for value in flags)


class Portion(NamedTuple):
    """Some rows of a batch."""

    batch: Any  #: a `SpanBatch`; in an `SdkPortion` something else
    start: int
    stop: int
    row_bytes: int  #: memory held by each of them

    @property
    def rows(self) -> int:
        """How many."""
        return self.stop - self.start

    def split(self, rows: int) -> tuple[Portion, Portion]:
        """Return the first rows, and the rest."""
        middle = min(self.start + rows, self.stop)
        return self._replace(stop=middle), self._replace(start=middle)

    def count_sampled(self) -> int:
        """Return how many of the rows are spans to be exported."""
        return count_sampled(self.batch, self.start, self.stop)


class SpanQueue:
    """Takes batches from one thread, hands portions to others, and keeps the counters.

    Every portion that was handed out has to come back through `done`.
    """

    def __init__(self, max_spans: int, max_bytes: int, portion_rows: int = PORTION_ROWS) -> None:
        self._portion_rows = min(portion_rows, PORTION_ROWS)
        self._changed = threading.Condition(threading.Lock())
        self._room = max_spans
        self._room_bytes = max_bytes
        self._waiting: deque[Portion] = deque()
        self._under_way: dict[int, tuple[Portion, int]] = {}  #: and how many spans are counted
        self._statistics = ExporterStatistics()
        self._is_closed = False
        self._is_sealed = False
        self._is_urgent = False

    @property
    def is_urgent(self) -> bool:
        """Whether somebody waits for delivery: then nobody pauses."""
        return self._is_urgent

    @property
    def is_closed(self) -> bool:
        """Whether all is over: then nobody tries again."""
        return self._is_closed

    @property
    def statistics(self) -> ExporterStatistics:
        """The counters."""
        return self._statistics

    def put(self, batch: SpanBatch) -> int:
        """Take the rows that there is room for; return how many spans were dropped."""
        if not len(batch):
            return 0
        beside = len(batch.texts) * _BYTES_PER_TEXT + len(batch.details) * _BYTES_PER_DETAIL
        row_bytes = WIDTH * batch.rows.itemsize + beside // len(batch)
        return self.put_portion(Portion(batch, 0, len(batch), row_bytes))

    def put_portion(self, portion: Portion) -> int:
        """Take what there is room for; return how many spans were dropped."""
        with self._changed:
            room = min(self._room, self._room_bytes // portion.row_bytes)
            taken, refused = portion.split(0 if self._is_closed else room)
            if taken.rows:
                self._reserve(taken, 1)
                self._waiting.append(taken)
                self._changed.notify_all()
        dropped = refused.count_sampled()
        self._count(dropped=dropped)
        return dropped

    def take(self) -> Portion | None:
        """Wait for a portion; None when there will be no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            if not self._waiting:
                return None
            portion, rest = self._waiting.popleft().split(self._portion_rows)
            if rest.rows:
                self._waiting.appendleft(rest)
            self._under_way[id(portion)] = portion, 0
            return portion

    def done(self, portion: Portion) -> None:
        """Take note that nothing more will become of a portion."""
        with self._changed:
            if not self._is_sealed:
                del self._under_way[id(portion)]
                self._reserve(portion, -1)
            self._changed.notify_all()

    def count(
        self, portion: Portion, *, exported: int = 0, dropped: int = 0, failures: int = 0
    ) -> None:
        """Take note of what became of spans in a portion."""
        with self._changed:
            if not self._is_sealed:
                _, counted = self._under_way[id(portion)]
                self._under_way[id(portion)] = portion, counted + exported + dropped
                self._add(exported, dropped, failures)

    def count_rest(self, portion: Portion) -> None:
        """Take note that all spans in a portion are dropped of which nothing else is known."""
        with self._changed:
            if not self._is_sealed:
                _, counted = self._under_way[id(portion)]
                rest = portion.count_sampled() - counted
                self._under_way[id(portion)] = portion, counted + rest
                self._add(0, rest, 1)

    def pause(self, duration_ns: int, *, even_if_urgent: bool) -> None:
        """Let a sender wait, but not when somebody waits for it or it is to end."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_closed or (self._is_urgent and not even_if_urgent),
                duration_ns / 1e9,
            )

    def wait_until_empty(self, deadline_ns: int) -> bool:
        """Wait until all portions are done; say whether they were by the deadline."""
        with self._changed:
            self._is_urgent = True
            self._changed.notify_all()
            try:
                timeout_s = (deadline_ns - time.monotonic_ns()) / 1e9
                return self._changed.wait_for(self._is_empty, max(timeout_s, 0))
            finally:
                self._is_urgent = False

    def close(self) -> None:
        """Take no more, and drop what no sender has begun with."""
        with self._changed:
            self._is_closed = True
            waiting, self._waiting = self._waiting, deque()
            self._changed.notify_all()
        self._count(dropped=sum(portion.count_sampled() for portion in waiting))

    def seal(self) -> None:
        """Drop what has not come back; the counters stay as they are from now on."""
        with self._changed:
            for portion, counted in self._under_way.values():
                self._add(0, portion.count_sampled() - counted, 0)
            self._is_sealed = True

    def _count(self, dropped: int) -> None:
        with self._changed:
            if not self._is_sealed:
                self._add(0, dropped, 0)

    def _add(self, exported: int, dropped: int, failures: int) -> None:
        old = self._statistics
        self._statistics = ExporterStatistics(
            exported_spans=old.exported_spans + exported,
            dropped_spans=old.dropped_spans + dropped,
            export_failures=old.export_failures + failures,
        )

    def _is_empty(self) -> bool:
        return not self._waiting and not self._under_way

    def _reserve(self, portion: Portion, sign: int) -> None:
        self._room -= sign * portion.rows
        self._room_bytes -= sign * portion.rows * portion.row_bytes
