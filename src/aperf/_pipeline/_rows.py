"""Rows of spans, collected into a batch."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from aperf.model import Detail, Link, SpanBatch

if TYPE_CHECKING:
    from ._tables import Tables
    from ._traces import Notes, TaskState, Trace

__all__ = ("Rows",)


class Rows:
    """Collects the rows of finished spans.

    Args:
        tables: what the rows refer to.
        wanted: whether anybody wants rows; if not, spans are only counted.

    Attributes:
        spans: how many spans were finished.
        extend: adds the integers of one row, for the one caller that cannot afford more.
    """

    def __init__(self, tables: Tables, *, wanted: bool) -> None:
        self.tables = tables
        self.wanted = wanted
        self.spans = 0
        self._begin()

    def _begin(self) -> None:
        self._batch = SpanBatch(self.tables.templates, self.tables.threads, array("Q"))
        self.extend = self._batch.rows.extend

    def take(self) -> SpanBatch | None:
        """Return what was collected since the last call, None for nothing."""
        if not self._batch.rows:
            return None
        batch = self._batch
        self._begin()
        return batch

    def __len__(self) -> int:
        return len(self._batch)

    def task(self, task: TaskState, message: str = "") -> None:
        """Add the span of a task, or of one segment of it."""
        self.add(
            task.coroutine.template,
            task.trace,
            task.span,
            task.parent,
            task.start_ns,
            task.since_ns,
            flags=task.flags,
            task=task.id,
            busy_ns=task.busy_ns,
            ready_ns=task.ready_ns,
            waiting_ns=task.waiting_ns,
            steps=task.steps,
            thread=task.ring + 1,
            text=task.name,
            detail=self.detail(task, task.links, message),
        )

    def detail(self, notes: Notes, links: list[Link], message: str = "") -> int:
        """Return the index of what only this span has, 0 for nothing."""
        notes.settle()
        if not self.wanted or not (notes.attributes or notes.events or links or message):
            return 0
        attributes = tuple(notes.attributes.items())
        detail = Detail(attributes, tuple(notes.events), tuple(links), message)
        self._batch.details.append(detail)
        return len(self._batch.details) - 1

    def _text(self, text: str) -> int:
        if not text:
            return 0
        self._batch.texts.append(text)
        return len(self._batch.texts) - 1

    def add(
        self,
        template: int,
        trace: Trace,
        span: int,
        parent: int,
        start_ns: int,
        end_ns: int,
        *,
        flags: int = 0,
        task: int = 0,
        busy_ns: int = 0,
        ready_ns: int = 0,
        waiting_ns: int = 0,
        steps: int = 0,
        thread: int = 0,
        text: str = "",
        detail: int = 0,
    ) -> None:
        """Add a span of a kind that is not frequent (times are the recorder's)."""
        self.spans += 1
        trace.spans += 1
        if not self.wanted:
            return
        offset = trace.offset_ns
        self.extend(
            (
                template,
                trace.flags | flags,
                trace.hi,
                trace.lo,
                span,
                parent,
                start_ns + offset,
                end_ns + offset,
                task,
                busy_ns,
                ready_ns,
                waiting_ns,
                steps,
                thread,
                self._text(text),
                detail,
                0,
                0,
                0,
            )
        )
