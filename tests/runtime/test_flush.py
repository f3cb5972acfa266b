"""Delivery: what `flush` and the end of a session promise, and whom a bad exporter hurts."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

import aperf
from aperf import _stderr
from aperf._config import Settings
from aperf.exporters import MemoryExporter
from tests.delivery import STAGES, Doubtful, Failing, Plain, Stuck
from tests.loops import in_loop
from tests.watched import until

pytestmark = pytest.mark.usefixtures("twin")


async def work() -> None:
    """Suspend in a task of its own."""
    await asyncio.create_task(asyncio.sleep(0))


@in_loop
async def test_true_when_delivered() -> None:
    """After a flush everything recorded so far is with the exporters."""
    exporter = Plain()
    async with aperf.session(enabled=True, exporters=[exporter]) as session:
        for round_ in range(1, 4):
            await work()
            assert await session.flush()
            assert round_ == exporter.names.count("sleep")


@in_loop
async def test_false_by_the_deadline() -> None:
    """A destination that does not confirm in time is a no, in time, and a yes when it has."""
    exporter = Doubtful()
    async with aperf.session(enabled=True, exporters=[exporter]) as session:
        await work()
        begin_s = time.monotonic()
        assert not await session.flush(0.2)
        assert 0.2 <= time.monotonic() - begin_s < 5
        exporter.confirmed.set()
        assert await session.flush(5)


@in_loop
async def test_false_while_stuck() -> None:
    """An exporter that blocks beyond every deadline is a no; the loop goes on meanwhile."""
    exporter = Stuck()
    async with aperf.session(enabled=True, exporters=[exporter]) as session:
        await work()
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticking = asyncio.create_task(tick())
        assert not await session.flush(0.2)
        assert ticks > 5
        ticking.cancel()
        exporter.released.set()
        assert await session.flush(5)


@in_loop
async def test_without_patience() -> None:
    """A flush with no time at all answers, and does no harm to the next."""
    exporter = Doubtful()
    async with aperf.session(enabled=True, exporters=[exporter]) as session:
        await work()
        assert not await session.flush(0)
        exporter.confirmed.set()
        assert await session.flush(5)


@in_loop
async def test_impatient_waiter_leaves_others_their_answer() -> None:
    """One who is cancelled while waiting takes the answer from nobody else."""
    exporter = Doubtful()
    async with aperf.session(enabled=True, exporters=[exporter]) as session:
        await work()
        impatient, patient = (asyncio.create_task(session.flush(20)) for _ in range(2))
        await asyncio.sleep(0.05)
        impatient.cancel()
        await asyncio.wait([impatient])
        exporter.confirmed.set()
        assert await patient
        await work()
        assert await session.flush()
    assert "shutdown" == exporter.calls[-1]


@in_loop
async def test_every_exporter_is_asked() -> None:
    """One that says no keeps the others neither from delivering nor from being shut down."""
    first, second = Doubtful(), Plain()
    async with aperf.session(enabled=True, exporters=[first, second]) as session:
        await work()
        assert not await session.flush(0.05)
        assert "flush" in second.calls
        waiting = asyncio.create_task(session.flush(0.05))
        assert not await waiting
        first.confirmed.set()
    assert ["start", "export", "flush"] == second.calls[:3]
    assert ["finish", "shutdown"] == second.calls[-2:]


@in_loop
async def test_false_once_when_spans_were_lost() -> None:
    """A batch that an exporter lost makes the next answer a no; then all is well again."""
    exporter = Failing("export", times=1)
    async with aperf.session(enabled=True, exporters=[exporter]) as session:
        await work()
        assert not await session.flush(0.2)
        await work()
        assert await session.flush(5)
    assert session.statistics().dropped_spans > 0


@in_loop
async def test_false_when_an_exporter_dropped_spans() -> None:
    """Spans that found no room at an exporter are not delivered."""
    async with aperf.session(enabled=True, exporters=[MemoryExporter(max_spans=1)]) as session:
        await work()
        await work()
        assert not await session.flush()
    assert session.statistics().spans == 1 + session.statistics().dropped_spans


@in_loop
async def test_after_the_end() -> None:
    """A flush after the end says whether the end delivered all."""
    for exporter, expected in ((Plain(), True), (Failing("shutdown"), False)):
        async with aperf.session(enabled=True, exporters=[exporter]) as session:
            await work()
        assert expected is await session.flush(5)


def test_end_and_wait() -> None:
    """Ending with `with` waits for the delivery; the answer can be asked for."""
    for exporter, expected in ((Plain(), True), (Failing("export"), False)):
        session = aperf.session(enabled=True, exporters=[exporter])
        session.__enter__()
        asyncio.run(work())
        assert expected is session.end_and_wait()
    assert aperf.session(enabled=False).end_and_wait()


def test_order_of_calls() -> None:
    """An exporter is started on the caller's thread; all else comes from the exporter thread."""
    exporter = Plain()
    with aperf.session(enabled=True, exporters=[exporter]):
        assert {"MainThread"} == exporter.threads
        exporter.threads.clear()
        asyncio.run(work())
    assert ["start", "export", "flush", "finish", "shutdown"] == exporter.calls
    assert {"aperf-exporter"} == exporter.threads


@pytest.mark.parametrize("stage", STAGES)
def test_failing_exporter(stage: str, caplog: pytest.LogCaptureFixture) -> None:
    """An exporter that raises hurts nobody: it is counted, and told in one line."""
    failing, other = Failing(stage), Plain()
    with (
        caplog.at_level(logging.WARNING, "aperf"),
        aperf.session(enabled=True, exporters=[failing, other]) as session,
    ):
        for _ in range(3):
            asyncio.run(work())
            session.statistics()
    statistics = session.statistics()
    assert 3 == other.names.count("sleep")
    assert ["finish", "shutdown"] == other.calls[-2:]
    assert statistics.export_failures > 0
    assert 0 == statistics.internal_errors
    [record] = caplog.records
    assert record.getMessage().startswith("aperf: Failing ")
    assert "OSError: out of order" in record.getMessage()
    assert record.exc_info is None


@pytest.mark.parametrize("stage", ["start", "export"])
def test_spans_lost_by_failing(stage: str) -> None:
    """Spans that a failing exporter should have had count as dropped."""
    with aperf.session(enabled=True, exporters=[Failing(stage)]) as session:
        asyncio.run(work())
    statistics = session.statistics()
    assert statistics.spans > 0
    assert statistics.spans == statistics.dropped_spans
    assert not asyncio.run(session.flush())


def test_wrong_configuration_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong with the configuration of an exporter is a line on stderr."""
    monkeypatch.setattr(_stderr, "_told", set())
    with aperf.session(enabled=True, exporters=[Failing("start", aperf.ConfigurationError)]):
        pass
    assert "aperf: out of order\n" == capsys.readouterr().err


def test_summary_reaches_every_exporter() -> None:
    """Each exporter gets the summary once, with the final counters."""
    exporters = [Plain(), Plain()]
    with aperf.session(enabled=True, exporters=exporters) as session:
        asyncio.run(work())
    for exporter in exporters:
        assert 1 == exporter.calls.count("finish")
        assert exporter.summary == session.summary()


def test_interval() -> None:
    """Without a flush, spans are delivered every so often."""
    exporter = Plain()
    settings = Settings(enabled=True, export_interval_ns=10_000_000)
    with aperf.session(settings=settings, exporters=[exporter]):
        asyncio.run(work())
        until(lambda: "sleep" in exporter.names, "a delivery on the interval")
