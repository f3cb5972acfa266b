"""Flags of records and rows as plain integers: operations on enums cost half a microsecond."""

from __future__ import annotations

from typing import Final

from aperf._recorder._layout import BirthFlag, CallFlag, ContextFlag, StepFlag
from aperf.model import Flag

__all__ = ("Birth", "Call", "Context", "Row", "Step")


class Step:
    """Flags of STEP."""

    FIRST: Final = int(StepFlag.FIRST)
    DONE: Final = int(StepFlag.DONE)
    FAILED: Final = int(StepFlag.FAILED)
    CANCELLED: Final = int(StepFlag.CANCELLED)
    EAGER: Final = int(StepFlag.EAGER)
    WAIT_CANCELLED: Final = int(StepFlag.WAIT_CANCELLED)
    BY_TIMEOUT: Final = int(StepFlag.BY_TIMEOUT)
    BY_CALLBACK: Final = int(StepFlag.BY_CALLBACK)


class Birth:
    """Flags of BIRTH and JOB."""

    ADOPTED: Final = int(BirthFlag.ADOPTED)
    UNCODED: Final = int(BirthFlag.UNCODED)
    CALLBACK: Final = int(BirthFlag.CALLBACK)
    SUPPRESSED: Final = int(BirthFlag.SUPPRESSED)


class Call:
    """Flags of CALL."""

    SUSPENDED: Final = int(CallFlag.SUSPENDED)
    FAILED: Final = int(CallFlag.FAILED)
    CANCELLED: Final = int(CallFlag.CANCELLED)


class Context:
    """Flags of CONTEXT."""

    SAMPLED: Final = int(ContextFlag.SAMPLED)
    REMOTE: Final = int(ContextFlag.REMOTE)
    ENDED: Final = int(ContextFlag.ENDED)
    SEEN: Final = int(ContextFlag.SEEN)
    NONE: Final = int(ContextFlag.NONE)


class Row:
    """Flags of rows."""

    SAMPLED: Final = int(Flag.SAMPLED)
    ERROR: Final = int(Flag.ERROR)
    CANCELLED: Final = int(Flag.CANCELLED)
    ADOPTED: Final = int(Flag.ADOPTED)
    UNFINISHED: Final = int(Flag.UNFINISHED)
    SEGMENT: Final = int(Flag.SEGMENT)
    INCOMPLETE: Final = int(Flag.INCOMPLETE)
    EAGER: Final = int(Flag.EAGER)
    REMOTE_PARENT: Final = int(Flag.REMOTE_PARENT)
    TIMEOUT: Final = int(Flag.TIMEOUT)
    CALLBACK: Final = int(Flag.CALLBACK)
