"""Which of OpenTelemetry's spans is current: read here, described by the bridge (aperf.otel)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .recorder import Recorder

__all__ = ("inherit", "look", "look_as")


def _span_of(recorder: Recorder, context: Any) -> Any:
    """Return OpenTelemetry's span in a context, or in the current one."""
    var: Any = recorder.context_var
    values = var.get(None) if context is None else context.get(var)
    return None if values is None else values.get(recorder.span_key)


def inherit(recorder: Recorder, number: int, creator: int, context: Any, *, owned: bool) -> bool:
    """Record the span that a new task has in its context; say whether it is in that one's trace.

    Args:
        recorder: where to record.
        number: the task's number.
        creator: number of the task that makes it, 0 for none.
        context: the context that it was explicitly given, or None.
        owned: whether it will have a context of its own.
    """
    if recorder.context_var is None and not recorder.bridge.find(recorder):
        return False
    span = _span_of(recorder, context)
    outer = None if span is None else recorder.bridge.born(recorder, number, span, creator, owned)
    if outer is None:
        return False
    recorder.outers[number] = outer
    return len(outer) > 2 and outer[2] is True


def look(recorder: Recorder, number: int, context: Any) -> None:
    """Record a task's current span if it is not the one seen last."""
    span = _span_of(recorder, context)
    seen = recorder.outers.get(number)
    if span is (None if seen is None else seen[0]):
        return
    outer = recorder.bridge.moved(recorder, number, span, seen)
    if outer is None:
        recorder.outers.pop(number, None)
    else:
        recorder.outers[number] = outer


def look_as(recorder: Recorder, owner: int) -> None:
    """Record the current span if `owner`, a task or thread, is new in it."""
    if recorder.bridge is None or (
        recorder.context_var is None and not recorder.bridge.find(recorder)
    ):
        return
    if owner == recorder.current():
        look(recorder, owner, None)
        return
    span = _span_of(recorder, None)
    if span is not None:
        recorder.bridge.moved(recorder, owner, span, None)
