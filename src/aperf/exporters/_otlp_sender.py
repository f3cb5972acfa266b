"""What the sender threads do: encode, send, try again, give up.

Two threads, so that one request is prepared while the other is on its way. Encoding is Python and
holds the GIL: it goes slice by slice, each about as long as `_SLICE_NS`, with a pause after each,
in one of the two threads at a time. Measured beside a loop with timers of 1 ms, that leaves the
loop as it was; without pauses the timers come 50 times later at the 99th percentile. The pauses are
left out when somebody waits for delivery.
"""

from __future__ import annotations

import logging
import random
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from aperf.protocol.otlp import MAX_BYTES, EncodedSpans, Encoder, pack

from ._otlp_client import UNANSWERED, Outcome, Verdict
from ._otlp_sdk_spans import SdkEncoder, SdkPortion

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ._otlp_client import Client
    from ._otlp_queue import Portion, SpanQueue
    from ._otlp_token import Authorization

__all__ = ("Sender", "suppress_instrumentation")

_LOG: Final = logging.getLogger("aperf")

_SLICE_NS: Final = 100_000
_PAUSE_S: Final = 100e-6
_MIN_ROWS: Final = 8
_MAX_ROWS: Final = 512

#: Back-off: doubled each time, and varied by a third so that many processes do not come at once.
_FIRST_DELAY_NS: Final = 250_000_000
_MAX_DELAY_NS: Final = 8_000_000_000
_JITTER: Final = 1 / 3
#: While somebody waits for delivery a refused connection is tried again so soon.
_URGENT_DELAY_NS: Final = 100_000_000

_SECONDS_BETWEEN_WARNINGS: Final = 60


class Sender:
    """Takes portions from a queue until it closes; `run` may run in several threads.

    Args:
        queue: where spans come from and where their fate is counted.
        client: where they go.
        encoder: makes requests of them.
        sdk_encoder: makes requests of the program's own.
        authorization: says in whose name.
        timeout_s: for one request, retries included.
        endpoint: shown in warnings.
    """

    def __init__(
        self,
        queue: SpanQueue,
        client: Client,
        encoder: Encoder,
        sdk_encoder: SdkEncoder,
        authorization: Authorization,
        *,
        timeout_s: float,
        endpoint: str,
    ) -> None:
        self._queue = queue
        self._client = client
        self._encoder = encoder
        self._sdk_encoder = sdk_encoder
        self._authorization = authorization
        self._timeout_ns = int(timeout_s * 1e9)
        self._endpoint = endpoint
        self._encoding = threading.Lock()
        self._slice_rows = dict.fromkeys((encoder, sdk_encoder), _MIN_ROWS)
        self._next_warning_s = 0.0
        self._reason = UNANSWERED  # why the last attempt failed

    def run(self) -> None:
        """Send until the queue closes."""
        is_quiet = False
        while (portion := self._queue.take()) is not None:
            is_quiet = is_quiet or suppress_instrumentation()
            try:
                self._process(portion)
            except Exception:
                _LOG.debug("a fault in aperf's OTLP exporter", exc_info=True)
                self._queue.count_rest(portion)
                self._warn("internal error")
            finally:
                self._queue.done(portion)

    def _process(self, portion: Portion) -> None:
        is_sdk = isinstance(portion, SdkPortion)
        encoder = self._sdk_encoder if is_sdk else self._encoder
        with self._encoding:
            groups = list(pack(self._slices(portion, encoder)))
        for group in groups:
            self._deliver(portion, group, encoder)
        if is_sdk:
            self._count_unfit(portion, groups)

    def _count_unfit(self, portion: Portion, groups: Sequence[Sequence[EncodedSpans]]) -> None:
        unfit = portion.rows - sum(part.span_count for group in groups for part in group)
        if unfit:
            self._queue.count(portion, dropped=unfit)
            self._warn(f"{unfit} spans cannot be encoded")

    # --------------------------------------------------------------------------------- encoding

    def _slices(self, portion: Portion, encoder: Encoder | SdkEncoder) -> Iterator[EncodedSpans]:
        """Encode in slices whose length follows the time that they take."""
        position = portion.start
        while position < portion.stop:
            stop = min(position + self._slice_rows[encoder], portion.stop)
            before_ns = time.thread_time_ns()
            part = encoder.encode_spans(portion.batch, position, stop)
            spent_ns = max(time.thread_time_ns() - before_ns, 1)
            fitting = (stop - position) * _SLICE_NS // spent_ns
            self._slice_rows[encoder] = min(max(fitting, _MIN_ROWS), _MAX_ROWS)
            if len(part.data) > MAX_BYTES and stop - position > 1:
                self._slice_rows[encoder] = (stop - position) // 2
                continue
            yield part
            position = stop
            if not self._queue.is_urgent:
                time.sleep(_PAUSE_S)

    # ---------------------------------------------------------------------------------- sending

    def _deliver(
        self,
        portion: Portion,
        group: Sequence[EncodedSpans],
        encoder: Encoder | SdkEncoder,
        *,
        may_split: bool = True,
    ) -> None:
        spans = sum(part.span_count for part in group)
        outcome = self._send(encoder.request(group))
        if outcome.verdict is Verdict.TAKEN:
            rejected = min(max(outcome.rejected_spans, 0), spans)
            self._queue.count(portion, exported=spans - rejected, dropped=rejected)
            self._reason = UNANSWERED
            if rejected:
                self._warn(f"{rejected} spans rejected: {outcome.reason}")
        elif outcome.verdict is Verdict.SPLIT and may_split and spans > 1:
            for half in encoder.halve(group):
                self._deliver(portion, (half,), encoder, may_split=False)
        else:
            self._queue.count(portion, dropped=spans, failures=1)
            if not self._queue.is_closed:  # else `tell_end` does, when all is counted
                self._warn(outcome.reason)

    def _send(self, request: bytes) -> Outcome:
        """Send until the request is taken, refused for good, or out of time."""
        deadline_ns = time.monotonic_ns() + self._timeout_ns
        delay_ns = _FIRST_DELAY_NS
        while True:
            headers = self._authorization.headers()
            left_ns = deadline_ns - time.monotonic_ns()
            outcome = self._client.send(request, max(left_ns, 1) / 1e9, headers)
            if outcome.verdict is Verdict.TAKEN:
                return outcome
            if self._queue.is_closed:  # and so is the client, which can say no more than that
                return Outcome(Verdict.REFUSED, self._reason)
            self._reason = outcome.reason
            if outcome.verdict is not Verdict.RETRY:
                return outcome
            is_urgent, wait_ns = self._queue.is_urgent, outcome.retry_after_ns
            is_order = wait_ns is not None
            if wait_ns is None:
                wait_ns = _vary(_URGENT_DELAY_NS if is_urgent else delay_ns)
            if time.monotonic_ns() + wait_ns >= deadline_ns:
                return outcome
            self._queue.pause(wait_ns, even_if_urgent=is_order or is_urgent)
            delay_ns = delay_ns if is_urgent else min(2 * delay_ns, _MAX_DELAY_NS)

    def tell_end(self) -> None:
        """Tell that spans were given up, and why they had not been delivered by then."""
        self._warn(self._reason)

    def _warn(self, reason: str) -> None:
        """Write one line, and no other for a while: the counters tell the rest."""
        now_s = time.monotonic()
        if now_s >= self._next_warning_s:
            self._next_warning_s = now_s + _SECONDS_BETWEEN_WARNINGS
            dropped = self._queue.statistics.dropped_spans
            text = "OTLP export to %s failed (%s); %d spans dropped so far"
            reason = self._authorization.without_token(reason)
            _LOG.warning(text, self._endpoint, reason, dropped)


def _vary(delay_ns: int) -> int:
    return int(delay_ns * random.uniform(1 - _JITTER, 1 + _JITTER))


def suppress_instrumentation() -> bool:
    """Ask OpenTelemetry's instrumentations not to trace what this thread sends.

    Returns:
        Whether that is done: not before the program has imported OpenTelemetry. It is not imported
        here, since a child that is forked off meanwhile could never import it.
    """
    context: Any = sys.modules.get("opentelemetry.context")
    attach = getattr(context, "attach", None)
    key = getattr(context, "_SUPPRESS_INSTRUMENTATION_KEY", None)
    if attach is None or key is None:
        return False  # another thread may be importing it right now
    attach(context.set_value(key, True))
    return True
