"""The nouns of aperf: frozen values without I/O, clocks or threads."""

from ._batch import WIDTH, Column, Detail, Flag, Span, SpanBatch, Template, ThreadInfo
from ._chunk import Chunk, RecordTables, Site
from ._exporter import Exporter, ExporterStatistics, ExportResult, SessionInfo
from ._span import Attributes, AttributeValue, Category, Event, Link, SpanContext, StatusCode
from ._statistics import (
    AwaitSite,
    CoroutineTotals,
    Distribution,
    ExceptionCount,
    LongStep,
    Statistics,
    Summary,
    UnfinishedTask,
    WaitTotals,
)
from ._time import TimeAnchor
from ._wait import WAIT_KINDS, WaitKind

__all__ = (
    "WAIT_KINDS",
    "WIDTH",
    "AttributeValue",
    "Attributes",
    "AwaitSite",
    "Category",
    "Chunk",
    "Column",
    "CoroutineTotals",
    "Detail",
    "Distribution",
    "Event",
    "ExceptionCount",
    "ExportResult",
    "Exporter",
    "ExporterStatistics",
    "Flag",
    "Link",
    "LongStep",
    "RecordTables",
    "SessionInfo",
    "Site",
    "Span",
    "SpanBatch",
    "SpanContext",
    "Statistics",
    "StatusCode",
    "Summary",
    "Template",
    "ThreadInfo",
    "TimeAnchor",
    "UnfinishedTask",
    "WaitKind",
    "WaitTotals",
)
