"""One viewer: it is shown what was recorded, then what is being recorded, and gets its answers.

Theory of operation. One task reads what the viewer asks, another one does the rest, in turns: draw
a slice of records, send what has come of it, send the answers. Nothing is drawn while something is
being sent. So a viewer that is slow to take it holds up this task and nothing else; meanwhile the
history drops what is too much, and the viewer is shown that there is a gap.

Drawing is Python and holds the GIL: there are pauses as on the exporter thread (see
`aperf._pipeline`). They are left out when somebody waits, and when the history is about to drop
what was not drawn yet.
"""

from __future__ import annotations

import logging
import time
from itertools import chain
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import anyio
import anyio.lowlevel

from aperf.protocol.tracy import RemoteProtocolError, State, Welcome

from ._history import Gap
from ._sockets import Gone

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from aperf.model import RecordTables
    from aperf.protocol.tracy import Connection, Stream

    from ._baseline import Baseline
    from ._history import History
    from ._program import Program
    from ._sockets import Peer

__all__ = ("Mapper", "MapperFactory", "Viewer")

_log = logging.getLogger("aperf")

#: How long is drawn at a stretch, and how long the pause is then. Where the pause takes longer, on
#: a busy machine, the next slice takes as long: else a viewer would never catch up there.
_SLICE_NS: Final = 100_000
_LONGEST_SLICE_NS: Final = 1_000_000
_PAUSE_S: Final = 100e-6
#: Slots between two looks at the clock.
_PIECE: Final = 32
#: So much is collected before it is sent, while there is more to draw.
_ENOUGH: Final = 48 << 10
#: How often the history is looked at when all of it was drawn. The viewer is sent something each
#: time: it asks its questions only when it has been.
_TICK_S: Final = 0.1
#: … and while it is to come to an end.
_LAST_TICK_S: Final = 0.005
#: Queries are 13 bytes. A few are answered before more are read: answers are larger, and a peer
#: that asks and asks without taking them must not fill the memory.
_QUERIES: Final = 1 << 10


class Mapper(Protocol):
    """Draws records."""

    def feed(self, ring: int, data: bytes) -> None:
        """Draw some slots of a ring."""

    def gap(self, t_ns: int, slots: int) -> None:
        """Records are missing up to here."""

    def sample(self, now_ns: int) -> None:
        """Show what goes on right now."""

    def finish(self, t_ns: int) -> None:
        """Close all that is open."""


MapperFactory: TypeAlias = "Callable[[Stream, RecordTables, Baseline], Mapper]"


class Viewer:
    """Serves one viewer, in one event loop.

    Args:
        peer: the viewer.
        connection: has received its hello.
        program: what it is told of the process.
        history: what it is shown.
        draw: makes what draws it.

    Attributes:
        has_all: whether it has got everything, to the end.
        repairs: how many events were left out or added, because it would have failed.
    """

    def __init__(
        self,
        peer: Peer,
        connection: Connection,
        program: Program,
        history: History,
        draw: MapperFactory,
    ) -> None:
        self._peer = peer
        self._connection = connection
        self._program = program
        self._history = history
        self._draw = draw
        self._reader = history.open()
        rests = self._reader.baseline.rests.items()
        self._records: Iterator[tuple[int, bytes]] = chain(rests, self._all_there_is())
        self._drawn = self._reader.next  # the first block that is not drawn to its end
        self._mapper: Mapper | None = None
        self._wake = anyio.Event()
        self._read_on = anyio.Event()
        self._next_tick_s = 0.0
        self._slice_ns = _SLICE_NS
        self._is_urgent = False
        self._deadline_s: float | None = None
        self._has_ended = False
        self.has_all = False
        self.repairs = 0

    def urge(self) -> None:
        """Make haste: somebody waits until all is sent."""
        self._is_urgent = True
        self._wake.set()

    def stop(self, deadline_s: float) -> None:
        """Show what is left and end, by this time of the event loop's clock."""
        self._deadline_s = deadline_s
        self._wake.set()

    async def serve(self) -> None:
        """Serve until the viewer hangs up, is gone, or is to be let go."""
        try:
            await self._peer.send(self._connection.welcome(self._welcome()))
            async with anyio.create_task_group() as group:
                group.start_soon(self._until_gone, self._listen, group.cancel_scope)
                await self._until_gone(self._show, group.cancel_scope)
        finally:
            self._reader.close()
            if self._connection.state is not State.WELCOME:
                self.repairs = self._stream.repairs

    @property
    def _stream(self) -> Stream:
        return self._connection.stream

    async def _until_gone(
        self, part: Callable[[], Awaitable[None]], both: anyio.CancelScope
    ) -> None:
        """Do one part; the other one ends with it."""
        try:
            await part()
        except (Gone, RemoteProtocolError) as error:
            _log.debug("aperf: Tracy viewer gone: %s", error)
        both.cancel()

    def _welcome(self) -> Welcome:
        program = self._program
        return Welcome(
            begin_ns=self._reader.baseline.begin_ns,
            epoch_s=program.epoch_s,
            pid=program.pid,
            program=program.name,
            host=program.host,
            executable_s=program.epoch_s if program.sources else 0,
            code_transfer=program.sources,
        )

    # ------------------------------------------------------------------------------------ listening

    async def _listen(self) -> None:
        """Take in queries, which are answered into the stream."""
        while True:
            self._connection.receive(await self._peer.receive(_QUERIES))
            if self._connection.state is State.CLOSED:
                self.has_all = self._has_ended
                return
            self._read_on = anyio.Event()
            self._wake.set()
            await self._read_on.wait()

    # -------------------------------------------------------------------------------------- showing

    async def _show(self) -> None:
        while self._deadline_s is None:
            is_more = self._map()
            if not is_more:
                self._is_urgent = False
                self._tick()
            await self._send(all_of_it=not is_more)
            if is_more:
                await self._breathe()
            else:
                await self._rest(_TICK_S)
        with anyio.CancelScope(deadline=self._deadline_s):
            await self._end()

    async def _end(self) -> None:
        """Show what is left, then answer until the viewer has no more questions."""
        while self._map():
            await self._send(all_of_it=False)
            await anyio.lowlevel.checkpoint()
        t_ns = self._now_ns()
        if self._mapper is not None:
            self._mapper.finish(t_ns)
        if self._connection.state is State.STREAMING:  # it may have hung up this very moment
            self._connection.terminate(t_ns)
            self._has_ended = True
        while True:
            self._stream.keep_alive()
            await self._send(all_of_it=True)
            await self._rest(_LAST_TICK_S)

    def _now_ns(self) -> int:
        tables = self._history.tables
        return time.monotonic_ns() if tables is None else tables.now_ns()

    def _map(self) -> bool:
        """Draw for as long as a slice lasts; say whether there is more."""
        tables = self._history.tables
        if tables is None:
            return False
        if self._mapper is None:
            self._mapper = self._draw(self._stream, tables, self._reader.baseline)
        end_ns = time.monotonic_ns() + self._slice_ns
        for ring, data in self._records:
            self._mapper.feed(ring, data)
            if time.monotonic_ns() > end_ns:
                return True
        self._records = self._all_there_is()
        return False

    def _all_there_is(self) -> Iterator[tuple[int, bytes]]:
        """Yield the records that are not drawn yet; draw the gaps between them."""
        while (item := self._reader.read()) is not None:
            if isinstance(item, Gap):
                assert self._mapper is not None
                self._mapper.gap(item.t_ns, item.records)
                yield from self._reader.baseline.rests.items()
            else:
                yield from item.pieces(_PIECE)
            self._drawn = self._reader.next

    def _tick(self) -> None:
        """Now and then: show the present, and make the viewer ask what it has to ask."""
        now_s = time.monotonic()
        if now_s >= self._next_tick_s:
            self._next_tick_s = now_s + _TICK_S
            if self._mapper is not None:
                self._mapper.sample(self._now_ns())
            self._stream.keep_alive()

    async def _send(self, *, all_of_it: bool) -> None:
        """Send what is drawn, and answers; without haste, if there is not much."""
        if all_of_it or self._stream.waiting >= _ENOUGH or not self._read_on.is_set():
            drawn, read_on = self._drawn, self._read_on  # more may come while this is sent
            for frame in self._stream.take():
                await self._peer.send(frame)
            read_on.set()
            self._reader.done(drawn)

    async def _breathe(self) -> None:
        """Between two slices: let others run, unless somebody waits or records would be lost."""
        if not self._is_urgent and not self._history.is_pressed:
            begin_ns = time.monotonic_ns()
            _sleep(_PAUSE_S)
            paused_ns = time.monotonic_ns() - begin_ns
            self._slice_ns = min(max(_SLICE_NS, paused_ns), _LONGEST_SLICE_NS)
        await anyio.lowlevel.checkpoint()

    async def _rest(self, seconds: float) -> None:
        """Wait for questions, or for orders."""
        with anyio.move_on_after(seconds):
            await self._wake.wait()
        self._wake = anyio.Event()


def _sleep(seconds: float) -> None:
    """Block the thread: its event loop sleeps for a millisecond at least, and has nothing else."""
    time.sleep(seconds)
