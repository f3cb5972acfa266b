"""Spans to export, and an exporter that runs, for the tests of OTLP."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aperf.exporters.otlp import OtlpExporter
from aperf.model import Category, SessionInfo, SpanBatch, Template, ThreadInfo

if TYPE_CHECKING:
    from collections.abc import Iterator

AWAIT = Template(Category.AWAIT, "await sleep")
SESSION = SessionInfo(
    service_name="shop", resource=(("service.name", "shop"), ("process.pid", 7)), version="1.2"
)


def in_s(seconds: float) -> int:
    """Return a deadline."""
    return time.monotonic_ns() + int(seconds * 1e9)


def a_batch(spans: int, *, sampled: bool = True) -> SpanBatch:
    """Return a batch of awaits."""
    batch = SpanBatch([AWAIT], [ThreadInfo(0, "")])
    for number in range(1, spans + 1):
        batch.rows.extend((0, int(sampled), 1, 2, number, 9, 10, 20, 1, 0, 5, *[0] * 8))
    return batch


@contextmanager
def started(endpoint: str | int, **options: Any) -> Iterator[OtlpExporter]:
    """Run an exporter; a number is a port of this machine."""
    if isinstance(endpoint, int):
        endpoint = f"http://127.0.0.1:{endpoint}"
    exporter = OtlpExporter(endpoint, **options)
    exporter.start(SESSION)
    try:
        yield exporter
    finally:
        exporter.shutdown(in_s(0.4))
