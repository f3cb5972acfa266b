"""Letting more log records come into being, without the application's handlers getting them."""

from __future__ import annotations

import logging
import os
from typing import Final

from aperf._config import Level

__all__ = ("is_extra", "lower_root", "restore_root")

_NUMBERS: Final = {
    Level.OFF: logging.CRITICAL,
    Level.ERROR: logging.ERROR,
    Level.WARN: logging.WARNING,
    Level.INFO: logging.INFO,
    Level.DEBUG: logging.DEBUG,
    Level.TRACE: 1,
}


class _Lowered(int):
    """The root logger's level, set by us: it can be told from one that somebody else has set."""


def lower_root(level: Level) -> None:
    """Let records come into being up to a level, if nobody has given the root logger its own.

    WARNING is what it has from the beginning. Other loggers' levels are the application's.
    """
    root, number = logging.getLogger(), _NUMBERS[level]
    if root.level == logging.WARNING or isinstance(root.level, _Lowered):
        root.setLevel(_Lowered(number) if number < logging.WARNING else logging.WARNING)


def restore_root() -> None:
    """Give the root logger back the level that it had, if it still has ours."""
    root = logging.getLogger()
    if isinstance(root.level, _Lowered):
        root.setLevel(logging.WARNING)


def is_extra(logger: logging.Logger, record: logging.LogRecord) -> bool:
    """Say whether a record would not have come into being without us.

    Records of other processes, which programs hand to their loggers, pass no level.
    """
    if record.levelno >= logging.WARNING or record.process not in (None, os.getpid()):
        return False
    each: logging.Logger | None = logger
    while each is not None:
        if each.level:
            return isinstance(each.level, _Lowered)
        each = each.parent
    return False
