from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

import aperf
from aperf._config import Settings
from aperf.exporters.opentelemetry import OpenTelemetryExporter
from tests.opentelemetry_sdk import provider_of
from tests.watched import until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan


class Asynchronous(SpanExporter):
    """Sends with a loop of its own, as one over aiohttp would."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        asyncio.run(self._send(spans))
        return SpanExportResult.SUCCESS

    async def _send(self, spans: Sequence[ReadableSpan]) -> None:
        await asyncio.sleep(0)
        self.names += [span.name for span in spans]


def test_an_exporter_with_a_loop_on_the_sdk_s_thread() -> None:
    """Its loops are not watched: what is exported would be exported for ever."""
    asynchronous = Asynchronous()
    provider = provider_of(BatchSpanProcessor(asynchronous, schedule_delay_millis=10))
    exporter = OpenTelemetryExporter(provider)
    settings = Settings(enabled=True, export_interval_ns=10_000_000)
    with aperf.session(settings=settings, exporters=[exporter], loops="all"):
        asyncio.run(asyncio.sleep(0))
        until(lambda: bool(asynchronous.names), "the export")
        asyncio.run(asyncio.sleep(0.1))
    provider.shutdown()
    assert not [name for name in asynchronous.names if "_send" in name]
