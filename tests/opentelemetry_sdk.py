"""An application's own OpenTelemetry, for the tests of how aperf gets along with it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

__all__ = ("RESOURCE", "Blocking", "Collecting", "GateExporter", "provider_of", "set_global")

RESOURCE = Resource({"service.name": "application"})


def provider_of(*processors: SpanProcessor, **options: Any) -> TracerProvider:
    """Return a provider that nobody but the test ends."""
    provider = TracerProvider(resource=RESOURCE, shutdown_on_exit=False, **options)
    for processor in processors:
        provider.add_span_processor(processor)
    return provider


def set_global(patch: pytest.MonkeyPatch, provider: object) -> None:
    """Set the application's provider, which the API allows only once per process."""
    patch.setattr("opentelemetry.trace._TRACER_PROVIDER", provider)


class Collecting:
    """A provider that keeps its spans in memory."""

    def __init__(self, **options: Any) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = provider_of(SimpleSpanProcessor(self.exporter), **options)

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self.exporter.get_finished_spans()

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]


class Blocking(SpanProcessor):
    """Blocks at one stage until it is released, whatever the timeout.

    Attributes:
        entered: set as soon as it blocks.
        threads: names of those that called it.
    """

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.entered, self.released = threading.Event(), threading.Event()
        self.threads: set[str] = set()

    def on_end(self, span: ReadableSpan) -> None:
        self._called("on_end")

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        self._called("force_flush")
        return True

    def _called(self, stage: str) -> None:
        self.threads.add(threading.current_thread().name)
        if stage == self.stage:
            self.entered.set()
            self.released.wait(20)


class GateExporter(SpanExporter):
    """Keeps spans in memory, as soon as it is opened."""

    def __init__(self) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()
        self.names: list[str] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.entered.set()
        self.opened.wait(20)
        self.names += [span.name for span in spans]
        return SpanExportResult.SUCCESS
