"""What a recorded task adds: birth, its one step and its end.

python benchmarks/task.py [--implementation c|python] [--json PATH]
"""

from __future__ import annotations

import _instructions
from _paired import loop_names, paired_loops
from _report import Figure, run
from _workloads import tasks

TASKS = 4000
ROUNDS = 25
BUDGET_NS = {"c": 150.0}


def measure() -> list[Figure]:
    import aperf

    name = aperf.IMPLEMENTATION
    figures = []
    for loop in loop_names():
        with paired_loops(loop, exporters=[]) as pair:
            comparison = pair.compare_work(lambda: tasks(TASKS), ROUNDS)
        base = comparison.base_ns() / TASKS
        figures.append(
            Figure(
                what=f"task, {loop} ({name})",
                value=comparison.added_ns() / TASKS,
                unit="ns",
                budget=BUDGET_NS.get(name),
                note=f"{comparison.thread_ratio():.2f}× of {base:.0f} ns",
            )
        )
    if _instructions.available() and name == "c":
        added = _instructions.added_instructions(("tasks",), "asyncio", 2000)["tasks"]
        figures.append(Figure(what=f"task, asyncio ({name})", value=added, unit="instructions"))
    return figures


if __name__ == "__main__":
    run(__doc__, measure)
