from __future__ import annotations

import subprocess
import sys
import threading

import pytest

import aperf.exporters
from aperf._errors import ConfigurationError
from aperf.exporters import Exporter, MemoryExporter
from aperf.model import (
    WIDTH,
    Category,
    Column,
    ExporterStatistics,
    ExportResult,
    SessionInfo,
    SpanBatch,
    Summary,
    Template,
)

FAR = 10**18


def batch_of(*span_ids: int) -> SpanBatch:
    """Return a batch of task spans with these ids."""
    batch = SpanBatch(templates=[Template(Category.TASK, "main")], threads=[])
    for span_id in span_ids:
        row = [0] * WIDTH
        row[Column.SPAN] = span_id
        batch.rows.extend(row)
    return batch


def kept_ids(exporter: MemoryExporter) -> list[int]:
    """Return the ids of the spans that are kept."""
    return [span.span_id for span in exporter.spans]


def test_is_an_exporter() -> None:
    """It fulfils the protocol and asks for spans."""
    exporter: Exporter = MemoryExporter()
    assert isinstance(exporter, Exporter)
    assert "spans" == exporter.consumes


def test_keeps_spans_in_order() -> None:
    """Spans of several batches can be read back in the order in which they came."""
    exporter = MemoryExporter()
    assert ExportResult(delivered=2) == exporter.export(batch_of(1, 2), FAR)
    exporter.export(batch_of(3), FAR)
    assert [1, 2, 3] == kept_ids(exporter)
    assert exporter.flush(FAR)
    assert exporter.shutdown(FAR)


def test_drops_and_counts_what_is_too_much() -> None:
    """Beyond max_spans the newest are dropped, counted and admitted at shutdown."""
    exporter = MemoryExporter(max_spans=3)
    exporter.export(batch_of(1, 2), FAR)
    assert ExportResult(delivered=1, dropped=2) == exporter.export(batch_of(3, 4, 5), FAR)
    assert ExportResult(delivered=0, dropped=1) == exporter.export(batch_of(6), FAR)
    assert [1, 2, 3] == kept_ids(exporter)
    assert ExporterStatistics(exported_spans=3, dropped_spans=3) == exporter.statistics()
    assert not exporter.shutdown(FAR)


def test_spans_stay_after_shutdown() -> None:
    """What was kept can be looked at when the session is over."""
    exporter = MemoryExporter()
    exporter.export(batch_of(1), FAR)
    exporter.shutdown(FAR)
    assert [1] == kept_ids(exporter)


def test_clear_makes_room() -> None:
    """After clear there is room again, no span and no summary, and the counters go on."""
    exporter = MemoryExporter(max_spans=1)
    exporter.export(batch_of(1, 2), FAR)
    exporter.finish(Summary())
    exporter.clear()
    assert ([], None) == (exporter.spans, exporter.summary)
    exporter.export(batch_of(3), FAR)
    assert [3] == kept_ids(exporter)
    assert ExporterStatistics(exported_spans=2, dropped_spans=1) == exporter.statistics()


def test_remembers_session_and_summary() -> None:
    """Session and summary are None until they are known."""
    exporter = MemoryExporter()
    assert (None, None) == (exporter.session, exporter.summary)
    session = SessionInfo(service_name="shop")
    summary = Summary(service_name="shop")
    exporter.start(session)
    exporter.finish(summary)
    assert session is exporter.session
    assert summary is exporter.summary


def test_can_be_read_while_it_is_written() -> None:
    """A reader in another thread always sees a beginning of what was written."""
    exporter = MemoryExporter()
    batches = [batch_of(n, n + 1) for n in range(1, 600, 2)]
    writer = threading.Thread(target=lambda: [exporter.export(batch, FAR) for batch in batches])
    writer.start()
    while writer.is_alive():
        ids = kept_ids(exporter)
        assert list(range(1, len(ids) + 1)) == ids
    assert list(range(1, 601)) == kept_ids(exporter)


def test_refuses_a_negative_bound() -> None:
    """A bound that makes no sense is refused by name and value."""
    with pytest.raises(ConfigurationError, match="max_spans is -1; 0 or more"):
        MemoryExporter(max_spans=-1)


def test_unknown_name() -> None:
    """The lazy package names what it does not have."""
    with pytest.raises(AttributeError, match=r"'aperf.exporters' has no attribute 'Nothing'"):
        _ = aperf.exporters.Nothing  # type: ignore[attr-defined]


def test_package_loads_nothing_by_itself() -> None:
    """Asking for one exporter does not import the others, nor gRPC."""
    program = (
        "import sys; from aperf.exporters import MemoryExporter;"
        "print([m for m in ('grpc', 'rich', 'opentelemetry', 'aperf.exporters.summary',"
        " 'aperf.exporters.otlp') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ("[]\n", "") == (found.stdout, found.stderr)
