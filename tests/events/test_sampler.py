from __future__ import annotations

import asyncio
import gc
import threading
from typing import TYPE_CHECKING, Any

import pytest

from aperf import ConfigurationError
from aperf._events import _active, _sampler, deactivate, message, sample_stacks
from aperf._recorder import Kind
from tests.events.taking import taking
from tests.records import decode, of_kind
from tests.watched import until, watched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aperf._recorder import Recorder


def samplers() -> list[threading.Thread]:
    """Return the threads that take samples."""
    return [thread for thread in threading.enumerate() if thread.name == "aperf-sampler"]


def sampled(recorder: Recorder) -> list[tuple[int, list[str]]]:
    """Take all records out of a recorder; return thread and functions of each sample."""
    found = []
    for record in of_kind(decode(recorder), Kind.SAMPLE):
        site = recorder.resolve(record.ref)
        assert site is not None
        found.append((record.a, [code.co_name for code, _ in site[2]]))
    return found


def wait_for_samples(recorder: Recorder, function: str) -> list[tuple[int, list[str]]]:
    """Return samples, the last of them with some function in its stack."""
    found: list[tuple[int, list[str]]] = []

    def look() -> bool:
        for sample in sampled(recorder):
            found.append(sample)
            if function in sample[1]:
                return True
        return False

    until(look, "samples")
    return found


def test_samples(recorder: Recorder) -> None:
    """A thread that records and runs is shown with its stack, innermost first."""

    def outer() -> list[tuple[int, list[str]]]:
        return inner()

    def inner() -> list[tuple[int, list[str]]]:
        return wait_for_samples(recorder, "inner")

    message("here I am")
    with sample_stacks(0.001):
        found = outer()
    assert {threading.get_ident()} == {ident for ident, _ in found}
    _, names = found[-1]
    assert names.index("wait_for_samples") < names.index("inner") < names.index("outer")


def test_blocked_loop(recorder: Recorder) -> None:
    """A task that holds up its loop is seen, below what runs the loop and without our frames."""

    async def program() -> None:
        found.extend(wait_for_samples(recorder, "program"))

    found: list[tuple[int, list[str]]] = []
    with asyncio.Runner() as runner, watched(recorder, runner.get_loop()), sample_stacks(0.001):
        runner.run(program())
    names = found[-1][1]
    assert names.index("program") < names.index("run_forever")


def test_idle_loop(recorder: Recorder) -> None:
    """A loop that waits for events is left out."""

    async def program() -> None:
        for _ in range(3):
            await asyncio.sleep(0.01)

    with asyncio.Runner() as runner, watched(recorder, runner.get_loop()):
        message("here I am")
        with sample_stacks(0.001):
            runner.run(program())
    assert "select" not in {names[0] for _, names in sampled(recorder)}


def test_other_threads(recorder: Recorder) -> None:
    """Threads that have recorded nothing are left alone, and so are aperf's own."""
    stop = threading.Event()

    def wait() -> None:
        stop.wait()

    def record_and_wait() -> None:
        message("here I am")
        stop.wait()

    threads = [threading.Thread(target=wait), threading.Thread(target=record_and_wait)]
    for thread in threads:
        thread.start()
    try:
        with sample_stacks(0.001):
            found = wait_for_samples(recorder, "record_and_wait")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert {threads[1].ident} == {ident for ident, _ in found}


def test_stop_and_start(recorder: Recorder) -> None:
    """It takes samples from start to stop, as often as one likes."""
    message("here I am")
    sampler = sample_stacks(0.001)
    for _ in range(2):
        sampler.start()
        sampler.start()
        assert 1 == len(samplers())
        wait_for_samples(recorder, "test_stop_and_start")
        sampler.stop()
        sampler.stop()
        until(lambda: not samplers(), "the end of the sampler")
        sampled(recorder)
    assert [] == sampled(recorder)


def test_recording_ends(recorder: Recorder) -> None:
    """The thread ends when nobody takes samples any more."""
    sampler = sample_stacks(0.001)
    sampler.start()
    deactivate()
    until(lambda: not samplers(), "the end of the sampler")
    sampler.stop()


def test_off() -> None:
    """While nobody takes samples, there is no thread."""
    with sample_stacks(0.001):
        assert [] == samplers()


def test_no_thread(recorder_class: type[Recorder], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can start, the program goes on without samples."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with taking(recorder_class, faults=1), sample_stacks(0.001):
        assert [] == samplers()


def test_fault(recorder_class: type[Recorder], monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of its own ends it and is counted."""
    monkeypatch.setattr(_sampler, "_stack", None)
    with taking(recorder_class, faults=1):
        message("here I am")
        with sample_stacks(0.001):
            until(lambda: not samplers(), "the end of the sampler")


@pytest.fixture
def no_collection() -> Iterator[None]:
    """The garbage collector does nothing."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
def test_no_frame_is_kept(recorder: Recorder) -> None:
    """What was looked at is let go of at once, not by the garbage collector."""

    def work() -> None:
        assert recording is not None
        _sampler._sample(recording)
        before = len(gc.get_objects())
        for _ in range(50):
            _sampler._sample(recording)
        grown.append(len(gc.get_objects()) - before)

    message("here I am")
    recording = _active.active()
    grown: list[int] = []
    thread = threading.Thread(target=work, name="aperf-test")
    thread.start()
    thread.join()
    assert 51 == len(sampled(recorder))
    assert grown[0] < 50


@pytest.mark.parametrize(
    ("interval_s", "error"),
    [("1", TypeError), (None, TypeError), (0, ConfigurationError), (-1.0, ConfigurationError)],
)
def test_wrong_interval(interval_s: Any, error: type[Exception]) -> None:
    """The interval is a number above 0."""
    with pytest.raises(error, match=f"sample_stacks: interval_s={interval_s!r}"):
        sample_stacks(interval_s)
