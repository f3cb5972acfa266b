"""Any row of a batch as a Span message.

What does not change between two spans of a call site is encoded once and remembered by the index of
the template; the same goes for threads and for sets of flags.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from aperf.model import WIDTH, Category, Column, Detail, Flag, SpanBatch, StatusCode, Template
from aperf.model._batch import flag_attributes

from ._messages import (
    HAS_IS_REMOTE,
    IS_REMOTE,
    KIND_INTERNAL,
    SAMPLED,
    WOKEN_BY_REST,
    SpanField,
    event_message,
    ids,
    link_message,
    status_message,
)
from ._values import attribute, attributes, unsigned_attribute
from ._wire import FIXED64, LENGTH, VARINT, fixed32, length_delimited, tag, text, varint

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable

__all__ = ("KEYS_OF_ROWS", "SpanEncoder")

#: The attributes whose values stand in the row, by category.
_MEASURED: Final[dict[Category, tuple[tuple[str, Column], ...]]] = {
    Category.TASK: (
        ("aperf.task.id", Column.TASK),
        ("aperf.task.steps", Column.STEPS),
        ("aperf.busy_ns", Column.BUSY),
        ("aperf.ready_ns", Column.READY),
        ("aperf.waiting_ns", Column.WAITING),
    ),
    Category.AWAIT: (("aperf.ready_ns", Column.READY),),
    Category.EXECUTOR: (("aperf.queue_ns", Column.READY), ("aperf.run_ns", Column.BUSY)),
}
_THREADED: Final = frozenset((Category.TASK, Category.EXECUTOR))

#: Keys that rows set. A span has each key once: where a call site or a detail sets one of them
#: too, the shortcut of this module does not apply.
KEYS_OF_ROWS: Final = frozenset(
    {key for pairs in _MEASURED.values() for key, _ in pairs}
    | {key for key, _ in flag_attributes(sum(Flag))}
    | {"thread.id", "thread.name", "asyncio.task.name"}
)

_PARENT: Final = struct.Struct(">2sQ")
_PARENT_HEAD: Final = tag(SpanField.PARENT_SPAN_ID, LENGTH) + varint(8)
_TIMES: Final = struct.Struct("<cQcQ")
_START_HEAD: Final = tag(SpanField.START_TIME, FIXED64)
_END_HEAD: Final = tag(SpanField.END_TIME, FIXED64)


class _Site(NamedTuple):
    """What is known of a template."""

    head: bytes  #: name and kind
    attributes: bytes
    taken: frozenset[str]  #: keys that are set by it or by rows
    regular: bool  #: none of the keys is set by both
    threaded: bool
    measured: tuple[tuple[Callable[[int], bytes], Column], ...]

    @classmethod
    def of(cls, template: Template) -> _Site:
        keys = {key for key, _ in template.attributes}
        kind = tag(SpanField.KIND, VARINT) + varint(KIND_INTERNAL)
        return cls(
            head=length_delimited(SpanField.NAME, text(template.name)) + kind,
            attributes=attributes(SpanField.ATTRIBUTES, template.attributes),
            taken=KEYS_OF_ROWS | keys,
            regular=KEYS_OF_ROWS.isdisjoint(keys),
            threaded=template.category in _THREADED,
            measured=tuple(
                (unsigned_attribute(SpanField.ATTRIBUTES, key), column)
                for key, column in _MEASURED.get(template.category, ())
            ),
        )


class SpanEncoder:
    """Encodes the rows of one session, one by one."""

    def __init__(self) -> None:
        self._sites: dict[int, _Site] = {}
        self._threads: dict[int, bytes] = {0: b""}
        self._flags: dict[int, bytes] = {}

    def encode(self, batch: SpanBatch, row: int) -> bytes:
        """Return the content of one Span message."""
        values = batch.rows[row * WIDTH : (row + 1) * WIDTH]
        detail = batch.details[values[Column.DETAIL]]
        return b"".join(
            (
                _ids_and_times(values),
                self._name_and_attributes(batch, row, values, detail),
                _links(values, detail),
                _events_and_status(values, detail),
            )
        )

    def _name_and_attributes(
        self, batch: SpanBatch, row: int, values: array[int], detail: Detail
    ) -> bytes:
        index = values[Column.TEMPLATE]
        site = self._sites.get(index)
        if site is None:
            site = self._sites[index] = _Site.of(batch.templates[index])
        if not site.regular or any(key in site.taken for key, _ in detail.attributes):
            view = batch[row].attributes
            return site.head + attributes(SpanField.ATTRIBUTES, view.items())
        parts = [site.head, site.attributes, self._flag_attributes(values[Column.FLAGS])]
        if site.threaded:
            parts.append(self._thread(batch, values[Column.THREAD]))
        if (name := values[Column.TEXT]) and batch.templates[index].category is Category.TASK:
            parts.append(attribute(SpanField.ATTRIBUTES, "asyncio.task.name", batch.texts[name]))
        parts += [encode(values[column]) for encode, column in site.measured]
        parts.append(attributes(SpanField.ATTRIBUTES, detail.attributes))
        return b"".join(parts)

    def _flag_attributes(self, flags: int) -> bytes:
        known = self._flags.get(flags)
        if known is None:
            known = attributes(SpanField.ATTRIBUTES, dict(flag_attributes(flags)).items())
            self._flags[flags] = known
        return known

    def _thread(self, batch: SpanBatch, index: int) -> bytes:
        known = self._threads.get(index)
        if known is None:
            thread = batch.threads[index]
            pairs = (("thread.id", thread.ident), ("thread.name", thread.name))
            known = self._threads[index] = attributes(SpanField.ATTRIBUTES, pairs)
        return known


def _ids_and_times(values: array[int]) -> bytes:
    _, flags, trace_hi, trace_lo, span_id, parent, start, end = values[: Column.TASK]
    remote = IS_REMOTE if flags & Flag.REMOTE_PARENT else 0
    trace_flags = SAMPLED if flags & Flag.SAMPLED else 0
    return b"".join(
        (
            ids(trace_hi, trace_lo, span_id),
            _PARENT.pack(_PARENT_HEAD, parent) if parent else b"",
            _TIMES.pack(_START_HEAD, start, _END_HEAD, end),
            fixed32(SpanField.FLAGS, trace_flags | HAS_IS_REMOTE | remote),
        )
    )


def _links(values: array[int], detail: Detail) -> bytes:
    trace_hi, trace_lo, span_id = values[Column.LINK_HI :]
    links = [link_message(link) for link in detail.links]
    if span_id:
        links.insert(0, ids(trace_hi, trace_lo, span_id) + WOKEN_BY_REST)
    return b"".join([length_delimited(SpanField.LINKS, link) for link in links])


def _events_and_status(values: array[int], detail: Detail) -> bytes:
    code = StatusCode.ERROR if values[Column.FLAGS] & Flag.ERROR else StatusCode.UNSET
    parts = [length_delimited(SpanField.EVENTS, event_message(event)) for event in detail.events]
    if status := status_message(code, detail.status_message):
        parts.append(length_delimited(SpanField.STATUS, status))
    return b"".join(parts)
