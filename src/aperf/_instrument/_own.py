"""Attributes that stand on a loop itself, not on its class.

Nothing here looks into the loop's `__dict__`: it would be made only then, and all that the loop
does be slower from there on (3.11 and 3.12: 300 ns for each step of a task).
"""

from __future__ import annotations

from typing import Any

__all__ = ("has_room", "own_attribute")


def has_room(loop: Any) -> bool:
    """Say whether a loop takes attributes that its class does not know."""
    return type(loop).__dictoffset__ != 0


def own_attribute(loop: Any, name: str) -> Any:
    """Return what shadows a method on the loop itself, None for nothing."""
    found = getattr(loop, name)
    return None if found == getattr(type(loop), name).__get__(loop) else found
