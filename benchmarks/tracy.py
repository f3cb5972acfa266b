"""What showing a program in Tracy costs it: without a viewer, and with one that reads along.

python benchmarks/tracy.py [--implementation c|python] [--json PATH]

"Recording" is a session that delivers nowhere, for comparison. The viewer is a process of its own
that throws everything away. "All threads" counts the CPU time until the viewer had been sent
everything.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from _paired import Comparison, Pair, loop_names, paired_loops
from _report import Figure, run
from _tracy import exporter, viewer
from _workloads import many_tasks
from http_handler import REQUESTS, Rig
from loop_latency import p99_us, tick

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TASKS = 10_000
ROUNDS = {"tasks": 6, "handler": 12, "latency": 8}
MODES = ("recording", "Tracy, no viewer", "Tracy, viewer")
TASKS_LABEL = "10,000 tasks × 10 sleep(0)"
HANDLER_LABEL = "HTTP handler, 4 tasks, 9 suspensions"


@contextlib.contextmanager
def watched(mode: str, loop: str) -> Iterator[tuple[Pair, Callable[[], str]]]:
    """Give a plain and a watched loop, and what says how much the viewer was not shown."""
    if mode == "recording":
        with paired_loops(loop, exporters=[]) as pair:
            yield pair, lambda: ""
        return
    tracy = exporter()

    def left_out() -> str:
        records = tracy.counters().dropped_records
        return f"; {records:,} records left out" if records else ""

    looking = viewer(tracy) if mode == "Tracy, viewer" else contextlib.nullcontext()
    with paired_loops(loop, exporters=[tracy]) as pair, looking:
        yield pair, left_out


def _figures(label: str, mode: str, loop: str, cost: Comparison, note: str) -> list[Figure]:
    import aperf

    where = f"{label}, {mode}, {loop} ({aperf.IMPLEMENTATION})"
    on_loop, in_all = cost.thread_ratio(), cost.process_ratio()
    return [
        Figure(what=f"{where}, loop's thread", value=on_loop, unit="×", note=note),
        Figure(what=f"{where}, all threads", value=in_all, unit="×", note=note),
    ]


def _tasks(mode: str, loop: str) -> list[Figure]:
    with watched(mode, loop) as (pair, left_out):
        cost = pair.compare_work(lambda: many_tasks(TASKS), ROUNDS["tasks"])
        note = f"of {cost.base_ns() / 1e6:.0f} ms{left_out()}"
    return _figures(TASKS_LABEL, mode, loop, cost, note)


def _handler(mode: str, loop: str) -> list[Figure]:
    with watched(mode, loop) as (pair, left_out):
        rigs = Rig.start(pair.plain), Rig.start(pair.watched)
        cost = pair.compare(rigs[0].ask, rigs[1].ask, ROUNDS["handler"])
        for rig in rigs:
            rig.stop()
        note = f"of {cost.base_ns() / REQUESTS / 1000:.0f} µs per request{left_out()}"
    return _figures(HANDLER_LABEL, mode, loop, cost, note)


def _latency(mode: str, loop: str) -> Figure:
    import aperf

    late: dict[bool, list[float]] = {False: [], True: []}
    with watched(mode, loop) as (pair, left_out):
        for number in range(ROUNDS["latency"]):
            for is_watched in (True, False) if number % 2 else (False, True):
                where = pair.watched if is_watched else pair.plain
                late[is_watched] += where.run_until_complete(tick())
                if is_watched:
                    pair.plain.run_until_complete(pair.session.flush(60))
        lost = left_out()
    plain_us, watched_us = p99_us(late[False]), p99_us(late[True])
    return Figure(
        what=f"p99 lateness of 1 ms timers, {mode}, {loop} ({aperf.IMPLEMENTATION})",
        value=watched_us / plain_us,
        unit="×",
        note=f"{plain_us:.0f} → {watched_us:.0f} µs{lost}",
    )


def measure() -> list[Figure]:
    figures = []
    for part in (_tasks, _handler):
        for loop in loop_names():
            figures += [figure for mode in MODES for figure in part(mode, loop)]
    return figures + [_latency(mode, "asyncio") for mode in MODES]


if __name__ == "__main__":
    run(__doc__, measure)
