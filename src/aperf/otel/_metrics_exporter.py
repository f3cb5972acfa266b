"""Metrics as one more destination of a session: this ties them to its begin, flushes and end."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from aperf._errors import AperfError, ConfigurationError
from aperf._stderr import tell
from aperf.model import ExporterStatistics, ExportResult, SessionInfo

from ._metrics_provider import OwnProvider, application_provider

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricsData

    from aperf._config import MetricsSettings
    from aperf.model import Summary

    from ._listener import MetricsListener
    from ._metrics import Metrics
    from ._metrics_push import Pusher
    from ._metrics_reading import Source

__all__ = ("MetricsExporter",)

#: What a forked child inherited and must not touch, not even by freeing it.
_INHERITED: Final[list[object]] = []


class MetricsExporter:
    """Brings a session's metrics to where they are wanted.

    If the program has a meter provider, that gets them, and nothing is pushed beside it. Else they
    are pushed as OTLP, if `push` says how. The listener serves them in any case.

    Args:
        push: how to push.
        listen: address of a listener that begins with the session.
        application: whether the program's meter provider is to have them.
    """

    consumes: Final = "spans"
    needs_rows: Final = False

    def __init__(
        self,
        push: MetricsSettings | None = None,
        listen: str | None = None,
        *,
        application: bool = True,
    ) -> None:
        self._push = push
        self._listen = listen
        self._application = application
        self._lock = threading.Lock()
        self._info = SessionInfo(service_name="unknown_service")
        self._source: Source | None = None
        self._shown: Metrics | None = None
        self._own: OwnProvider | None = None
        self._pusher: Pusher | None = None
        self._listeners: list[MetricsListener] = []
        self._ended = False

    # -------------------------------------------------------------------------------- begin and end

    def start(self, session: SessionInfo) -> None:
        """Remember whose metrics they will be; they begin with `observe`."""
        self._info = session
        self._shown = self._own = self._pusher = self._source = None
        self._listeners, self._ended = [], False

    def observe(self, source: Source) -> None:
        """Begin to show a session. What does not work is told on stderr and left out."""
        self._source = source
        self.look()
        for begin in (self._begin_to_push, self._begin_to_listen):
            try:
                begin(source)
            except AperfError as error:
                tell(str(error))

    def look(self) -> None:
        """Look whether the program has a meter provider by now, and if so show it the session.

        It may set one at any time, so this is to be called now and then.
        """
        with self._lock:
            self._look()

    def _look(self) -> None:
        if self._shown is not None or self._source is None:
            return
        provider = application_provider() if self._application else None
        if provider is not None:
            from ._metrics import Metrics

            self._shown = Metrics(self._source, provider)

    def _begin_to_push(self, source: Source) -> None:
        settings = self._push
        if settings is None or self._shown is not None:
            return
        from ._metrics_otlp import MetricsSender
        from ._metrics_push import Pusher

        sender = MetricsSender(settings.otlp)
        self._own = OwnProvider(source, self._info, settings)
        self._pusher = Pusher(self._collect, sender, settings.interval_ns)

    def _collect(self) -> MetricsData | None:
        """Return what to push; nothing once the program has a provider of its own."""
        self.look()
        return None if self._own is None or self._shown is not None else self._own.collect()

    def _begin_to_listen(self, source: Source) -> None:
        if self._listen is not None:
            from ._listener import MetricsListener
            from ._listener_address import parse_address

            listener = MetricsListener(parse_address(self._listen), self._scrape)
            self._begin_listener(listener, source)

    def _begin_listener(self, listener: MetricsListener, source: Source) -> None:
        source.measure()  # not only from the first scrape on
        listener.begin()
        self._listeners.append(listener)

    # ------------------------------------------------------------------------------------- listener

    async def listen(self, address: str | None = None) -> MetricsListener:
        """Serve the metrics.

        Args:
            address: ``:9091``, ``HOST:PORT`` or ``[IPv6]:PORT``; by default that of the
                environment, where a listener may serve already.

        Raises:
            ConfigurationError: there is no address, or it is not accepted.
        """
        from ._listener import MetricsListener
        from ._listener_address import ADDRESS_TEXT, parse_address

        text = address or self._listen
        if text is None:
            raise ConfigurationError(
                f"no address for the metrics listener; give one, or set METRICS_LISTEN_ADDRESS: "
                f"{ADDRESS_TEXT} is accepted"
            )
        for running in self._listeners:
            if text == self._listen and running.is_listening:
                await running.listening()
                return running
        listener = MetricsListener(parse_address(text), self._scrape)
        if self._source is not None and not self._ended:
            self._begin_listener(listener, self._source)
            await listener.listening()
        return listener

    def _scrape(self) -> MetricsData:
        with self._lock:
            if self._own is None:
                if self._source is None:
                    raise AperfError("no session is open")
                self._own = OwnProvider(self._source, self._info, None)
            return self._own.scrape()

    # ----------------------------------------------------------------------------- exporter thread

    def export(self, batch: object, deadline_ns: int) -> ExportResult:
        """Take no spans, but the occasion to look."""
        self.look()
        return ExportResult()

    def flush(self, deadline_ns: int) -> bool:
        """Push what is known now; say whether that is done.

        Raises:
            ExportError: the receiver did not take it.
        """
        self.look()
        for metrics in self._all_shown():
            metrics.refresh()
        return self._pusher is None or self._pusher.flush(deadline_ns)

    def finish(self, summary: Summary) -> None:
        """Look once more: the program's provider may collect for the last time after this."""
        self.look()

    def shutdown(self, deadline_ns: int) -> bool:
        """Push for the last time, stop serving, and leave the program's provider what it has."""
        self._ended = True
        for listener in self._listeners:
            listener.close()
        delivered = True
        for metrics in self._all_shown():
            metrics.refresh()
        if self._pusher is not None:
            delivered = self._pusher.stop(deadline_ns)
        for metrics in self._all_shown():
            metrics.close()
        if self._own is not None:
            self._own.close()
        return delivered

    def _all_shown(self) -> list[Metrics]:
        own = None if self._own is None else self._own.metrics
        return [metrics for metrics in (self._shown, own) if metrics is not None]

    def statistics(self) -> ExporterStatistics:
        """Return the counters: there are no spans in them."""
        failures = 0 if self._pusher is None else self._pusher.failures
        return ExporterStatistics(export_failures=failures)

    def forget_after_fork(self) -> None:
        """Leave everything to the parent: threads and connections exist only there."""
        self._lock = threading.Lock()
        for metrics in self._all_shown():
            metrics.forget_after_fork()
        if self._own is not None:
            self._own.close()
        for listener in self._listeners:
            listener.forget_after_fork()
        if self._pusher is not None:
            self._pusher.forget_after_fork()
        _INHERITED.append((self._own, self._pusher, self._listeners))
        self._own = self._pusher = self._source = None
        self._listeners, self._ended = [], True
