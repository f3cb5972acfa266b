"""What hands spans to an application's processors: a thread for that, and one for `force_flush`.

Both do what the application has configured, and that may block for as long as it likes: a simple
processor sends each span before it comes back, and `force_flush` heeds no timeout when nobody
answers. So neither happens on the exporter thread, and whoever waits for one of them waits no
longer than until a deadline.

Making spans is Python and holds the GIL: it goes slice by slice, with a pause after each.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final

from aperf._instrument.all_loops import exempt

from ._otlp_queue import count_sampled

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.trace import TracerProvider

    from ._opentelemetry_processors import Processors
    from ._opentelemetry_spans import SpanBuilder
    from ._otlp_queue import Portion, SpanQueue

__all__ = ("Flusher", "Sender")

_LOG: Final = logging.getLogger("aperf")

_SLICE_NS: Final = 100_000
_PAUSE_NS: Final = 100_000
_MAX_ROWS: Final = 64
#: How often a full queue of the application's is looked at.
_POLL_NS: Final = 10_000_000

_SECONDS_BETWEEN_WARNINGS: Final = 60


class Sender:
    """Takes portions from a queue until it closes; `run` may run in one thread.

    Args:
        queue: where spans come from and where their fate is counted.
        provider: where they go.
        processors: its processors.
        builder: makes the SDK's spans.
    """

    def __init__(
        self,
        queue: SpanQueue,
        provider: TracerProvider,
        processors: Processors,
        builder: SpanBuilder,
    ) -> None:
        self._queue = queue
        self._provider = provider
        self._processors = processors
        self._builder = builder
        self._slice_rows = 1
        self._next_warning_s = 0.0
        #: How many spans the processors got.
        self.handed = 0

    def run(self) -> None:
        """Hand spans on until the queue closes."""
        with exempt():  # an exporter that runs a loop of its own here is not to be watched
            while (portion := self._queue.take()) is not None:
                try:
                    self._process(portion)
                except Exception:
                    _LOG.debug("a fault in aperf's OpenTelemetry exporter", exc_info=True)
                    self._queue.count_rest(portion)
                    self._warn("internal error")
                finally:
                    self._queue.done(portion)

    def _process(self, portion: Portion) -> None:
        self._processors.refresh()
        position = portion.start
        while position < portion.stop:
            room = self._wait_for_room()
            if not room:
                self._drop(portion, position)
                return
            stop = min(position + min(self._slice_rows, room), portion.stop)
            before_ns = time.thread_time_ns()
            self._hand_on(portion, position, stop)
            spent_ns = max(time.thread_time_ns() - before_ns, 1)
            fitting = (stop - position) * _SLICE_NS // spent_ns
            self._slice_rows = min(max(fitting, 1), _MAX_ROWS)
            position = stop
            self._queue.pause(_PAUSE_NS, even_if_urgent=False)

    def _wait_for_room(self) -> int:
        """Return how many spans may be handed on, 0 if no more are to be."""
        processors, queue = self._processors, self._queue
        while not queue.is_closed and not processors.are_shut_down:
            if room := processors.room:
                return room
            queue.pause(_POLL_NS, even_if_urgent=True)
        return 0

    def _drop(self, portion: Portion, position: int) -> None:
        self._queue.count(portion, dropped=count_sampled(portion.batch, position, portion.stop))
        if self._processors.are_shut_down:
            self._warn("it is shut down")

    def _hand_on(self, portion: Portion, start: int, stop: int) -> None:
        spans = self._builder.build(portion.batch, start, stop, self._provider.resource)
        refused, reason = self._processors.on_end(spans)
        self.handed += len(spans)
        self._queue.count(
            portion, exported=len(spans) - refused, dropped=refused, failures=1 if refused else 0
        )
        if reason is not None:
            self._warn(f"a span processor failed: {type(reason).__name__}: {reason}")

    def _warn(self, reason: str) -> None:
        """Write one line, and no other for a while: the counters tell the rest."""
        now_s = time.monotonic()
        if now_s >= self._next_warning_s:
            self._next_warning_s = now_s + _SECONDS_BETWEEN_WARNINGS
            dropped = self._queue.statistics.dropped_spans
            text = "spans for the application's TracerProvider are lost (%s); %d dropped so far"
            _LOG.warning(text, reason, dropped)


class Flusher:
    """Has an application deliver what it was handed; `run` may run in one thread.

    Args:
        flush: does it, for as long as it takes, and says whether it was done.
        handed: says how many spans the processors got by now.
    """

    def __init__(self, flush: Callable[[], bool], handed: Callable[[], int]) -> None:
        self._flush = flush
        self._handed = handed
        self._changed = threading.Condition(threading.Lock())
        # Numbers of spans, counted from the first one that was handed on.
        self._wanted = 0
        self._flushed = 0
        self._is_closed = False

    def run(self) -> None:
        """Flush whenever somebody wants it, until closed."""
        with exempt():
            while self._is_wanted():
                position = self._handed()  # what comes later, this flush may miss
                self._answer(position if self._flush() else None)

    def wait(self, deadline_ns: int) -> bool:
        """Say whether all that was handed on by now has been flushed by the deadline."""
        position = self._handed()
        with self._changed:
            if self._flushed >= position:
                return True
            self._wanted = max(self._wanted, position)
            self._changed.notify_all()
            timeout_s = (deadline_ns - time.monotonic_ns()) / 1e9
            self._changed.wait_for(
                lambda: self._flushed >= position or self._wanted < position or self._is_closed,
                max(timeout_s, 0),
            )
            return self._flushed >= position

    def close(self) -> None:
        """Let the thread end."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _is_wanted(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._wanted > self._flushed)
            return not self._is_closed

    def _answer(self, position: int | None) -> None:
        with self._changed:
            if position is None:
                self._wanted = self._flushed  # whoever still wants it will say so
            else:
                self._flushed = position
            self._changed.notify_all()
