"""Which trace a task belongs to, and under which span."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from aperf._ids import task_root

from ._bits import Context, Row
from ._traces import OpenSpan, Outer, TaskState, Trace, link_to

if TYPE_CHECKING:
    from collections.abc import Callable

    from aperf._ids import Ids
    from aperf.model import TimeAnchor

    from ._places import Place

__all__ = ("Family", "Limits", "Rules")


class Limits(NamedTuple):
    """How much a span may have; the defaults are OpenTelemetry's."""

    attributes: int = 128
    attribute_length: int | None = None  #: of a text; None for no limit
    events: int = 128
    event_attributes: int = 128


USUAL: Final = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What decides how spans hang together.

    Attributes:
        task_parent: overrides the rules of parentage: "child" of whoever made it, "link" to it,
            "root".
        segment_ns: age from which a trace is cut.
        segment_spans: size from which a trace is cut.
        await_min_ns: shorter awaits count, but are no spans.
        calls: whether awaited coroutines are spans of their own (`awaits="all"`).
        sample: decides about a new trace by its id and the name of its first span.
        keeps: decides about a user span by its place and name: one that is not kept is left out,
            and what is in it belongs to the span around it.
        moves: is told the root of each trace in which a task goes on, and 0 when it has ended.
        limits: how many attributes and events a span may have, and how long texts may be.
    """

    task_parent: Literal["child", "link", "root"] | None = None
    segment_ns: int = 60 * 10**9
    segment_spans: int = 10_000
    await_min_ns: int = 0
    calls: bool = True
    sample: Callable[[int, str], bool] = lambda trace_id, name: True
    keeps: Callable[[Place | None, str], bool] = lambda place, name: True
    moves: Callable[[int, int], None] = lambda task, root: None
    limits: Limits = USUAL


class Family:
    """Begins traces and places tasks in them.

    Args:
        ids: names traces and spans.
        anchor: ties the recorder's clock to wall time; may be renewed, for traces to come.
        rules: how spans hang together.
    """

    def __init__(self, ids: Ids, anchor: TimeAnchor, rules: Rules) -> None:
        self.ids = ids
        self.anchor = anchor
        self.rules = rules
        self._foreign: weakref.WeakValueDictionary[tuple[int, int, int], Trace]
        self._foreign = weakref.WeakValueDictionary()

    def foreign(self, hi: int, lo: int, flags: int, t_ns: int) -> Trace:
        """Return a trace that OpenTelemetry began.

        Args:
            hi: upper half of its id.
            lo: lower half.
            flags: `Row.SAMPLED` or 0.
            t_ns: begin, if it is new.
        """
        trace = self._foreign.get((hi, lo, flags))
        if trace is None:
            offset_ns = self.anchor.unix_ns - self.anchor.monotonic_ns
            trace = self._foreign[hi, lo, flags] = Trace((hi, lo), flags, offset_ns, t_ns)
        return trace

    def new_trace(
        self, root: int, segment: int, name: str, t_ns: int, flags: int | None = None
    ) -> Trace:
        """Return a new trace.

        Args:
            root: what its id is made from: the number of a task or job, 0 for a user span.
            segment: which one of the task's life, or the number of the user span.
            name: of its first span, for the sampler.
            t_ns: its begin.
            flags: the sampler's decision where it was taken already.
        """
        hi, lo = self.ids.trace(root, segment)
        if flags is None:
            flags = Row.SAMPLED if self.rules.sample(hi << 64 | lo, name) else 0
        return Trace((hi, lo), int(flags), self.anchor.unix_ns - self.anchor.monotonic_ns, t_ns)

    def root(self, task: TaskState, flags: int | None = None) -> None:
        """Let a task begin a trace of its own."""
        trace = self.new_trace(task.id, task.segment, task.coroutine.name, task.start_ns, flags)
        task.parent = 0
        self._enter(task, trace)

    def _enter(self, task: TaskState, trace: Trace) -> None:
        base = self.ids.base(task.id, task.segment)
        task.enter(trace, base, self.ids.span(base, 0))

    def place(
        self,
        task: TaskState,
        creator: TaskState | None,
        opened: OpenSpan | Outer | None,
        *,
        inherited: bool,
    ) -> None:
        """Give a new task its trace and parent.

        Args:
            task: the new one.
            creator: the task that made it, None for a plain callback or none at all.
            opened: the innermost span that is open in its context, the program's or
                OpenTelemetry's.
            inherited: whether `opened` is there only because a callback inherited the context of
                whoever arranged it, perhaps long ago; then it is no parent.
        """
        rule = self.rules.task_parent or ("link" if inherited else "child")
        if isinstance(opened, Outer):
            if opened.flags & Context.ENDED and creator is not None:
                self._place(task, rule, creator.trace, creator.span)
                task.links.append(link_to(opened.trace, opened.span, "created_by"))
                return
            if opened.flags & Context.ENDED and rule == "child":
                rule = "link"
            task.flags |= opened.row_flags if rule == "child" else 0
        if opened is not None:
            trace, parent = opened.trace, opened.span
        elif creator is not None:
            trace, parent = creator.trace, creator.span
        else:
            self.root(task)
            return
        self._place(task, rule, trace, parent)

    def _place(self, task: TaskState, rule: str, trace: Trace, parent: int) -> None:
        if rule == "child":
            task.parent = parent
            self._enter(task, trace)
            return
        self.root(task)
        if rule == "link":
            task.links.append(link_to(trace, parent, "created_by"))

    def is_old(self, trace: Trace, t_ns: int) -> bool:
        """Say whether a trace is to be cut."""
        rules = self.rules
        return trace.spans > rules.segment_spans or t_ns - trace.start_ns > rules.segment_ns

    def next_segment(self, task: TaskState, creator: TaskState | None, t_ns: int) -> None:
        """Let a task, whose segment has been delivered, go on in a trace of its own."""
        before = task.trace
        links = [link_to(before, task.span, "previous_segment")]
        if creator is not None:
            links.append(link_to(creator.trace, creator.span, "created_by"))
        task.begin_segment(t_ns, links)
        self.root(task, before.flags)
        self.rules.moves(task.id, task_root(task.id, task.segment))
