"""Getting log records, in whatever way and order the application sets up its own logging.

Records are taken where all of them pass (see `LogTap`). Only there is it known, for each record
anew, whether the application shows it itself.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final, NamedTuple

from aperf._config import Filter, Level
from aperf._log_tap import LogTap

from ._log_console import LineHandler, path_of, shown_by
from ._log_context import spans_around, stamp
from ._log_events import SpanEventHandler
from ._log_levels import is_extra, lower_root, restore_root

if TYPE_CHECKING:
    from ._log_export import ExportHandler

__all__ = ("Request", "add", "replace", "show")


class Request(NamedTuple):
    """Who asked for log records, and for which."""

    handler: LineHandler | ExportHandler
    logger: logging.Logger | None  #: None: root's, unless the application shows them itself
    filter: Filter
    span_events: bool = False

    @property
    def key(self) -> tuple[object, ...]:
        """What makes it the same as another."""
        return (*self.handler.key, self.logger, self.filter, self.span_events)

    @property
    def shows(self) -> bool:
        """Whether somebody can see the records."""
        return isinstance(self.handler, LineHandler)

    @property
    def most(self) -> Level:
        """Beyond it, no record is of use."""
        return max(self.filter.most, Level.INFO) if self.span_events else self.filter.most


_lock: Final = threading.Lock()
_events: Final = SpanEventHandler()
#: The latest first, one for each who asked. It is replaced, never changed: records come all the
#: time, from all threads.
_requests: tuple[Request, ...] = ()
#: What shows warnings that no handler takes, unless we have shown them.
_last_resort: logging.Handler | None = None
_nobody: Final = logging.NullHandler()


def add(request: Request, *, last: bool = False) -> Request:
    """Do what is asked for; return what that is known by, for `replace`.

    Args:
        request: what is asked for.
        last: let others decide, earlier and later ones, where they want the same records.
    """
    global _requests
    with _lock:
        same = next((each for each in _requests if each.key == request.key), request)
        _requests = (*_requests, same) if last else (same, *_requests)
        _listen()
        _let_through()
    return same


def show(record: logging.LogRecord) -> bool:
    """Show a record that no logger has seen where records are shown; say whether they are."""
    requests = [each for each in _requests if each.shows]
    for each in _latest(requests):
        if Level.of_logging(record.levelno) <= each.filter.level(record.name):
            each.handler.handle(record)
    return bool(requests)


def replace(request: Request, *others: Request) -> None:
    """Put others, or none, in the place of one request, for one of those who asked for it."""
    global _requests
    with _lock:
        position = next(i for i, each in enumerate(_requests) if each is request)
        _requests = (*_requests[:position], *others, *_requests[position + 1 :])
        _let_through()
        if not _requests:
            _leave()


def _let_through() -> None:
    if _requests:
        lower_root(max(each.most for each in _requests))
    else:
        restore_root()


def _listen() -> None:
    global _last_resort
    _tap.open()
    if logging.lastResort is not _nobody:
        _last_resort = logging.lastResort
        logging.lastResort = _nobody


def _leave() -> None:
    if logging.lastResort is _nobody:
        logging.lastResort = _last_resort
    _tap.close()


def _pass(logger: logging.Logger, record: logging.LogRecord) -> None:
    """Look at a record on its way to the application's handlers."""
    requests = _requests
    if not requests:
        _tap.pass_on(logger, record)
        return
    is_ours_alone = is_extra(logger, record)
    if not is_ours_alone:
        stamp(record)
    is_decided = _take(requests, logger, record)
    if is_ours_alone:
        return
    _tap.pass_on(logger, record)
    if not is_decided and logging.lastResort is _nobody and not logger.hasHandlers():
        _resort(record)


_tap: Final = LogTap(_pass)


def _take(requests: tuple[Request, ...], logger: logging.Logger, record: logging.LogRecord) -> bool:
    """Do with a record what is asked for; say whether showing it is a matter of ours."""
    try:
        path = list(path_of(logger))
        covering = [each for each in requests if (each.logger or logging.getLogger()) in path]
        if any(each.span_events for each in covering) and record.levelno >= _events.level:
            _events.handle(record)
        for each in _latest(covering):
            if _is_wanted(each, logger, record):
                each.handler.handle(record)
        return any(each.shows for each in covering)
    except Exception:
        return False  # somebody made the record up; their own handlers may know what to do with it


def _latest(requests: list[Request]) -> list[Request]:
    """Return one request for each stream or receiver."""
    targets = {id(each.handler.target): each for each in reversed(requests)}
    return list(targets.values())


def _is_wanted(request: Request, logger: logging.Logger, record: logging.LogRecord) -> bool:
    level = request.filter.level(record.name, spans_around())
    if Level.of_logging(record.levelno) > level:
        return False
    if request.logger is not None or not isinstance(request.handler, LineHandler):
        return True
    return shown_by(logger, request.handler.stream) is None


def _resort(record: logging.LogRecord) -> None:
    """Do what logging itself does with what no handler takes."""
    if _last_resort is not None and record.levelno >= _last_resort.level:
        _last_resort.handle(record)
