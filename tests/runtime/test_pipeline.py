"""The exporter thread: rounds, pauses, bursts, and what it survives."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

import aperf
from aperf import _runtime
from aperf._config import Settings
from aperf._pipeline import Pipeline, _pipeline
from aperf._recorder import Kind
from aperf.exporters import MemoryExporter
from aperf.model import Flag
from tests.loops import in_loop
from tests.programs import run_program
from tests.watched import until

if TYPE_CHECKING:
    from collections.abc import Iterator

SLOT = bytes(32)


class Source:
    """A recorder whose rings hold what the test puts there."""

    def __init__(self) -> None:
        self.internal_errors = 0
        self.waiting: deque[tuple[int, bytes]] = deque()
        self.drains = 0
        self.sweeps = 0
        self.error: Exception | None = None

    def write(self, slots: int, ring: int = 0) -> None:
        """Have so many slots wait in a ring."""
        self.waiting.append((ring, SLOT * slots))

    def now_ns(self) -> int:
        return time.monotonic_ns()

    def drain(self, slots: int) -> list[tuple[int, bytes]]:
        self.drains += 1
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return [self.waiting.popleft() for _ in range(len(self.waiting))]

    def used(self) -> int:
        return sum(len(data) // 32 for _, data in list(self.waiting))

    def dropped(self) -> int:
        return 0

    def threads(self) -> list[tuple[int, str]]:
        return []

    def live(self) -> list[tuple[int, int, int, bool, bool]]:
        return []

    def sweep(self) -> list[int]:
        self.sweeps += 1
        return [7]


class Sink:
    """A session's end that counts slots."""

    is_full = False
    interval_ns = 1 << 62
    losses_told = 0
    ended_ns: int | None = None

    def __init__(self) -> None:
        self.slots = 0
        self.anchors = 0
        self.forgotten: list[int] = []
        self.adopted: list[Any] = []
        self.confirms = True
        self.error: Exception | None = None
        self.assembler = self.tables = self

    def feed(self, ring: int, data: bytes) -> None:
        self.slots += len(data) // 32

    def flush(self, deadline_ns: int) -> bool:
        if self.error is not None:
            raise self.error
        return self.confirms

    def adopt(self, other: Any) -> None:
        self.adopted.append((other, self.slots, other.slots))

    def forget(self, sites: list[int]) -> None:
        self.forgotten += sites

    def renew_anchor(self, monotonic_ns: int, unix_ns: int) -> None:
        self.anchors += 1

    def tell_losses(self) -> int:
        return 0

    def begin(self, *_: int) -> None: ...
    def end(self, *_: int) -> None: ...
    def threads(self, _: object) -> None: ...
    def deliver(self, _: int) -> None: ...


@contextmanager
def running(source: Source, **options: Any) -> Iterator[Any]:
    """Run a pipeline for a source, with rings of 1024 slots and no interval to speak of."""
    options = {"interval_ns": 60 * 10**9, "ring_slots": 1024, **options}
    pipeline: Any = Pipeline(source, run=_runtime._run_unwatched, **options)
    pipeline.start()
    try:
        yield pipeline
    finally:
        pipeline.stop()
        until(lambda: not pipeline._thread.is_alive(), "the end of the exporter thread")


def test_wake() -> None:
    """The rings are drained when somebody says that they are half full."""
    source, sink = Source(), Sink()
    with running(source) as pipeline:
        pipeline.add(sink)
        source.write(600)
        pipeline.wake()
        until(lambda: 600 == sink.slots, "the round")


def test_pauses_are_cut_by_a_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    """A paced round that is under way hurries as soon as somebody waits for it."""
    monkeypatch.setattr(_pipeline, "PAUSE_S", 0.2)
    monkeypatch.setattr(_pipeline, "SLICE_NS", 0)
    source, sink = Source(), Sink()
    with running(source, ring_slots=1 << 20) as pipeline:
        pipeline.add(sink)
        source.write(32 * 1_000)  # 200 s of pauses
        pipeline.wake()
        until(lambda: sink.slots, "the begin of the round")
        assert pipeline.flush(sink, 20).result(20)
        assert 32_000 == sink.slots


def test_pauses_are_cut_when_much_is_to_be_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """A paced round does not rest while rings fill up."""
    monkeypatch.setattr(_pipeline, "PAUSE_S", 0.05)
    monkeypatch.setattr(_pipeline, "SLICE_NS", 0)
    source, sink = Source(), Sink()
    with running(source, ring_slots=1 << 16) as pipeline:
        pipeline.add(sink)
        source.write(32_000)  # 50 s of pauses
        pipeline.wake()
        until(lambda: sink.slots, "the begin of the round")
        source.write(32_000)
        pipeline.relieve()
        until(lambda: 30_000 < sink.slots, "what is more than half a ring")
        assert pipeline.flush(sink, 20).result(20)


def test_half_full_ring_is_emptied_where_it_fills() -> None:
    """Room for more does not depend on when the exporter thread gets its turn."""
    source, sink = Source(), Sink()
    with running(source) as pipeline:
        pipeline.add(sink)
        with pipeline._lock:  # nothing is assembled
            for _ in range(3):
                source.write(600)
                pipeline.relieve()
                assert 0 == source.used()
        assert pipeline.flush(sink, 20).result(20)
        assert 1_800 == sink.slots


def test_whoever_fills_a_ring_waits_for_nobody() -> None:
    """While another thread empties the rings, their writer goes on."""
    source, sink = Source(), Sink()
    with running(source) as pipeline:
        pipeline.add(sink)
        with pipeline._taking:
            writer = threading.Thread(target=pipeline.relieve)
            writer.start()
            writer.join(20)
            assert not writer.is_alive()


def test_fault_in_emptying_is_counted() -> None:
    """The loop's thread never sees an error of ours."""
    source, sink = Source(), Sink()
    with running(source) as pipeline:
        pipeline.add(sink)
        source.error = RuntimeError("a fault")
        pipeline.relieve()
        assert 1 == pipeline._faults


def test_backlog_is_bounded() -> None:
    """So much may wait in the backlog; what comes then stays in the rings, which count losses."""
    source, sink = Source(), Sink()
    with running(source) as pipeline:
        pipeline.add(sink)
        with pipeline._lock:  # nothing is assembled
            pipeline.wake()
            until(lambda: 2 == source.drains, "the begin of the round")
            for _ in range(20):
                source.write(1_024)
                pipeline.relieve()
            assert 16 <= len(source.waiting)
        assert pipeline.flush(sink, 20).result(20)
        assert 20 * 1_024 == sink.slots


def test_joining_and_leaving_cut_between_records() -> None:
    """A sink has exactly what was written while it was there, and adopts in the middle."""
    source, outer, inner = Source(), Sink(), Sink()
    with running(source) as pipeline:
        pipeline.add(outer)
        source.write(3)
        pipeline.add(inner)
        source.write(4)
        assert pipeline.flush(inner, 20).result(20)
        assert [(outer, 0, 3)] == inner.adopted
        assert (7, 4) == (outer.slots, inner.slots)


def test_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """About once a minute old sites are released, and the clocks compared."""
    source, sink = Source(), Sink()
    with running(source) as pipeline:
        pipeline.add(sink)
        assert pipeline.flush(sink, 20).result(20)
        assert (0, 0) == (source.sweeps, sink.anchors)
        monkeypatch.setattr(_pipeline, "SWEEP_NS", 0)
        assert pipeline.flush(sink, 20).result(20)
        assert (1, 1) <= (source.sweeps, sink.anchors)
        assert 7 in sink.forgotten


def test_destination_in_a_hurry_is_served_more_often() -> None:
    """Rings are drained as often as the most impatient destination wants."""
    source, sink = Source(), Sink()
    with running(source) as pipeline:
        pipeline.add(sink)
        sink.interval_ns = 2_000_000
        pipeline.wake()
        before = source.drains
        until(lambda: before + 20 < source.drains, "more rounds")


def test_no_interval_does_not_spin() -> None:
    """An interval of 0 keeps nobody busy."""
    source = Source()
    with running(source, interval_ns=0):
        time.sleep(0.1)
    assert source.drains < 150


def test_waiting_for_a_destination_does_not_spin() -> None:
    """An exporter that says no at once is asked every so often, while the rings are drained."""
    source, sink = Source(), Sink()
    sink.confirms = False
    with running(source) as pipeline:
        pipeline.add(sink)
        assert not pipeline.flush(sink, 0.2).result(20)
        assert 3 <= source.drains <= 30


@pytest.mark.parametrize("error", [RuntimeError("a fault"), MemoryError()])
def test_faults_of_our_own(error: Exception) -> None:
    """A round that fails is counted, and the thread goes on."""
    source, sink = Source(), Sink()
    with running(source) as pipeline:
        pipeline.add(sink)
        source.error = error
        source.write(5)
        assert pipeline.flush(sink, 20).result(20)
        assert 1 == pipeline._errors()
        assert pipeline.flush(sink, 20).result(20)
        assert 5 == sink.slots


def test_request_that_fails() -> None:
    """A delivery that fails of our own fault is a no, for whoever asked."""
    source, sink = Source(), Sink()
    with running(source) as pipeline:
        pipeline.add(sink)
        sink.error = RuntimeError("a fault")
        assert not pipeline.flush(sink, 20).result(20)
        sink.error = None
        assert pipeline.flush(sink, 20).result(20)


def test_stop_answers_first() -> None:
    """The thread ends when everybody has got an answer; later ones get a no at once."""
    source, sink = Source(), Sink()
    sink.confirms = False
    with running(source) as pipeline:
        pipeline.add(sink)
        waiting = pipeline.flush(sink, 20)
        pipeline.stop()
        assert not waiting.done()
        sink.confirms = True
        assert waiting.result(20)
    assert pipeline.flush(sink, 20).result(0) is False
    pipeline.wake()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_thread_that_dies_leaves_nobody_waiting() -> None:
    """Whatever ends the thread, everybody gets an answer."""
    source, sink = Source(), Sink()
    sink.error = SystemExit()  # type: ignore[assignment]
    with running(source) as pipeline:
        pipeline.add(sink)
        assert not pipeline.flush(sink, 20).result(20)
        assert not pipeline.flush(sink, 20).result(20)


# ---------------------------------------------------------------------------- with real recorders


async def burst(steps: int, tasks: int = 10) -> None:
    """Suspend often, without any rest."""

    async def task() -> None:
        for _ in range(steps // tasks):
            await asyncio.sleep(0)

    await asyncio.gather(*(task() for _ in range(tasks)))


@pytest.mark.slow
@pytest.mark.usefixtures("twin")
def test_burst_is_not_lost() -> None:
    """A burst of one and a half rings is recorded completely."""
    ring_bytes = 1 << 20  # small, so that all of it is assembled well within the session's timeout
    steps = ring_bytes // 32 * 3 // 2
    settings = Settings(enabled=True, ring_bytes=ring_bytes)
    with aperf.session(settings=settings, exporters=[]) as session:
        asyncio.run(burst(steps))
    statistics = session.statistics()
    assert (0, 0) == (statistics.dropped_records, statistics.internal_errors)
    assert statistics.steps >= steps


@pytest.mark.usefixtures("twin")
def test_losses_are_counted() -> None:
    """What finds the ring full is counted, record by record, and what it touches is marked."""
    exporter = MemoryExporter()
    settings = Settings(enabled=True, ring_bytes=64 * 32)
    with aperf.session(settings=settings, exporters=[exporter]) as session, asyncio.Runner() as run:
        run.run(asyncio.sleep(0))
        runtime = _runtime.current()
        assert runtime is not None
        with runtime.pipeline._taking:  # the exporter thread cannot come in between
            run.run(burst(1_000))
            written = [
                runtime.recorder.put(Kind.NAME, 0, 0, 1 << 40, number) for number in range(200)
            ]
            before = session.statistics().dropped_records
            lost = [runtime.recorder.put(Kind.STEP, 0, 0, 1, 0) for _ in range(50)].count(False)
            assert before + lost == session.statistics().dropped_records
        assert written.count(False) < before
    assert 1_000 <= session.statistics().steps + session.statistics().dropped_records
    assert any(span.flags & Flag.INCOMPLETE for span in exporter.spans)


@pytest.mark.usefixtures("twin")
@in_loop
async def test_exporter_thread_has_no_task_here() -> None:
    """No task of ours is to be seen on the user's loop, whatever a session does."""
    async with aperf.session(enabled=True, exporters=[]) as session:
        assert {asyncio.current_task()} == asyncio.all_tasks()
        flushed = asyncio.ensure_future(session.flush())
        await asyncio.sleep(0)
        assert {asyncio.current_task(), flushed} == asyncio.all_tasks()
        await flushed


def test_names_of_tasks(implementation: str) -> None:
    """The program's first task is Task-1, its next one Task-2, as without aperf."""
    program = """
        import asyncio, aperf
        async def child():
            return asyncio.current_task().get_name()
        async def main():
            async with aperf.session(enabled=True, exporters=[]) as session:
                print(asyncio.current_task().get_name(), await asyncio.create_task(child()))
                await session.flush()
            print(await asyncio.create_task(child()))
        asyncio.run(main())
    """
    pure = str(implementation == "python").lower()
    completed = run_program(program, env={"APERF_PURE_PYTHON": pure})
    assert ("Task-1 Task-2\nTask-3\n", "", 0) == completed


def test_debug_mode_stays_silent() -> None:
    """With asyncio's debug mode, long rounds of ours are no slow callbacks of the program."""
    program = """
        import asyncio, time, aperf
        from aperf.exporters import MemoryExporter
        class Slow(MemoryExporter):
            def export(self, batch, deadline_ns):
                time.sleep(0.2)
                return super().export(batch, deadline_ns)
        with aperf.session(enabled=True, exporters=[Slow()]):
            asyncio.run(asyncio.sleep(0))
    """
    assert ("", "", 0) == run_program(program, env={"PYTHONASYNCIODEBUG": "1"})


def test_threads_are_daemons() -> None:
    """The exporter thread never keeps a process from ending."""
    with aperf.session(enabled=True, exporters=[]):
        [thread] = [t for t in threading.enumerate() if t.name == "aperf-exporter"]
        assert thread.daemon
