"""Everything that aperf raises on purpose."""

from __future__ import annotations

__all__ = ("AperfError", "ConfigurationError", "ExportError", "InstrumentationError")


class AperfError(Exception):
    """Base of all errors of aperf."""


class ConfigurationError(AperfError, ValueError):
    """An argument, option or variable has a value that aperf does not accept."""


class InstrumentationError(AperfError, RuntimeError):
    """A loop, task or interpreter cannot be watched in the way that was asked for."""


class ExportError(AperfError):
    """A destination did not take what it was sent.

    Attributes:
        retryable: whether the same bytes may succeed later.
    """

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable
