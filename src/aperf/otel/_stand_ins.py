"""Puts stand-ins for aperf's spans into OpenTelemetry's context, and takes them out again.

No token is kept: each change is made in the context that is current, after a look at what is there.
What somebody else has put there meanwhile stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.trace.span import SpanContext, TraceFlags

from ._task_span import Anchor, StandIn, TaskSpan, UserSpan

if TYPE_CHECKING:
    from contextvars import ContextVar

    from opentelemetry.trace.span import Span

    from aperf import model

__all__ = ("StandIns",)


class StandIns:
    """Reads and changes which span is current.

    Args:
        variable: holds OpenTelemetry's context.
        key: of the current span in it.
    """

    def __init__(self, variable: ContextVar[Any], key: str) -> None:
        self._variable = variable
        self._key = key

    def current(self) -> Span | None:
        """Return the span that is current."""
        values = self._variable.get(None)
        span: Span | None = None if values is None else values.get(self._key)
        return span

    def _set(self, span: Span | None) -> None:
        values = self._variable.get()
        if span is not None:
            changed = {**values, self._key: span}
        else:
            changed = {key: value for key, value in values.items() if key != self._key}
        self._variable.set(type(values)(changed))

    @staticmethod
    def below(span: Any) -> Any:  # noqa: ANN401 - whatever the program has put there
        """Return what a stand-in stands on; others stand for themselves."""
        return span.below if isinstance(span, StandIn) else span

    def is_ours(self, span: object) -> bool:
        """Say whether a span stands for one in a trace that aperf began."""
        return isinstance(self.below(span), Anchor)

    def root_of(self, span: object) -> int:
        """Return what the trace of aperf's begins with in which a stand-in is, 0 for none."""
        if isinstance(span, UserSpan) and not span.is_open:
            span = _outside(span)
        below = self.below(span)
        return below.root if isinstance(below, Anchor) else 0

    def enter_task(self, inherited: Any, span_id: int) -> TaskSpan | None:  # noqa: ANN401 - see above
        """Let a task that runs have its own span, if what it inherited is current."""
        if self.current() is not inherited:
            return None
        span = TaskSpan(self.below(inherited), span_id)
        self._set(span)
        return span

    def drop(self, inherited: object) -> bool:
        """Let no span be current if this one is; say whether it was."""
        if self.current() is not inherited:
            return False
        self._set(None)
        return True

    def open(self, span_id: int) -> UserSpan:
        """Let a user span be current that is in the trace of what is current."""
        outer: Any = self.current()
        span = UserSpan(self.below(outer), span_id, outer)
        self._set(span)
        return span

    def open_in(self, context: model.SpanContext, root: int) -> UserSpan:
        """Let a user span be current that is in a trace of aperf's.

        Args:
            context: identifies the span.
            root: what the trace begins with.
        """
        outer = self.current()
        below = self.below(outer)
        if self.root_of(outer) != root:
            flags = TraceFlags(TraceFlags.SAMPLED if context.sampled else TraceFlags.DEFAULT)
            below = Anchor(SpanContext(context.trace_id, context.span_id, False, flags), root)
        span = UserSpan(below, context.span_id, outer)
        self._set(span)
        return span

    def leave(self, span: UserSpan) -> None:
        """Let what was current before a user span be current again, if it still is."""
        if self.current() is span:
            self._set(_outside(span))

    def swap(self, leaving: UserSpan | None, entering: UserSpan | None) -> None:
        """Let another user span be current, or what is around the one that is left."""
        current = self.current()
        if leaving is not None and current is leaving:
            self._set(entering or _base(leaving))
        elif entering is not None and current is _base(entering):
            self._set(entering)


def _outside(span: UserSpan) -> Span | None:
    """Return what was current before a span and is not closed."""
    outer = span.outer
    while isinstance(outer, UserSpan) and not outer.is_open:
        outer = outer.outer
    return outer


def _base(span: Span | None) -> Span | None:
    """Return what was current before all user spans in each other."""
    while isinstance(span, UserSpan):
        span = span.outer
    return span
