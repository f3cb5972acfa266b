"""The exporter thread: drains the rings and hands their records to the sessions' sinks.

Theory of operation. One daemon thread runs an event loop of its own, which is never instrumented.
Its background exporter task wakes on the interval, when a ring is half full, or for a command. A
round drains all rings at once, so that whatever a record refers to has been drained too, and
assembles the records in slices of `SLICE_NS` with pauses between them: a thread that computes in
Python without a pause would hold the GIL for 5 ms at a time and multiply the latency of the user's
loop. Pauses are left out when somebody waits for a flush, and when the rings fill faster than they
are read.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Protocol

from ._merge import merge
from ._report import unfinished_tasks
from ._traces import Live

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from aperf.model import Statistics, Summary

    from ._sink import Sink

__all__ = ("Pipeline", "Source")

#: How long the exporter thread computes at a stretch, and how long it pauses then. Measured beside
#: a loop with 1 ms timers: no difference with a pause as long as the slice, +50 % p99 with
#: sleep(0).
SLICE_NS = 100_000
PAUSE_S = 100e-6
#: Slots between two looks at the clock: about 50 µs of assembling.
PIECE = 32
#: While a flush waits for a destination, the rings are drained this often.
POLL_NS = 20_000_000
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
        self._interval_s = interval_ns / 1e9
        self._hurry_slots = ring_slots // 2
        self._run = run
        self._sinks: list[Sink] = []
        #: Held while records are assembled, a slice at a time: whoever holds it may read sinks.
        self._lock = threading.Lock()
        self._round = threading.Lock()
        #: A token for everybody who waits for a round; appending and popping are atomic.
        self._urgent: deque[None] = deque()
        self._stopping = False
        self._swept_ns = time.monotonic_ns()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._main, name="aperf-exporter", daemon=True)

    # ------------------------------------------------------------------------------- any thread

    def start(self) -> None:
        """Start the thread and wait until it listens."""
        self._thread.start()
        self._ready.wait(5)

    def wake(self) -> None:
        """Have the rings drained soon. Called on the user's loop: never blocks, never raises."""
        loop, wake = self._loop, self._wake
        if loop is not None and wake is not None:
            try:
                loop.call_soon_threadsafe(wake.set)
            except RuntimeError:
                pass  # the thread has ended: nobody is to be woken

    def add(self, sink: Sink) -> None:
        """Let a sink have all records from now on; earlier ones go to the others only."""
        self._urgent.append(None)
        with self._round:
            self._drain(paced=False)
            with self._lock:
                self._sinks = [*self._sinks, sink]
        self._urgent.pop()

    def flush(self, sink: Sink, timeout_s: float) -> Future[bool]:
        """Have everything recorded so far delivered.

        Returns:
            whether it was, known by the deadline.
        """
        deadline_ns = time.monotonic_ns() + int(timeout_s * 1e9)
        return self._command(lambda: self._flush(sink, deadline_ns))

    def close(self, sink: Sink, t_ns: int, live: list[Any], timeout_s: float) -> Future[bool]:
        """End a session: deliver all, hand out the summary, shut its exporters down."""
        deadline_ns = time.monotonic_ns() + int(timeout_s * 1e9)
        states = [Live(*state) for state in live]
        return self._command(lambda: self._close(sink, t_ns, states, deadline_ns))

    def _command(self, command: Callable[[], bool]) -> Future[bool]:
        future: Future[bool] = Future()
        self._urgent.append(None)

        def run() -> None:
            try:
                future.set_result(command())
            except BaseException as error:
                future.set_exception(error)
            finally:
                self._urgent.pop()

        loop = self._loop
        try:
            if loop is None:
                raise RuntimeError("the exporter thread is not running")
            loop.call_soon_threadsafe(run)
        except RuntimeError:
            self._urgent.pop()
            future.set_result(False)
        return future

    def end(self) -> None:
        """Let the thread end; nobody waits for it."""
        self._stopping = True
        self.wake()

    def statistics(self, sink: Sink) -> Statistics:
        """Return a session's counters."""
        return sink.statistics(self._source.dropped(), self._source.internal_errors)

    def summary(self, sink: Sink) -> Summary:
        """Return what a session has found out; of what is still in the rings nothing is known."""
        with self._lock:
            return self._summary(sink)

    def _summary(self, sink: Sink) -> Summary:
        now_ns = self._source.now_ns()
        unfinished = sink.assembler.unfinished
        if sink.ended_ns is None:
            states = {state[0]: Live(*state) for state in self._source.live()}
            tasks = list(sink.assembler.live.values())
            unfinished = unfinished_tasks(tasks, states, sink.assembler.tables, now_ns)
        return sink.summary(now_ns, self.statistics(sink), unfinished)

    # -------------------------------------------------------------------------- exporter thread

    def _main(self) -> None:
        self._run(self._export)

    async def _export(self) -> None:
        """The background exporter task."""
        loop = self._loop = asyncio.get_running_loop()
        wake = self._wake = asyncio.Event()
        self._ready.set()
        while not self._stopping:
            # Not wait_for: on 3.11 it makes a task, and each uses up one of the names Task-1,
            # Task-2 …
            timer = loop.call_later(self._interval_s, wake.set)
            await wake.wait()
            timer.cancel()
            wake.clear()
            with self._round:
                self._drain(paced=True)

    def _drain(self, *, paced: bool) -> None:
        """One round: all rings, all sinks."""
        deadline_ns = time.monotonic_ns() + int(self._interval_s * 1e9)
        chunks = self._source.drain(1 << 62)
        sinks = self._sinks
        with self._lock:
            for sink in sinks:
                sink.threads(self._source.threads())
        if chunks:
            backlog = sum(len(data) for _, data in chunks) // 32
            for _ in self._slices(merge(chunks, PIECE), deadline_ns):
                if paced and not self._urgent and backlog < self._hurry_slots:
                    time.sleep(PAUSE_S)
        for sink in sinks:
            sink.deliver(deadline_ns)
        self._sweep()

    def _slices(self, pieces: Iterator[tuple[int, bytes]], deadline_ns: int) -> Iterator[None]:
        """Assemble pieces, yielding whenever a slice is over."""
        more = True
        while more:
            more = False
            end_ns = time.monotonic_ns() + SLICE_NS
            with self._lock:
                for ring, data in pieces:
                    for sink in self._sinks:
                        sink.feed(ring, data, deadline_ns)
                    if time.monotonic_ns() > end_ns:
                        more = True
                        break
            yield

    def _sweep(self) -> None:
        now_ns = time.monotonic_ns()
        if now_ns - self._swept_ns < SWEEP_NS:
            return
        self._swept_ns = now_ns
        gone = self._source.sweep()
        for sink in self._sinks:
            sink.renew_anchor(self._source.now_ns(), time.time_ns())
            sink.assembler.tables.forget(gone)

    def _flush(self, sink: Sink, deadline_ns: int) -> bool:
        """Drain, and let the exporters deliver; go on draining while they do."""
        while True:
            with self._round:
                self._drain(paced=False)
            now_ns = time.monotonic_ns()
            if sink.flush(min(deadline_ns, now_ns + POLL_NS)):
                return True
            if time.monotonic_ns() >= deadline_ns:
                return False

    def _close(self, sink: Sink, t_ns: int, live: list[Live], deadline_ns: int) -> bool:
        with self._round:
            self._drain(paced=False)
            with self._lock:
                sink.finish(t_ns, live)
                self._sinks = [other for other in self._sinks if other is not sink]
        delivered = self._flush(sink, deadline_ns)
        with self._lock:
            summary = self._summary(sink)
        return sink.shutdown(summary, deadline_ns) and delivered
