"""One program, two recorders: the native twin writes what the Python twin writes, to the bit.

A quick test of both at once; what each of them promises is tested in the modules beside this one.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

from aperf._recorder import Cold, Kind
from tests.records import Record, decode
from tests.twins import HAS_CORE, recorder_of
from tests.watched import LoopFactory, watched

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from aperf._recorder import Recorder

STACK_MIN_NS: Final = 300  # between the shortest and the longest waits of the program


class History(NamedTuple):
    """All that a recorder tells of a program."""

    records: list[Record]
    sites: list[Any]
    live: list[tuple[int, int, int, bool, bool]]
    dropped: int
    internal_errors: int


class Program:
    """Tasks that do things to each other by dice, on a clock that only they move.

    Args:
        recorder: whose clock to move.
        seed: of the dice; equal programs do equal things.
    """

    def __init__(self, recorder: Recorder, seed: int) -> None:
        self._recorder = recorder
        self._dice = random.Random(seed)
        self._lock = asyncio.Lock()
        self._queue: asyncio.Queue[int] = asyncio.Queue()
        self._futures: list[asyncio.Future[None]] = []
        self._named = 0

    def _pass_time(self) -> None:
        self._recorder.set_time_ns(self._recorder.now_ns() + self._dice.randrange(200))

    def _spawn(self, function: Callable[[int], Any], depth: int) -> asyncio.Task[Any]:
        self._named += 1
        name = f"{function.__name__} {self._named} " + "é" * self._dice.randrange(100)
        return asyncio.create_task(function(depth), name=name)

    async def run(self) -> None:
        """Do it all."""
        tasks = [self._spawn(self._worker, 3) for _ in range(6)]
        while not all(task.done() for task in tasks):
            self._pass_time()
            self._wake_somebody()
            await asyncio.sleep(0)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _wake_somebody(self) -> None:
        self._queue.put_nowait(1)
        for future in self._futures:
            if not future.done():
                future.set_result(None)
        self._futures.clear()

    async def _worker(self, depth: int) -> None:
        deeds: list[Callable[[int], Awaitable[None]]] = [
            self._yield,
            self._wait,
            self._take,
            self._hold,
            self._iterate,
            self._shield,
            self._gather,
            self._group,
            self._cancel,
            self._fail,
        ]
        for _ in range(4):
            self._pass_time()
            await self._dice.choice(deeds)(depth)

    async def _yield(self, depth: int) -> None:
        await asyncio.sleep(0)

    async def _wait(self, depth: int) -> None:
        future = asyncio.get_running_loop().create_future()
        self._futures.append(future)
        await future

    async def _take(self, depth: int) -> None:
        await self._queue.get()

    async def _hold(self, depth: int) -> None:
        async with self._lock:
            await self._wait(depth)

    async def _items(self) -> AsyncIterator[int]:
        for item in range(3):
            await asyncio.sleep(0)
            yield item

    async def _iterate(self, depth: int) -> None:
        async for _ in self._items():
            self._pass_time()

    async def _shield(self, depth: int) -> None:
        await asyncio.shield(self._spawn(self._wait, depth))

    async def _gather(self, depth: int) -> None:
        if depth:
            children = [self._spawn(self._worker, depth - 2) for _ in range(depth)]
            await asyncio.gather(*children, return_exceptions=True)

    async def _group(self, depth: int) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._wait(depth), name="in a group")
            group.create_task(self._yield(depth), name="in a group, too")

    async def _cancel(self, depth: int) -> None:
        task = self._spawn(self._wait, depth)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    async def _fail(self, depth: int) -> None:
        task = self._spawn(self._raise, depth)
        await asyncio.wait([task])
        task.exception()

    async def _raise(self, depth: int) -> None:
        await asyncio.sleep(0)
        raise ValueError("é" * self._dice.randrange(600))


def without_number(record: Record) -> Record:
    """Return a record without a default name: asyncio counts on through the whole process."""
    is_default = record.kind in {Kind.BIRTH, Kind.NAME} and b"Task-" in record.payload
    return record._replace(payload=b"Task-N") if is_default else record


def history(implementation: str, loop_factory: LoopFactory, seed: int, slots: int) -> History:
    """Run the program under one of the twins."""
    recorder = recorder_of(implementation)(
        Cold(), ring_slots=slots, stack_min_ns=STACK_MIN_NS, manual_clock=True
    )

    async def main() -> None:
        await Program(recorder, seed).run()

    with asyncio.Runner(loop_factory=loop_factory) as runner, watched(recorder, runner.get_loop()):
        runner.run(main())
    sites = [recorder.resolve(number) for number in range(recorder.intern(()) + 1)]
    return History(
        [without_number(record) for record in decode(recorder)],
        sites,
        recorder.live(),
        recorder.dropped(),
        recorder.internal_errors,
    )


@pytest.mark.skipif(not HAS_CORE, reason="the native core was not built")
@pytest.mark.parametrize("slots", [1 << 14, 1 << 8], ids=["roomy", "too small"])
@pytest.mark.parametrize("seed", range(5))
def test_twins_write_the_same(loop_factory: LoopFactory, seed: int, slots: int) -> None:
    """Records, sites, live tasks and losses of both twins are equal."""
    python = history("python", loop_factory, seed, slots)
    native = history("c", loop_factory, seed, slots)
    assert python.sites == native.sites
    assert python == native
    assert python.internal_errors == 0
    assert bool(python.dropped) == (slots == 1 << 8)
