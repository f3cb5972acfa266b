"""Runs programs that use OpenTelemetry while aperf watches, and reads both kinds of spans back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import aperf
from aperf.exporters import MemoryExporter
from aperf.model import Category, Link, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.sampling import Sampler
    from opentelemetry.trace import Tracer

__all__ = ("Programs", "Told")

Place = tuple[int, int]  # ids of trace and span


class Told:
    """Spans of aperf and of OpenTelemetry."""

    def __init__(self, ours: list[Span], theirs: tuple[ReadableSpan, ...]) -> None:
        self.ours = ours
        self.theirs = theirs

    def task(self, name: str) -> Span:
        """Return the span of the one task whose asyncio name this is."""
        [span] = [
            span
            for span in self.ours
            if span.category is Category.TASK and dict(span.attributes)["asyncio.task.name"] == name
        ]
        return span

    def awaits(self, task: str) -> list[Span]:
        """Return the awaits of a task, in order."""
        number = self.task(task).task_id
        return [s for s in self.ours if s.category is Category.AWAIT and s.task_id == number]

    def user(self, name: str) -> Span:
        """Return the one `aperf.span` of a name."""
        [span] = [s for s in self.ours if s.category is Category.USER and s.name == name]
        return span

    def other(self, name: str) -> ReadableSpan:
        """Return OpenTelemetry's one span of a name."""
        [span] = [span for span in self.theirs if span.name == name]
        return span

    def place(self, what: Span | ReadableSpan | str) -> Place:
        """Return the ids of a span; by its name: OpenTelemetry's."""
        span: Any = self.other(what) if isinstance(what, str) else what
        context = span.context
        return context.trace_id, context.span_id

    def parent(self, span: Span | ReadableSpan) -> Place | None:
        """Return the ids of a span's parent, None for a root."""
        if isinstance(span, Span):
            return (span.context.trace_id, span.parent_span_id) if span.parent_span_id else None
        above = span.parent
        return None if above is None else (above.trace_id, above.span_id)

    def linked(self, span: Span) -> list[tuple[Place, str]]:
        """Return where a span's links lead to, and what they mean."""
        return [_link(link) for link in span.links]


def _link(link: Link) -> tuple[Place, str]:
    meaning = str(dict(link.attributes)["aperf.link"])
    return (link.context.trace_id, link.context.span_id), meaning


class Programs:
    """Runs programs on a loop of one kind.

    Attributes:
        tracer: OpenTelemetry's, of a provider that keeps what it gets.
    """

    def __init__(self, loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self._loop_factory = loop_factory
        self._memory = InMemorySpanExporter()
        self.tracer: Tracer = self.tracer_of(None)

    def tracer_of(self, sampler: Sampler | None) -> Tracer:
        """Return a tracer of a provider with this sampler."""
        provider = TracerProvider(sampler=sampler)
        provider.add_span_processor(SimpleSpanProcessor(self._memory))
        return provider.get_tracer("tests")

    def run(self, program: Callable[[], Coroutine[Any, Any, object]], **options: Any) -> Told:
        """Run a program in a session, and return what was told of it."""
        exporter = MemoryExporter()

        async def main() -> int:
            async with aperf.session(enabled=True, exporters=[exporter], **options) as session:
                await program()
            return session.statistics().internal_errors

        with asyncio.Runner(loop_factory=self._loop_factory) as runner:
            assert 0 == runner.run(main())
        return Told(exporter.spans, self._memory.get_finished_spans())
