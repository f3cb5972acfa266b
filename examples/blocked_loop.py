"""A server's heartbeat that stops for a moment, and the function that is to blame.

A heart beats every ten milliseconds. One coroutine computes for a fifth of a second without
awaiting anything: for that time nothing else runs on the loop, and the heart misses its beats.
Nothing fails, so nobody notices, except those who measure.

    aperf run examples/blocked_loop.py

The summary names the step: the function that was resumed, and the line at which it was ([1]).

    expect: longest_step draw_chart at=[1] duration_ns>=150000000
    expect: wait sleep count>=10
    expect: coroutine heart tasks=1 cancelled=1
    expect: coroutine draw_chart tasks=1 errors=0 busy_ns>=150000000
    expect: await_site heart kind=sleep at=[2]
"""

from __future__ import annotations

import asyncio
import time

BEAT_S = 0.01
CHART_S = 0.2


def compute(seconds: float) -> int:
    """Keep the processor busy, as an unlucky regular expression or a big JSON document would."""
    end = time.perf_counter() + seconds
    total = 0
    while time.perf_counter() < end:
        total += sum(range(100))
    return total


async def heart(pauses: list[float]) -> None:
    while True:
        before = time.perf_counter()
        await asyncio.sleep(BEAT_S)  # [2]
        pauses.append(time.perf_counter() - before)


async def draw_chart() -> None:
    await asyncio.sleep(5 * BEAT_S)  # [1]
    compute(CHART_S)  # asyncio.to_thread(compute, CHART_S) would leave the loop alone


async def main() -> None:
    pauses: list[float] = []
    beating = asyncio.create_task(heart(pauses), name="heart")
    await asyncio.create_task(draw_chart(), name="chart")
    await asyncio.sleep(5 * BEAT_S)
    beating.cancel()
    missed = max(pauses) > CHART_S / 2
    print("the heart missed beats" if missed else "the heart kept its rhythm")


if __name__ == "__main__":
    asyncio.run(main())
