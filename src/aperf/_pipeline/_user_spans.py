"""Spans that the program opens itself: from their records to rows."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from aperf._recorder._layout import PAIR, Value

from ._bits import Row
from ._traces import Notes, OpenSpan, TaskState

if TYPE_CHECKING:
    from aperf.model import AttributeValue

    from ._closings import Closings
    from ._contexts import Contexts
    from ._family import Family
    from ._rows import Rows
    from ._tables import Tables

__all__ = ("UserSpans",)

_ERROR, _CANCELLED, _ABANDONED = 1, 2, 4  # flags of CLOSE
_TYPE = 15  # the part of an ATTRIBUTE's flags that names its type


class UserSpans:
    """The user spans of one session that are open.

    Args:
        live: the live tasks by number.
        tables: names of what records refer to.
        rows: where finished spans go.
        family: begins traces.
        contexts: knows what is current outside of tasks.

    Attributes:
        closings: notes what becomes of spans, None if nobody asks.
    """

    def __init__(
        self,
        live: dict[int, TaskState],
        tables: Tables,
        rows: Rows,
        family: Family,
        contexts: Contexts,
    ) -> None:
        self._live = live
        self._tables = tables
        self._rows = rows
        self._family = family
        self._contexts = contexts
        self._open: dict[tuple[int, int], OpenSpan] = {}
        self.closings: Closings | None = None

    def find(self, owner: int, seq: int) -> OpenSpan | None:
        """Return an open span by its owner and number."""
        return self._open.get((owner, seq))

    def open(
        self, ring: int, t_ns: int, flags: int, ref: int, a: int, b: int, payload: bytes
    ) -> None:
        """OPEN: a span begins."""
        parent_owner, parent_seq, site, _ = PAIR.unpack_from(payload)
        template = self._tables.user(ref, site)
        task = self._live.get(a)
        parent = self._open.get((parent_owner, parent_seq)) if parent_seq else None
        number = self._family.ids.span(self._family.ids.base(a, 0), b)  # in whatever segment
        current = self._contexts.around(task, ring, a)
        outer = self._contexts.opened_in(task, parent, current)
        if outer is not None:
            trace, parent_span = outer.trace, outer.span
        elif parent is not None:
            trace, parent_span = parent.trace, parent.span
        elif (around := task or self._live.get(parent_owner)) is not None:
            trace, parent_span = around.trace, around.span
        else:
            name = self._tables.templates[template].name
            trace, parent_span = self._family.new_trace(0, b, name, t_ns), 0
        name = self._tables.templates[template].name
        is_kept = self._family.rules.keeps(self._tables.place(site), name)
        number = number if is_kept else parent_span
        span = OpenSpan(trace, (a, b), number, parent_span, template, t_ns)
        span.is_kept = is_kept
        span.thread = ring + 1
        span.around = current.span if current is not None else 0
        span.flags = outer.row_flags if outer is not None else 0
        if trace.opener is None and not parent_span:
            trace.opener = span
        self._open[a, b] = span
        if task is not None:
            task.open.append(span)
        if self.closings is not None:
            self.closings.opened(task, span)

    def close(
        self, ring: int, t_ns: int, flags: int, ref: int, a: int, b: int, payload: bytes
    ) -> None:
        """CLOSE: a span ends, in whatever order."""
        span = self._open.pop((a, b), None)
        if span is None:
            return
        task = self._live.get(a)
        if task is not None and span in task.open:
            task.open.remove(span)
        row_flags = Row.ERROR if flags & _ERROR else 0
        if flags & _CANCELLED:
            row_flags |= Row.CANCELLED
        if flags & _ABANDONED:
            row_flags |= Row.UNFINISHED
        self._finish(span, t_ns, row_flags, task)

    def _finish(self, span: OpenSpan, t_ns: int, flags: int, of: TaskState | None = None) -> None:
        span.closed = True
        if not span.is_kept:
            return
        task = span.owner if span.owner in self._live else 0
        detail = self._rows.detail(span, [])
        self._rows.add(
            span.template, span.trace, span.span, span.parent, span.start_ns,
            max(t_ns, span.start_ns), flags=flags | span.flags, task=task, thread=span.thread,
            detail=detail,
        )  # fmt: skip
        if self.closings is not None:
            self.closings.closed(of, span, t_ns, flags)

    def event(
        self, ring: int, t_ns: int, flags: int, ref: int, a: int, b: int, payload: bytes
    ) -> None:
        """EVENT: something happened in a span, or in a task (number 0)."""
        notes = self._notes(a, b)
        if notes is not None:
            most = self._family.rules.limits.events
            notes.event(self._tables.name(ref), t_ns + notes.trace.offset_ns, most)

    def attribute(
        self, ring: int, t_ns: int, flags: int, ref: int, a: int, b: int, payload: bytes
    ) -> None:
        """ATTRIBUTE: of a span, a task (number 0), or the last event of either."""
        notes = self._notes(a, b)
        if notes is not None:
            kind, of_event = flags & _TYPE, bool(flags & Value.OF_EVENT)
            value = self._value(kind, payload) if kind else ()  # a bare ITEM begins a sequence
            item = bool(kind and flags & Value.ITEM)
            limits = self._family.rules.limits
            most = limits.event_attributes if of_event else limits.attributes
            notes.attribute(self._tables.name(ref), value, most, item=item, of_event=of_event)

    def _notes(self, owner: int, seq: int) -> Notes | None:
        return self._open.get((owner, seq)) if seq else self._live.get(owner)

    def _value(self, kind: int, payload: bytes) -> AttributeValue:
        if kind == Value.BOOL:
            return bool(payload[0])
        if kind == Value.INT:
            return int.from_bytes(payload[:8], "little", signed=True)
        if kind == Value.FLOAT:
            return float(struct.unpack_from("<d", payload)[0])
        if kind == Value.SITE:
            return self._tables.stacktrace(int.from_bytes(payload[:8], "little"))
        text = payload.rstrip(b"\0").decode("utf-8", "replace")
        return text[: self._family.rules.limits.attribute_length]

    def abandon(self, task: TaskState, t_ns: int) -> None:
        """Close what a task left open when it ended."""
        for span in reversed(task.open):
            del self._open[span.key]
            self._finish(span, t_ns, Row.UNFINISHED, task)
        task.open.clear()
        if self.closings is not None:
            self.closings.settle(task, 0)

    def finish(self, t_ns: int) -> None:
        """Close whatever is open."""
        for span in reversed(list(self._open.values())):
            self._finish(span, t_ns, Row.UNFINISHED)
        self._open.clear()
