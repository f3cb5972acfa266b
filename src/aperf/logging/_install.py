"""What an application calls to have its log records shown."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, TextIO

from aperf._config import Filter
from aperf._errors import ConfigurationError
from aperf._stderr import tell
from aperf.otel._log_console import LineHandler, shown_by
from aperf.otel._log_formats import LineFormatter, LogFormat
from aperf.otel._log_listening import Request, add, replace

from ._export import Export, begin_export

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ("Handle", "install")


class Handle:
    """Undoes an `install`. As a context manager it does so at the end of its block."""

    def __init__(self, request: Request, export: Export | None = None) -> None:
        self._lock = threading.Lock()
        self._request: Request | None = request
        self._export = export

    def uninstall(self) -> None:
        """Show nothing any more, as soon as nobody else has asked for the same; again: nothing."""
        with self._lock:
            request, self._request = self._request, None
            if request is not None:
                replace(request)
                if self._export is not None:
                    self._export.end()

    def set_filter(self, filter: str | Filter) -> None:
        """Show other records from now on; after `uninstall`, do nothing.

        Raises:
            ConfigurationError: a directive is none; nothing changes then.
        """
        new = _filter_of(filter)
        with self._lock:
            if self._request is not None:
                before, self._request = self._request, self._request._replace(filter=new)
                replace(before, self._request)
                if self._export is not None:
                    self._export.set_filter(new)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.uninstall()


def install(
    *,
    format: LogFormat = "pretty",
    filter: str | Filter | None = None,
    stream: TextIO | None = None,
    logger: logging.Logger | str | None = None,
    span_events: bool = False,
) -> Handle:
    """Show log records on stderr, with the trace, the span and the task that they belong to.

    What the application shows itself, on stdout or stderr, stays as it is; its formats may then use
    ``%(trace_id)s`` and ``%(task)s``, which are empty where there is none. It may set up its
    logging before or after, as it likes. The root logger is given a lower level if it has the one
    that Python gives it, but the application's handlers do not get more records by that.

    Each call needs one of `Handle.uninstall`; the same arguments again change nothing, and of
    different ones for the same stream, the latest count.

    If the environment asks for it, the records also leave as OTLP, whoever shows them; not where
    the application has a LoggerProvider of its own.

    Example::

        aperf.logging.install(format="json", filter="info,shop.db=debug")

    Args:
        format: "pretty": several lines for people; "compact": one; "json": one object per line.
        filter: what is shown: a filter as ``APERF_LOG`` has it, or its text; None: "info".
        stream: where to; None: whatever `sys.stderr` is at that moment.
        logger: show this logger, and those below it, even if the application does so as well.
        span_events: also add the records to the span around them, see `SpanEventHandler`. The
            filter has no say in that.

    Returns:
        What undoes it.

    Raises:
        ConfigurationError: an argument is not accepted, or the filter has a directive that is none.
    """
    if stream is not None and not hasattr(stream, "write"):
        raise ConfigurationError(f"stream is {stream!r}; an open text file or None is accepted")
    if not isinstance(logger, str | logging.Logger | None):
        raise ConfigurationError(f"logger is {logger!r}; a logger, its name or None is accepted")
    handler = LineHandler(stream)
    handler.setFormatter(LineFormatter(format))
    request = Request(
        handler,
        logging.getLogger(logger) if isinstance(logger, str) else logger,
        _filter_of("info" if filter is None else filter),
        span_events,
    )
    handle = Handle(add(request), begin_export(request.filter))
    showing = shown_by(logging.getLogger(), stream) if logger is None else None
    if showing is not None:
        tell(
            f"logging: the application shows its log itself ({type(showing).__name__}): its lines"
            " stay as they are; its formats may use %(trace_id)s and %(task)s"
        )
    return handle


def _filter_of(filter: str | Filter) -> Filter:
    return filter if isinstance(filter, Filter) else Filter.parse(filter).quietened()
