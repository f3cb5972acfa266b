"""What the benchmarks do on a loop, by name. Each takes the number of repetitions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    Workload = Callable[[int], Coroutine[Any, Any, None]]


async def sleep0(n: int) -> None:
    """Suspend n times without waiting for anything."""
    for _ in range(n):
        await asyncio.sleep(0)


async def sleep0_deep(n: int) -> None:
    """Suspend n times below four nested awaits."""

    async def third() -> None:
        await asyncio.sleep(0)

    async def second() -> None:
        await third()

    async def first() -> None:
        await second()

    for _ in range(n):
        await first()


async def future(n: int) -> None:
    """Wait n times for a future that a callback resolves."""
    loop = asyncio.get_running_loop()
    for _ in range(n):
        waiter = loop.create_future()
        loop.call_soon(waiter.set_result, None)
        await waiter


async def queue_hop(n: int) -> None:
    """Hand something from task to task n times: one suspension and one waker each."""
    there: asyncio.Queue[int] = asyncio.Queue()
    back: asyncio.Queue[int] = asyncio.Queue()

    async def echo() -> None:
        for _ in range(n // 2):
            back.put_nowait(await there.get())

    task = asyncio.create_task(echo())
    for number in range(n // 2):
        there.put_nowait(number)
        await back.get()
    await task


async def nothing() -> None:
    """Be a task with one step."""


async def tasks(n: int) -> None:
    """Create n tasks of one step, five hundred at a time."""
    for _ in range(n // 500):
        batch = [asyncio.create_task(nothing()) for _ in range(500)]
        while not batch[-1].done():
            await asyncio.sleep(0)


async def many_tasks(n: int) -> None:
    """Run n tasks at once, each of which suspends ten times."""
    async with asyncio.TaskGroup() as group:
        for _ in range(n):
            group.create_task(sleep0(10))


WORKLOADS: Final[dict[str, Workload]] = {
    "sleep0": sleep0,
    "sleep0_deep": sleep0_deep,
    "future": future,
    "queue_hop": queue_hop,
    "tasks": tasks,
    "many_tasks": many_tasks,
}
