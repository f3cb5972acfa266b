"""Pushes metrics at intervals, from a thread of its own.

This is what the SDK's PeriodicExportingMetricReader is for, but that one goes on in forked
children, and who flushes it waits for the receiver, for longer than he says.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, set_value

from aperf._errors import ExportError
from aperf.exporters._otlp_client import UNANSWERED

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.metrics.export import MetricsData

    from ._metrics_otlp import MetricsSender

__all__ = ("Pusher",)

#: Who waits for a push asks every 20 ms; whoever has not for so long has given up.
PATIENCE_NS: Final = 1_000_000_000
#: So long the thread is waited for at the end even if the deadline is over: it has all but ended by
#: then, and it knows why the push failed.
_LEAST_WAIT_NS: Final = 50_000_000

_log = logging.getLogger("aperf")


class Pusher:
    """Collects and exports every so often, and when somebody asks.

    Args:
        collect: returns what is to be pushed; None for nothing now.
        sender: sends it.
        interval_ns: from one push to the next.

    Attributes:
        failures: pushes that failed for good, those left out of which `flush` told.
    """

    def __init__(
        self, collect: Callable[[], MetricsData | None], sender: MetricsSender, interval_ns: int
    ) -> None:
        self._collect = collect
        self._sender = sender
        self._interval_ns = interval_ns
        self._changed = threading.Condition(threading.Lock())
        self._asked = self._answered = 0
        self._waiting: int | None = None  # number of the push that somebody waits for
        self._polled_ns = 0  # when they asked for it last
        self._failure: ExportError | None = None
        self._is_told = False  # that pushes fail
        self._stopping = False
        self.failures = 0
        self._thread = threading.Thread(target=self._run, name="aperf-metrics", daemon=True)
        self._thread.start()

    def flush(self, deadline_ns: int) -> bool:
        """Push now and wait; may be called again and again for the same push.

        Returns:
            Whether it is over by the deadline.

        Raises:
            ExportError: it is, and the receiver did not take it.
        """
        with self._changed:
            polled_ns, self._polled_ns = self._polled_ns, time.monotonic_ns()
            if self._waiting is None or self._polled_ns - polled_ns > PATIENCE_NS:
                self._asked += 1
                self._waiting = self._asked
                self._changed.notify_all()
            if not self._wait(self._waiting, deadline_ns):
                return False
            self._waiting = None
            if self._failure is not None:
                self._is_told = True  # who is told by an exception tells it on
                raise self._failure
            return True

    def stop(self, deadline_ns: int) -> bool:
        """Push once more and end; say whether that was taken by the deadline."""
        with self._changed:
            self._stopping = True
            self._asked += 1
            self._changed.notify_all()
            answered = self._wait(self._asked, deadline_ns)
        # What is still under way is given up: it ends, and so does the thread, sooner or later.
        self._sender.close()
        deadline_ns = max(deadline_ns, time.monotonic_ns() + _LEAST_WAIT_NS)
        self._thread.join((deadline_ns - time.monotonic_ns()) / 1e9)
        if answered and self._failure is None:
            return True
        self._failed(self._failure or ExportError(UNANSWERED, retryable=True))
        return False

    def _wait(self, number: int, deadline_ns: int) -> bool:
        timeout_s = max(0, deadline_ns - time.monotonic_ns()) / 1e9
        return self._changed.wait_for(lambda: self._answered >= number, timeout_s)

    def _run(self) -> None:
        # Nobody is to trace or measure our own requests.
        attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        next_ns = time.monotonic_ns() + self._interval_ns
        while True:
            with self._changed:
                timeout_s = max(0, next_ns - time.monotonic_ns()) / 1e9
                self._changed.wait_for(lambda: self._asked > self._answered, timeout_s)
                number, last = self._asked, self._stopping
            failure = self._push()
            next_ns = time.monotonic_ns() + self._interval_ns
            with self._changed:
                if failure is None:
                    self._is_told = False
                elif number == self._answered:
                    self._failed(failure)
                self._answered, self._failure = number, failure
                self._changed.notify_all()
            if last:
                return

    def _push(self) -> ExportError | None:
        try:
            data = self._collect()
            if data is not None:
                self._sender.send(data)
        except ExportError as error:
            return error
        except Exception as error:
            return ExportError(f"{type(error).__name__}: {error}", retryable=False)
        return None

    def _failed(self, failure: ExportError) -> None:
        """Count a push that no exception tells of, and tell the first one of a row."""
        self.failures += 1
        if not self._is_told:
            self._is_told = True
            where = self._sender.endpoint
            _log.warning("aperf: metrics cannot be pushed to %s (%s)", where, failure)

    def forget_after_fork(self) -> None:
        """Leave everything to the parent."""
        self._sender.forget_after_fork()
