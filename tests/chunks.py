"""A destination that takes records and keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from aperf.model import Chunk, ExporterStatistics, ExportResult
from tests.records import decode_ring

if TYPE_CHECKING:
    from aperf.model import SessionInfo, Summary

__all__ = ("Chunks",)


class Chunks:
    """A destination that takes records."""

    consumes: Literal["chunks"] = "chunks"
    needs_rows = False

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.error: Exception | None = None

    def start(self, session: SessionInfo) -> None: ...

    def export(self, batch: Chunk, deadline_ns: int) -> ExportResult:
        if self.error is not None:
            raise self.error
        self.chunks.append(batch)
        return ExportResult()

    def flush(self, deadline_ns: int) -> bool:
        return True

    def finish(self, summary: Summary) -> None: ...

    def shutdown(self, deadline_ns: int) -> bool:
        return True

    def statistics(self) -> ExporterStatistics:
        return ExporterStatistics()

    @property
    def kinds(self) -> set[str]:
        """Names of the kinds of all records."""
        data = b"".join(chunk.data for chunk in self.chunks)
        return {record.kind.name for record in decode_ring(data)}
