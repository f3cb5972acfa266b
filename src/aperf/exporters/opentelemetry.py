"""Hand spans to an application's own OpenTelemetry SDK."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final

from aperf._errors import ConfigurationError
from aperf.model import ExporterStatistics, ExportResult

from ._opentelemetry_provider import (
    application_provider,
    follow_application,
    sampler_of,
    sdk_provider,
)
from ._otlp_queue import SpanQueue, count_sampled
from .otlp import _SCHEMA_URL

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import TracerProvider as AnyTracerProvider

    from aperf.model import SessionInfo, SpanBatch, Summary

    from ._opentelemetry_provider import Sampler

__all__ = ("OpenTelemetryExporter",)

_LOG: Final = logging.getLogger("aperf")

_QUEUE_BYTES: Final = 128 << 20

#: Time kept back from a deadline to see the threads end.
_RESERVE_NS: Final = 200_000_000


class _Delivery:
    """All that lives while a session with a provider does: a queue, and threads behind it."""

    def __init__(self, provider: TracerProvider, session: SessionInfo, queue_spans: int) -> None:
        # The SDK is imported, or there would be no provider.
        from ._opentelemetry_processors import Processors
        from ._opentelemetry_sender import Flusher, Sender
        from ._opentelemetry_spans import SpanBuilder

        self.queue = SpanQueue(queue_spans, _QUEUE_BYTES)
        self._processors = Processors(provider)
        builder = SpanBuilder(session.version, _SCHEMA_URL, provider._span_limits)
        sender = Sender(self.queue, provider, self._processors, builder)
        self._flusher = Flusher(self._processors.force_flush, lambda: sender.handed)
        # Daemons: processors that do not come back must not keep the program from ending.
        self._threads = [
            threading.Thread(target=run, name=f"aperf-opentelemetry-{what}", daemon=True)
            for what, run in (("spans", sender.run), ("flush", self._flusher.run))
        ]
        try:
            for thread in self._threads:
                thread.start()
        except RuntimeError:  # too many, or the interpreter is about to exit
            self.queue.close()
            raise

    def flush(self, deadline_ns: int) -> bool:
        """Wait until the processors have got all, and are done with it."""
        if not self.queue.wait_until_empty(deadline_ns):
            return False
        # Their own end has flushed them, and from then on they say no.
        return self._processors.are_shut_down or self._flusher.wait(deadline_ns)

    def stop(self, deadline_ns: int) -> None:
        """See the threads end, and count what is lost."""
        self.queue.close()
        self._flusher.close()
        for thread in self._threads:
            thread.join(max(deadline_ns - time.monotonic_ns(), 0) / 1e9)
        self.queue.seal()


class OpenTelemetryExporter:
    """Hands spans to the span processors of an application's `TracerProvider`.

    They arrive as the SDK's `ReadableSpan`, with the application's resource, within its span
    limits, from a thread of aperf's. Neither the provider nor anything global is changed, and the
    provider is not shut down.

    As exported counts what the processors took. What their exporters make of it, only they know.

    Attributes:
        ends_with_application: a hint to whoever ends sessions when the process exits: the
            application's own exit handlers end the destination, too.

    Args:
        provider: the SDK's provider. None: the one that the application sets with
            `set_tracer_provider`, looked for until there is one. Meanwhile spans are held; a flush
            or the session's end drops them if there is none by then.
        queue_spans: how many spans may wait; more are dropped and counted. One takes about 150
            bytes.

    Raises:
        ConfigurationError: an argument is not accepted.
    """

    consumes: Final = "spans"
    ends_with_application: Final = True

    def __init__(
        self, provider: AnyTracerProvider | None = None, *, queue_spans: int = 1 << 16
    ) -> None:
        self._provider = sdk_provider(provider)
        if provider is not None and self._provider is None:
            message = (
                f"provider is {provider!r}; an enabled TracerProvider of the OpenTelemetry SDK"
            )
            raise ConfigurationError(f"{message} is accepted")
        if queue_spans < 1:
            raise ConfigurationError(f"queue_spans is {queue_spans}; 1 or more is accepted")
        self._queue_spans = queue_spans
        self._session: SessionInfo | None = None
        self._delivery: _Delivery | None = None
        self._held: list[SpanBatch] = []  # while there is no provider
        self._outside = ExporterStatistics()  # the counters while there is no delivery
        self._dropped_at_flush = 0

    def __repr__(self) -> str:
        return f"<OpenTelemetryExporter {self._provider or 'of the application'}>"

    def sampler(self, otherwise: Sampler | None) -> Sampler | None:
        """Return what decides about new traces, by their ids and names: the provider's sampler.

        Args:
            otherwise: what decides while there is no provider; None lets all traces through.
        """
        return (
            follow_application(otherwise) if self._provider is None else sampler_of(self._provider)
        )

    def start(self, session: SessionInfo) -> None:
        """Start the threads, if there is a provider.

        Raises:
            RuntimeError: there can be no thread.
        """
        self._session = session
        self._outside = ExporterStatistics()
        self._dropped_at_flush = 0
        self._look()

    def export(self, batch: SpanBatch, deadline_ns: int) -> ExportResult:
        """Queue a batch; what does not fit is dropped, and so is all outside of a session."""
        self._look_again()
        if self._delivery is not None:
            return ExportResult(dropped=self._delivery.queue.put(batch))
        held = sum(map(len, self._held))
        if self._session is not None and held + len(batch) <= self._queue_spans:
            self._held.append(batch)
            return ExportResult()
        return ExportResult(dropped=self._drop(batch))

    def flush(self, deadline_ns: int) -> bool:
        """Wait until the application's processors have delivered all since the last flush."""
        self._look_again()
        if self._delivery is None:
            self._drop_held()
            is_done = True
        else:
            is_done = self._delivery.flush(deadline_ns)
        dropped_before = self._dropped_at_flush
        self._dropped_at_flush = self.statistics().dropped_spans
        return is_done and dropped_before == self._dropped_at_flush

    def finish(self, summary: Summary) -> None:
        """Ignore the summary: it has no place in traces."""

    def shutdown(self, deadline_ns: int) -> bool:
        """Deliver what is left, then end the threads; say whether no span was lost."""
        self._look_again()
        self._drop_held()
        self._session = None
        delivery = self._delivery
        if delivery is None:
            return self._outside.dropped_spans == 0
        left_ns = max(deadline_ns - time.monotonic_ns(), 0)
        is_done = delivery.flush(deadline_ns - min(_RESERVE_NS, left_ns // 4))
        delivery.stop(deadline_ns)
        self._outside, self._delivery = self.statistics(), None
        return is_done and self._outside.dropped_spans == 0

    def statistics(self) -> ExporterStatistics:
        """Return the counters since `start`."""
        outside, delivery = self._outside, self._delivery
        if delivery is None:
            return outside
        inside = delivery.queue.statistics
        return ExporterStatistics(
            *(before + since for before, since in zip(outside, inside, strict=True))
        )

    def forget_after_fork(self) -> None:
        """Leave everything to the parent: the threads exist only there."""
        self._session = self._delivery = None
        self._held = []
        self._outside = ExporterStatistics()

    def _look_again(self) -> None:
        try:
            self._look()
        except RuntimeError as error:
            _LOG.debug("the application's TracerProvider cannot be used: %s", error)

    def _look(self) -> None:
        """Begin to deliver as soon as there is a provider."""
        if self._delivery is not None or self._session is None:
            return
        provider = self._provider or application_provider()
        if provider is None:
            return
        self._delivery = _Delivery(provider, self._session, self._queue_spans)
        held, self._held = self._held, []
        for batch in held:
            self._delivery.queue.put(batch)

    def _drop_held(self) -> None:
        held, self._held = self._held, []
        if held and sum(map(self._drop, held)):
            _LOG.warning("no TracerProvider of the OpenTelemetry SDK is set: spans are dropped")

    def _drop(self, batch: SpanBatch) -> int:
        dropped = count_sampled(batch, 0, len(batch))
        total = self._outside.dropped_spans + dropped
        self._outside = self._outside._replace(dropped_spans=total)
        return dropped
