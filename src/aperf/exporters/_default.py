"""The destination of a session that names none."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from aperf.model import ExporterStatistics, ExportResult

from ._opentelemetry_provider import application_provider, follow_application

if TYPE_CHECKING:
    from aperf.model import Exporter, SessionInfo, SpanBatch, Summary

    from ._opentelemetry_provider import Sampler
    from .opentelemetry import OpenTelemetryExporter

__all__ = ("DefaultExporter",)

_LOG: Final = logging.getLogger("aperf")


class DefaultExporter:
    """Hands spans to the application's own OpenTelemetry, and elsewhere while it has none.

    The application may set its provider when the session has long begun: it is looked for each time
    that spans come, until it is seen. From then on all spans go there. What the other destination
    has got by then, it still delivers; what is found out at the end, it does not get.

    Args:
        otherwise: the destination while there is no provider, None for none.
    """

    consumes: Final = "spans"

    def __init__(self, otherwise: Exporter | None = None) -> None:
        self._otherwise = otherwise
        self._session: SessionInfo | None = None
        self._application: OpenTelemetryExporter | None = None

    def __repr__(self) -> str:
        return f"<DefaultExporter {self._application or self._otherwise}>"

    @property
    def needs_rows(self) -> bool:
        """Whether anybody wants spans by now; may change from False to True."""
        if self._application is not None or application_provider() is not None:
            return True
        return self._otherwise is not None and getattr(self._otherwise, "needs_rows", True)

    @property
    def ends_with_application(self) -> bool:
        """Whether the end of the application's OpenTelemetry is the end of its destination."""
        return self._application is not None or application_provider() is not None

    def sampler(self, otherwise: Sampler | None) -> Sampler | None:
        """Return what decides about new traces: the application's sampler, if there is one."""
        return follow_application(otherwise)

    def start(self, session: SessionInfo) -> None:
        """Start the destination of the moment."""
        self._session = session
        self._look()
        if self._application is not None:
            self._otherwise = None
        elif self._otherwise is not None:
            self._otherwise.start(session)

    def look(self) -> None:
        """Let the other destination take the program's own spans: it still has what it got."""
        look = getattr(self._otherwise, "look", None)
        if look is not None:
            look()

    def export(self, batch: SpanBatch, deadline_ns: int) -> ExportResult:
        """Pass a batch on to the destination of the moment."""
        self._look()
        destination = self._application or self._otherwise
        return ExportResult() if destination is None else destination.export(batch, deadline_ns)

    def flush(self, deadline_ns: int) -> bool:
        """Have all delivered, also what went elsewhere before."""
        self._look()
        answers = [exporter.flush(deadline_ns) for exporter in self._exporters()]
        return all(answers)  # and nobody goes unasked

    def finish(self, summary: Summary) -> None:
        """Pass the summary on to the destination of the moment."""
        destination = self._application or self._otherwise
        if destination is not None:
            destination.finish(summary)

    def shutdown(self, deadline_ns: int) -> bool:
        """Deliver what is left, then release everything; say whether nothing was lost."""
        answers = [exporter.shutdown(deadline_ns) for exporter in self._exporters()]
        self._session = None
        return all(answers)

    def statistics(self) -> ExporterStatistics:
        """Return the counters of all together."""
        counters = [exporter.statistics() for exporter in self._exporters()]
        return ExporterStatistics(*map(sum, zip(ExporterStatistics(), *counters, strict=True)))

    def forget_after_fork(self) -> None:
        """Leave everything to the parent."""
        self._session = None
        for exporter in self._exporters():
            forget = getattr(exporter, "forget_after_fork", None)
            if forget is not None:
                forget()

    def _exporters(self) -> list[Exporter]:
        both: tuple[Exporter | None, ...] = (self._application, self._otherwise)
        return [exporter for exporter in both if exporter is not None]

    def _look(self) -> None:
        """Turn to the application's provider as soon as there is one."""
        if self._application is not None or self._session is None:
            return
        provider = application_provider()
        if provider is None:
            return
        from .opentelemetry import OpenTelemetryExporter

        application = OpenTelemetryExporter(provider)
        try:
            application.start(self._session)
        except RuntimeError:  # no more threads, or the interpreter is about to exit
            _LOG.debug("the application's TracerProvider cannot be used", exc_info=True)
            return
        self._application = application
