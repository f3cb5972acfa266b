"""The exporter thread: drains the rings and hands their records to the sessions' sinks.

Theory of operation. One daemon thread runs an event loop of its own, which is never instrumented.
Its background exporter task wakes on the interval, when a ring is half full, or for a request. What
the rings hold is taken out of them all at once, so that whatever a record refers to has been taken
too, and put into a backlog. A session begins and ends with such a taking, done by whoever begins or
ends it: what was written before or after goes to the others only, and nobody waits for anything but
the copying.

A round assembles the backlog in slices of `SLICE_NS` with pauses between them: a thread that
computes in Python without a pause would hold the GIL for 5 ms at a time and multiply the latency of
the user's loop. Pauses are left out when somebody waits for a delivery, and when there is more to
do than half a ring. A ring that is half full is emptied into the backlog by the thread that filled
it, since the exporter thread may wait long for the GIL: so a burst of several rings is not lost.

Nothing that a sink or its exporters do ends the thread, and no lock is held while an exporter
works: it may block for as long as it likes, and then costs the delivery, not the program.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from aperf._recorder._layout import SLOT

from ._merge import merge
from ._report import unfinished_tasks
from ._traces import Live

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from aperf.model import Statistics, Summary

    from ._assembler import Assembler
    from ._sink import Sink

T = TypeVar("T")

__all__ = ("Pipeline", "Source")

_log = logging.getLogger("aperf")

#: How long the exporter thread computes at a stretch, and how long it pauses then. Measured beside
#: a loop with 1 ms timers: no difference with a pause as long as the slice, +50 % p99 with
#: sleep(0).
SLICE_NS = 100_000
PAUSE_S = 100e-6
#: Slots between two looks at the clock: about 50 µs of assembling.
PIECE = 32
#: So many full rings may wait in the backlog; more stays in the rings, where losses are counted.
BACKLOG_RINGS = 4
#: While somebody waits for a destination, the rings are drained this often.
POLL_NS = 20_000_000
#: A shorter interval would keep the thread busy with nothing.
MIN_INTERVAL_NS = 1_000_000
#: Old sites are released, and the clocks compared, about once a minute.
SWEEP_NS = 60 * 10**9


class Source(Protocol):
    """What the pipeline needs of a recorder."""

    internal_errors: int

    def now_ns(self) -> int: ...
    def drain(self, slots: int) -> list[tuple[int, bytes]]: ...
    def used(self) -> int: ...
    def dropped(self) -> int: ...
    def threads(self) -> list[tuple[int, str]]: ...
    def live(self) -> list[tuple[int, int, int, bool, bool]]: ...
    def sweep(self) -> list[int]: ...


class _Taken(NamedTuple):
    """What was in the rings at one moment."""

    chunks: list[tuple[int, bytes]]
    slots: int
    sinks: tuple[Sink, ...]  #: of the sessions that were open until that moment
    joining: Sink | None  #: of the session that begins then


class _Request(NamedTuple):
    """Somebody waits for the delivery of all that was recorded."""

    sink: Sink
    deadline_ns: int
    losses: int  #: spans that were known to be lost before
    end: tuple[int, list[Live]] | None  #: of the session, if it is over: when, and its live tasks
    answer: Future[bool]


class Pipeline:
    """Runs the exporter thread.

    Args:
        source: the recorder.
        interval_ns: how often the rings are drained.
        ring_slots: capacity of a ring: with half of that to do, there are no pauses.
        run: runs a coroutine on a loop that aperf does not watch.
    """

    def __init__(
        self,
        source: Source,
        *,
        interval_ns: int,
        ring_slots: int,
        run: Callable[[Callable[[], Coroutine[Any, Any, None]]], None],
    ) -> None:
        self._source = source
        self._interval_ns = max(interval_ns, MIN_INTERVAL_NS)
        self._hurry_slots = ring_slots // 2
        self._most_slots = ring_slots * BACKLOG_RINGS
        self._run = run
        #: Held while the rings are drained, and for all that must happen at such a moment.
        #: Reentrant, since a signal's handler may end a session wherever it interrupts its thread.
        self._taking = threading.RLock()
        self._sinks: tuple[Sink, ...] = ()
        self._draining = False
        self._backlog: deque[_Taken] = deque()
        self._requests: list[_Request] = []
        #: Held while records are assembled, a slice at a time: whoever holds it may read sinks.
        self._lock = threading.Lock()
        self._faults = 0
        self._stopping = self._ended = False
        self._swept_ns = time.monotonic_ns()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._main, name="aperf-exporter", daemon=True)

    # ------------------------------------------------------------------------------- any thread

    def start(self) -> None:
        """Start the thread and wait until it listens.

        Raises:
            RuntimeError: there can be no thread: too many, or the interpreter is about to exit.
        """
        self._thread.start()
        self._ready.wait(5)

    def wake(self) -> None:
        """Have the rings drained soon. Never blocks, never raises."""
        loop, wake = self._loop, self._wake
        if loop is not None and wake is not None:
            try:
                loop.call_soon_threadsafe(wake.set)
            except RuntimeError:
                pass  # the thread has ended: nobody is to be woken

    def relieve(self) -> None:
        """Empty the rings, one of which is half full. On the user's loop: never blocks or raises.

        The copying holds the GIL on either thread, so it costs the loop the same here. To leave it
        to the exporter thread would lose records: a loop of short iterations lets go of the GIL
        often and is back before another thread has woken up, for hundreds of milliseconds.
        """
        if self._taking.acquire(blocking=False):
            try:
                if not (self._ended or self._draining) and self._waiting() < self._most_slots:
                    self._take()
            except Exception:
                self._faults += 1
            finally:
                self._taking.release()
        self.wake()

    def add(self, sink: Sink) -> None:
        """Let a sink have all records from now on; earlier ones go to the others only."""
        with self._taking:
            sink.begin(self._source.now_ns(), self._source.dropped(), self._errors())
            self._take(joining=sink)
            self._sinks = (*self._sinks, sink)

    def flush(self, sink: Sink, timeout_s: float) -> Future[bool]:
        """Have everything recorded so far delivered.

        Returns:
            whether it was, known by the deadline.
        """
        return self._request(sink, timeout_s, None)

    def close(self, sink: Sink, timeout_s: float) -> Future[bool]:
        """End a session: deliver all, hand out the summary, shut its exporters down."""
        with self._taking:
            end_ns, live = self._source.now_ns(), self._source.live()
            self._take()
            self._sinks = tuple(other for other in self._sinks if other is not sink)
            sink.end(self._source.dropped(), self._errors())
            return self._request(sink, timeout_s, (end_ns, [Live(*state) for state in live]))

    def _take(self, joining: Sink | None = None) -> None:
        with self._taking:
            self._draining = True  # seen by what runs in between on this thread, like a finalizer
            try:
                chunks = self._source.drain(1 << 62)
                slots = sum(len(data) for _, data in chunks) // SLOT
                if slots or joining is not None:
                    self._backlog.append(_Taken(chunks, slots, self._sinks, joining))
            finally:
                self._draining = False

    def _waiting(self) -> int:
        """Slots in the backlog. Counted in a copy, which others may add to meanwhile."""
        return sum(taken.slots for taken in list(self._backlog))

    def _request(
        self, sink: Sink, timeout_s: float, end: tuple[int, list[Live]] | None
    ) -> Future[bool]:
        answer: Future[bool] = Future()
        answer.set_running_or_notify_cancel()  # who loses patience must not cancel it for others
        deadline_ns = time.monotonic_ns() + int(timeout_s * 1e9)
        with self._taking:
            if self._ended:
                answer.set_result(False)
            else:
                self._requests.append(_Request(sink, deadline_ns, sink.losses_told, end, answer))
        self.wake()
        return answer

    def stop(self) -> None:
        """Let the thread end when all requests are answered; nobody waits for it."""
        self._stopping = True
        self.wake()

    def forget(self) -> None:
        """Be without a thread, as in a forked child: locks may be held by one that is gone."""
        self._lock, self._taking = threading.Lock(), threading.RLock()
        self._loop = self._wake = None
        self._ended = True

    def _errors(self) -> int:
        return self._source.internal_errors + self._faults

    def statistics(self, sink: Sink) -> Statistics:
        """Return a session's counters."""
        return sink.statistics(self._source.dropped(), self._errors())

    def look(self, sink: Sink, at: Callable[[Assembler], T]) -> T:
        """Let somebody look at a session's assembler, which stands still meanwhile."""
        with self._lock:
            return at(sink.assembler)

    def summary(self, sink: Sink) -> Summary:
        """Return what a session has found out; of what is still in the rings nothing is known."""
        now_ns, statistics = self._source.now_ns(), self.statistics(sink)
        with self._lock:
            unfinished = sink.assembler.unfinished
            if sink.ended_ns is None:
                states = {state[0]: Live(*state) for state in self._source.live()}
                tasks = list(sink.assembler.live.values())
                unfinished = unfinished_tasks(tasks, states, sink.assembler.tables, now_ns)
            return sink.summary(now_ns, statistics, unfinished)

    # -------------------------------------------------------------------------- exporter thread

    def _main(self) -> None:
        try:
            self._run(self._export)
        finally:
            with self._taking:
                self._ended = True
                left, self._requests = self._requests, []
            for request in left:
                request.answer.set_result(False)

    async def _export(self) -> None:
        """The background exporter task."""
        loop = self._loop = asyncio.get_running_loop()
        wake = self._wake = asyncio.Event()
        self._ready.set()
        wait_ns = self._interval_ns
        while self._requests or not self._stopping:
            # Not wait_for: on 3.11 it makes a task, and each uses up one of the names Task-1,
            # Task-2 …
            timer = loop.call_later(wait_ns / 1e9, wake.set)
            await wake.wait()
            timer.cancel()
            wake.clear()
            wait_ns = self._turn()

    def _turn(self) -> int:
        """Do a round, bring the requests forward; return how long there is nothing to do."""
        begin_ns = time.monotonic_ns()
        requests = list(self._requests)  # before the round, which assembles what they wait for
        try:
            self._round(begin_ns + self._interval_ns)
        except Exception:
            self._fault()
        for request in requests:
            if self._advance(request):
                self._requests.remove(request)
        if self._backlog:
            return 0
        if self._requests:
            return max(0, begin_ns + POLL_NS - time.monotonic_ns())
        return self._wait_ns()

    def _wait_ns(self) -> int:
        """How long the rings may be left alone, unless one fills up."""
        wanted = min((sink.interval_ns for sink in self._sinks), default=self._interval_ns)
        return max(min(wanted, self._interval_ns), MIN_INTERVAL_NS)

    def _fault(self) -> None:
        """Count a fault of our own, and show the first one; the thread goes on."""
        self._faults += 1
        if self._faults == 1:
            _log.warning("aperf: a fault of its own on the exporter thread", exc_info=True)

    def _round(self, deadline_ns: int) -> None:
        """Take what the rings hold, assemble the backlog, hand the spans on."""
        self._take()
        for _ in range(len(self._backlog)):  # what comes during the round is for the next one
            try:
                self._assemble(self._backlog[0], deadline_ns)
            finally:
                self._backlog.popleft()
        for sink in self._sinks:
            sink.deliver(deadline_ns)
        self._sweep()

    def _assemble(self, taken: _Taken, deadline_ns: int) -> None:
        with self._lock:
            threads = self._source.threads()
            for sink in taken.sinks:
                sink.threads(threads)
        pieces = merge(taken.chunks, PIECE)
        while self._slice(pieces, taken.sinks):
            for sink in taken.sinks:
                if sink.is_full:
                    sink.deliver(deadline_ns)
            self._breathe()
        if taken.joining is not None and taken.sinks:
            with self._lock:
                taken.joining.adopt(taken.sinks[-1])

    def _slice(self, pieces: Iterator[tuple[int, bytes]], sinks: tuple[Sink, ...]) -> bool:
        """Assemble for as long as a slice lasts; say whether there may be more."""
        end_ns = time.monotonic_ns() + SLICE_NS
        with self._lock:
            for ring, data in pieces:
                for sink in sinks:
                    sink.feed(ring, data)
                if time.monotonic_ns() > end_ns:
                    return True
        return False

    def _breathe(self) -> None:
        """Between two slices: let others run, unless somebody waits or too much is to be done."""
        if not self._requests and self._source.used() + self._waiting() < self._hurry_slots:
            time.sleep(PAUSE_S)

    def _sweep(self) -> None:
        now_ns = time.monotonic_ns()
        if now_ns - self._swept_ns < SWEEP_NS:
            return
        self._swept_ns = now_ns
        gone = self._source.sweep()
        with self._lock:
            for sink in self._sinks:
                sink.renew_anchor(self._source.now_ns(), time.time_ns())
                sink.assembler.tables.forget(gone)

    def _advance(self, request: _Request) -> bool:
        """Bring a delivery forward for a moment; say whether it is answered now."""
        try:
            delivered = self._deliver(request)
        except Exception:
            self._fault()
            delivered = False
        if delivered is not None:
            request.answer.set_result(delivered)
        return delivered is not None

    def _deliver(self, request: _Request) -> bool | None:
        """Return whether all was delivered, None while it is not known."""
        sink, deadline_ns = request.sink, request.deadline_ns
        if request.end is not None and sink.ended_ns is None:
            with self._lock:
                sink.finish(*request.end)
        is_done = sink.flush(min(deadline_ns, time.monotonic_ns() + POLL_NS))
        if not is_done and time.monotonic_ns() < deadline_ns:
            return None
        if request.end is not None:
            is_done = sink.shutdown(lambda: self.summary(sink), deadline_ns) and is_done
        return sink.tell_losses() == request.losses and is_done
