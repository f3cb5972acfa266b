from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from opentelemetry import metrics as api
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from aperf._pipeline._meter import LoopTimes, StepMeter
from aperf.model import WAIT_KINDS, ThreadInfo
from aperf.otel import Metrics, MetricsExporter
from aperf.otel._metrics_process import resident_bytes
from aperf.otel._metrics_provider import application_provider
from aperf.otel._metrics_source import MAX_THREADS, _by_thread
from aperf.otel._metrics_table import INSTRUMENTS, METRICS
from tests.metered import a_bit_of_everything, metered_session, points_of, source_of
from tests.watched import run_plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.metered import Points

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"
MAIN = (("thread.name", threading.main_thread().name),)


class Application:
    """A program's own provider, with a reader."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False)

    def collect(self) -> Points:
        return points_of(self.reader.get_metrics_data())


@pytest.fixture
def application(monkeypatch: pytest.MonkeyPatch) -> Application:
    """A provider that the program has set, for the length of a test."""
    application = Application()
    monkeypatch.setattr(api, "get_meter_provider", lambda: application.provider)
    return application


@pytest.fixture(autouse=True)
def every_collection_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Collections that follow each other fast do not share a reading."""
    monkeypatch.setattr("aperf.otel._metrics.SHARED_NS", -1)


def test_the_program_s_provider_gets_what_happened(application: Application) -> None:
    """Tasks, waits, loop, jobs and process stand in the program's provider, with right values."""

    async def main() -> Points:
        async with metered_session(MetricsExporter()) as session:
            await a_bit_of_everything()
            assert await session.flush()
            return application.collect()

    points = run_plain(main())
    finished = {key[0][1]: count for key, count in points["asyncio.task.finished"].items()}
    assert {"ok": 4, "error": 1, "cancelled": 1} == finished
    assert {(): 7} == points["asyncio.task.created"]
    assert {(): 1} == points["asyncio.task.active"]
    kinds = {key[0][1]: count for key, count in points["asyncio.task.waits"].items()}
    assert kinds.keys() <= set(WAIT_KINDS)
    assert 3 == kinds["sleep"]
    assert points["asyncio.task.wait.time"][(("asyncio.wait.kind", "sleep"),)] > 0.004
    assert {MAIN: 1} == points["asyncio.eventloop.blocked.steps"]
    assert points["asyncio.eventloop.blocked.time"][MAIN] >= 0.06
    assert points["asyncio.eventloop.time"][MAIN] >= 0.06
    assert 0 < points["asyncio.eventloop.utilization"][MAIN] <= 1
    assert points["asyncio.eventloop.delay.max"][MAIN] >= 0.05
    assert 1 == points["asyncio.executor.jobs"][(("asyncio.executor.outcome", "ok"),)]
    assert points["asyncio.executor.run.time"][()] >= 0.01
    assert {(): 0} == points["aperf.records.dropped"]
    assert 1 << 20 < points["process.memory.usage"][()] < 1 << 40
    assert {0, 1, 2} == {key[0][1] for key in points["cpython.gc.collections"]}


def test_only_what_the_table_says_is_there(application: Application) -> None:
    """Names, kinds, units and attributes of all instruments are those of the table."""

    async def main() -> None:
        async with metered_session(MetricsExporter()) as session:
            await a_bit_of_everything()
            await session.flush()

    run_plain(main())
    data = application.reader.get_metrics_data()
    assert data is not None
    table = {metric.name: metric for metric in INSTRUMENTS}
    seen = set()
    for metric in data.resource_metrics[0].scope_metrics[0].metrics:
        seen.add(metric.name)
        assert table[metric.name].unit == metric.unit
        assert table[metric.name].description == metric.description
        is_counter = bool(getattr(metric.data, "is_monotonic", False))
        assert (table[metric.name].kind == "counter") == is_counter
        for point in metric.data.data_points:
            keys = {table[metric.name].attribute} - {""}
            assert keys == set(point.attributes or {})
    # An ended session has no present, but its counters stay.
    assert {n for n, m in table.items() if m.kind == "counter" and "cpython" not in n} == seen


def test_the_documentation_has_the_table() -> None:
    """docs/metrics.md lists every metric with kind, unit, attribute and description."""
    rows = re.findall(r"^\| `([a-z._0-9]+)` \|(.*)\|$", DOCS.read_text(), re.MULTILINE)
    expected = {
        metric.name: [
            metric.kind.replace("_", "-"),
            f"`{metric.unit}`",
            f"`{metric.attribute}`" if metric.attribute else "",
            metric.description,
        ]
        for metric in METRICS
    }
    assert expected == {name: [cell.strip() for cell in rest.split("|")] for name, rest in rows}


def test_counters_do_not_fall_from_one_session_to_the_next(application: Application) -> None:
    """A second session counts on where the first one ended, and in between nothing changes."""

    async def one() -> Points:
        async with metered_session(MetricsExporter()) as session:
            await a_bit_of_everything()
            await session.flush()
            return application.collect()

    first, between, second = run_plain(one()), application.collect(), run_plain(one())
    created = "asyncio.task.created"
    assert first[created][()] <= between[created][()]
    assert between[created][()] + 6 <= second[created][()]
    assert "asyncio.task.active" not in between
    assert 2 == second["asyncio.eventloop.blocked.steps"][MAIN]


def test_nested_sessions_are_counted_once(application: Application) -> None:
    """While two sessions see the same tasks, the provider shows the outer one; then the other."""

    async def main() -> tuple[Points, Points]:
        inner = MetricsExporter()
        async with metered_session(inner) as inner_session:
            async with metered_session(MetricsExporter()) as session:
                await a_bit_of_everything()
                await session.flush()
                both = application.collect()
            await a_bit_of_everything()
            await inner_session.flush()
            return both, application.collect()

    both, after = run_plain(main())
    key = MAIN
    assert 1 == both["asyncio.eventloop.blocked.steps"][key]
    assert 2 == after["asyncio.eventloop.blocked.steps"][key]


def test_the_session_that_takes_over_counts_on(application: Application) -> None:
    """When the session that is shown ends first, what both saw stays counted once."""

    async def main() -> Points:
        first, second = metered_session(MetricsExporter()), metered_session(MetricsExporter())
        await first.__aenter__()
        session = await second.__aenter__()
        await a_bit_of_everything()
        await first.__aexit__(None, None, None)
        await a_bit_of_everything()
        await session.flush()
        points = application.collect()
        await second.__aexit__(None, None, None)
        return points

    assert 2 == run_plain(main())["asyncio.eventloop.blocked.steps"][MAIN]


def test_a_provider_that_the_program_sets_later_gets_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is seen at the next flush or delivery, and gets what was counted before, too."""
    application = Application()

    async def main() -> Points:
        async with metered_session(MetricsExporter()) as session:
            await a_bit_of_everything()
            await session.flush()
            monkeypatch.setattr(api, "get_meter_provider", lambda: application.provider)
            await a_bit_of_everything()
            await session.flush()
            return application.collect()

    points = run_plain(main())
    assert points["asyncio.task.created"][()] >= 12
    assert 2 == points["asyncio.task.finished"][(("asyncio.task.outcome", "error"),)]


def test_a_provider_that_measures_nothing_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the API's placeholder nor its no-op provider counts as the program's own."""
    assert application_provider() is None
    monkeypatch.setattr(api, "get_meter_provider", NoOpMeterProvider)
    assert application_provider() is None


def test_a_source_can_be_shown_by_any_provider() -> None:
    """`Metrics` needs nothing but a source and a provider, and leaves at `close`."""
    application = Application()

    async def main() -> tuple[Points, Points]:
        async with metered_session() as session:
            metrics = Metrics(source_of(session), application.provider)
            await a_bit_of_everything()
            await session.flush()
            open_ = application.collect()
            metrics.close()
            metrics.close()
            return open_, application.collect()

    open_, closed = run_plain(main())
    assert "asyncio.task.active" in open_
    assert "asyncio.task.active" not in closed


def test_many_thread_names_share_a_series() -> None:
    """Threads beyond a limit are one series, by OpenTelemetry's name for that."""
    count = MAX_THREADS + 5
    loops = {ring: LoopTimes() for ring in range(count)}
    for times in loops.values():
        times.busy_ns = 1
    threads = [ThreadInfo(0, ""), *(ThreadInfo(n, f"thread-{n}") for n in range(count))]
    merged = _by_thread(loops, threads)
    assert MAX_THREADS + 1 == len(merged)
    assert 5 == merged[("otel.metric.overflow", True),].busy_ns


def test_the_meter_counts_steps_and_jobs() -> None:
    """Delays, busy time, steps over 50 ms, and jobs are summed exactly."""
    meter = StepMeter()
    for ready_ns, busy_ns in ((5, 10), (7, 50_000_000), (0, 50_000_001)):
        meter.step(3, ready_ns, busy_ns)
    meter.job(11, 13, failed=True)
    loop = meter.loops[3]
    assert (3, 12, 100_000_011) == (len(loop.delay), loop.delay.total_ns, loop.busy_ns)
    assert (1, 50_000_001) == (len(loop.blocked), loop.blocked.total_ns)
    assert (11, 13, 1) == (meter.queued.total_ns, meter.ran.total_ns, meter.failed_jobs)


def test_memory_is_that_of_this_process() -> None:
    """The resident set is what the system says of this process."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("only Linux tells it in a file")
    before = resident_bytes()
    match = re.search(r"VmRSS:\s+(\d+) kB", status.read_text())
    assert match is not None
    assert before == pytest.approx(int(match[1]) * 1024, rel=0.1)


def test_metrics_that_nobody_wants_import_nothing() -> None:
    """A session's metrics load neither OpenTelemetry nor gRPC before somebody takes them."""
    program = (
        "import sys; from aperf.otel import MetricsExporter; MetricsExporter().look();"
        "assert not {'grpc', 'opentelemetry.metrics', 'opentelemetry.sdk'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize(
    "read", [lambda exporter: exporter.flush(0), lambda exporter: exporter.look()]
)
def test_without_a_session_nothing_happens(read: Callable[[MetricsExporter], object]) -> None:
    """An exporter that observes nothing answers, and delivers nothing."""
    exporter = MetricsExporter()
    read(exporter)
    assert 0 == exporter.statistics().export_failures
    assert exporter.shutdown(0)
