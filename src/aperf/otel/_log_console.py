"""Writing log lines, and seeing whether the application writes them already."""

from __future__ import annotations

import logging
import sys
import threading
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("LineHandler", "path_of", "shown_by")


class LineHandler(logging.Handler):
    """Writes each record with one call, and flushes.

    Args:
        stream: where to write; None: whatever `sys.stderr` is at that moment.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__()
        self.stream = stream
        self._busy = threading.local()

    @property
    def key(self) -> tuple[object, ...]:
        """What makes it the same as another."""
        return (getattr(self.formatter, "layout", None), id(self.stream))

    @property
    def target(self) -> TextIO | None:
        """Where it would write now; None under pythonw."""
        return sys.stderr if self.stream is None else self.stream

    def handle(self, record: logging.LogRecord) -> bool:
        """Write a record, unless a filter says no.

        What is logged by the stream itself is not written: it may lead to a logger. Formatting runs
        the program's code, so no lock is held meanwhile.
        """
        kept = bool(self.filter(record))
        if kept and not getattr(self._busy, "now", False):
            self.emit(record)
        return kept

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record. This never raises: there is nobody to tell about a broken stderr."""
        try:
            text = self.format(record) + "\n"
            self.acquire()
            self._busy.now = True
            try:
                self._write(text)
            finally:
                self._busy.now = False
                self.release()
        except Exception:
            pass

    def _write(self, text: str) -> None:
        stream = self.target
        if stream is None:
            return
        try:
            stream.write(text)
        except UnicodeEncodeError:
            stream.write(text.encode("ascii", "backslashreplace").decode())
        stream.flush()


def path_of(logger: logging.Logger) -> Iterator[logging.Logger]:
    """Go through the loggers whose handlers get a record, from the one it was logged on."""
    each: logging.Logger | None = logger
    while each is not None:
        yield each
        each = each.parent if each.propagate else None


def shown_by(logger: logging.Logger, stream: TextIO | None) -> logging.Handler | None:
    """Return a handler of the application's that shows records of a logger, None for none.

    Args:
        logger: where they are logged.
        stream: where they are to be shown; None for the console, be it stdout or stderr.
    """
    for each in path_of(logger):
        for handler in each.handlers:
            if _shows(handler, stream):
                return handler
    return None


def _shows(handler: Any, stream: TextIO | None) -> bool:  # noqa: ANN401 - of any library
    handlers = sys.modules.get("logging.handlers")  # whoever has one of these has imported it
    if handlers is not None and isinstance(handler, handlers.QueueHandler):
        listener = getattr(handler, "listener", None)  # 3.12+, and there not always
        return listener is None or any(_shows(each, stream) for each in listener.handlers)
    if handlers is not None and isinstance(handler, handlers.MemoryHandler):
        return handler.target is not None and _shows(handler.target, stream)
    target = getattr(handler, "stream", None)
    if target is None:
        target = getattr(getattr(handler, "console", None), "file", None)  # rich's
    if stream is not None or target is None:
        return target is not None and target is stream
    return _is_console(target)


def _is_console(stream: Any) -> bool:  # noqa: ANN401 - whatever handlers write to
    if any(stream is each for each in (sys.stderr, sys.stdout, sys.__stderr__, sys.__stdout__)):
        return True
    try:
        return stream.fileno() in (1, 2)
    except Exception:
        return False  # it is in memory, or closed
