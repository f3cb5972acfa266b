"""What one event leaves for the next."""

from __future__ import annotations

from typing import Generic, TypeVar

from ._faults import Undiagnosed

__all__ = ("Slot",)

T = TypeVar("T")


class Slot(Generic[T]):
    """Holds what one event leaves for the next one that needs it."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._value: T | None = None

    def __bool__(self) -> bool:
        return self._value is not None

    def put(self, value: T) -> None:
        """Leave something."""
        unused, self._value = self._value, value
        if unused is not None:
            raise Undiagnosed(f"{self._what} that no event used")

    def take(self) -> T:
        """Return what was left, and leave nothing."""
        value, self._value = self._value, None
        if value is None:
            raise Undiagnosed(f"no {self._what} before an event that needs it")
        return value
