"""Which user span is open in a context.

A context variable alone cannot tell: contexts are copied to tasks and threads that outlive the
span, generators set it in one context and end in another, and nobody can reset a variable in a
foreign context. So it holds a node that knows whose span it is and whether it is still open, every
reader skips what is closed or not its own, and no token is ever kept.

A node does not keep its handle alive: a context may hold the node of an abandoned generator for
long, but the handle dies with the generator's frame, and closes the node.
"""

from __future__ import annotations

from contextvars import ContextVar

TYPE_CHECKING = False  # typing itself takes milliseconds to import
if TYPE_CHECKING:
    from typing import Any

    from aperf._recorder import Recorder

    from ._recording import Recording

__all__ = ("SPAN_VAR", "Node", "nearest_open", "nearest_own")


class Node:
    """One span, in the chain of those that were open around it.

    Attributes:
        recording: where the span is recorded; None once it is closed.
        owner: number of the task, or thread outside of tasks, that opened it.
        seq: its number within the owner; 0 is the task's own span.
        name: its name.
        outer: what was innermost in the context when this one was opened, whoever owned it.
        root: what its trace begins with (`aperf._ids`), 0 if that is one of OpenTelemetry's.
        in_callback: whether a plain callback of a loop opened it.
        shown: what stands for it in OpenTelemetry's context, None for nothing.
    """

    __slots__ = ("in_callback", "name", "outer", "owner", "recording", "root", "seq", "shown")

    def __init__(
        self, recording: Recording, owner: int, seq: int, name: str, outer: Node | None = None
    ) -> None:
        self.recording: Recording | None = recording
        self.owner = owner
        self.seq = seq
        self.name = name
        self.outer = outer
        self.root = 0
        self.in_callback = False
        self.shown: Any = None

    def close(self) -> None:
        """Mark it closed.

        The chain is shortened on the way: tasks that start each other from inside their spans would
        else hold all their predecessors.
        """
        self.recording = None
        if self.shown is not None:
            self.shown.is_open = False
        self.outer = nearest_open(self.outer)


#: The innermost span of a context, open or not.
SPAN_VAR: ContextVar[Node | None] = ContextVar("aperf_span", default=None)


def nearest_open(node: Node | None) -> Node | None:
    """Return the innermost open span of a chain."""
    while node is not None and node.recording is None:
        node = node.outer
    return node


def nearest_own(node: Node | None, owner: int, recorder: Recorder) -> Node | None:
    """Return the innermost open span of a chain that belongs to an owner.

    Args:
        node: where the chain begins.
        owner: whose span it must be.
        recorder: numbers of owners mean something within one recorder only.
    """
    while node is not None:
        recording = node.recording
        if recording is not None and recording.recorder is recorder and node.owner == owner:
            return node
        node = node.outer
    return None
