from __future__ import annotations

import io
import json
import threading
from typing import TYPE_CHECKING

import pytest

from aperf.exporters import SummaryExporter
from aperf.exporters._default import DefaultExporter
from aperf.model import ExporterStatistics, Summary
from tests.delivery import Plain
from tests.opentelemetry_sdk import Collecting, provider_of, set_global
from tests.otlp_batches import SESSION, a_batch, in_s

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aperf.exporters._opentelemetry_provider import Sampler


@pytest.fixture
def collecting() -> Collecting:
    """A provider that the application may set."""
    return Collecting()


@pytest.fixture(autouse=True)
def no_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """At first there is none."""
    set_global(monkeypatch, None)


def ended(exporter: DefaultExporter) -> bool:
    """End an exporter as a session does; say whether all was delivered."""
    is_flushed = exporter.flush(in_s(5))
    exporter.finish(Summary())
    return exporter.shutdown(in_s(5)) and is_flushed


def test_without_a_provider() -> None:
    """All goes elsewhere."""
    other = Plain()
    exporter = DefaultExporter(other)
    exporter.start(SESSION)
    exporter.export(a_batch(2), in_s(5))
    assert ended(exporter)
    assert ["start", "export", "flush", "finish", "shutdown"] == other.calls
    assert ExporterStatistics(exported_spans=2) == exporter.statistics()


def test_with_a_provider(monkeypatch: pytest.MonkeyPatch, collecting: Collecting) -> None:
    """All goes there; the other destination is not even started."""
    set_global(monkeypatch, collecting.provider)
    other = Plain()
    exporter = DefaultExporter(other)
    assert exporter.needs_rows
    exporter.start(SESSION)
    exporter.export(a_batch(2), in_s(5))
    assert ended(exporter)
    assert [] == other.calls
    assert 2 == len(collecting.spans)
    assert ExporterStatistics(exported_spans=2) == exporter.statistics()


def test_a_provider_that_comes_late(
    monkeypatch: pytest.MonkeyPatch, collecting: Collecting
) -> None:
    """Spans go there from then on; what went elsewhere before is delivered there."""
    other = Plain()
    exporter = DefaultExporter(other)
    exporter.start(SESSION)
    exporter.export(a_batch(2), in_s(5))
    set_global(monkeypatch, collecting.provider)
    exporter.export(a_batch(3), in_s(5))
    exporter.export(a_batch(4), in_s(5))
    assert ended(exporter)
    assert ["start", "export", "flush", "shutdown"] == other.calls  # the summary is not for it
    assert (2, 7) == (len(other.names), len(collecting.spans))
    assert ExporterStatistics(exported_spans=9) == exporter.statistics()


def test_a_provider_that_comes_last(
    monkeypatch: pytest.MonkeyPatch, collecting: Collecting
) -> None:
    """It is looked for at a flush, too."""
    exporter = DefaultExporter(Plain())
    exporter.start(SESSION)
    set_global(monkeypatch, collecting.provider)
    assert exporter.flush(in_s(5))
    assert "OpenTelemetryExporter" in repr(exporter)
    assert ended(exporter)


@pytest.mark.parametrize("has_provider", [False, True])
def test_the_summary(
    monkeypatch: pytest.MonkeyPatch, collecting: Collecting, has_provider: bool
) -> None:
    """It is written if there is no other destination by the end; it needs no rows."""
    stream = io.StringIO()
    exporter = DefaultExporter(SummaryExporter("json", stream))
    exporter.start(SESSION)
    wishes = [exporter.needs_rows]
    if has_provider:
        set_global(monkeypatch, collecting.provider)
    wishes.append(exporter.needs_rows)
    assert [False, has_provider] == wishes
    exporter.export(a_batch(1), in_s(5))
    assert ended(exporter)
    expected = [] if has_provider else [1]
    assert expected == [json.loads(line)["version"] for line in stream.getvalue().splitlines()]


def test_nowhere_to_go() -> None:
    """Spans that nobody asked for are not lost."""
    exporter = DefaultExporter()
    exporter.start(SESSION)
    assert not exporter.needs_rows
    exporter.export(a_batch(1), in_s(5))
    assert ended(exporter)
    assert ExporterStatistics() == exporter.statistics()


@pytest.fixture
def no_more_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As when the interpreter is about to exit."""

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        yield


@pytest.mark.usefixtures("no_more_threads")
def test_too_late_for_a_provider(monkeypatch: pytest.MonkeyPatch, collecting: Collecting) -> None:
    """Where no thread can start any more, the other destination stays."""
    other = Plain()
    exporter = DefaultExporter(other)
    exporter.start(SESSION)
    set_global(monkeypatch, collecting.provider)
    exporter.export(a_batch(2), in_s(5))
    assert ended(exporter)
    assert 2 == len(other.names)


def test_forked_child(monkeypatch: pytest.MonkeyPatch, collecting: Collecting) -> None:
    """It leaves all to the parent, and does not begin anew."""
    set_global(monkeypatch, collecting.provider)
    exporter = DefaultExporter(Plain())
    exporter.start(SESSION)
    application = exporter._application
    assert application is not None
    delivery = application._delivery
    assert delivery is not None
    exporter.forget_after_fork()
    assert exporter.flush(in_s(5))
    delivery.stop(in_s(5))  # in the parent


def test_sampling(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings decide until there is a provider, whose sampler decides then."""
    from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

    low, high = 1, (1 << 64) - 1
    settings: tuple[Sampler | None, ...] = (None, lambda trace_id, name: False)
    everything, nothing = (DefaultExporter().sampler(otherwise) for otherwise in settings)
    assert everything is not None
    assert nothing is not None
    assert [True, False] == [sample(low, "x") for sample in (everything, nothing)]
    set_global(monkeypatch, provider_of(sampler=TraceIdRatioBased(0.5)))
    for sample in (everything, nothing):
        assert [True, False] == [sample(trace_id, "x") for trace_id in (low, high)]
