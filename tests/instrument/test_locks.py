"""Contention of asyncio's locks: what is recorded, and that nobody notices."""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import pickle
import random
import sys
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest

from aperf._instrument import _locks_active as active
from aperf._instrument.locks import Locks
from aperf._pipeline._waits import classify_wait
from aperf._recorder import Cold, Kind, StepFlag
from tests.contention import Contention, contention, contention_of, installed
from tests.records import decode, of_kind
from tests.wait_scenarios import SCENARIOS, Scenario
from tests.watched import LoopFactory, run, run_plain, watched

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from aperf._recorder import Recorder

EXCLUSIVE: dict[str, Callable[[], Any]] = {
    "Lock": asyncio.Lock,
    "Semaphore": asyncio.Semaphore,
    "BoundedSemaphore": asyncio.BoundedSemaphore,
    "Condition": asyncio.Condition,
}
QUEUES: dict[str, type[asyncio.Queue[int]]] = {
    "Queue": asyncio.Queue,
    "PriorityQueue": asyncio.PriorityQueue,
    "LifoQueue": asyncio.LifoQueue,
}
MAKERS: dict[str, Callable[[], Any]] = {**EXCLUSIVE, **QUEUES}
#: Those of asyncio and anyio; over a network, waits come in any order.
LOCK_SCENARIOS = [
    scenario
    for scenario in SCENARIOS
    if scenario.said[0] in {"lock", "semaphore", "condition", "barrier", "queue_get", "queue_put"}
    and "http" not in scenario.name
]


async def hold(lock: Any, turns: int = 3) -> None:
    """Hold a lock for some turns of the loop."""
    async with lock:
        for _ in range(turns):
            await asyncio.sleep(0)


def start(name: str, program: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Start a task by a name."""
    return asyncio.get_running_loop().create_task(program, name=name)


async def turns(number: int = 3) -> None:
    """Let the others run for some turns of the loop."""
    for _ in range(number):
        await asyncio.sleep(0)


# ------------------------------------------------------------------------------- what is recorded


@pytest.mark.parametrize("kind", EXCLUSIVE)
def test_two_tasks_contend(
    recorder_class: type[Recorder], loop_factory: LoopFactory, kind: str
) -> None:
    """A lock is announced by whoever has to wait first; from there on everything is told."""

    async def main() -> None:
        lock = EXCLUSIVE[kind]()
        await asyncio.gather(start("one", hold(lock)), start("two", hold(lock)))
        await start("three", hold(lock))

    found = contention_of(recorder_class, main(), loop_factory)
    expected = [
        ("ANNOUNCE", "two"),
        ("WAIT", "two"),
        ("WAIT", "one"),  # that it held the lock is known when it releases it
        ("OBTAIN", "one"),
        ("RELEASE", "one"),
        ("OBTAIN", "two"),
        ("RELEASE", "two"),
        ("WAIT", "three"),
        ("OBTAIN", "three"),
        ("RELEASE", "three"),
        ("TERMINATE", ""),
    ]
    assert expected == found.told
    assert 1 == found.most_holders()
    assert [f"{kind} at test_locks.py:{hold.__code__.co_firstlineno + 2}"] == found.locks
    assert {"Semaphore" in kind} == {event.shared for event in found.events}
    assert {"hold"} == {event.function for event in found.events[1:-1]}
    announced, *others = [event.t_ns for event in found.events]
    assert [announced] * 2 == others[1:3]
    del others[1:3]
    assert sorted(others) == others


@pytest.mark.parametrize("kind", EXCLUSIVE)
def test_nothing_is_recorded_without_contention(
    recorder_class: type[Recorder], loop_factory: LoopFactory, kind: str
) -> None:
    """A lock that nobody had to wait for leaves no record, and is left as it is."""

    async def main() -> None:
        lock = EXCLUSIVE[kind]()
        before = dict(vars(lock))
        for _ in range(3):
            await hold(lock)
        assert before == vars(lock)

    assert [] == contention_of(recorder_class, main(), loop_factory).events


def test_a_semaphore_has_several_holders(
    recorder_class: type[Recorder], loop_factory: LoopFactory
) -> None:
    """Each seat is a hold, also those that were taken before anybody had to wait."""

    async def main() -> None:
        seats = asyncio.BoundedSemaphore(3)
        await asyncio.gather(*(start(f"task {i}", hold(seats)) for i in range(7)))

    found = contention_of(recorder_class, main(), loop_factory)
    assert 3 == found.most_holders()
    for i in range(7):
        assert ["WAIT", "OBTAIN", "RELEASE"] == found.of(f"task {i}")
    assert all(event.shared for event in found.events)


def test_a_semaphore_as_a_signal(recorder_class: type[Recorder], loop_factory: LoopFactory) -> None:
    """Whoever releases a semaphore without having it ends the oldest hold, if there is one."""

    async def main() -> None:
        signal = asyncio.Semaphore(0)

        async def wait() -> None:
            await signal.acquire()
            await signal.acquire()

        waiting = start("waits", wait())
        for _ in range(3):
            await turns()
            signal.release()
        await waiting

    found = contention_of(recorder_class, main(), loop_factory)
    assert ["WAIT", "OBTAIN", "WAIT", "RELEASE", "OBTAIN", "RELEASE"] == found.of("waits")
    assert 1 == found.most_holders()


def test_a_callback_releases(recorder_class: type[Recorder], loop_factory: LoopFactory) -> None:
    """A release outside of any task ends the hold that there is."""

    async def main() -> None:
        lock = asyncio.Lock()
        await lock.acquire()

        async def obtain() -> None:
            await lock.acquire()

        waiting = start("waits", obtain())
        await turns()
        for _ in range(2):
            asyncio.get_running_loop().call_soon(lock.release)
            await turns()
        await waiting

    found = contention_of(recorder_class, main(), loop_factory)
    assert ["WAIT", "OBTAIN", "RELEASE"] == found.of("waits")
    assert 4 + 1 == len(found.events)


def test_a_wait_is_given_up(recorder_class: type[Recorder], loop_factory: LoopFactory) -> None:
    """A cancelled wait ends without the lock, which goes to the next one."""

    async def main() -> None:
        lock = asyncio.Lock()
        one, two, three = (start(name, hold(lock)) for name in ("one", "two", "three"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        two.cancel()
        await asyncio.gather(one, two, three, return_exceptions=True)
        assert two.cancelled()
        assert not lock.locked()

    found = contention_of(recorder_class, main(), loop_factory)
    assert ["WAIT", "GIVE_UP"] == found.of("two")
    assert ["WAIT", "OBTAIN", "RELEASE"] == found.of("three")
    assert 1 == found.most_holders()


@pytest.mark.parametrize("kind", EXCLUSIVE)
def test_a_wait_is_cancelled_after_its_wake_up(
    recorder_class: type[Recorder], loop_factory: LoopFactory, kind: str
) -> None:
    """A task that is cancelled between wake-up and resume has never had the lock."""

    async def main() -> None:
        lock = EXCLUSIVE[kind]()
        await lock.acquire()
        two, three = start("two", hold(lock)), start("three", hold(lock))
        await turns()
        lock.release()
        two.cancel()
        await asyncio.gather(two, three, return_exceptions=True)
        assert two.cancelled()
        assert not lock.locked()

    found = contention_of(recorder_class, main(), loop_factory)
    assert ["WAIT", "GIVE_UP"] == found.of("two")
    assert ["WAIT", "OBTAIN", "RELEASE"] == found.of("three")


def test_a_wait_inside_a_handler(recorder_class: type[Recorder], loop_factory: LoopFactory) -> None:
    """An exception that the program handles meanwhile does not end the wait."""

    async def clean_up(lock: asyncio.Lock) -> None:
        try:
            raise asyncio.CancelledError
        except asyncio.CancelledError:
            await hold(lock)

    async def main() -> None:
        lock = asyncio.Lock()
        await asyncio.gather(start("one", clean_up(lock)), start("two", clean_up(lock)))

    found = contention_of(recorder_class, main(), loop_factory)
    assert ["WAIT", "OBTAIN", "RELEASE"] == found.of("two")


def test_a_condition_gives_its_lock_back_and_takes_it_again(
    recorder_class: type[Recorder], loop_factory: LoopFactory
) -> None:
    """`Condition.wait` releases the lock, and contends for it once it was notified."""

    async def main() -> None:
        changed = asyncio.Condition()

        async def wait() -> None:
            async with changed:
                await changed.wait()

        async def notify() -> None:
            async with changed:
                changed.notify_all()
                await turns()

        first = start("holds", hold(changed, 2))
        await asyncio.sleep(0)
        waiting = [start(f"waits {i}", wait()) for i in range(2)]
        await first
        await turns(8)
        await asyncio.gather(*waiting, start("notifies", notify()))

    found = contention_of(recorder_class, main(), loop_factory)
    assert 1 == len(found.locks)
    assert 1 == found.most_holders()
    for i in range(2):
        assert ["WAIT", "OBTAIN", "RELEASE"] * 2 == found.of(f"waits {i}")


@pytest.mark.parametrize("kind", QUEUES)
def test_a_queue_makes_wait(
    recorder_class: type[Recorder], loop_factory: LoopFactory, kind: str
) -> None:
    """Waiting for an item and for room are two locks, and nobody holds either."""

    async def main() -> None:
        queue = QUEUES[kind](1)

        async def get() -> None:
            for _ in range(3):
                await queue.get()

        async def put() -> None:
            for item in range(3):
                await queue.put(item)

        getting = start("gets", get())
        await turns()
        await asyncio.gather(getting, start("puts", put()))

    found = contention_of(recorder_class, main(), loop_factory)
    assert [f"{kind}.get", f"{kind}.put"] == [name.partition(" ")[0] for name in found.locks]
    for who in ("gets", "puts"):
        events = [event for event in found.events if event.who == who][1:]
        assert len(events) >= 6
        assert ["WAIT", "OBTAIN", "RELEASE"] * (len(events) // 3) == [e.op for e in events]
        assert {who.removesuffix("s")} == {event.function for event in events}
        assert all(event.shared for event in events)
    assert 1 == found.most_holders()


def test_a_wait_for_an_item_is_given_up(
    recorder_class: type[Recorder], loop_factory: LoopFactory
) -> None:
    """A cancelled wait for an item ends without one."""

    async def main() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue()
        getting = [start(f"gets {i}", queue.get()) for i in range(3)]
        await turns()
        getting[0].cancel()
        await turns()
        getting[1].cancel()
        queue.put_nowait(1)  # finds the second one cancelled, but not gone yet
        await asyncio.gather(*getting, return_exceptions=True)
        assert 1 == getting[2].result()

    found = contention_of(recorder_class, main(), loop_factory)
    assert ["WAIT", "GIVE_UP"] == found.of("gets 0")
    assert ["WAIT", "GIVE_UP"] == found.of("gets 1")
    assert ["WAIT", "OBTAIN", "RELEASE"] == found.of("gets 2")


@pytest.mark.skipif(sys.version_info < (3, 13), reason="queues cannot be shut down before 3.13")
def test_a_queue_is_shut_down(recorder_class: type[Recorder], loop_factory: LoopFactory) -> None:
    """Who waits for a queue that is shut down gets nothing."""

    async def main() -> None:
        queue: Any = asyncio.Queue()
        getting = start("gets", queue.get())
        await turns()
        queue.shutdown()
        await asyncio.gather(getting, return_exceptions=True)

    found = contention_of(recorder_class, main(), loop_factory)
    assert ["WAIT", "GIVE_UP"] == found.of("gets")


def test_a_lock_that_was_contended_before(
    recorder_class: type[Recorder], loop_factory: LoopFactory
) -> None:
    """Those who waited already when watching began are told of once they have the lock."""

    async def main() -> None:
        lock = asyncio.Lock()
        tasks = [start("one", hold(lock)), start("two", hold(lock))]
        await asyncio.sleep(0)
        locks = Locks(recorder)
        locks.install(1)
        try:
            tasks.append(start("three", hold(lock)))
            await asyncio.gather(*tasks)
        finally:
            locks.uninstall(1)

    recorder = recorder_class(Cold())
    found = contention(recorder, run(recorder, main(), loop_factory).records)
    for who in ("one", "two", "three"):
        assert ["WAIT", "OBTAIN", "RELEASE"] == found.of(who)
    assert 1 == found.most_holders()


@pytest.mark.parametrize("seed", range(12))
def test_random_programs(recorder_class: type[Recorder], seed: int) -> None:
    """Whatever is held and let go, and whoever is cancelled, the records tell it in order."""
    rng = random.Random(seed)
    truth: list[tuple[str, str]] = []

    async def main() -> None:
        locks = [asyncio.Lock(), asyncio.Semaphore(2), asyncio.Condition()]

        async def work(name: str) -> None:
            for _ in range(rng.randrange(1, 5)):
                number = rng.randrange(len(locks))
                async with locks[number]:
                    if number == 0:
                        truth.append(("OBTAIN", name))
                    try:
                        await turns(rng.randrange(4))
                    finally:
                        if number == 0:
                            truth.append(("RELEASE", name))

        tasks = [start(f"task {i}", work(f"task {i}")) for i in range(8)]
        for _ in range(rng.randrange(30)):
            await turns(rng.randrange(3))
            if rng.random() < 0.2:
                rng.choice(tasks).cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    found = contention_of(recorder_class, main(), asyncio.new_event_loop)
    assert found.most_holders() <= 2
    told = [
        (event.op, event.who)
        for event in found.events
        if event.lock.startswith("Lock ") and event.op in ("OBTAIN", "RELEASE")
    ]
    assert truth[len(truth) - len(told) :] == told


# ------------------------------------------------------------------------------------ not disturbed


def test_public_names_are_untouched(recorder_class: type[Recorder]) -> None:
    """All that a program can call, inspect and derive from is what it was."""
    classes: tuple[type, ...] = (asyncio.Lock, asyncio.Semaphore, asyncio.Condition, asyncio.Queue)
    pickle.dumps(asyncio.Lock())  # which leaves something in the class
    before = {cls: dict(vars(cls)) for cls in classes}
    with installed(recorder_class(Cold())):
        for cls in classes:
            now = {name: value for name, value in vars(cls).items() if name != "_get_loop"}
            assert before[cls] == now
        method: Any = asyncio.Lock._get_loop  # type: ignore[attr-defined]
        assert "_LoopBoundMixin._get_loop" == method.__qualname__
        assert "(self)" == str(inspect.signature(method))
        copied = pickle.loads(pickle.dumps(asyncio.Lock()))
        assert not copied.locked()
    assert before == {cls: dict(vars(cls)) for cls in classes}


@pytest.mark.parametrize("scenario", LOCK_SCENARIOS, ids=lambda scenario: scenario.name)
def test_waits_are_classified_as_before(
    recorder_class: type[Recorder], lazy_loop_factory: LoopFactory, scenario: Scenario
) -> None:
    """Kinds, names and places of waits do not depend on whether locks are watched."""

    def waits() -> list[object]:
        records = run(recorder, scenario.run(), lazy_loop_factory).records
        steps = of_kind(records, Kind.STEP, Kind.WIDE)
        return [
            classify_wait(recorder.resolve(step.ref))
            for step in steps
            if not step.flags & StepFlag.FIRST
        ]

    recorder = recorder_class(Cold(), stack_min_ns=0)
    without = waits()
    with installed(recorder):
        assert without == waits()


def test_subclasses(recorder_class: type[Recorder], loop_factory: LoopFactory) -> None:
    """A subclass is called by its name; one that goes its own ways is let alone."""

    class Counted(asyncio.Lock):
        acquired = 0

        async def acquire(self) -> Any:
            result = await super().acquire()
            self.acquired += 1
            return result

    class Own(asyncio.Lock):
        _locked: bool
        _waiters: deque[Any] | None

        async def acquire(self) -> Any:
            if self._locked:
                future = self._get_loop().create_future()  # type: ignore[attr-defined]
                self._waiters = deque([future])
                await future
                self._waiters = None
            self._locked = True
            return True

    async def main() -> None:
        for lock in (counted, Own()):
            await asyncio.gather(start("one", hold(lock)), start("two", hold(lock)))

    counted = Counted()
    found = contention_of(recorder_class, main(), loop_factory)
    assert 2 == counted.acquired
    [name] = found.locks
    assert name.startswith("test_subclasses.<locals>.Counted at ")
    assert 1 == found.most_holders()


def test_a_watched_queue_of_waiters_is_copied_plainly(recorder_class: type[Recorder]) -> None:
    """What stands in for a lock's waiters is a deque like any other to who copies or pickles it."""

    async def main() -> None:
        lock: Any = asyncio.Lock()
        await asyncio.gather(hold(lock), hold(lock))
        assert type(lock._waiters) is not deque
        assert type(pickle.loads(pickle.dumps(lock._waiters))) is deque
        assert type(copy.deepcopy(lock._waiters)) is deque
        other = copy.copy(lock._waiters)
        other.append(1)
        assert [1] == list(other)
        assert not lock._waiters

    contention_of(recorder_class, main(), asyncio.new_event_loop)


def test_other_loops_are_let_alone(recorder_class: type[Recorder]) -> None:
    """Locks of a loop that nobody watches, such as those of aperf's own threads, are no subject."""

    async def main() -> None:
        lock: Any = asyncio.Lock()
        await asyncio.gather(hold(lock), hold(lock))
        assert type(lock._waiters) is deque

    recorder = recorder_class(Cold())
    recorder.armed = True
    with installed(recorder):
        run_plain(main())
    assert [] == decode(recorder)


def test_a_full_ring(recorder_class: type[Recorder]) -> None:
    """A lock whose announcement found no room is not spoken of."""

    async def main() -> None:
        while recorder.put(Kind.MESSAGE, 0, 0, 0, 0):
            pass
        lock: Any = asyncio.Lock()
        await asyncio.gather(hold(lock), hold(lock))
        assert type(lock._waiters) is deque

    recorder = recorder_class(Cold(), ring_slots=64)
    with installed(recorder), asyncio.Runner() as runner, watched(recorder, runner.get_loop()):
        runner.run(main())
    assert [] == of_kind(decode(recorder), Kind.LOCK)


def test_own_faults(recorder_class: type[Recorder], monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of aperf's own is counted, and the program goes on."""

    def fail(frame: object) -> None:
        raise ValueError("on purpose")

    async def main() -> None:
        lock, queue = asyncio.Lock(), asyncio.Queue[int]()
        await asyncio.gather(hold(lock), hold(lock))
        monkeypatch.setattr("aperf._instrument._locks_timeline.user_frame", fail)
        await asyncio.gather(hold(lock), hold(lock))
        getting = start("gets", queue.get())
        await turns()
        queue.put_nowait(1)
        assert 1 == await getting

    recorder = recorder_class(Cold())
    with installed(recorder), asyncio.Runner() as runner, watched(recorder, runner.get_loop()):
        runner.run(main())
    assert recorder.internal_errors > 0


# ------------------------------------------------------------------------------- lives and sessions


def test_a_lock_dies(recorder_class: type[Recorder], loop_factory: LoopFactory) -> None:
    """A lock is freed without the garbage collector, and that is recorded."""

    async def main() -> None:
        lock = asyncio.Lock()
        await asyncio.gather(start("one", hold(lock)), start("two", hold(lock)))
        await turns()  # until nothing holds the tasks any more
        gone = weakref.ref(lock)
        del lock
        assert gone() is None

    gc.disable()
    try:
        found = contention_of(recorder_class, main(), loop_factory)
    finally:
        gc.enable()
    assert ("TERMINATE", "") == found.told[-1]


def test_a_lock_lives_longer_than_the_recorder(recorder_class: type[Recorder]) -> None:
    """A lock that was watched once keeps nothing of it alive, and is as it was when used next."""
    lock: Any = asyncio.Lock()

    async def main() -> None:
        await asyncio.gather(hold(lock), hold(lock))

    def watch() -> weakref.ref[Any]:
        recorder = recorder_class(Cold())
        with installed(recorder):
            run(recorder, main())
        return weakref.ref(recorder.cold)

    gone = watch()
    gc.collect()
    assert gone() is None
    assert type(lock._waiters) is not deque
    run_plain(hold(lock))
    assert type(lock._waiters) is deque


@pytest.mark.parametrize("kind", MAKERS)
def test_watching_ends_in_the_middle(
    recorder_class: type[Recorder], loop_factory: LoopFactory, kind: str
) -> None:
    """Whoever waits while watching ends, or begins anew, is served in the same turn as ever."""

    async def take(thing: Any, number: int, order: list[int]) -> None:
        if kind in QUEUES:
            await thing.get()
        else:
            await thing.acquire()
        order.append(number)
        await turns(2)
        if kind in QUEUES:
            thing.put_nowait(1)
        else:
            thing.release()

    async def main(switch: Callable[[int], None]) -> list[int]:
        thing: Any = MAKERS[kind]()
        if kind in QUEUES:
            asyncio.get_running_loop().call_soon(thing.put_nowait, 1)
        order: list[int] = []
        tasks = []
        for number in range(12):
            switch(number)
            tasks.append(start(f"task {number}", take(thing, number, order)))
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        return order

    recorder = recorder_class(Cold())
    locks = Locks(recorder)
    with asyncio.Runner(loop_factory=loop_factory) as runner, watched(recorder, runner.get_loop()):
        expected = runner.run(main(lambda number: None))
        order = runner.run(main(lambda n: locks.uninstall(1) if n % 3 else locks.install(1)))
    locks.uninstall(1)
    assert expected == order
    assert list(range(12)) == sorted(order)


def loop_getters() -> list[object]:
    """Return what stands on the classes that are watched."""
    return [vars(cls).get("_get_loop") for cls in (asyncio.Lock, asyncio.Semaphore, asyncio.Queue)]


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_sessions_end_in_any_order(recorder_class: type[Recorder], order: tuple[int, int]) -> None:
    """Watching lasts as long as any session wants it, however often it says so."""
    locks = Locks(recorder_class(Cold()))
    for session in (1, 1, 2):
        locks.install(session)
    first, second = order
    locks.uninstall(first)
    locks.uninstall(first)
    assert None not in loop_getters()
    locks.uninstall(second)
    assert [None] * 3 == loop_getters()
    assert active.recording is None
    locks.forget()
    locks.install(1)
    locks.forget()
    assert [None] * 3 == loop_getters()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_recorders_end_in_any_order(recorder_class: type[Recorder], order: tuple[int, int]) -> None:
    """With several recorders it is the last one that records, and all is undone with the last."""
    both = [Locks(recorder_class(Cold())) for _ in range(2)]
    for locks in both:
        locks.install(1)
    both[order[0]].uninstall(1)
    assert None not in loop_getters()
    assert active.recording is not None
    both[order[1]].uninstall(1)
    assert [None] * 3 == loop_getters()


def test_a_later_patch_stays(
    recorder_class: type[Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What somebody else has put over ours is not taken off, and still works."""
    calls = []

    def patch(self: Any) -> Any:
        calls.append(self)
        return ours(self)

    locks = Locks(recorder_class(Cold()))
    with monkeypatch.context() as context:
        locks.install(1)
        ours: Any = asyncio.Lock._get_loop  # type: ignore[attr-defined]
        context.setattr(asyncio.Lock, "_get_loop", patch)
        locks.uninstall(1)
        assert [patch, None, None] == loop_getters()

        async def main() -> None:
            lock = asyncio.Lock()
            await asyncio.gather(hold(lock), hold(lock))
            assert [lock] == calls

        run_plain(main())
    del asyncio.Lock._get_loop  # type: ignore[attr-defined]
    assert [None] * 3 == loop_getters()


def test_told(recorder_class: type[Recorder]) -> None:
    """A recorder that is disarmed is told nothing."""

    async def main() -> None:
        lock = asyncio.Lock()
        recorder.armed = False
        await asyncio.gather(hold(lock), hold(lock))
        recorder.armed = True

    recorder = recorder_class(Cold())
    with installed(recorder):
        found: Contention = contention(recorder, run(recorder, main()).records)
    assert [] == found.events
