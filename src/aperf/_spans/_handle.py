"""What a program holds of a span: a handle to say more about it, and the block that it lasts."""

from __future__ import annotations

import itertools
import sys

from ._node import SPAN_VAR

TYPE_CHECKING = False  # typing itself takes milliseconds to import
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import CodeType, TracebackType
    from typing import Self

    from ._node import Node
    from ._recording import Recording

__all__ = ("INERT", "ActiveSpan", "SpanBlock")


class ActiveSpan:
    """A span that is open, or was.

    No method raises, whatever it is given; once the span has ended, none does anything. Two handles
    of the same span are equal.
    """

    __slots__ = ("__weakref__", "_node")

    def __init__(self, node: Node | None = None) -> None:
        self._node = node

    @property
    def name(self) -> str:
        """Its name; "" when inert, and for a task's own span, which has its coroutine's."""
        return "" if self._node is None else self._node.name

    @property
    def owner(self) -> int:
        """Number of the task it belongs to, or of the thread outside of tasks; 0 when inert."""
        return 0 if self._node is None else self._node.owner

    @property
    def seq(self) -> int:
        """Its number among the spans of its owner; 0 for a task's own span and when inert."""
        return 0 if self._node is None else self._node.seq

    @property
    def is_recording(self) -> bool:
        """Whether what is said about it now is recorded, so that costly attributes pay."""
        recording = self._open()
        return recording is not None and recording.recorder.armed

    def set_attribute(self, key: str, value: object) -> None:
        """Say something about the span; the last value of a key counts.

        Args:
            key: what the value means, such as "order.id".
            value: text, truth value, number, or a list or tuple of one of these; anything else is
                recorded as its `str()`.
        """
        recording = self._open()
        if recording is not None and self._node is not None:
            recording.attributes(self._node, {key: value})

    def set_attributes(self, attributes: Mapping[str, object]) -> None:
        """Set several attributes."""
        recording = self._open()
        if recording is not None and self._node is not None:
            recording.attributes(self._node, attributes)

    def add_event(
        self,
        name: str,
        attributes: Mapping[str, object] | None = None,
        *,
        time_ns: int | None = None,
    ) -> None:
        """Record that something happened during the span.

        Args:
            name: what happened.
            attributes: more about it.
            time_ns: when, as `time.time_ns()` has it; now if not given, or still to come.
        """
        recording = self._open()
        if recording is not None and self._node is not None:
            recording.event(self._node, name, attributes or {}, time_ns)

    def record_exception(
        self, exception: BaseException, attributes: Mapping[str, object] | None = None
    ) -> None:
        """Record an exception that does not end the span, as an event named "exception".

        Args:
            exception: what was caught.
            attributes: more about it.
        """
        recording = self._open()
        if recording is not None and self._node is not None:
            recording.exception(self._node, exception, attributes or {})

    def _open(self) -> Recording | None:
        """Return where to record more about the span, None if it is not open."""
        return None if self._node is None else self._node.recording

    def _swap(self, current: Node | None) -> Node | None:
        """Put a node in place of the context's, and return that one; when inert, do nothing."""
        return current

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave a span alone that somebody else opened."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ActiveSpan) and self._node is other._node

    def __hash__(self) -> int:
        return hash(self._node)

    def __repr__(self) -> str:
        if self._node is None:
            return f"<{type(self).__name__}: inert>"
        state = "open" if self._node.recording is not None else "ended"
        return f"<{type(self).__name__} {self.name!r} ({self.owner}, {self.seq}): {state}>"


class _Inert(ActiveSpan):
    __slots__ = ()


#: What everybody gets while nothing is recorded.
INERT = _Inert()

# Functions written in C, which do not bind: `with` takes 70 ns instead of 200 (CPython 3.11). The
# second takes what it is given and returns "", which is false, so that exceptions pass.
_Inert.__enter__ = itertools.repeat(INERT).__next__  # type: ignore[method-assign, assignment]
_Inert.__exit__ = "".format  # type: ignore[method-assign, assignment]


class SpanBlock(ActiveSpan):
    """A span that lasts as long as the `with` block it is given to.

    The same object may mark one block after another, each a span of its own, but one at a time:
    entered again while it is open, it stays the span it is.

    Args:
        recording: where to record.
        name: its name.
        attributes: what is known of it from the beginning.
        place: where in the program's code it is opened.
    """

    __slots__ = ("_attributes", "_name", "_place", "_recording")

    def __init__(
        self,
        recording: Recording,
        name: str,
        attributes: Mapping[str, object],
        place: tuple[CodeType, int] | None,
    ) -> None:
        self._node = None
        self._recording = recording
        self._name = name
        self._attributes = attributes
        self._place = place

    def __enter__(self) -> Self:
        if self._open() is None:
            self._node = self._recording.begin(self._name, self._attributes, self._place)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        recording = self._open()
        if recording is not None and self._node is not None:
            recording.end(self._node, exception)

    def __del__(self) -> None:
        # Only now is it certain that nobody will end it: a generator was dropped, or an ExitStack.
        recording = self._open()
        if recording is not None and self._node is not None and not sys.is_finalizing():
            recording.abandon(self._node)

    def _swap(self, current: Node | None) -> Node | None:
        before = SPAN_VAR.get()
        if before is not current:
            SPAN_VAR.set(current)
            self._recording.swap(before, current)
        return before
