"""Where every log record passes that its logger lets through, whatever handlers there are.

A handler of ours among the root logger's would be noticed: `logging.basicConfig` does nothing when
there is any, `logging.config` removes those that it finds, and without a handler of the program's
own, warnings would not reach stderr any more. So a function stands in for `Logger.callHandlers`,
and handlers, formatters and levels stay as they are.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("LogTap",)

_CALL_HANDLERS: Final = logging.Logger.callHandlers


class LogTap:
    """Stands in for `Logger.callHandlers`, from `open` to `close`.

    Args:
        take: is given each record, with its logger; to pass it on is up to it.
    """

    def __init__(self, take: Callable[[logging.Logger, logging.LogRecord], None]) -> None:
        def call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
            """Stand in for `Logger.callHandlers`."""
            take(self, record)

        self._ours = call_handlers
        #: What we stand in for; None while we do not.
        self._original: Callable[[logging.Logger, logging.LogRecord], None] | None = None

    def open(self) -> None:
        """Begin; once is enough."""
        if self._original is None:
            self._original = logging.Logger.callHandlers
            logging.Logger.callHandlers = self._ours  # type: ignore[method-assign]

    def close(self) -> None:
        """End, unless somebody stands in for us (as Sentry does): then go on, and only pass on."""
        if logging.Logger.callHandlers is self._ours and self._original is not None:
            logging.Logger.callHandlers = self._original  # type: ignore[method-assign, assignment]
            self._original = None

    def pass_on(self, logger: logging.Logger, record: logging.LogRecord) -> None:
        """Do what would be done without us."""
        (self._original or _CALL_HANDLERS)(logger, record)
