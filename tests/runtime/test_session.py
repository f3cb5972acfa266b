"""Sessions: when they watch, how they begin and end, what they answer."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import aperf
from aperf import _stderr
from aperf._config import Settings
from aperf.exporters import MemoryExporter
from aperf.model import Statistics, Summary
from tests.delivery import Plain, Stuck
from tests.loops import in_loop
from tests.watched import until

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("twin")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is configured, and nothing has been told yet."""
    monkeypatch.delenv("TELEMETRY_ENABLED", raising=False)
    monkeypatch.setattr(_stderr, "_told", set())


async def job() -> None:
    """Suspend once."""
    await asyncio.sleep(0)


async def three_jobs() -> None:
    """Run three tasks."""
    await asyncio.gather(job(), job(), job())


def jobs_seen(exporter: MemoryExporter) -> int:
    """Return how many tasks ran `job`."""
    return sum(span.name == "job" for span in exporter.spans)


def threads_of(exporter: MemoryExporter, name: str) -> set[str]:
    """Return the names of the threads on which spans of a name ran."""
    return {s.thread.name for s in exporter.spans if s.name == name and s.thread is not None}


# --------------------------------------------------------------------------------- on and off


@pytest.mark.parametrize(
    ("enabled", "variable", "expected"),
    [
        (None, None, False),
        (None, "", False),
        (None, "false", False),
        (None, "true", True),
        (None, "ON", True),
        (True, None, True),
        (True, "false", True),
        (False, None, False),
        (False, "true", False),
    ],
)
def test_enabled(
    monkeypatch: pytest.MonkeyPatch, enabled: bool | None, variable: str | None, expected: bool
) -> None:
    """The environment decides, unless the caller does."""
    if variable is not None:
        monkeypatch.setenv("TELEMETRY_ENABLED", variable)
    with aperf.session(enabled=enabled, exporters=[]) as session:
        assert expected is session.is_enabled
        assert expected is aperf.is_active()
    assert not aperf.is_active()


@in_loop
async def test_off_is_inert() -> None:
    """A session that is off answers all questions, and leaves the loop alone."""
    before = dict(vars(asyncio.get_running_loop()))
    async with aperf.session() as session:
        assert before == vars(asyncio.get_running_loop())
        assert await session.flush()
    assert Statistics() == session.statistics()
    assert Summary() == session.summary()
    assert not session.is_enabled
    assert not session.is_closed
    assert "off" in repr(session)


def test_off_by_false_reads_nothing(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Where the caller says no, not even a bad environment is looked at."""
    monkeypatch.setenv("TELEMETRY_ENABLED", "perhaps")
    with aperf.session(enabled=False) as session:
        assert not session.is_enabled
    assert ("", "") == capsys.readouterr()


@pytest.mark.parametrize(
    "arguments",
    [
        {"enabled": "yes"},
        {"service_name": ""},
        {"service_name": 7},
        pytest.param({"exporters": MemoryExporter()}, id="exporters not in a list"),
        {"exporters": ["otlp"]},
        {"exporters": [MemoryExporter]},
        {"loops": "every"},
        {"awaits": "some"},
    ],
    ids=str,
)
@pytest.mark.parametrize("enabled", [True, False])
def test_bad_argument(arguments: dict[str, Any], enabled: bool) -> None:
    """A bad argument is an error that names it, on or off."""
    with pytest.raises(aperf.ConfigurationError, match=rf"^{next(iter(arguments))}: .*; use "):
        aperf.session(**{"enabled": enabled, **arguments})


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="there it is accepted")
def test_every_await_needs_3_12() -> None:
    """Before 3.12 the argument says what it needs."""
    with pytest.raises(aperf.ConfigurationError, match=r"3\.12"):
        aperf.session(awaits="all")
    session = aperf.session(settings=Settings(enabled=True, awaits="all"))
    with pytest.raises(aperf.ConfigurationError, match=r"3\.12"), session:
        pass


@pytest.mark.parametrize(
    ("variables", "enabled"),
    [
        ({"TELEMETRY_ENABLED": "perhaps"}, None),
        ({"TELEMETRY_ENABLED": "1", "APERF_RING_MB": "lots", "APERF_SEGMENT_S": "-1"}, None),
        ({"APERF_SUMMARY": "poem"}, True),
    ],
    ids=["switch", "two", "forced"],
)
def test_bad_environment(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variables: dict[str, str],
    enabled: bool | None,
) -> None:
    """Bad variables are one line each, once; telemetry stays off and the program goes on."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    bad = variables.keys() - ({"TELEMETRY_ENABLED"} if len(variables) > 1 else set())
    for _ in range(2):
        with aperf.session(enabled=enabled) as session:
            assert not session.is_enabled
    stdout, stderr = capsys.readouterr()
    *lines, last = stderr.splitlines()
    assert "" == stdout
    assert sorted(f"aperf: {name}" for name in bad) == sorted(
        line.rpartition(": ")[0] for line in lines
    )
    assert "aperf: telemetry stays off" == last


def test_bad_environment_without_stderr(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Without a stderr nothing is said, and certainly not on stdout."""
    monkeypatch.setenv("TELEMETRY_ENABLED", "perhaps")
    monkeypatch.setattr(sys, "stderr", None)
    with aperf.session():
        pass
    assert "" == capsys.readouterr().out


def test_settings_stand_in_for_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `settings` the environment is not read; arguments win over them."""
    monkeypatch.setenv("TELEMETRY_ENABLED", "perhaps")
    exporter = MemoryExporter()
    settings = Settings(enabled=True, service_name="from settings")
    with aperf.session(settings=settings, exporters=[exporter], service_name="argument"):
        pass
    assert exporter.session is not None
    assert "argument" == exporter.session.service_name
    with aperf.session(settings=settings, enabled=False) as session:
        assert not session.is_enabled


def test_service_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service's name reaches exporters and summary, as does what the environment adds."""
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,region=north")
    exporter = MemoryExporter()
    with aperf.session(enabled=True, exporters=[exporter], service_name="shop") as session:
        pass
    assert exporter.session is not None
    resource = dict(exporter.session.resource)
    assert ("shop", "north") == (resource["service.name"], resource["region"])
    assert "shop" == session.summary().service_name


def test_default_destination(capsys: pytest.CaptureFixture[str]) -> None:
    """Without any destination the summary is printed at the end."""
    with aperf.session(enabled=True):
        asyncio.run(three_jobs())
    stdout, stderr = capsys.readouterr()
    assert "" == stdout
    assert "three_jobs" in stderr


# ------------------------------------------------------------------------------- begin and end


@in_loop
async def test_async_session_sees_its_caller() -> None:
    """The task that opens a session is watched from there on, and all it starts."""
    exporter = MemoryExporter()
    async with aperf.session(enabled=True, exporters=[exporter]) as session:
        await three_jobs()
    names = [span.name for span in exporter.spans]
    assert 3 == jobs_seen(exporter)
    assert any("test_async_session_sees_its_caller" in name for name in names)
    assert session.is_closed
    assert "ended" in repr(session)


def test_sync_session_sees_all_loops() -> None:
    """Opened where no loop runs, a session watches every loop that is made, on any thread."""
    exporter = MemoryExporter()
    with aperf.session(enabled=True, exporters=[exporter]):
        asyncio.run(three_jobs())
        thread = threading.Thread(target=asyncio.run, args=[three_jobs()], name="second")
        thread.start()
        thread.join()
    assert 6 == jobs_seen(exporter)
    assert {"MainThread", "second"} == threads_of(exporter, "job")


@in_loop
async def test_current_loop_only() -> None:
    """Opened in a running loop, a session watches that one, unless told otherwise."""
    for loops, expected in ((None, 0), ("current", 0), ("all", 3)):
        exporter = MemoryExporter()
        async with aperf.session(enabled=True, exporters=[exporter], loops=loops):  # type: ignore[arg-type]
            await asyncio.to_thread(asyncio.run, three_jobs())
        assert expected == jobs_seen(exporter), loops


def test_current_without_a_loop() -> None:
    """`loops="current"` where none runs watches none."""
    exporter = MemoryExporter()
    with aperf.session(enabled=True, exporters=[exporter], loops="current"):
        asyncio.run(three_jobs())
    assert 0 == jobs_seen(exporter)


@in_loop
async def test_sync_end_inside_a_loop_does_not_wait() -> None:
    """A sync end inside a running loop returns at once; delivery goes on behind it."""
    exporter = Stuck()
    begin_s = time.monotonic()
    with aperf.session(enabled=True, exporters=[exporter]):
        await three_jobs()
    assert time.monotonic() - begin_s < 3
    assert not aperf.is_active()
    exporter.released.set()
    until(lambda: "shutdown" in exporter.calls, "the delivery")
    assert 3 == exporter.names.count("job")


def test_begins_once() -> None:
    """A session that has begun cannot begin again, not even after its end."""
    session = aperf.session(enabled=True, exporters=[])
    with session, pytest.raises(aperf.ConfigurationError, match="begins once"):
        session.__enter__()
    with pytest.raises(aperf.ConfigurationError, match="begins once"):
        session.__enter__()


def test_end_twice() -> None:
    """Ending again changes nothing."""
    exporter = Plain()
    with aperf.session(enabled=True, exporters=[exporter]) as session:
        pass
    session.__exit__()
    assert 1 == exporter.calls.count("shutdown")


def test_end_without_begin() -> None:
    """Ending what never began is no error."""
    aperf.session(enabled=True, exporters=[]).__exit__()


def test_ended_on_another_thread() -> None:
    """A session may begin on one thread and end on another, signals and all."""
    exporter = Plain()
    session = aperf.session(enabled=True, exporters=[exporter], handle_signals=True)
    session.__enter__()
    asyncio.run(three_jobs())
    failures: list[BaseException] = []

    def end() -> None:
        try:
            session.__exit__()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=end)
    thread.start()
    thread.join()
    assert [] == failures
    assert 3 == exporter.names.count("job")


@in_loop
async def test_cancelled_while_it_begins() -> None:
    """Whoever is cancelled at `async with` leaves no session behind."""
    exporter = Plain()

    async def enter() -> None:
        async with aperf.session(enabled=True, exporters=[exporter]):
            raise AssertionError("not reached")

    task = asyncio.create_task(enter())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not aperf.is_active()
    until(lambda: "shutdown" in exporter.calls, "the end of the session")


@in_loop
async def test_cancelled_while_it_ends() -> None:
    """A cancellation at the end of a session passes; delivery goes on, and others may wait."""
    exporter = Stuck("flush")

    async def program() -> None:
        async with aperf.session(enabled=True, exporters=[exporter]):
            await three_jobs()

    task = asyncio.create_task(program())
    await asyncio.to_thread(exporter.entered.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    exporter.released.set()
    until(lambda: "shutdown" in exporter.calls, "the delivery")


def test_loop_closed_while_it_ends(capfd: pytest.CaptureFixture[str]) -> None:
    """A loop that is closed under a session's end gets its answer nowhere, without a word."""
    exporter = Stuck("flush")

    async def program() -> None:
        async with aperf.session(enabled=True, exporters=[exporter]):
            await three_jobs()

    loop = asyncio.new_event_loop()
    task = loop.create_task(program())
    loop.run_until_complete(asyncio.wait([task], timeout=0.05))
    until(exporter.entered.is_set, "the flush")
    loop.close()
    exporter.released.set()
    until(lambda: "shutdown" in exporter.calls, "the delivery")
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    del task
    until(lambda: not _exporter_threads(), "the end of the thread")
    assert "Exception" not in capfd.readouterr().err


def _exporter_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("aperf-")]


def test_exception_in_the_block_passes() -> None:
    """What the block raises is neither swallowed nor changed."""
    with pytest.raises(KeyError), aperf.session(enabled=True, exporters=[]):
        raise KeyError


def test_without_a_thread(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where no thread can be started, telemetry stays off, with a line that says why."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    exporter = Plain()
    with aperf.session(enabled=True, exporters=[exporter]) as session:
        assert not session.is_enabled
        assert not aperf.is_active()
    assert [] == exporter.calls
    assert "can't start new thread" in capsys.readouterr().err


@in_loop
async def test_the_last_await_counts() -> None:
    """One that has just ended when the session does, or when somebody flushes."""
    async with aperf.session(enabled=True, exporters=[]) as session:
        await asyncio.sleep(0.001)
        await session.flush()
        assert "await sleep" in {site.name for site in session.summary().await_sites}
        await asyncio.to_thread(lambda: None)
    names = {site.name for site in session.summary().await_sites}
    assert {"await sleep", "await to_thread"} <= names


def test_loop_that_cannot_be_watched() -> None:
    """A loop that cannot be watched is an error; the session goes on with the others."""

    class Slotted:
        __slots__ = ("__weakref__",)

        def is_running(self) -> bool:
            return False

    exporter = MemoryExporter()
    with aperf.session(enabled=True, exporters=[exporter]) as session:
        with pytest.raises(aperf.InstrumentationError, match="task_factory"):
            session.watch(Slotted())
        asyncio.run(three_jobs())
    assert 3 == jobs_seen(exporter)


def test_in_a_thread_with_its_own_loop() -> None:
    """A session inside a thread's own loop is as good as one on the main thread."""
    exporter = MemoryExporter()

    async def program() -> None:
        async with aperf.session(enabled=True, exporters=[exporter]):
            await three_jobs()

    thread = threading.Thread(target=lambda: asyncio.run(program()))
    thread.start()
    thread.join()
    assert 3 == jobs_seen(exporter)


def test_many_threads_at_once() -> None:
    """Sessions that begin and end on many threads at once each see their own loop's tasks."""
    exporters = [MemoryExporter() for _ in range(8)]
    together = threading.Barrier(len(exporters))

    async def program(exporter: MemoryExporter) -> None:
        together.wait(10)
        async with aperf.session(enabled=True, exporters=[exporter]):
            await three_jobs()

    def run(exporter: MemoryExporter) -> None:
        asyncio.run(program(exporter))

    threads = [threading.Thread(target=run, args=[exporter]) for exporter in exporters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(jobs_seen(exporter) >= 3 for exporter in exporters)


# -------------------------------------------------------------------------------------- results


@in_loop
async def test_results_during_and_after() -> None:
    """Statistics and summary are there while the session is open, and stay as they are after it."""
    async with aperf.session(enabled=True, exporters=[]) as session:
        await three_jobs()
        assert await session.flush()
        during = session.statistics()
        assert 3 == during.tasks - during.live_tasks
        assert {"job"} < {entry.name for entry in session.summary().coroutines}
        assert 1 == len(session.summary().unfinished)
    after = session.statistics()
    assert 0 == after.live_tasks
    assert during.tasks == after.tasks
    assert after == session.summary().statistics
    await three_jobs()
    assert after == session.statistics()


@in_loop
async def test_no_exporters_count() -> None:
    """`exporters=[]` delivers nowhere and counts: spans that there would have been included."""
    async with aperf.session(enabled=True, exporters=[]) as session:
        await three_jobs()
    statistics = session.statistics()
    assert 4 == statistics.tasks
    assert statistics.spans == statistics.tasks + statistics.awaits
    assert (0, 0, 0) == (
        statistics.exported_spans,
        statistics.dropped_spans,
        statistics.internal_errors,
    )


@pytest.mark.parametrize("ask", [aperf.Session.summary, aperf.Session.statistics])
@in_loop
async def test_results_beside_a_stuck_exporter(ask: Callable[[aperf.Session], object]) -> None:
    """Asking a session never waits for its exporters."""
    exporter = Stuck()
    async with aperf.session(enabled=True, exporters=[exporter]) as session:
        await three_jobs()
        flushed = asyncio.create_task(session.flush())
        await asyncio.to_thread(exporter.entered.wait)
        ask(session)
        exporter.released.set()
        assert await flushed
