"""Rows of a batch as spans of OpenTelemetry's SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from aperf.model import WIDTH, Category, Column, Detail, Flag, SpanBatch, Template
from aperf.model._batch import WOKEN_BY, flag_attributes

from ._opentelemetry_limits import bound_attributes, bound_list, clean, clean_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from opentelemetry.sdk.resources import Resource

    from aperf.model import AttributeValue
    from aperf.model import Event as OurEvent
    from aperf.model import Link as OurLink

__all__ = ("SpanBuilder",)

_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_NOT_SAMPLED: Final = TraceFlags(TraceFlags.DEFAULT)
_UNSET: Final = Status()

#: The attributes whose values stand in the row, by category.
_MEASURED: Final[dict[Category, tuple[tuple[str, int], ...]]] = {
    Category.TASK: (
        ("aperf.task.id", int(Column.TASK)),
        ("aperf.task.steps", int(Column.STEPS)),
        ("aperf.busy_ns", int(Column.BUSY)),
        ("aperf.ready_ns", int(Column.READY)),
        ("aperf.waiting_ns", int(Column.WAITING)),
    ),
    Category.AWAIT: (("aperf.ready_ns", int(Column.READY)),),
    Category.EXECUTOR: (("aperf.queue_ns", int(Column.READY)), ("aperf.run_ns", int(Column.BUSY))),
}

#: Contexts that are remembered: many spans have the same parent, and are woken by the same task.
_MAX_CONTEXTS: Final = 4096


class _Site(NamedTuple):
    """What is known of a template."""

    name: str
    attributes: dict[str, AttributeValue]
    measured: tuple[tuple[str, int], ...]
    is_task: bool
    has_thread: bool

    @classmethod
    def of(cls, template: Template) -> _Site:
        return cls(
            name=clean_text(template.name),
            attributes=clean(template.attributes),
            measured=_MEASURED.get(template.category, ()),
            is_task=template.category is Category.TASK,
            has_thread=template.category in (Category.TASK, Category.EXECUTOR),
        )


class SpanBuilder:
    """Makes the SDK's spans of rows; remembers what their call sites have in common.

    Args:
        version: aperf's.
        schema_url: which version of the semantic conventions the attributes follow.
        limits: the provider's, which its own spans keep, too.
    """

    def __init__(self, version: str, schema_url: str, limits: SpanLimits) -> None:
        self._scope = InstrumentationScope("aperf", version, schema_url)
        self._limits = limits
        self._sites: dict[int, _Site] = {}
        self._flags: dict[int, dict[str, AttributeValue]] = {}
        self._threads: dict[int, dict[str, AttributeValue]] = {}
        self._contexts: dict[tuple[int, int, int, bool], SpanContext] = {}
        self._woken_by = self._attributes(dict(WOKEN_BY), of_link=True)

    def build(
        self, batch: SpanBatch, start: int, stop: int, resource: Resource
    ) -> list[ReadableSpan]:
        """Return the sampled spans among the rows from `start` to `stop`."""
        return [
            self._span(batch, batch.rows[at : at + WIDTH].tolist(), resource)
            for at in range(start * WIDTH, stop * WIDTH, WIDTH)
            if batch.rows[at + 1] & 1  # Column.FLAGS, Flag.SAMPLED; enums are slow to look up
        ]

    def _span(self, batch: SpanBatch, values: list[int], resource: Resource) -> ReadableSpan:
        index, flags, trace_hi, trace_lo, span_id, parent, start, end = values[:8]
        detail_index, link_hi, link_lo, waker = values[15:]
        site = self._sites.get(index) or self._learn_site(batch, index)
        detail = batch.details[detail_index] if detail_index else None

        attributes = site.attributes.copy()
        if site.has_thread:
            self._add_thread_and_task(attributes, batch, values, site)
        for key, column in site.measured:
            attributes[key] = _number(values[column])
        if flags != 1:
            of_flags = self._flags.get(flags)
            attributes.update(self._learn_flags(flags) if of_flags is None else of_flags)
        links: Sequence[Link] = ()
        if waker:
            links = (Link(self._context(link_hi, link_lo, waker), self._woken_by),)
        events: Sequence[Event] = ()
        if detail is not None:
            attributes.update(clean(detail.attributes))
            links = bound_list((*links, *self._links(detail.links)), self._limits.max_links)
            events = bound_list(self._events(detail.events), self._limits.max_events)
        return ReadableSpan(
            name=site.name,
            # Not remembered: nobody but its children has it again.
            context=SpanContext(trace_hi << 64 | trace_lo, span_id, False, _SAMPLED),
            parent=self._parent(trace_hi, trace_lo, parent, flags) if parent else None,
            resource=resource,
            attributes=self._attributes(attributes),
            events=events,
            links=links,
            kind=SpanKind.INTERNAL,
            status=_status(flags, detail) if flags != 1 else _UNSET,
            start_time=start,
            end_time=end,
            instrumentation_scope=self._scope,
        )

    # ------------------------------------------------------------------------------ attributes

    def _learn_site(self, batch: SpanBatch, index: int) -> _Site:
        site = self._sites[index] = _Site.of(batch.templates[index])
        return site

    def _learn_flags(self, flags: int) -> dict[str, AttributeValue]:
        found = self._flags[flags] = dict(flag_attributes(flags))
        return found

    def _add_thread_and_task(
        self, attributes: dict[str, Any], batch: SpanBatch, values: list[int], site: _Site
    ) -> None:
        thread, text = values[13:15]
        if thread:
            attributes.update(self._threads.get(thread) or self._learn_thread(batch, thread))
        if site.is_task and text:
            attributes["asyncio.task.name"] = clean_text(batch.texts[text])

    def _learn_thread(self, batch: SpanBatch, index: int) -> dict[str, AttributeValue]:
        thread = batch.threads[index]
        pairs = (("thread.id", thread.ident), ("thread.name", thread.name))
        found = self._threads[index] = clean(pairs)
        return found

    def _attributes(
        self, attributes: dict[str, Any], *, of_link: bool = False
    ) -> Mapping[str, Any]:
        limits = self._limits
        if of_link:
            most, length = limits.max_link_attributes, limits.max_attribute_length
        else:
            most, length = limits.max_span_attributes, limits.max_span_attribute_length
        return bound_attributes(attributes, most, length)

    # ------------------------------------------------------------------------- what few spans have

    def _events(self, events: Iterable[OurEvent]) -> list[Event]:
        limits = self._limits
        most, length = limits.max_event_attributes, limits.max_attribute_length
        return [
            Event(
                clean_text(event.name),
                bound_attributes(clean(event.attributes), most, length),
                event.time_ns,
            )
            for event in events
        ]

    def _links(self, links: Iterable[OurLink]) -> Iterable[Link]:
        for link in links:
            context = link.context
            trace_hi, trace_lo = divmod(context.trace_id, 1 << 64)
            yield Link(
                self._context(trace_hi, trace_lo, context.span_id, sampled=context.sampled),
                self._attributes(clean(link.attributes), of_link=True),
            )

    # -------------------------------------------------------------------------------- contexts

    def _context(
        self, trace_hi: int, trace_lo: int, span_id: int, *, sampled: bool = True
    ) -> SpanContext:
        key = (trace_hi, trace_lo, span_id, sampled)
        context = self._contexts.get(key)
        if context is None:
            if len(self._contexts) >= _MAX_CONTEXTS:
                self._contexts.clear()
            flags = _SAMPLED if sampled else _NOT_SAMPLED
            context = SpanContext(trace_hi << 64 | trace_lo, span_id, False, flags)
            self._contexts[key] = context
        return context

    def _parent(self, trace_hi: int, trace_lo: int, span_id: int, flags: int) -> SpanContext:
        if flags & Flag.REMOTE_PARENT.value:
            return SpanContext(trace_hi << 64 | trace_lo, span_id, True, _SAMPLED)
        return self._context(trace_hi, trace_lo, span_id)


def _number(value: int) -> int | str:
    """Return a number of 64 bits without sign as what OTLP can carry."""
    return value if value < 1 << 63 else str(value)


def _status(flags: int, detail: Detail | None) -> Status:
    if not flags & Flag.ERROR.value:
        return _UNSET
    message = detail.status_message if detail is not None else ""
    return Status(StatusCode.ERROR, clean_text(message) or None)
