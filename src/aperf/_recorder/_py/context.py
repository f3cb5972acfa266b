"""Which of OpenTelemetry's spans is current: read here, described by the bridge (aperf.otel)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .recorder import Recorder

__all__ = ("inherit", "look", "look_as")


def _values_of(recorder: Recorder, context: Any) -> Mapping[Any, Any]:
    """Return what OpenTelemetry's variable holds in a context, or in the current one."""
    var: Any = recorder.context_var
    return (var.get(None) if context is None else context.get(var)) or {}


def inherit(
    recorder: Recorder, number: int, creator: int, context: Any, *, owned: bool
) -> tuple[bool, bool]:
    """Record the span that a new task has in its context.

    Args:
        recorder: where to record.
        number: the task's number.
        creator: number of the task that makes it, 0 for none.
        context: the context that it was explicitly given, or None.
        owned: whether it will have a context of its own.

    Returns:
        Whether it is in that span's trace, and whether its context says that nobody is to be told.
    """
    if recorder.context_var is None and not recorder.bridge.find(recorder):
        return False, False
    values = _values_of(recorder, context)
    muted = bool(values.get(recorder.mute_key))
    span = values.get(recorder.span_key)
    if span is None:
        return False, muted
    outer = recorder.bridge.born(recorder, number, span, creator, owned and not muted)
    if outer is None:
        return False, muted
    recorder.outers[number] = outer
    return len(outer) > 2 and outer[2] is True, muted


def look(recorder: Recorder, number: int, context: Any) -> None:
    """Record a task's current span if it is not the one seen last."""
    span = _values_of(recorder, context).get(recorder.span_key)
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
    span = _values_of(recorder, None).get(recorder.span_key)
    if span is not None:
        recorder.bridge.moved(recorder, owner, span, None)
