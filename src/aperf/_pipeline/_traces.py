"""What the assembler knows of traces, live tasks and open spans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from aperf.model import AttributeValue, Event, Link, SpanContext

from ._bits import Context, Row

if TYPE_CHECKING:
    from ._closings import Mark
    from ._totals import CoroutineEntry

__all__ = ("Live", "Notes", "OpenSpan", "Outer", "TaskState", "Trace", "link_to")


class Trace:
    """One trace.

    Attributes:
        hi: upper half of its id.
        lo: lower half.
        flags: `Flag.SAMPLED` or 0.
        offset_ns: wall time minus recorder's time; renewed for new traces only, so that the spans
            of one trace never move against each other.
        start_ns: recorder's time of its first span.
        spans: how many it has.
        opener: the user span that started it, if one did.
    """

    __slots__ = ("__weakref__", "flags", "hi", "lo", "offset_ns", "opener", "spans", "start_ns")

    def __init__(self, ids: tuple[int, int], flags: int, offset_ns: int, start_ns: int) -> None:
        self.hi, self.lo = ids
        self.flags = flags
        self.offset_ns = offset_ns
        self.start_ns = start_ns
        self.spans = 0
        self.opener: OpenSpan | None = None

    def context(self, span_id: int) -> SpanContext:
        """Return the identity of one of its spans."""
        return SpanContext(self.hi << 64 | self.lo, span_id, bool(self.flags))


#: Of a task that has not been placed yet.
NO_TRACE: Final = Trace((0, 0), 0, 0, 0)


def link_to(trace: Trace, span: int, what: str) -> Link:
    """Return a link to a span, saying what it means."""
    return Link(trace.context(span), (("aperf.link", what),))


class Outer(NamedTuple):
    """A span of OpenTelemetry that is current somewhere, as its CONTEXT described it."""

    trace: Trace
    span: int
    flags: int  #: a set of `Context`
    started_ns: int  #: by the recorder's clock; 0: unknown

    @property
    def row_flags(self) -> int:
        """Flags of rows of which it is the parent."""
        return Row.REMOTE_PARENT if self.flags & Context.REMOTE else 0

    def is_at(self, other: Outer | None) -> bool:
        """Say whether both are the same span."""
        return other is not None and self.span == other.span and self.trace is other.trace


class Live(NamedTuple):
    """A live task as the recorder sees it (`Recorder.live`)."""

    task: int
    site: int
    since_ns: int
    first: bool
    running: bool


class Notes:
    """Attributes and events of something unfinished, within OpenTelemetry's limits.

    `inside` is the id of the span that an await in it belongs to: its own, or that of a call.
    """

    __slots__ = ("attributes", "event_attributes", "events", "inside", "trace")

    def __init__(self, trace: Trace, span: int) -> None:
        self.trace = trace
        self.inside = span
        self.attributes: dict[str, AttributeValue] = {}
        self.events: list[Event] = []
        #: of the last event, which may still get more
        self.event_attributes: dict[str, AttributeValue] = {}

    def event(self, name: str, time_ns: int, most: int) -> None:
        """Begin an event, if there are fewer than `most`."""
        self.settle()
        self.event_attributes = {}
        if len(self.events) < most:
            self.events.append(Event(name, time_ns))

    def settle(self) -> None:
        """Give the last event its attributes."""
        if self.events and self.event_attributes:
            last = self.events[-1]
            self.events[-1] = Event(last.name, last.time_ns, tuple(self.event_attributes.items()))
            self.event_attributes = {}

    def attribute(
        self,
        key: str,
        value: AttributeValue,
        most: int,
        *,
        item: bool = False,
        of_event: bool = False,
    ) -> None:
        """Set an attribute, or add to a sequence; there may be `most` of them."""
        target = self.event_attributes if of_event else self.attributes
        if key not in target and len(target) >= most:
            return
        if item:
            before = target.get(key, ())
            value = (*before, value) if isinstance(before, tuple) else (value,)
        target[key] = value


class OpenSpan(Notes):
    """A user span that has begun, known by its owner and number.

    `around` is the id of the span of OpenTelemetry that was current when it began, 0 for none.
    `idle_ns` is how long its task had waited by then, where anybody asks (`Closings`). One that is
    not kept (`Rules.keeps`) has the id of its parent.
    """

    __slots__ = (
        "around",
        "closed",
        "flags",
        "idle_ns",
        "is_kept",
        "key",
        "owner",
        "parent",
        "span",
        "start_ns",
        "template",
        "thread",
    )

    def __init__(
        self, trace: Trace, key: tuple[int, int], span: int, parent: int, template: int, t_ns: int
    ) -> None:
        super().__init__(trace, span)
        self.key = key
        self.owner = key[0]
        self.span = span
        self.parent = parent
        self.template = template
        self.start_ns = t_ns
        self.thread = self.around = self.flags = self.idle_ns = 0
        self.closed, self.is_kept = False, True


class TaskState(Notes):
    """A live task, or one that ended lately.

    Times are the recorder's. `busy_ns`, `ready_ns` and `waiting_ns` add up to `since_ns -
    start_ns`, those of the task's earlier segments being counted already.

    Attributes:
        id: its number.
        coroutine: what it runs.
        name: as asyncio calls it.
        born_ns: when it was made or adopted.
        start_ns: begin of this segment.
        since_ns: until when its time is accounted for: its last suspension.
        trace: of this segment.
        segment: which one this is.
        base: what ids of its spans are counted from.
        span: id of its own span.
        parent: id of its parent's, 0 for a root.
        creator: number of the task that made it.
        inherited: the span of OpenTelemetry that was current where it was made.
        outer: the one that is current in it, if it is another one.
        await_parent: id of the span that was innermost when it was suspended.
        await_trace: the trace of that span.
        open: its open user spans, innermost last.
        marks: of user spans in its current step, where anybody asks (`Closings`).
        losses: how many times records had been lost when it was last seen.
    """

    __slots__ = (
        "await_parent",
        "await_trace",
        "awaits",
        "base",
        "born_ns",
        "busy_ns",
        "cancelled_by",
        "coroutine",
        "creator",
        "failure",
        "flags",
        "id",
        "inherited",
        "links",
        "losses",
        "marks",
        "name",
        "open",
        "outer",
        "parent",
        "ready_ns",
        "ring",
        "segment",
        "since_ns",
        "span",
        "start_ns",
        "steps",
        "waiting_ns",
    )

    def __init__(self, number: int, coroutine: CoroutineEntry, born_ns: int, ring: int) -> None:
        super().__init__(NO_TRACE, 0)
        self.id = number
        self.coroutine = coroutine
        self.name = ""
        self.born_ns = self.start_ns = self.since_ns = born_ns
        self.ring = ring
        self.busy_ns = self.ready_ns = self.waiting_ns = self.steps = self.awaits = 0
        self.segment = self.flags = self.parent = self.creator = self.losses = 0
        self.cancelled_by = 0
        self.failure: tuple[int, bytes] | None = None
        self.links: list[Link] = []
        self.open: list[OpenSpan] = []
        self.marks: list[Mark] | None = None
        self.inherited: Outer | None = None
        self.outer: Outer | None = None
        self.await_trace = NO_TRACE
        self.base = self.span = self.await_parent = 0

    def enter(self, trace: Trace, base: int, span: int) -> None:
        """Go on in a trace."""
        self.trace = self.await_trace = trace
        self.base = base
        self.span = self.inside = self.await_parent = span

    def begin_segment(self, t_ns: int, links: list[Link]) -> None:
        """Count anew from here on; the trace is given by `enter`."""
        self.start_ns = t_ns
        self.segment += 1
        self.busy_ns = self.ready_ns = self.waiting_ns = self.steps = 0
        self.attributes, self.events, self.links = {}, [], links

    def hides(self, outer: Outer) -> bool:
        """Say whether a user span was opened in a span of OpenTelemetry, and lies within."""
        return any(span.around == outer.span for span in self.open)

    def innermost(self) -> tuple[Trace, int]:
        """Return the span that is innermost in it now: trace and id."""
        outer = self.outer
        if outer is not None and not self.hides(outer):
            return outer.trace, outer.span
        last = self.open[-1] if self.open else self
        return last.trace, last.inside

    def wait(self) -> None:
        """Note the span that is innermost now that it is suspended."""
        self.await_trace, self.await_parent = self.innermost()

    def account(self, t_ns: int, *, running: bool, first: bool) -> None:
        """Account for the time since its last record; there will be no other."""
        rest_ns = max(0, t_ns - self.since_ns)
        if running:
            self.busy_ns += rest_ns
        elif first:
            self.ready_ns += rest_ns
        else:
            self.waiting_ns += rest_ns
        self.since_ns += rest_ns
