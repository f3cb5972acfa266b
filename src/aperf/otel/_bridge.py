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
from asyncio import _get_running_loop
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from aperf._recorder._layout import PAIR, ContextFlag, Descent, Kind
from aperf.model import SpanContext

if TYPE_CHECKING:
    from collections.abc import Callable

    from aperf._ids import Ids
    from aperf._recorder import Recorder
    from aperf._spans._node import Node

    from ._stand_ins import StandIns

__all__ = ("Bridge", "Described", "Seen", "describe")

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


class Seen(NamedTuple):
    """What is remembered of a task in which a span is current, or was inherited."""

    span: object  #: the one seen last, None for none
    inherited: int = 0  #: id of the one that was current where the task was made; 0: none
    is_nested: bool = False  #: the task is in the trace of that one
    is_owner: bool = False  #: its context is its own, and may be written to
    is_left_over: bool = False  #: a plain callback made the task, and may have inherited the span


class Bridge:
    """Tells a recorder about OpenTelemetry's spans, and OpenTelemetry about tasks.

    Args:
        ids: name the spans of tasks.

    Attributes:
        nests: whether spans opened in a task are to lie below the task's, which somebody exports.
        sample: decides about a trace of aperf's, by its id and the name of its first span.
    """

    def __init__(self, ids: Ids | None = None) -> None:
        self._ids = ids
        self.nests = ids is not None
        self.sample: Callable[[int, str], bool] = lambda trace_id, name: True
        self._spans: StandIns | None = None
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
        from ._stand_ins import StandIns  # what it imports is there

        self._spans = StandIns(variable, key)
        mute_key = getattr(api, "_SUPPRESS_INSTRUMENTATION_KEY", None)
        recorder.follow(self, variable, key, mute_key)
        return True

    # What the recorder calls. Each returns what it is to remember of the task, the span first, or
    # None for nothing; none raises.

    def born(
        self, recorder: Recorder, number: int, span: object, creator: int, owned: bool
    ) -> Seen | None:
        """A task is made, and inherits a span; its BIRTH follows.

        Args:
            recorder: where to write.
            number: the task's.
            span: the span.
            creator: number of the task that makes it, 0 for none.
            owned: whether it will have a context of its own.
        """
        if self._is_ours(span):
            return Seen(span, is_owner=owned)
        described = self._described(span)
        if not self._write(recorder, number, described):
            return None  # there was no room: it will be found where the task is suspended
        if described is None:
            return Seen(span)
        is_nested = self._is_nested(recorder, described, creator)
        is_left_over = not (creator or is_nested)
        return Seen(span, described.span_id, is_nested, owned, is_left_over)

    def _is_nested(self, recorder: Recorder, span: Described, creator: int) -> bool:
        """Say whether a new task is in the trace of the span in its context.

        The same is worked out from the records (`aperf._pipeline`), and must come out the same.
        """
        if span.flags & _ENDED:
            return False
        if recorder.descent:
            return recorder.descent == Descent.CHILD
        if creator:
            maker: Any = recorder.outers.get(creator)
            return maker is None or span.span_id != maker.inherited or maker.is_nested
        if _get_running_loop() is None:
            return True
        return bool(span.flags & _REMOTE and not span.flags & _SEEN)  # else it may be left over

    def begin(self, recorder: Recorder, number: int, seen: Seen) -> Seen:
        """A task that has inherited a span begins to run; this is called in its context.

        Without a token: what is set here stays in the task's own context, and goes with it.
        """
        spans, ids = self._spans, self._ids
        if spans is None or ids is None or not seen.is_owner:
            return seen
        root = spans.root_of(seen.span)
        if root and not (self.nests and root == recorder.root()):
            return seen._replace(span=None) if spans.drop(seen.span) else seen
        if root:
            span = spans.enter_task(seen.span, ids.task_span(number, root))
            return seen if span is None else seen._replace(span=span, is_nested=True)
        if seen.is_left_over and self._is_over(seen.span) and spans.drop(seen.span):
            return seen._replace(span=None)
        if not (seen.is_nested and self.nests):
            return seen
        span = spans.enter_task(seen.span, ids.span(ids.base(number, 0), 0))
        return seen if span is None else seen._replace(span=span)

    def _is_over(self, span: object) -> bool:
        """Say whether a span has ended: nothing can be meant to lie below it."""
        described = self._described(span)
        return described is not None and bool(described.flags & _ENDED)

    def moved(
        self, recorder: Recorder, number: int, span: object, seen: Seen | None
    ) -> Seen | None:
        """In a task another span is current than the last time, or none."""
        described = None if span is None else self._described(span)
        if not self._write(recorder, number, described):
            return seen  # there was no room: it is to be told the next time
        if seen is not None and (seen.inherited or seen.is_nested):
            return seen._replace(span=span)
        return None if span is None else Seen(span)

    # What user spans call.

    def opened(self, recorder: Recorder, task: int, node: Node) -> None:
        """An `aperf.span` was opened: what is opened in it is to lie below it.

        Args:
            recorder: where it is recorded.
            task: number of the task that runs, 0 for none.
            node: the span's.
        """
        spans, ids = self._spans, self._ids
        if spans is None or ids is None:
            return
        seen: Seen | None = recorder.outers.get(task) if task else None  # type: ignore[assignment]
        described = self._described(spans.current())
        if described is None:
            identity = self.identity(node, node.root) if self.nests else None
            if identity is not None:
                node.shown = spans.open_in(identity, node.root)
        elif task and seen is None:
            node.root = 0  # there was no room to tell of that span
        elif not described.flags & _ENDED:
            is_inherited = seen is not None and described.span_id == seen.inherited
            if not is_inherited:
                node.root = 0
            if self.nests and (not is_inherited or (seen is not None and seen.is_nested)):
                node.shown = spans.open(ids.span(ids.base(node.owner, 0), node.seq))
        if task and node.shown is not None:
            recorder.outers[task] = (seen or Seen(None))._replace(span=node.shown)

    def identity(self, node: Node, root: int) -> SpanContext | None:
        """Return what will identify a span of aperf's, None if that cannot be told.

        Args:
            node: the span; number 0 is the task's own.
            root: what its trace begins with.
        """
        ids = self._ids
        if ids is None or not root:
            return None
        hi, lo = ids.trace_of(root)
        trace_id = hi << 64 | lo
        if node.seq:
            span_id = ids.span(ids.base(node.owner, 0), node.seq)
        else:
            span_id = ids.task_span(node.owner, root)
        return SpanContext(trace_id, span_id, self.sample(trace_id, ""))

    def _is_ours(self, span: object) -> bool:
        return self._spans is not None and self._spans.is_ours(span)

    def current(self, recorder: Recorder, *, ours: bool) -> SpanContext | None:
        """Return what identifies the span that is current for OpenTelemetry.

        None for one that a task has only because a plain callback made it: it is in another trace.

        Args:
            recorder: knows tasks.
            ours: whether the span is to stand for one in a trace of aperf's, or is not to.
        """
        if self._spans is None and not self.find(recorder):
            return None
        assert self._spans is not None
        span = self._spans.current()
        if span is None or self._spans.is_ours(span) != ours:
            return None
        seen: Any = recorder.outers.get(recorder.current())
        if seen is not None and seen.span is span and seen.inherited and not seen.is_nested:
            return None
        found = describe(span)
        if found is None:
            return None
        return SpanContext(found.trace_id, found.span_id, bool(found.flags & _SAMPLED))

    def closed(self, recorder: Recorder, node: Node) -> None:
        """It was closed, in whatever context."""
        if self._spans is not None:
            self._spans.leave(node.shown)

    def swapped(self, recorder: Recorder, leaving: Node | None, entering: Node | None) -> None:
        """A generator that has spans open goes on, or is left."""
        if self._spans is None:
            return
        left = None if leaving is None else leaving.shown
        entered = None
        if entering is not None and recorder.current() in (0, entering.owner):
            entered = entering.shown
        if left is not None or entered is not None:
            self._spans.swap(left, entered)

    def _described(self, span: object) -> Described | None:
        if self._is_ours(span):
            return None  # the records tell it
        span = span if self._spans is None else self._spans.below(span)
        described = describe(span)
        if described is not None and described.flags & _REMOTE:
            described = described._replace(flags=described.flags | self._note_remote(span))
        return described

    def _write(self, recorder: Recorder, number: int, span: Described | None) -> bool:
        if span is None:
            return recorder.put(_CONTEXT, _NONE, 0, number, 0)
        trace_id, span_id, flags, start_ns = span
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
