"""Ids of traces and spans: pure functions of what they name, so that nobody has to remember them.

A span is named by its task, the segment of the task's life and a number within it. Both sides of
the ring can compute the id; it is the same whenever it is asked for, and different in every
session.

A trace is named by its root: the number of the task that it begins with, and above that the segment
of that task's life; or the number of the user span that it begins with, and `SPAN_ROOT`. 0 is none.
"""

from __future__ import annotations

from typing import Final

__all__ = ("AWAITS", "CALLS", "JOBS", "MASK", "SPAN_ROOT", "Ids", "SequentialIds", "task_root")

MASK: Final = (1 << 64) - 1
#: Numbers within a task: 0 is the task itself, user spans count from 1, and these are where awaits,
#: jobs of executors and calls (`awaits="all"`) begin.
AWAITS: Final = 1 << 61
JOBS: Final = 2 << 61
CALLS: Final = 3 << 61

#: Says that a root is a user span opened outside of tasks.
SPAN_ROOT: Final = 1 << 63
_TASK_BITS: Final = 40

#: The golden ratio, as SplitMix64 uses it: consecutive numbers become distant ones.
_GAMMA: Final = 0x9E3779B97F4A7C15


def mix(value: int) -> int:
    """Return 64 well-mixed bits (the finaliser of SplitMix64, a bijection)."""
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & MASK
    return value ^ (value >> 31)


def task_root(task: int, segment: int) -> int:
    """Return the root of the trace that begins with a segment of a task; 0: it cannot be told."""
    if task >= 1 << _TASK_BITS or segment >= 1 << 63 - _TASK_BITS:
        return 0
    return segment << _TASK_BITS | task


class Ids:
    """Ids of one session.

    Args:
        seed: 64 random bits.
    """

    __slots__ = ("_seed",)

    def __init__(self, seed: int) -> None:
        self._seed = seed & MASK

    def trace(self, root: int, segment: int) -> tuple[int, int]:
        """Return both halves of a trace's id; never 0.

        Args:
            root: number of the task that the trace begins with.
            segment: 0, or which part of that task's life this is.
        """
        low = mix((self._seed + root * _GAMMA + segment) & MASK)
        high = mix((low + self._seed) & MASK)
        return high, low or 1

    def trace_of(self, root: int) -> tuple[int, int]:
        """Return both halves of the id of the trace that begins with a root."""
        if root & SPAN_ROOT:
            return self.trace(0, root ^ SPAN_ROOT)
        return self.trace(root & (1 << _TASK_BITS) - 1, root >> _TASK_BITS)

    def task_span(self, task: int, root: int) -> int:
        """Return the id of a task's own span in the trace that begins with a root."""
        own = root & (1 << _TASK_BITS) - 1 == task and not root & SPAN_ROOT
        return self.span(self.base(task, root >> _TASK_BITS if own else 0), 0)

    def base(self, task: int, segment: int) -> int:
        """Return what the ids of all spans of a task's segment are counted from."""
        return mix((self._seed ^ mix((task * _GAMMA + segment) & MASK)) & MASK)

    @staticmethod
    def span(base: int, number: int) -> int:
        """Return a span's id, never 0: distinct numbers of one base give distinct ids."""
        return (base + number * _GAMMA) & MASK or 1


class SequentialIds(Ids):
    """Small, readable ids for tests: traces are numbered by their root, spans by their task."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(0)

    def trace(self, root: int, segment: int) -> tuple[int, int]:
        """Return the root's number, with the segment above it."""
        return segment, root

    def base(self, task: int, segment: int) -> int:
        """Return the task's number in the upper half."""
        return task << 40 | segment << 32

    @staticmethod
    def span(base: int, number: int) -> int:
        """Return the base plus the number, ranges folded into a few bits."""
        return base + (number >> 61 << 28) + (number & 0xFFFFFFF)
