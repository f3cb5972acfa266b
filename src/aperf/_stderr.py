"""What aperf has to say to whoever started the program, where raising would disturb it."""

from __future__ import annotations

import sys

__all__ = ("tell",)

#: Different lines told at most: a fault that words itself anew each time must not fill a disk.
MOST_LINES = 64
_told: set[str] = set()


def tell(*lines: str) -> None:
    """Write lines to stderr, each one once in the life of the process."""
    for line in lines:
        if line not in _told and len(_told) < MOST_LINES:
            _told.add(line)
            try:
                sys.stderr.write(f"aperf: {line}\n")
            except Exception:
                pass  # stderr is missing, closed or broken: there is nobody to tell
