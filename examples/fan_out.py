"""Many questions at once: a task group of regions, each of which gathers its servers' answers.

    aperf run examples/fan_out.py

Each task and each await is counted exactly: one `main`, six regions, eight servers in each. What
the summary calls "waiting" overlaps, which is the point of asking at once.

    expect: coroutine main tasks=1 steps>=2
    expect: coroutine ask_region tasks=6 errors=0 cancelled=0
    expect: coroutine ask_server tasks=48 steps=96 errors=0 cancelled=0
    expect: wait task_group count=1
    expect: wait gather count=6
    expect: wait sleep count=48
    expect: await_site main kind=task_group at=[1]
    expect: await_site ask_region kind=gather at=[2]
    expect: await_site ask_server kind=sleep at=[3]
"""

from __future__ import annotations

import asyncio

REGIONS = ("africa", "antarctica", "asia", "australia", "europe", "oceania")
SERVERS = 8


async def ask_server(region: str, number: int) -> int:
    await asyncio.sleep(0.002 * (number + 1))  # [3]
    return len(region) + number


async def ask_region(region: str) -> tuple[str, int]:
    answers = await asyncio.gather(*(ask_server(region, n) for n in range(SERVERS)))  # [2]
    return region, sum(answers)


async def main() -> None:
    async with asyncio.TaskGroup() as group:  # [1]
        regions = [group.create_task(ask_region(region), name=region) for region in REGIONS]
    for region, total in (task.result() for task in regions):
        print(f"{region:12}{total:4}")


if __name__ == "__main__":
    asyncio.run(main())
