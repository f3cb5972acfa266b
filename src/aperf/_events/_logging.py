"""Log records as messages, without a trace in the program's own logging (see `LogTap`)."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

from aperf._errors import ConfigurationError
from aperf._log_tap import LogTap
from aperf._recorder._cold import message_of

from . import _active

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._recording import Recording

__all__ = ("FRAME_MARK", "MessageHandler", "install", "uninstall")

#: `extra={"tracy.frame_mark": True}`: the record is a frame mark, not a message.
FRAME_MARK: Final = "tracy.frame_mark"
#: Above each level the next severity, and its colour.
_SEVERITIES: Final = (
    (logging.CRITICAL, 5, 0xFF40FF),
    (logging.ERROR, 4, 0xFF5555),
    (logging.WARNING, 3, 0xFFCC33),
    (logging.INFO, 2, None),
    (logging.DEBUG, 1, 0x9999BB),
)
_TRACE: Final = (0, 0x777788)


class MessageHandler(logging.Handler):
    """Shows log records as messages. It neither locks, formats with a formatter, nor raises."""

    def __init__(self, level: int | str = logging.NOTSET) -> None:
        super().__init__(level)
        self._busy = threading.local()
        #: Says which records are shown; None for all.
        self.keeps: Callable[[logging.LogRecord], bool] | None = None

    def createLock(self) -> None:
        """Have none: records of several threads may be written at once."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Show a record, unless a filter says no."""
        kept = bool(self.filter(record))
        if kept:
            self.emit(record)
        return kept

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record. What is logged meanwhile, by what it prints, is not shown."""
        recording = _active.active()
        if recording is None or getattr(self._busy, "now", False) or _is_own(record.name):
            return
        self._busy.now = True
        try:
            self._show(recording, record)
        except Exception:
            recording.recorder.fault()
        finally:
            self._busy.now = False

    def _show(self, recording: Recording, record: logging.LogRecord) -> None:
        if getattr(record, FRAME_MARK, False) is True:
            recording.frame_mark(None)
        elif self.keeps is None or self.keeps(record):
            severity, color = _severity(record.levelno)
            recording.message(_text(record), severity, color)


def _is_own(name: str) -> bool:
    return name == "aperf" or name.startswith("aperf.")


def _severity(level: int) -> tuple[int, int | None]:
    for lowest, severity, color in _SEVERITIES:
        if level >= lowest:
            return severity, color
    return _TRACE


def _text(record: logging.LogRecord) -> str:
    """Return what is shown of a record; it is left as it is, since others format it, too."""
    try:
        text = record.getMessage()
    except Exception as fault:
        text = f"<formatting the message raised {type(fault).__name__}>"
    error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    if error is not None:
        text = f"{text}\n{type(error).__qualname__}: {message_of(error)}"
    return text if record.name == "root" else f"{record.name}: {text}"


# ---------------------------------------------------------------------------------------- listening

_lock: Final = threading.Lock()
_handler: Final = MessageHandler()
_levels: list[int] = []


def _take(logger: logging.Logger, record: logging.LogRecord) -> None:
    if _levels and (record.levelno >= _handler.level or getattr(record, FRAME_MARK, False)):
        _handler.handle(record)
    _tap.pass_on(logger, record)


_tap: Final = LogTap(_take)


def install(
    level: int | str = logging.INFO, keeps: Callable[[logging.LogRecord], bool] | None = None
) -> None:
    """Show the records of all loggers as messages, while somebody takes these.

    Whether a logger lets a record through at all is up to its own level. Each call needs one of
    `uninstall`; the lowest level counts until the last of them.

    Args:
        level: of records that are shown; frame marks are, whatever their level.
        keeps: says which of these are shown; the latest one counts.

    Raises:
        ConfigurationError: there is no such level.
    """
    number = _number_of(level)
    with _lock:
        _levels.append(number)
        _handler.keeps = keeps or _handler.keeps
        _handler.setLevel(min(_levels))
        if len(_levels) == 1:
            _tap.open()


def uninstall() -> None:
    """Undo one `install`; without one, do nothing."""
    with _lock:
        if _levels:
            _levels.remove(max(_levels))
            if not _levels:
                _handler.keeps = None
                _tap.close()


def _number_of(level: int | str) -> int:
    number = logging.getLevelNamesMapping().get(level) if isinstance(level, str) else level
    if not isinstance(number, int):
        raise ConfigurationError(
            f"install: level={level!r} is not accepted; a number or the name of a level is"
        )
    return number
