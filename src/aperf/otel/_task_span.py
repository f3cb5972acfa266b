"""What stands for a task among OpenTelemetry's spans.

In a task inside of a trace that a user's span started, `opentelemetry.trace.get_current_span()`
returns a `TaskSpan`, so that spans opened there are children of the task. It has the ids of aperf's
span, which are known in advance, but no other substance: whatever the program says about "the
current span" goes to the span that the task inherited, exactly as without aperf.

Imported only once the program has imported OpenTelemetry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.trace.span import Span, SpanContext

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from opentelemetry.trace.status import Status, StatusCode
    from opentelemetry.util import types

__all__ = ("TaskSpan",)


class TaskSpan(Span):
    """A task's span, as OpenTelemetry sees it.

    Args:
        below: the user's span that the task inherited.
        span_id: of the task's span.

    Attributes:
        below: see above.
    """

    def __init__(self, below: Span, span_id: int) -> None:
        self.below = below
        self._span_id = span_id
        self._context: SpanContext | None = None

    def get_span_context(self) -> SpanContext:
        """Return the identity of the task's span; all but its id is that of the trace."""
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
