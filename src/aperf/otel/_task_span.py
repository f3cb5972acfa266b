"""What stands for tasks and user spans among OpenTelemetry's spans.

In a task inside of a trace that a user's span started, `opentelemetry.trace.get_current_span()`
returns a `TaskSpan`, so that spans opened there are children of the task. It has the ids of aperf's
span, which are known in advance, but no other substance: whatever the program says about "the
current span" goes to the span that the task inherited, exactly as without aperf.

An `aperf.span` in such a trace has a `UserSpan` in the same way, for as long as it is open.

Imported only once the program has imported OpenTelemetry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.trace.span import INVALID_SPAN_CONTEXT, NonRecordingSpan, Span, SpanContext

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from opentelemetry.trace.status import Status, StatusCode
    from opentelemetry.util import types

__all__ = ("Anchor", "StandIn", "TaskSpan", "UserSpan")


class Anchor(NonRecordingSpan):
    """What stand-ins stand on in a trace that aperf began: OpenTelemetry has no span there.

    Args:
        context: tells the trace.
        root: what it begins with (`aperf._ids`).
    """

    def __init__(self, context: SpanContext, root: int) -> None:
        super().__init__(context)
        self.root = root


class StandIn(Span):
    """A span of aperf's, as OpenTelemetry sees it.

    Args:
        below: the span of OpenTelemetry in whose trace it is.
        span_id: its id.

    Attributes:
        below: see above.
    """

    def __init__(self, below: Span, span_id: int) -> None:
        self.below = below
        self._span_id = span_id
        self._context: SpanContext | None = None

    def get_span_context(self) -> SpanContext:
        """Return its identity; all but its id is that of the trace."""
        if self._context is None:
            below = self.below.get_span_context()
            self._context = SpanContext(
                below.trace_id,
                self._span_id,
                is_remote=False,
                trace_flags=below.trace_flags,
                trace_state=below.trace_state,
            )
        return self._context

    def __getattr__(self, name: str) -> object:
        # What else the SDK's spans have: `name`, `attributes`, `resource` …
        if name == "below":
            raise AttributeError(name)
        return getattr(self.below, name)

    def is_recording(self) -> bool:
        """Say whether the inherited span records."""
        return self.below.is_recording()

    def end(self, end_time: int | None = None) -> None:
        """End the inherited span."""
        self.below.end(end_time)

    def set_attributes(self, attributes: Mapping[str, types.AttributeValue]) -> None:
        """Set attributes of the inherited span."""
        self.below.set_attributes(attributes)

    def set_attribute(self, key: str, value: types.AttributeValue) -> None:
        """Set an attribute of the inherited span."""
        self.below.set_attribute(key, value)

    def add_event(
        self, name: str, attributes: types.Attributes = None, timestamp: int | None = None
    ) -> None:
        """Add an event to the inherited span."""
        self.below.add_event(name, attributes, timestamp)

    def add_link(self, context: SpanContext, attributes: types.Attributes = None) -> None:
        """Add a link to the inherited span."""
        self.below.add_link(context, attributes)

    def update_name(self, name: str) -> None:
        """Rename the inherited span."""
        self.below.update_name(name)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status of the inherited span."""
        self.below.set_status(status, description)

    def record_exception(
        self,
        exception: BaseException,
        attributes: types.Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Record an exception in the inherited span."""
        self.below.record_exception(exception, attributes, timestamp, escaped)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        """End the inherited span as it would itself."""
        self.below.__exit__(exc_type, exc_val, exc_tb)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._span_id:016x} in {self.below!r}>"


class TaskSpan(StandIn):
    """A task's span: stands on the user's span that the task inherited."""


class UserSpan(StandIn):
    """An open `aperf.span`; once that is closed, whatever was current before it.

    A context may hold it for long: that of a task that was made in the span, or of a generator that
    was abandoned.

    Args:
        below: see `StandIn`.
        span_id: likewise.
        outer: what was current when the span was opened, None for nothing.
    """

    def __init__(self, below: Span, span_id: int, outer: Span | None) -> None:
        super().__init__(below, span_id)
        self.outer = outer
        self.is_open = True

    def get_span_context(self) -> SpanContext:
        """Return the identity of the span, or of the one before it."""
        if self.is_open:
            return super().get_span_context()
        return INVALID_SPAN_CONTEXT if self.outer is None else self.outer.get_span_context()
