"""What a recorded suspension adds: wake, resume, suspend and who woke it.

python benchmarks/suspension.py [--implementation c|python] [--json PATH]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import _instructions
from _paired import loop_names, paired_loops
from _report import Figure, run
from _workloads import WORKLOADS

if TYPE_CHECKING:
    from _paired import Pair

SUSPENSIONS = 4000
ROUNDS = 25
REPETITIONS = 1000
COUNTED = ("sleep0_deep", "queue_hop")
KINDS = {
    "sleep0": "sleep(0)",
    "sleep0_deep": "sleep(0), await depth 4",
    "future": "future",
    "queue_hop": "Queue hop",
}
BUDGET_NS = {"c": 120.0, "python": 2500.0}
BUDGET_INSTRUCTIONS = {"c": 600.0}


def _timed(pair: Pair, loop: str, kind: str, implementation: str) -> Figure:
    work = WORKLOADS[kind]
    comparison = pair.compare_work(lambda: work(SUSPENSIONS), ROUNDS)
    base = comparison.base_ns() / SUSPENSIONS
    return Figure(
        what=f"suspension, {KINDS[kind]}, {loop} ({implementation})",
        value=comparison.added_ns() / SUSPENSIONS,
        unit="ns",
        budget=BUDGET_NS[implementation],
        note=f"{comparison.thread_ratio():.2f}× of {base:.0f} ns",
    )


def _counted(implementation: str) -> list[Figure]:
    counts = _instructions.added_instructions(COUNTED, "asyncio", REPETITIONS)
    return [
        Figure(
            what=f"suspension, {KINDS[kind]}, asyncio ({implementation})",
            value=count,
            unit="instructions",
            budget=BUDGET_INSTRUCTIONS[implementation],
        )
        for kind, count in counts.items()
    ]


def measure() -> list[Figure]:
    import aperf

    name = aperf.IMPLEMENTATION
    figures = []
    for loop in loop_names():
        with paired_loops(loop, exporters=[]) as pair:
            figures += [_timed(pair, loop, kind, name) for kind in KINDS]
    if _instructions.available() and name in BUDGET_INSTRUCTIONS:
        figures += _counted(name)
    return figures


if __name__ == "__main__":
    run(__doc__, measure)
