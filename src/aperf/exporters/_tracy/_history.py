"""The latest records, for a viewer that connects later or is slower than the program.

Theory of operation. The exporter thread appends, the thread of the viewer reads, and neither waits
for the other but while a few kilobytes change hands. Records are kept in blocks, with the runs of
slots of one ring in the order in which they came. When there is too much of them, or they are too
old, the oldest block goes, and its records pass through the baseline (see `_baseline`). A reader
begins with a copy of the baseline and the oldest block. One that has been overtaken is told how
much it has missed and gets a new copy.

A viewer that connects wants what is about to go. So an eighth of the memory is kept free until it
comes: that much the program can record while the viewer begins to read.

After a pause of the program much may be too old at once. It goes bit by bit then, since the
exporter thread must not compute for long (see `aperf._pipeline`).
"""

from __future__ import annotations

import threading
import time
from array import array
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from aperf._recorder._layout import HEADER, SLOT

from ._baseline import Baseline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aperf.model import Chunk, RecordTables

__all__ = ("Block", "Gap", "History", "Reader")

#: Bytes of a block: it passes through the baseline in about 200 µs where each slot leaves a trace.
BLOCK: Final = 8 << 10
_ALL: Final = 1 << 32
#: What a block takes beside its slots, roughly.
_OVERHEAD: Final = 512
#: A block covers at most such a part of the time that is kept.
_PARTS: Final = 16
#: Blocks that go at a time.
_FEW: Final = 2
#: In between, where nobody else is behind it.
PAUSE_S: Final = 100e-6
_DAY_NS: Final = 24 * 3600 * 10**9


class Gap(NamedTuple):
    """Records were dropped that a reader has not read."""

    t_ns: int  #: time of the oldest event where it goes on
    records: int  #: how many events are missing


class Block:
    """Slots of several rings, in the order in which they came.

    Attributes:
        number: its place in the history.
        begin_ns: when its first slots came.
        end_ns: when its last ones did.
    """

    __slots__ = ("_data", "_runs", "begin_ns", "end_ns", "number")

    def __init__(self, number: int, t_ns: int) -> None:
        self.number = number
        self.begin_ns = self.end_ns = t_ns
        self._data = bytearray()
        self._runs = array("I")  # ring, bytes, ring, bytes …

    @property
    def size(self) -> int:
        """Bytes of slots."""
        return len(self._data)

    @property
    def memory(self) -> int:
        """Bytes that it takes, roughly."""
        return len(self._data) + len(self._runs) * self._runs.itemsize + _OVERHEAD

    def add(self, ring: int, data: bytes, t_ns: int) -> None:
        """Append some slots of a ring."""
        runs = self._runs
        if runs and runs[-2] == ring:
            runs[-1] += len(data)
        else:
            runs.extend((ring, len(data)))
        self._data += data
        self.end_ns = t_ns

    def oldest_ns(self, rests: dict[int, bytes]) -> int:
        """Return the time of the oldest event.

        Args:
            rests: of each ring, the begin of an event that ends here.
        """
        oldest_ns, rests = self.begin_ns, rests.copy()
        for ring, data in self.pieces(_ALL):
            data = rests.pop(ring, b"") + data
            start = 0
            while start < len(data):
                t_ns, _, slots, *_ = HEADER.unpack_from(data, start)
                oldest_ns = min(oldest_ns, t_ns)
                following = start + max(slots, 1) * SLOT
                if following > len(data):
                    rests[ring] = data[start:]
                start = following
        return oldest_ns

    def pieces(self, slots: int) -> Iterator[tuple[int, bytes]]:
        """Yield rings and some of their slots; an event may be cut at the end."""
        most = slots * SLOT
        data, runs, start = memoryview(self._data), self._runs, 0
        for index in range(0, len(runs), 2):
            stop = start + runs[index + 1]
            for position in range(start, stop, most):
                yield runs[index], bytes(data[position : min(position + most, stop)])
            start = stop


class Reader:
    """Reads a history from its oldest block on, in one thread.

    Attributes:
        baseline: what was in force where the reading began, after a `Gap` where it goes on.
        next: number of the block that comes next.
        sent: number of the first block that is not yet where it belongs (see `done`).
    """

    def __init__(self, history: History) -> None:
        self.baseline = Baseline()
        self.sent = 0
        self.next = 0
        #: events that were dropped before they were read, since the last `Gap`
        self.missed = 0
        self._history = history

    def read(self) -> Block | Gap | None:
        """Return what comes next, None if there is nothing yet.

        After a `Gap`, and at the begin, the rests of the baseline belong before the next block.
        """
        return self._history._read(self)

    def done(self, number: int) -> None:
        """All blocks before this one are where they belong."""
        if number != self.sent:
            self.sent = number
            self._history._tell()

    def close(self) -> None:
        """Read no more."""
        self._history._leave(self)


class History:
    """Keeps the latest records.

    Args:
        most_bytes: memory for them.
        most_ns: how long they are kept; for a reader that has not come to them yet, longer.
    """

    def __init__(self, most_bytes: int, most_ns: int) -> None:
        self._most_bytes = most_bytes
        self._most_ns = most_ns
        self._started_ns = time.monotonic_ns()
        self._block_bytes = min(BLOCK, most_bytes // _PARTS)
        self._lock = threading.Lock()
        self._changed = threading.Condition()  # what has been sent
        self._blocks: deque[Block] = deque()
        self._bytes = 0  # of the blocks, without the one that is being filled
        self._filling: Block | None = None
        self._is_behind = False  # there is more to drop
        self._count = 0  # of blocks, ever
        self._baseline = Baseline()
        self._reader: Reader | None = None
        #: what the numbers in the records mean; None before the first ones
        self.tables: RecordTables | None = None
        #: events dropped before the reader came to them, and how often that happened
        self.dropped_records = 0
        self.gaps = 0

    # ---------------------------------------------------------------------------- exporter thread

    def append(self, chunk: Chunk) -> None:
        """Add the latest records."""
        self.tables = tables = chunk.tables
        t_ns = tables.now_ns()
        with self._lock:
            block = self._filling
            if block is None:
                block = self._filling = Block(self._count, t_ns)
                self._count += 1
            block.add(chunk.ring, chunk.data, t_ns)
            full = block.size >= self._block_bytes
            if full or t_ns - block.begin_ns > self._most_ns // _PARTS:
                self._seal()
            if self._filling is None or self._is_behind:
                self._drop(t_ns)

    def mark(self) -> int:
        """Return the number that the next block will have: what was appended is in those before."""
        with self._lock:
            self._seal()
            return self._count

    # ------------------------------------------------------------------------------- any thread

    @property
    def is_read(self) -> bool:
        """Whether there is a reader."""
        return self._reader is not None

    @property
    def is_pressed(self) -> bool:
        """Whether it is about to drop what has not been read."""
        return self._bytes > self._most_bytes - self._most_bytes // _PARTS

    def wait_until_sent(self, number: int, deadline_ns: int) -> bool:
        """Wait until nobody reads who has not sent all blocks before this one.

        Returns:
            whether that was so by the deadline.
        """

        def is_sent() -> bool:
            reader = self._reader
            return reader is None or reader.sent >= number

        with self._changed:
            left_s = (deadline_ns - time.monotonic_ns()) / 1e9
            return self._changed.wait_for(is_sent, max(left_s, 0))

    # ------------------------------------------------------------------------- the viewer's thread

    def open(self) -> Reader:
        """Begin to read. There can be one reader at a time.

        The baseline of the reader is told the time of the oldest record that there is to read.
        """
        reader = Reader(self)
        now_ns = time.monotonic_ns() if self.tables is None else self.tables.now_ns()
        while self._is_stale(now_ns):
            time.sleep(PAUSE_S)
        with self._lock:
            self._seal()
            self._begin(reader)
            reader.sent = reader.next
            self._reader = reader
            first = self._blocks[0] if self._blocks else None
        baseline = reader.baseline
        # What was not drained yet, or is dated back, may be a little older than the first block.
        kept_ns = max(self._started_ns, now_ns - self._most_ns)
        oldest_ns = min(baseline.oldest_ns(now_ns), kept_ns)
        if first is not None:
            oldest_ns = min(oldest_ns, first.oldest_ns(baseline.rests))
        baseline.begin_ns = max(oldest_ns, now_ns - _DAY_NS, 0)
        return reader

    def _is_stale(self, now_ns: int) -> bool:
        """Drop some of what is too old; say whether there is more."""
        with self._lock:
            return self._drop(now_ns)

    def _read(self, reader: Reader) -> Block | Gap | None:
        with self._lock:
            if reader.next == self._count:
                return None
            self._seal()
            oldest = self._blocks[0].number
            if reader.next < oldest:
                return self._skip(reader)
            block = self._blocks[reader.next - oldest]
            reader.next += 1
            return block

    def _leave(self, reader: Reader) -> None:
        with self._lock:
            if self._reader is reader:
                self._reader = None
        self._tell()

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()

    # ------------------------------------------------------------------------- with the lock held

    def _skip(self, reader: Reader) -> Gap:
        self.gaps += 1
        missed = reader.missed
        self._begin(reader)
        return Gap(self._blocks[0].oldest_ns(reader.baseline.rests), missed)

    def _begin(self, reader: Reader) -> None:
        """Put a reader before the oldest block (with nothing in the one that is being filled)."""
        reader.baseline.assign(self._baseline)
        reader.missed = 0
        reader.next = self._blocks[0].number if self._blocks else self._count

    def _seal(self) -> None:
        """Let the block that is being filled be read."""
        if self._filling is not None:
            self._blocks.append(self._filling)
            self._bytes += self._filling.memory
            self._filling = None

    def _drop(self, now_ns: int) -> bool:
        """Drop the oldest blocks while there are too many, or they are too old.

        Returns:
            whether there are more to drop: a few at a time is enough, since each comes alone.
        """
        for _ in range(_FEW):
            if self._is_due(now_ns):
                self._pass(self._blocks.popleft())
        self._is_behind = self._is_due(now_ns)
        return self._is_behind

    def _is_due(self, now_ns: int) -> bool:
        """Say whether the oldest block has to go."""
        if not self._blocks:
            return False
        oldest, reader = self._blocks[0], self._reader
        if reader is None:
            most = self._most_bytes - self._most_bytes // 8
        elif reader.next <= oldest.number:
            return self._bytes > self._most_bytes and len(self._blocks) > 1
        else:
            most = self._most_bytes
        return self._bytes > most or oldest.end_ns < now_ns - self._most_ns

    def _pass(self, block: Block) -> None:
        """Let a block pass through the baseline, and note what the reader has missed."""
        self._bytes -= block.memory
        before = self._baseline.events
        if self.tables is not None:
            for ring, data in block.pieces(_ALL):
                self._baseline.take(ring, data, self.tables)
        reader = self._reader
        if reader is not None and reader.next <= block.number:
            lost = self._baseline.events - before
            reader.missed += lost
            self.dropped_records += lost
