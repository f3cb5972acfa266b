"""Locks of `aperf.locks`: for threads, and around locks that aperf does not know."""

from __future__ import annotations

import asyncio
import copy
import inspect
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from aperf._instrument import _locks_active as active
from aperf._instrument.locks import Locks
from aperf._recorder import Cold
from aperf.locks import ThreadLock, ThreadRLock, WatchedLock, watch
from tests.contention import Contention, contention_of, drained, installed
from tests.watched import DEADLINE_S, LoopFactory, run_plain, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from aperf._recorder import Recorder

LOCKS: dict[str, type[ThreadLock | ThreadRLock]] = {
    "ThreadLock": ThreadLock,
    "ThreadRLock": ThreadRLock,
}
PLAIN: dict[str, Callable[[], Any]] = {"ThreadLock": threading.Lock, "ThreadRLock": threading.RLock}


def armed(recorder_class: type[Recorder]) -> Recorder:
    """Return a recorder that records without a loop."""
    recorder = recorder_class(Cold())
    recorder.armed = True
    return recorder


def in_thread(function: Callable[[], object]) -> threading.Thread:
    """Call a function on a thread of its own."""
    thread = threading.Thread(target=function)
    thread.start()
    return thread


# ------------------------------------------------------------------------------------------ threads


@pytest.mark.parametrize("kind", LOCKS)
def test_two_threads_contend(recorder_class: type[Recorder], kind: str) -> None:
    """Each thread's waits and holds are recorded, from the lock's first use on."""
    recorder = armed(recorder_class)
    lock = LOCKS[kind]("cache")

    def second() -> None:
        with lock:
            pass

    with installed(recorder):
        with lock:
            thread = in_thread(second)
            until(lambda: recorder.used() >= 4, "the wait of the second thread")
            first, other = threading.get_ident(), thread.ident
        thread.join(DEADLINE_S)
        lock.acquire()
        lock.release()
        found = drained(recorder)
    assert ["cache"] == found.locks
    events = sorted(found.events, key=lambda event: event.t_ns)
    assert ["WAIT", "OBTAIN", "RELEASE"] * 2 == [e.op for e in events if e.who == str(first)][1:]
    assert ["WAIT", "OBTAIN", "RELEASE"] == [e.op for e in events if e.who == str(other)]
    assert 0 == recorder.internal_errors


@pytest.mark.parametrize("kind", LOCKS)
def test_a_lock_dies(recorder_class: type[Recorder], kind: str) -> None:
    """The end of a lock is recorded."""
    recorder = armed(recorder_class)
    with installed(recorder):
        lock = LOCKS[kind]()
        with lock:
            pass
        del lock
        found = drained(recorder)
    assert ("TERMINATE", "") == found.told[-1]


@pytest.mark.parametrize("kind", LOCKS)
def test_it_is_called_after_its_first_use(recorder_class: type[Recorder], kind: str) -> None:
    """Without a name, class and place tell which one it is."""
    recorder = armed(recorder_class)
    with installed(recorder):
        with LOCKS[kind]():
            pass
        found = drained(recorder)
    line = test_it_is_called_after_its_first_use.__code__.co_firstlineno + 5
    assert [f"{kind} at test_program_locks.py:{line}"] == found.locks
    assert {"test_it_is_called_after_its_first_use"} == {e.function for e in found.events[1:-1]}


def test_only_the_outermost_hold_counts(recorder_class: type[Recorder]) -> None:
    """A thread that has a reentrant lock already does not obtain it again."""
    recorder = armed(recorder_class)
    lock = ThreadRLock()
    with installed(recorder):
        with lock, lock:
            assert lock.acquire()
            lock.release()
        found = drained(recorder)
    assert ["WAIT", "OBTAIN", "RELEASE"] == found.of(str(threading.get_ident()))


@pytest.mark.parametrize("kind", LOCKS)
def test_a_timeout(recorder_class: type[Recorder], kind: str) -> None:
    """Who waits in vain gives up; who only looks does not wait."""
    recorder = armed(recorder_class)
    lock = LOCKS[kind]()
    results: list[bool] = []

    def look() -> None:
        results.append(lock.acquire(False))
        results.append(lock.acquire(timeout=0.001))

    with installed(recorder):
        assert lock.acquire(False)
        thread = in_thread(look)
        thread.join(DEADLINE_S)
        lock.release()
        found = drained(recorder)
    assert [False, False] == results
    assert ["WAIT", "GIVE_UP"] == found.of(str(thread.ident))
    assert ["WAIT", "OBTAIN", "RELEASE"] == found.of(str(threading.get_ident()))


@pytest.mark.parametrize("kind", LOCKS)
def test_misuse_is_answered_as_by_threading(recorder_class: type[Recorder], kind: str) -> None:
    """Wrong calls raise what they raise there, recording or not."""
    calls: list[Callable[[Any], object]] = [
        lambda lock: lock.release(),
        lambda lock: lock.acquire(False, 1),
        lambda lock: lock.acquire(True, -2),
        lambda lock: lock.acquire("no", "number"),
    ]

    def answers(lock: Any) -> list[tuple[type, str]]:
        said = []
        for call in calls:
            with pytest.raises((RuntimeError, ValueError, TypeError)) as caught:
                call(lock)
            said.append((caught.type, str(caught.value)))
        return said

    expected = answers(PLAIN[kind]())
    assert expected == answers(LOCKS[kind]())
    recorder = armed(recorder_class)
    with installed(recorder):
        assert expected == answers(LOCKS[kind]())
        assert 0 == drained(recorder).most_holders()


@pytest.mark.parametrize("kind", LOCKS)
def test_a_condition_over_it(recorder_class: type[Recorder], kind: str) -> None:
    """`threading.Condition` works with it; its wait releases the lock and obtains it again."""
    recorder = armed(recorder_class)
    lock: Any = LOCKS[kind]()
    changed = threading.Condition(lock)
    waits, is_set = threading.Event(), False

    def wait() -> None:
        with changed:
            waits.set()
            assert changed.wait_for(lambda: is_set, DEADLINE_S)

    with installed(recorder):
        thread = in_thread(wait)
        assert waits.wait(DEADLINE_S)
        with changed:
            is_set = True
            changed.notify()
        thread.join(DEADLINE_S)
        found = drained(recorder)
    assert ["WAIT", "OBTAIN", "RELEASE"] * 2 == found.of(str(thread.ident))


def test_a_task_holds_a_lock_of_threads(
    recorder_class: type[Recorder], loop_factory: LoopFactory
) -> None:
    """Where a task runs, it is the task that has the lock."""

    async def main() -> None:
        with ThreadLock("cache"):
            await asyncio.sleep(0)

    async def outer() -> None:
        await asyncio.get_running_loop().create_task(main(), name="one")

    found = contention_of(recorder_class, outer(), loop_factory)
    assert ["WAIT", "OBTAIN", "RELEASE"] == found.of("one")


@pytest.mark.parametrize("kind", LOCKS)
def test_recording_begins_and_ends_in_the_middle(recorder_class: type[Recorder], kind: str) -> None:
    """A hold of which the begin was not seen is not told; each recorder hears the lock's name."""
    lock = LOCKS[kind]("cache")
    told = []
    for _ in range(2):
        recorder = armed(recorder_class)
        locks = Locks(recorder)
        lock.acquire()
        locks.install(1)
        lock.release()
        with lock:
            pass
        lock.acquire()
        found: Contention = drained(recorder)
        locks.uninstall(1)
        lock.release()
        told.append([op for op, _ in found.told])
    assert [["ANNOUNCE", "WAIT", "OBTAIN", "RELEASE", "WAIT", "OBTAIN"]] * 2 == told


def test_own_faults(recorder_class: type[Recorder], monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of aperf's own is counted, and the lock works."""

    def fail(frame: object) -> None:
        raise ValueError("on purpose")

    recorder = armed(recorder_class)
    lock = ThreadLock("cache")
    with installed(recorder):
        with lock:
            monkeypatch.setattr("aperf._instrument._locks_timeline.user_frame", fail)
        with lock:
            assert lock.locked()
        assert lock.acquire(False)
        lock.release()
    assert 5 == recorder.internal_errors


def test_off(recorder_class: type[Recorder]) -> None:
    """Without a recording, a lock loads nothing of aperf's recorder, nor asyncio."""
    program = (
        "import sys, aperf.locks\n"
        "with aperf.locks.ThreadLock(), aperf.locks.ThreadRLock(): pass\n"
        "print(sorted({'asyncio', 'aperf._recorder'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert b"[]" == done.stdout.strip()
    assert active.recording is None


# ------------------------------------------------------------------------------- locks of libraries


async def hold(lock: Any) -> None:
    """Hold a lock for some turns of the loop."""
    async with lock:
        for _ in range(4):
            await asyncio.sleep(0)


async def acquire(lock: Any) -> None:
    """Hold a lock for one turn of the loop, by its methods."""
    await lock.acquire()
    await asyncio.sleep(0)
    lock.release()


ANYIO: dict[str, tuple[Callable[[], Any], int]] = {
    "Lock": (anyio.Lock, 1),
    "Semaphore": (lambda: anyio.Semaphore(2), 2),
    "CapacityLimiter": (lambda: anyio.CapacityLimiter(2), 2),
}


@pytest.mark.parametrize("way", [hold, acquire])
@pytest.mark.parametrize("kind", ANYIO)
def test_a_lock_of_anyio(
    recorder_class: type[Recorder],
    loop_factory: LoopFactory,
    kind: str,
    way: Callable[[Any], Any],
) -> None:
    """What a library's lock does not tell, what stands in for it does."""
    make, seats = ANYIO[kind]

    async def main() -> None:
        lock = watch(make(), "seats", shared=seats > 1)
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(way(lock), name=f"task {i}") for i in range(5)]
        await asyncio.gather(*tasks)
        assert 0 == lock.statistics().tasks_waiting

    found = contention_of(recorder_class, main(), loop_factory)
    assert ["seats"] == found.locks
    assert found.most_holders() <= seats
    assert {seats > 1} == {event.shared for event in found.events}
    assert {way.__name__} == {event.function for event in found.events[1:-1]}
    for i in range(5):
        assert ["WAIT", "OBTAIN", "RELEASE"] == found.of(f"task {i}")


def test_a_watched_wait_is_cancelled(
    recorder_class: type[Recorder], loop_factory: LoopFactory
) -> None:
    """A cancelled wait is given up, and the next one gets the lock."""

    async def main() -> None:
        lock = watch(anyio.Lock())
        lock.acquire_nowait()
        loop = asyncio.get_running_loop()
        two, three = (loop.create_task(hold(lock), name=name) for name in ("two", "three"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        two.cancel()
        await asyncio.sleep(0)
        lock.release()
        await three

    found = contention_of(recorder_class, main(), loop_factory)
    assert ["WAIT", "GIVE_UP"] == found.of("two")
    assert ["WAIT", "OBTAIN", "RELEASE"] == found.of("three")
    assert 1 == found.most_holders()


def test_what_stands_in_is_like_the_lock() -> None:
    """Without a recording all passes through, and whatever else it can do is still there."""
    inner = anyio.Lock()
    lock = watch(inner)
    assert isinstance(lock, WatchedLock)
    assert inspect.iscoroutinefunction(lock.acquire)
    assert repr(inner) in repr(lock)
    assert not copy.copy(lock).locked()
    with pytest.raises(AttributeError):
        _ = lock.nothing_like_that

    async def main() -> None:
        await hold(lock)
        await acquire(lock)
        lock.acquire_nowait()
        assert lock.locked()
        lock.release()
        assert not inner.locked()

    run_plain(main())


def test_other_loops_are_let_alone(recorder_class: type[Recorder]) -> None:
    """Tasks of a loop that nobody watches are no subject."""
    recorder = armed(recorder_class)
    with installed(recorder):

        async def main() -> None:
            lock = watch(anyio.Lock())
            await asyncio.gather(hold(lock), hold(lock))

        run_plain(main())
        assert [] == drained(recorder).events
