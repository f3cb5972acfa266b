"""What aperf asks of a destination."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from ._span import Attributes
    from ._statistics import Summary

__all__ = ("ExportResult", "Exporter", "ExporterStatistics", "SessionInfo")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionInfo:
    """What an exporter learns when its session starts.

    Attributes:
        service_name: name of the program in OpenTelemetry's terms.
        resource: attributes of the process, ``service.name`` among them.
        implementation: which recorder runs (`aperf.IMPLEMENTATION`).
        version: aperf's version.
        sampler: what decides about traces, by its name in ``OTEL_TRACES_SAMPLER``.
        sampler_arg: its argument.
    """

    service_name: str
    resource: Attributes = ()
    implementation: str = ""
    version: str = ""
    sampler: str = "parentbased_always_on"
    sampler_arg: str | None = None


class ExporterStatistics(NamedTuple):
    """Counters of one exporter since it started."""

    exported_spans: int = 0  #: the destination confirmed them
    dropped_spans: int = 0  #: given up: queue full, refused, deadline passed
    export_failures: int = 0  #: requests that failed for good
    exported_logs: int = 0  #: log records that the destination confirmed
    dropped_logs: int = 0  #: log records that were given up


class ExportResult(NamedTuple):
    """What became of a batch when `export` returned; the rest is still under way."""

    delivered: int = 0
    dropped: int = 0


@runtime_checkable
class Exporter(Protocol):
    """A destination. All methods are called on aperf's exporter thread, never on the user's loop.

    Attributes:
        consumes: "spans" to receive `SpanBatch`, "chunks" to receive the records as drained.

    An `interval_ns` of its own says how often a destination wants something, where the usual
    interval is too long for it. It is looked at each time.
    """

    @property
    def consumes(self) -> Literal["chunks", "spans"]: ...

    def start(self, session: SessionInfo) -> None:
        """Get ready. Raise `ConfigurationError` when that is impossible."""

    def export(self, batch: Any, deadline_ns: int) -> ExportResult:
        """Take a batch without blocking for long: queue it, or deliver it at once.

        Args:
            batch: a `SpanBatch`, or a `Chunk` for consumers of chunks.
            deadline_ns: `time.monotonic_ns()` until which the attempt may last; 0 for chunks, which
                are only to be put aside.
        """

    def flush(self, deadline_ns: int) -> bool:
        """Wait until all that was taken is delivered; say whether it was by the deadline."""

    def finish(self, summary: Summary) -> None:
        """Receive what the session found out, once, before `shutdown`."""

    def shutdown(self, deadline_ns: int) -> bool:
        """Deliver what is left, then release everything; say whether nothing was lost."""

    def statistics(self) -> ExporterStatistics:
        """Return the counters."""
