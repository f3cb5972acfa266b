"""Which of OpenTelemetry's spans is current in a task: what the recorder asks when that changes.

The recorder looks into OpenTelemetry's ContextVar itself and compares span objects, which is cheap.
Only where it finds another one than the last time it calls this bridge, which describes the span in
a CONTEXT. OpenTelemetry is never imported here: a program that does not use it pays for nothing,
and one that does has imported it before it opens a span.
"""

from __future__ import annotations

import logging
import sys
import time
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from aperf._recorder._layout import PAIR, ContextFlag, Kind

if TYPE_CHECKING:
    from aperf._recorder import Recorder

__all__ = ("Bridge", "Described", "describe")

_log = logging.getLogger("aperf")

_SAMPLED, _REMOTE = int(ContextFlag.SAMPLED), int(ContextFlag.REMOTE)
_ENDED, _SEEN, _NONE = int(ContextFlag.ENDED), int(ContextFlag.SEEN), int(ContextFlag.NONE)
_CONTEXT = int(Kind.CONTEXT)
_LOW = (1 << 64) - 1


class Described(NamedTuple):
    """A valid span of OpenTelemetry."""

    trace_id: int
    span_id: int
    flags: int  #: a set of `ContextFlag`
    start_ns: int  #: since 1970; 0: unknown


def describe(span: object) -> Described | None:
    """Return what identifies a span, None for one that is not valid, or no span at all."""
    try:
        context: Any = span.get_span_context()  # type: ignore[attr-defined]
        if not context.is_valid:
            return None
        flags = _SAMPLED if int(context.trace_flags) & 1 else 0  # other bits mean other things
        if context.is_remote:
            flags |= _REMOTE
        if getattr(span, "end_time", None) is not None:
            flags |= _ENDED
        start_ns = getattr(span, "start_time", None)
        start_ns = start_ns if isinstance(start_ns, int) else 0
        return Described(int(context.trace_id), int(context.span_id), flags, start_ns)
    except Exception:
        return None  # anybody may put anything there


class Bridge:
    """Tells a recorder about OpenTelemetry's spans."""

    def __init__(self) -> None:
        #: spans of other processes that a task was seen in: who inherits them later, through the
        #: context of a callback, belongs to another request
        self._remote: weakref.WeakSet[Any] = weakref.WeakSet()

    def find(self, recorder: Recorder) -> bool:
        """Look whether OpenTelemetry is imported by now, and have the recorder look into it."""
        api = sys.modules.get("opentelemetry.context")
        trace = sys.modules.get("opentelemetry.trace.propagation")
        runtime = getattr(api, "_RUNTIME_CONTEXT", None)
        key = getattr(trace, "_SPAN_KEY", None)
        if runtime is None or key is None:
            return False  # not yet, or it is being imported right now
        variable = getattr(runtime, "_current_context", None)
        if type(runtime).__name__ != "ContextVarsRuntimeContext" or not isinstance(
            variable, ContextVar
        ):
            name = f"{type(runtime).__module__}.{type(runtime).__qualname__}"
            _log.debug("aperf: OpenTelemetry keeps its context in %s: it is left alone", name)
            recorder.follow(None)
            return False
        recorder.follow(self, variable, key)
        return True

    # What the recorder calls. Each returns what it is to remember of the task, the span first, or
    # None for nothing; none raises.

    def born(
        self, recorder: Recorder, number: int, span: object, creator: int, owned: bool
    ) -> tuple[Any, ...] | None:
        """A task is made, and inherits a span; its BIRTH follows.

        Args:
            recorder: where to write.
            number: the task's.
            span: the span.
            creator: number of the task that makes it, 0 for none.
            owned: whether it will have a context of its own.
        """
        self._write(recorder, number, span)
        return (span,)

    def moved(
        self, recorder: Recorder, number: int, span: object, seen: tuple[Any, ...] | None
    ) -> tuple[Any, ...] | None:
        """In a task another span is current than the last time, or none."""
        if not self._write(recorder, number, span):
            return seen  # there was no room: it is to be told the next time
        return None if span is None else (span,)

    def _write(self, recorder: Recorder, number: int, span: object) -> bool:
        described = None if span is None else describe(span)
        if described is None:
            return recorder.put(_CONTEXT, _NONE, 0, number, 0)
        trace_id, span_id, flags, start_ns = described
        if flags & _REMOTE:
            flags |= self._note_remote(span)
        if start_ns:
            start_ns = max(0, recorder.now_ns() - time.time_ns() + start_ns)
        rest = PAIR.pack(trace_id >> 64, trace_id & _LOW, start_ns, 0)
        return recorder.put(_CONTEXT, flags, 0, number, span_id, rest)

    def _note_remote(self, span: object) -> int:
        try:
            if span in self._remote:
                return _SEEN
            self._remote.add(span)
        except TypeError:
            pass  # no weak references to it
        return 0
