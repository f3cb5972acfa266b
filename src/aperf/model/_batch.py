"""Spans in bulk: packed rows that refer to shared tables, and views that read like objects.

An object per span would cost more than all the rest of the pipeline together. So a batch is one
flat array of unsigned 64-bit integers, `WIDTH` of them per span, and whatever many spans share
(names, static attributes, threads) stands once in a table and is referred to by its index. `Span`
is a view of one row, made when somebody asks for it.
"""

from __future__ import annotations

import enum
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, overload

from ._span import Attributes, AttributeValue, Category, Event, Link, SpanContext, StatusCode

if TYPE_CHECKING:
    from ._wait import WaitKind

__all__ = ("WIDTH", "Column", "Detail", "Flag", "Span", "SpanBatch", "Template", "ThreadInfo")


class Column(enum.IntEnum):
    """Place of each value in a row. 0 means "none" where an index or an id may be missing."""

    TEMPLATE = 0  #: index into `SpanBatch.templates`
    FLAGS = 1  #: a set of `Flag`
    TRACE_HI = 2  #: upper half of the trace id
    TRACE_LO = 3  #: lower half
    SPAN = 4  #: span id
    PARENT = 5  #: span id of the parent, 0 for a root
    START = 6  #: ns since 1970
    END = 7  #: ns since 1970
    TASK = 8  #: aperf's number of the task, 0 outside of tasks
    BUSY = 9  #: ns running (of a job in an executor: its run time)
    READY = 10  #: ns woken, but not yet run (of a job: its time in the queue)
    WAITING = 11  #: ns suspended
    STEPS = 12  #: how often the task was resumed
    THREAD = 13  #: index into `SpanBatch.threads`
    TEXT = 14  #: index into `SpanBatch.texts`: the task's name
    DETAIL = 15  #: index into `SpanBatch.details`
    LINK_HI = 16  #: trace id of the task that woke this one, upper half
    LINK_LO = 17  #: lower half
    LINK_SPAN = 18  #: and its span id, 0 where nobody is known


#: Integers per row.
WIDTH: Final = len(Column)


class Flag(enum.IntFlag):
    """Yes-or-no facts of a row."""

    SAMPLED = 1  #: the sampler let its trace through: only such rows are exported as OTLP
    ERROR = 2  #: status ERROR
    CANCELLED = 4  #: ended by a cancellation (attribute aperf.cancelled)
    ADOPTED = 8  #: the task lived before aperf came (aperf.adopted)
    UNFINISHED = 16  #: the task still lived at the end of the session (aperf.unfinished)
    SEGMENT = 32  #: part of a task that goes on in another trace (aperf.segment)
    INCOMPLETE = 64  #: records were lost while it was open (aperf.incomplete)
    EAGER = 128  #: the task's first step ran inside create_task (aperf.eager)
    REMOTE_PARENT = 256  #: the parent is a span of another process
    TIMEOUT = 512  #: the cancellation came from a timeout (aperf.cancelled_by = "timeout")
    CALLBACK = 1024  #: the cancellation came from a plain callback (… = "callback")


_FLAG_ATTRIBUTES: Final[tuple[tuple[Flag, str, AttributeValue], ...]] = (
    (Flag.CANCELLED, "aperf.cancelled", True),
    (Flag.TIMEOUT, "aperf.cancelled_by", "timeout"),
    (Flag.CALLBACK, "aperf.cancelled_by", "callback"),
    (Flag.ADOPTED, "aperf.adopted", True),
    (Flag.UNFINISHED, "aperf.unfinished", True),
    (Flag.SEGMENT, "aperf.segment", True),
    (Flag.INCOMPLETE, "aperf.incomplete", True),
    (Flag.EAGER, "aperf.eager", True),
)


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """What all spans of one call site share.

    Attributes:
        category: what the spans stand for.
        name: their name, of low cardinality.
        attributes: their static attributes (``code.*``, ``aperf.wait.kind``, …).
        wait_kind: for awaits, what was waited for.
    """

    category: Category
    name: str
    attributes: Attributes = ()
    wait_kind: WaitKind | None = None


@dataclass(frozen=True, slots=True)
class ThreadInfo:
    """A thread by its identifier (as in `threading.get_ident`) and name."""

    ident: int
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Detail:
    """What only few spans have."""

    attributes: Attributes = ()
    events: tuple[Event, ...] = ()
    links: tuple[Link, ...] = ()
    status_message: str = ""


_NO_DETAIL: Final = Detail()
WOKEN_BY: Final[Attributes] = (("aperf.link", "woken_by"),)


def flag_attributes(flags: int) -> Iterator[tuple[str, AttributeValue]]:
    """Yield the attributes that a set of flags stands for."""
    for flag, key, value in _FLAG_ATTRIBUTES:
        if flags & flag:
            yield key, value


class Span:
    """A view of one row of a batch."""

    __slots__ = ("_batch", "_row")

    def __init__(self, batch: SpanBatch, row: int) -> None:
        self._batch = batch
        self._row = row * WIDTH

    def __repr__(self) -> str:
        return f"<Span {self.name!r} {self.duration_ns} ns>"

    def _get(self, column: Column) -> int:
        return self._batch.rows[self._row + column]

    @property
    def template(self) -> Template:
        """What it shares with the other spans of its call site."""
        return self._batch.templates[self._get(Column.TEMPLATE)]

    @property
    def _detail(self) -> Detail:
        index = self._get(Column.DETAIL)
        return self._batch.details[index] if index else _NO_DETAIL

    @property
    def name(self) -> str:
        """Name of low cardinality."""
        return self.template.name

    @property
    def category(self) -> Category:
        """What it stands for."""
        return self.template.category

    @property
    def wait_kind(self) -> WaitKind | None:
        """What an await waited for."""
        return self.template.wait_kind

    @property
    def flags(self) -> Flag:
        """Yes-or-no facts."""
        return Flag(self._get(Column.FLAGS))

    @property
    def trace_id(self) -> int:
        """128 bits."""
        return self._get(Column.TRACE_HI) << 64 | self._get(Column.TRACE_LO)

    @property
    def span_id(self) -> int:
        """64 bits."""
        return self._get(Column.SPAN)

    @property
    def context(self) -> SpanContext:
        """Trace id, span id and whether it is exported."""
        return SpanContext(self.trace_id, self.span_id, bool(self.flags & Flag.SAMPLED))

    @property
    def parent_span_id(self) -> int | None:
        """Span id of the parent, None for a root."""
        return self._get(Column.PARENT) or None

    @property
    def start_ns(self) -> int:
        """Start, in ns since 1970."""
        return self._get(Column.START)

    @property
    def end_ns(self) -> int:
        """End, in ns since 1970."""
        return self._get(Column.END)

    @property
    def duration_ns(self) -> int:
        """End minus start."""
        return self.end_ns - self.start_ns

    @property
    def task_id(self) -> int | None:
        """Aperf's number of the task it belongs to."""
        return self._get(Column.TASK) or None

    @property
    def task_name(self) -> str | None:
        """`asyncio.Task.get_name()`, for task spans."""
        index = self._get(Column.TEXT)
        return self._batch.texts[index] if index else None

    @property
    def busy_ns(self) -> int:
        """Time running."""
        return self._get(Column.BUSY)

    @property
    def ready_ns(self) -> int:
        """Time woken, but not yet run."""
        return self._get(Column.READY)

    @property
    def waiting_ns(self) -> int:
        """Time suspended."""
        return self._get(Column.WAITING)

    @property
    def steps(self) -> int:
        """How often the task was resumed."""
        return self._get(Column.STEPS)

    @property
    def thread(self) -> ThreadInfo | None:
        """The thread it ran in."""
        index = self._get(Column.THREAD)
        return self._batch.threads[index] if index else None

    @property
    def woken_by(self) -> SpanContext | None:
        """The task span that woke this one."""
        span_id = self._get(Column.LINK_SPAN)
        if not span_id:
            return None
        return SpanContext(self._get(Column.LINK_HI) << 64 | self._get(Column.LINK_LO), span_id)

    @property
    def status(self) -> StatusCode:
        """ERROR when an exception ended it, else UNSET."""
        return StatusCode.ERROR if self.flags & Flag.ERROR else StatusCode.UNSET

    @property
    def status_message(self) -> str:
        """What went wrong."""
        return self._detail.status_message

    @property
    def events(self) -> tuple[Event, ...]:
        """What happened during it."""
        return self._detail.events

    @property
    def links(self) -> tuple[Link, ...]:
        """Relations to other spans; who woke it comes first."""
        woken_by = self.woken_by
        links = self._detail.links
        return links if woken_by is None else (Link(woken_by, WOKEN_BY), *links)

    @property
    def attributes(self) -> dict[str, AttributeValue]:
        """All attributes, those of the call site first."""
        result: dict[str, AttributeValue] = dict(self.template.attributes)
        result.update(self._measured())
        result.update(flag_attributes(self._get(Column.FLAGS)))
        result.update(self._detail.attributes)
        return result

    def _measured(self) -> Iterator[tuple[str, AttributeValue]]:
        category = self.category
        if category in (Category.TASK, Category.EXECUTOR) and (thread := self.thread) is not None:
            yield "thread.id", thread.ident
            yield "thread.name", thread.name
        if category is Category.TASK:
            if (name := self.task_name) is not None:
                yield "asyncio.task.name", name
            yield "aperf.task.id", self._get(Column.TASK)
            yield "aperf.task.steps", self.steps
            yield "aperf.busy_ns", self.busy_ns
            yield "aperf.ready_ns", self.ready_ns
            yield "aperf.waiting_ns", self.waiting_ns
        elif category is Category.AWAIT:
            yield "aperf.ready_ns", self.ready_ns
        elif category is Category.EXECUTOR:
            yield "aperf.queue_ns", self.ready_ns
            yield "aperf.run_ns", self.busy_ns


@dataclass(frozen=True, slots=True, eq=False)
class SpanBatch(Sequence[Span]):
    """Some finished spans, in the order in which they ended.

    Attributes:
        rows: `WIDTH` unsigned 64-bit integers per span, in the order of `Column`.
        templates: grows during a session; an index keeps its meaning, so encoders may cache by it.
        threads: likewise; index 0 is unused.
        texts: of this batch only; index 0 is unused.
        details: of this batch only; index 0 is unused.
    """

    templates: Sequence[Template]
    threads: Sequence[ThreadInfo]
    rows: array[int] = field(default_factory=lambda: array("Q"))
    texts: list[str] = field(default_factory=lambda: [""])
    details: list[Detail] = field(default_factory=lambda: [_NO_DETAIL])

    def __len__(self) -> int:
        return len(self.rows) // WIDTH

    def __iter__(self) -> Iterator[Span]:
        return (Span(self, row) for row in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> Span: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Span]: ...
    def __getitem__(self, index: int | slice) -> Span | Sequence[Span]:
        """Return views of the rows asked for."""
        if isinstance(index, slice):
            return [Span(self, row) for row in range(*index.indices(len(self)))]
        return Span(self, range(len(self))[index])
