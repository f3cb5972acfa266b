"""10,000 tasks with ten suspensions each: recorded only, and with every span sent as OTLP.

python benchmarks/many_tasks.py [--implementation c|python] [--json PATH]

The receiver is a process of its own. "On one core" counts the CPU time of all threads until the
last span was confirmed; that is what the work costs where no second core takes the exporter.
"""

from __future__ import annotations

import os

from _paired import Comparison, loop_names, paired_loops
from _report import Figure, run
from _sink import otlp_sink
from _workloads import many_tasks

TASKS = 10_000
ROUNDS = 4
RECORDING, EXPORTING = 1.10, 1.25


def _compare(loop: str, **options: object) -> tuple[Comparison, str]:
    with paired_loops(loop, **options) as pair:
        comparison = pair.compare_work(lambda: many_tasks(TASKS), ROUNDS)
        counters = pair.session.statistics()
    lost = f"; {counters.dropped_records:,} records and {counters.dropped_spans:,} spans dropped"
    base_ms = comparison.base_ns() / 1e6
    note = f"of {base_ms:.0f} ms; {counters.exported_spans:,} spans delivered"
    return comparison, note + (lost if counters.dropped_records or counters.dropped_spans else "")


def _figures(loop: str, what: str, budget: float, **options: object) -> list[Figure]:
    import aperf

    comparison, note = _compare(loop, **options)
    name = aperf.IMPLEMENTATION
    label = f"10,000 tasks × 10 sleep(0), {what}, {loop} ({name})"
    exporting = "exporters" not in options
    on_loop, in_all = comparison.thread_ratio(), comparison.process_ratio()
    limits = (None, budget) if exporting else (budget, None)
    if name == "python":  # the budgets are the native core's
        limits = (None, None)
    return [
        Figure(
            what=f"{label}, loop's thread", value=on_loop, unit="×", budget=limits[0], note=note
        ),
        Figure(what=f"{label}, on one core", value=in_all, unit="×", budget=limits[1], note=note),
    ]


def measure() -> list[Figure]:
    figures = []
    for loop in loop_names():
        figures += _figures(loop, "recording", RECORDING, exporters=[])
    with otlp_sink() as endpoint:
        os.environ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = endpoint
        for loop in loop_names():
            figures += _figures(loop, "OTLP", EXPORTING)
    return figures


if __name__ == "__main__":
    run(__doc__, measure)
