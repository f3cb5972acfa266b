"""Memory and garbage collection of the process, by OpenTelemetry's names."""

from __future__ import annotations

import gc
import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ._metrics_reading import Values

__all__ = ("process_values", "resident_bytes")

_STATM: Final = Path("/proc/self/statm")


def process_values() -> dict[str, Values]:
    """Return the metrics that are the same for all sessions."""
    generations = gc.get_stats()
    values: dict[str, Values] = {
        f"cpython.gc.{name}": {
            (("cpython.gc.generation", number),): generation[key]
            for number, generation in enumerate(generations)
        }
        for name, key in (
            ("collections", "collections"),
            ("collected_objects", "collected"),
            ("uncollectable_objects", "uncollectable"),
        )
    }
    memory = resident_bytes()
    if memory is not None:
        values["process.memory.usage"] = {(): memory}
    return values


def resident_bytes() -> int | None:
    """Return the resident set size; None where only psutil could tell it and is not installed."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, LookupError):
        return _by_psutil()


def _by_psutil() -> int | None:
    try:
        psutil: Any = import_module("psutil")
    except ImportError:
        return None
    return int(psutil.Process().memory_info().rss)
