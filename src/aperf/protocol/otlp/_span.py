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
from ._values import attributes, text_attribute, unsigned_attribute
from ._wire import FIXED64, LENGTH, VARINT, fixed32, length_delimited, tag, text, varint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
_TASK_NAME: Final = text_attribute(SpanField.ATTRIBUTES, "asyncio.task.name")

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
_WOKEN_BY_HEAD: Final = tag(SpanField.LINKS, LENGTH) + varint(
    len(ids(0, 0, 0)) + len(WOKEN_BY_REST)
)


class _Site(NamedTuple):
    """What is known of a template."""

    head: bytes  #: name and kind
    attributes: bytes
    taken: frozenset[str]  #: keys that are set by it or by rows
    is_regular: bool  #: none of the keys is set by both
    has_task_name: bool
    has_thread: bool
    measured: tuple[tuple[Callable[[int], bytes], int], ...]

    @classmethod
    def of(cls, template: Template) -> _Site:
        keys = {key for key, _ in template.attributes}
        kind = tag(SpanField.KIND, VARINT) + varint(KIND_INTERNAL)
        return cls(
            head=length_delimited(SpanField.NAME, text(template.name)) + kind,
            attributes=attributes(SpanField.ATTRIBUTES, template.attributes),
            taken=KEYS_OF_ROWS | keys,
            is_regular=KEYS_OF_ROWS.isdisjoint(keys),
            has_task_name=template.category is Category.TASK,
            has_thread=template.category in (Category.TASK, Category.EXECUTOR),
            measured=tuple(
                (unsigned_attribute(SpanField.ATTRIBUTES, key), int(column))
                for key, column in _MEASURED.get(template.category, ())
            ),
        )


class _FlagSet(NamedTuple):
    """What is known of a set of flags."""

    field: bytes  #: OTLP's own flags
    attributes: bytes
    status: StatusCode

    @classmethod
    def of(cls, flags: int) -> _FlagSet:
        field = HAS_IS_REMOTE
        field |= SAMPLED if flags & Flag.SAMPLED else 0
        field |= IS_REMOTE if flags & Flag.REMOTE_PARENT else 0
        pairs = dict(flag_attributes(flags))  # of two with the same key the later wins
        return cls(
            field=fixed32(SpanField.FLAGS, field),
            attributes=attributes(SpanField.ATTRIBUTES, pairs.items()),
            status=StatusCode.ERROR if flags & Flag.ERROR else StatusCode.UNSET,
        )


class SpanEncoder:
    """Encodes the rows of one session, one by one."""

    def __init__(self) -> None:
        self._sites: dict[int, _Site] = {}
        self._flags: dict[int, _FlagSet] = {}
        self._threads: dict[int, bytes] = {}

    def encode(self, batch: SpanBatch, row: int) -> bytes:
        """Return the content of one Span message."""
        # A list: its items are made once, and indexes from `Column` would cost more than they tell.
        values = batch.rows[row * WIDTH : (row + 1) * WIDTH].tolist()
        index, flags, trace_hi, trace_lo, span_id, parent, start, end = values[:8]
        thread, text_index, detail_index, link_hi, link_lo, waker = values[13:]
        site = self._sites.get(index) or self._learn_site(batch, index)
        flag_set = self._flags.get(flags) or self._learn_flags(flags)
        detail = batch.details[detail_index]

        parts = [ids(trace_hi, trace_lo, span_id), site.head, flag_set.field]
        parts.append(_TIMES.pack(_START_HEAD, start, _END_HEAD, end))
        if parent:
            parts.append(_PARENT.pack(_PARENT_HEAD, parent))
        if site.is_regular and site.taken.isdisjoint([key for key, _ in detail.attributes]):
            parts += (site.attributes, flag_set.attributes)
            if site.has_thread:
                parts.append(self._threads.get(thread) or self._learn_thread(batch, thread))
            if site.has_task_name and text_index:
                parts.append(_TASK_NAME(batch.texts[text_index]))
            parts += [encode(values[column]) for encode, column in site.measured]
            parts.append(attributes(SpanField.ATTRIBUTES, detail.attributes))
        else:
            parts.append(attributes(SpanField.ATTRIBUTES, batch[row].attributes.items()))
        if waker:
            parts += (_WOKEN_BY_HEAD, ids(link_hi, link_lo, waker), WOKEN_BY_REST)
        if detail_index or flag_set.status:
            parts += _rest(detail, flag_set.status)
        return b"".join(parts)

    def _learn_site(self, batch: SpanBatch, index: int) -> _Site:
        site = self._sites[index] = _Site.of(batch.templates[index])
        return site

    def _learn_flags(self, flags: int) -> _FlagSet:
        flag_set = self._flags[flags] = _FlagSet.of(flags)
        return flag_set

    def _learn_thread(self, batch: SpanBatch, index: int) -> bytes:
        if not index:
            return b""
        thread = batch.threads[index]
        pairs = (("thread.id", thread.ident), ("thread.name", thread.name))
        encoded = self._threads[index] = attributes(SpanField.ATTRIBUTES, pairs)
        return encoded


def _rest(detail: Detail, code: StatusCode) -> Iterator[bytes]:
    """Yield what few spans have: more links, events, and a status."""
    for link in detail.links:
        yield length_delimited(SpanField.LINKS, link_message(link))
    for event in detail.events:
        yield length_delimited(SpanField.EVENTS, event_message(event))
    if status := status_message(code, detail.status_message):
        yield length_delimited(SpanField.STATUS, status)
