"""Which of the program's own spans and log records are kept, as a session's filters have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._config import Level, ModuleNames

if TYPE_CHECKING:
    from collections.abc import Callable
    from logging import LogRecord

    from ._config import FilterPair
    from ._pipeline import Place

__all__ = ("keeper", "log_keeper")


def keeper(filters: FilterPair) -> Callable[[Place | None, str], bool]:
    """Return what decides about a span by its place and name; the filter may be replaced.

    When a span begins its attributes have not come yet. So one about which they would decide is
    kept.
    """
    modules = ModuleNames()

    def keeps(place: Place | None, name: str) -> bool:
        module = "" if place is None else modules.find(place.file)
        level = filters.traces.level_of_span(module, name)
        return level is None or level >= Level.INFO

    return keeps


def log_keeper(filters: FilterPair) -> Callable[[LogRecord], bool]:
    """Return what decides about a log record; the filter may be replaced."""

    def keeps(record: LogRecord) -> bool:
        return Level.of_logging(record.levelno) <= filters.logs.level(record.name)

    return keeps
