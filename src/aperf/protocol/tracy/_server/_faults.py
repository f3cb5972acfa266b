"""What is wrong with a trace, though its bytes are well formed."""

from __future__ import annotations

__all__ = ("InstrumentationFailure", "Undiagnosed")


class InstrumentationFailure(Exception):
    """A real server says this, stops, and keeps the trace so far."""


class Undiagnosed(Exception):
    """A real server says nothing, and crashes, hangs or shows something wrong."""
