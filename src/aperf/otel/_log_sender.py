"""Sends log records to an OTLP receiver, by the clients that carry the spans.

OpenTelemetry's SDK has a processor and exporters for this, whose flush takes longer than it is told
to, and which log through the loggers whose records they export.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from typing import TYPE_CHECKING, Final

from aperf._version import installed_version
from aperf.exporters._otlp_client import LOGS, Outcome, Verdict, connect, public_endpoint
from aperf.exporters._otlp_sender import suppress_instrumentation
from aperf.protocol.otlp import logs_request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aperf._config import OtlpSettings
    from aperf.model import Attributes
    from aperf.protocol.otlp import EncodedLog

    from ._log_queue import LogQueue

__all__ = ("LogSender",)

#: Of the semantic conventions whose `code.*` and `exception.*` the records use.
_SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.36.0"

#: For handlers of the program's that take long to write a line.
_PATIENCE_S: Final = 0.2
#: Back-off: doubled each time, and varied by a third so that many processes do not come at once.
_FIRST_DELAY_S: Final = 0.25
_MAX_DELAY_S: Final = 8.0
_JITTER: Final = 1 / 3

_UNANSWERED: Final = "no answer by the end"

_log = logging.getLogger("aperf")


class LogSender:
    """Takes records from a queue until that ends; `run` is for a thread of its own.

    Args:
        queue: where records come from, and where their fate is counted.
        settings: where they go, and how.
        resource: attributes of the process.

    Attributes:
        resource: see above.

    Raises:
        ConfigurationError: the endpoint is no URL, or a certificate or key cannot be used.
    """

    def __init__(self, queue: LogQueue, settings: OtlpSettings, resource: Attributes) -> None:
        self.resource = resource
        self._queue = queue
        self._timeout_s = settings.timeout_s
        self._endpoint = public_endpoint(settings.endpoint)
        self._client = connect(settings, f"aperf/{installed_version()}", LOGS)
        self._closed = threading.Event()
        self._telling = threading.Lock()
        self._is_failing = False

    def run(self) -> None:
        """Send until the queue ends."""
        is_quiet = False
        while records := self._queue.take():
            is_quiet = is_quiet or suppress_instrumentation()
            self._deliver(records)
        self._client.close()

    def close(self) -> None:
        """Cancel what is under way and release the connection."""
        self._closed.set()
        self._client.close()

    def give_up(self) -> None:
        """Tell that something is lost at the end, unless a failure has been told before."""
        self._failed(_UNANSWERED)

    def forget_after_fork(self) -> None:
        """Leave the connection to the parent."""
        self._client.forget_after_fork()

    def _deliver(self, records: Sequence[EncodedLog], *, may_split: bool = True) -> None:
        try:
            outcome = self._send(logs_request(self.resource, _SCHEMA_URL, records))
        except Exception as error:  # a fault of ours must not end the thread
            outcome = Outcome(Verdict.REFUSED, f"{type(error).__name__}: {error}")
        count = len(records)
        if outcome.verdict is Verdict.TAKEN:
            rejected = min(max(outcome.rejected_spans, 0), count)  # of logs they are records
            self._is_failing = self._is_failing and rejected > 0
            if rejected:  # told before it is counted: who waits for the counters may end us then
                self._failed(f"{rejected} records rejected: {outcome.reason}")
            self._queue.count(exported=count - rejected, dropped=rejected)
        elif outcome.verdict is Verdict.SPLIT and may_split and count > 1:
            self._deliver(records[: count // 2], may_split=False)
            self._deliver(records[count // 2 :], may_split=False)
        else:
            self._failed(outcome.reason)
            self._queue.count(dropped=count, failures=1)

    def _send(self, request: bytes) -> Outcome:
        """Send until the request is taken, refused for good, or out of time."""
        deadline_s, delay_s = time.monotonic() + self._timeout_s, _FIRST_DELAY_S
        reason = _UNANSWERED
        while True:
            outcome = self._client.send(request, max(deadline_s - time.monotonic(), 1e-3), {})
            if outcome.verdict is not Verdict.RETRY:
                return outcome
            if self._closed.is_set():  # the client, closed too, can say no more than that
                return outcome._replace(reason=reason)
            reason = outcome.reason
            wait_s = delay_s * random.uniform(1 - _JITTER, 1 + _JITTER)
            if outcome.retry_after_ns is not None:
                wait_s = outcome.retry_after_ns / 1e9
            if time.monotonic() + wait_s >= deadline_s or self._closed.wait(wait_s):
                return outcome
            delay_s = min(2 * delay_s, _MAX_DELAY_S)

    def _failed(self, reason: str) -> None:
        """Tell the first failure of a row; the counters tell the rest.

        Who finds it told already, at the end, goes on only when the line is out: the other thread
        may not live to write it.
        """
        has_lock = self._telling.acquire(timeout=_PATIENCE_S)
        try:
            if not self._is_failing:
                self._is_failing = True
                _log.warning("aperf: log records cannot be sent to %s (%s)", self._endpoint, reason)
        finally:
            if has_lock:
                self._telling.release()
