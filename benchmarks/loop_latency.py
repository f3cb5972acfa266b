"""How punctual a busy loop is while its spans are exported: p99 of the lateness of 1 ms timers.

python benchmarks/loop_latency.py [--implementation c|python] [--json PATH]
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time

from _paired import loop_names, paired_loops
from _report import Figure, run
from _sink import otlp_sink

TICK_S = 0.001
SECONDS = 1.0
ROUNDS = 8
TASKS = 10  # per tick: with two suspensions each some 30,000 spans a second
BUDGET = 1.10


async def _twice() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def tick() -> list[float]:
    """Wake up every millisecond, do some work, and return by how much each awakening was late."""
    late = []
    end = time.perf_counter() + SECONDS
    while (before := time.perf_counter()) < end:
        await asyncio.sleep(TICK_S)
        late.append(time.perf_counter() - before - TICK_S)
        await asyncio.gather(*(_twice() for _ in range(TASKS)))
    return late


def p99_us(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98] * 1e6


def _figure(loop: str) -> Figure:
    import aperf

    late: dict[bool, list[float]] = {False: [], True: []}
    with paired_loops(loop) as pair:
        for number in range(ROUNDS):
            for is_watched in (True, False) if number % 2 else (False, True):
                where = pair.watched if is_watched else pair.plain
                late[is_watched] += where.run_until_complete(tick())
                if is_watched:
                    pair.plain.run_until_complete(pair.session.flush(60))
    plain, watched = p99_us(late[False]), p99_us(late[True])
    return Figure(
        what=f"p99 lateness of 1 ms timers, OTLP, {loop} ({aperf.IMPLEMENTATION})",
        value=watched / plain,
        unit="×",
        budget=BUDGET,
        note=f"{plain:.0f} → {watched:.0f} µs",
    )


def measure() -> list[Figure]:
    with otlp_sink() as endpoint:
        os.environ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = endpoint
        return [_figure(loop) for loop in loop_names()]


if __name__ == "__main__":
    run(__doc__, measure)
