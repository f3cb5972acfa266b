"""What is watched only while a destination takes records as they are."""

from __future__ import annotations

import asyncio
import logging
import os

import pytest

import aperf
from aperf import _events, _runtime
from aperf._config import OtlpSettings, Settings
from aperf._destinations import default_exporters
from aperf.exporters import MemoryExporter, TracyExporter
from aperf.exporters._default import DefaultExporter
from tests.chunks import Chunks


async def contend() -> None:
    """Wait for a lock in a nested coroutine, and say so."""
    lock = asyncio.Lock()

    async def use() -> None:
        async with lock:
            await asyncio.sleep(0)

    await asyncio.gather(use(), use())
    logging.getLogger("program").warning("done")
    aperf.plot("level", 1)


@pytest.mark.usefixtures("twin")
def test_destination_of_records_gets_all_of_them() -> None:
    """Chunks hold what spans are made from, and what only profilers show."""
    chunks = Chunks()
    with aperf.session(enabled=True, exporters=[chunks]) as session:
        asyncio.run(contend())
    assert {"BIRTH", "STEP", "CHAIN", "LOCK", "MESSAGE", "PLOT"} <= chunks.kinds
    assert session.statistics().tasks > 2
    tables = chunks.chunks[0].tables
    assert "MainThread" == tables.threads()[0][1]
    assert "level" in {tables.name(number) for number in range(1, 20)}
    assert tables.picture(1) is None


@pytest.mark.usefixtures("twin")
def test_destination_of_spans_alone_costs_no_more() -> None:
    """Without a destination of records, what only profilers show is not recorded."""
    with aperf.session(enabled=True, exporters=[MemoryExporter()]):
        runtime = _runtime.current()
        assert runtime is not None
        assert not runtime.recorder.nesting
        assert _events._active.recording is None
        original = vars(asyncio.Lock).get("_get_loop")
        with aperf.session(enabled=True, exporters=[Chunks()]):
            assert runtime.recorder.nesting
            assert _events._active.recording is not None
            with aperf.session(enabled=True, exporters=[Chunks()]):
                pass
            assert runtime.recorder.nesting
        assert not runtime.recorder.nesting
        assert _events._active.recording is None
        assert original is vars(asyncio.Lock).get("_get_loop")


def test_failing_destination_of_records_is_counted() -> None:
    """Whatever it raises, the others get theirs."""
    failing, chunks = Chunks(), Chunks()
    failing.error = RuntimeError("no")
    with aperf.session(enabled=True, exporters=[failing, chunks]) as session:
        asyncio.run(contend())
    assert "STEP" in chunks.kinds
    assert session.statistics().export_failures > 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_child_shows_nothing() -> None:
    """The child records neither events nor locks nor log records of its own."""
    with aperf.session(enabled=True, exporters=[Chunks()]):
        child = os.fork()
        if not child:
            clean = _events._active.recording is None
            clean = clean and logging.Logger.callHandlers.__module__ == "logging"
            os._exit(0 if clean else 1)
        _, status = os.waitpid(child, 0)
    assert 0 == os.waitstatus_to_exitcode(status)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"enabled": True}, ["(SummaryExporter)", "MetricsExporter"]),
        (
            {"enabled": True, "tracy_enabled": True},
            ["(SummaryExporter)", "TracyExporter", "MetricsExporter"],
        ),
        ({"enabled": False, "tracy_enabled": True}, ["TracyExporter"]),
        ({"tracy_enabled": True, "otlp": OtlpSettings()}, ["TracyExporter"]),
        (
            {"enabled": True, "tracy_enabled": True, "otlp": OtlpSettings()},
            ["(OtlpExporter)", "TracyExporter", "MetricsExporter"],
        ),
        (
            {"enabled": True, "tracy_enabled": True, "summary": "none"},
            ["(None)", "TracyExporter", "MetricsExporter"],
        ),
    ],
)
def test_destinations(settings: dict[str, object], expected: list[str]) -> None:
    """Tracy is beside the others, and alone where nothing else is switched on.

    In brackets: what gets the spans as long as the application has no provider of its own.
    """
    found = default_exporters(Settings(**settings))  # type: ignore[arg-type]
    assert expected == [name_of(exporter) for exporter in found]


def name_of(exporter: object) -> str:
    """Return the class of a destination, or of what it stands in for."""
    if not isinstance(exporter, DefaultExporter):
        return type(exporter).__name__
    otherwise = exporter._otherwise
    return f"({None if otherwise is None else type(otherwise).__name__})"


def test_tracy_alone_makes_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """TRACY_ENABLED is enough, and enabled=False beats it."""
    monkeypatch.setenv("TRACY_ENABLED", "true")
    monkeypatch.setenv("APERF_TRACY_ANNOUNCE", "none")
    with aperf.session() as session:
        assert session.is_enabled
        runtime = _runtime.current()
        assert runtime is not None
        (attachment,) = runtime.attachments
        _, exporter = attachment.sink.exporters  # metrics are left to whoever starts a listener
        assert isinstance(exporter, TracyExporter)
    with aperf.session(enabled=False) as session:
        assert not session.is_enabled
