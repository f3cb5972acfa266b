"""What a task can wait for."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

__all__ = ("WAIT_KINDS", "WaitKind")

WaitKind: TypeAlias = Literal[
    "sleep",
    "yield",
    "future",
    "task",
    "gather",
    "wait",
    "shield",
    "task_group",
    "lock",
    "event",
    "condition",
    "semaphore",
    "barrier",
    "queue_get",
    "queue_put",
    "executor",
    "thread",
    "socket",
    "stream_read",
    "stream_drain",
    "dns",
    "subprocess",
    "unknown",
]

WAIT_KINDS: Final[tuple[WaitKind, ...]] = get_args(WaitKind)
