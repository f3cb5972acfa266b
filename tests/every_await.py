"""Runs programs in a session that watches every await, and draws what was seen as a tree."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, TypeAlias

import aperf
from aperf.exporters import MemoryExporter
from aperf.model import Category, Span, Statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from tests.watched import LoopFactory

__all__ = ("Program", "Seen", "see", "session")

Program: TypeAlias = "Callable[[], Coroutine[Any, Any, object]]"


class Seen:
    """What a session saw.

    Attributes:
        spans: all spans.
        statistics: the session's counters.
    """

    def __init__(self, spans: Sequence[Span], statistics: Statistics) -> None:
        self.spans = spans
        self.statistics = statistics
        assert 0 == statistics.internal_errors
        assert 0 == statistics.dropped_records

    def named(self, name: str) -> list[Span]:
        """Return the spans of a name, in the order in which they began."""
        found = [span for span in self.spans if span.name == name]
        return sorted(found, key=lambda span: span.start_ns)

    def tree(self, coroutine: str = "program") -> str:
        """Draw what lies in the one task that ran a coroutine, each span below its parent."""
        [root] = [
            span
            for span in self.spans
            if span.category is Category.TASK and span.name.rpartition(".")[2] == coroutine
        ]
        return "\n".join(self._lines(root, 0)) + "\n"

    def _lines(self, span: Span, depth: int) -> Iterator[str]:
        yield (
            "  " * depth
            + span.category.name.lower()
            + " "
            + re.sub(r"\S*<locals>\.", "", span.name)
        )
        inside = [
            child
            for child in self.spans
            if child.parent_span_id == span.span_id and child.trace_id == span.trace_id
        ]
        for child in sorted(inside, key=lambda child: (child.start_ns, -child.end_ns)):
            assert span.start_ns <= child.start_ns
            assert child.end_ns <= span.end_ns or child.category is Category.TASK
            yield from self._lines(child, depth + 1)


def session(*exporters: MemoryExporter, **options: Any) -> aperf.Session:
    """Return a session that watches every await."""
    return aperf.session(enabled=True, awaits="all", exporters=exporters, **options)


def see(program: Program, loop_factory: LoopFactory = asyncio.new_event_loop) -> Seen:
    """Run a program as a task and return what was seen."""
    memory = MemoryExporter()

    async def main() -> None:
        await asyncio.create_task(program())

    with session(memory) as watching, asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())
    return Seen(memory.spans, watching.statistics())
