"""What aperf costs while it is off: a loop that nobody touched, and a few nanoseconds per call.

python benchmarks/disabled.py [--json PATH]
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
import timeit
from typing import TYPE_CHECKING

from _report import Figure, run

if TYPE_CHECKING:
    from collections.abc import Callable

CALLS = 20_000
ROUNDS = 15
STARTS = 15
HEAVY = ("opentelemetry", "grpc", "anyio")

#: Prints the CPU time of the import, and of the first calls after it, and what came along.
IMPORT = """
import asyncio, sys, time
loop = asyncio.new_event_loop()
before, start = set(sys.modules), time.process_time_ns()
import aperf
imported = time.process_time_ns()
with aperf.span("checkout"):
    aperf.instrument_loop(loop)
used = time.process_time_ns()
names = {name.partition(".")[0] for name in set(sys.modules) - before}
print(imported - start, used - imported, *names)
"""


def ns_per_call(call: Callable[[], object], empty: Callable[[], object]) -> float:
    """Return the fastest round of one less the fastest of the other, per call."""
    best = []
    for function in (call, empty):
        timer = timeit.Timer(function, timer=time.thread_time_ns)
        best.append(min(timer.repeat(ROUNDS, CALLS)))
    return (best[0] - best[1]) / CALLS


def _span() -> None:
    import aperf

    span = aperf.span
    for _ in range(10):
        with span("checkout", items=3):
            pass


def _no_span() -> None:
    for _ in range(10):
        pass


async def _calls() -> list[Figure]:
    import aperf

    loop = asyncio.get_running_loop()
    before = set(vars(loop))
    instrument_loop = aperf.instrument_loop
    off = ns_per_call(instrument_loop, lambda: None)
    span = ns_per_call(_span, _no_span) / 10
    touched = sorted(set(vars(loop)) - before)
    return [
        Figure(
            what="off: attributes set on the loop",
            value=len(touched),
            unit="attributes",
            budget=0,  # then its own methods run: no instruction more per step
            note=", ".join(touched),
        ),
        Figure(what="off: instrument_loop()", value=off, unit="ns", budget=150),
        Figure(what="off: with aperf.span()", value=span, unit="ns", budget=300),
    ]


def _import() -> list[Figure]:
    """Import aperf in fresh interpreters."""
    imports, first_uses, modules = [], [], set()
    for _ in range(STARTS):
        command = [sys.executable, "-c", IMPORT]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        imports.append(int(out[0]) / 1e6)
        first_uses.append(int(out[1]) / 1e6)
        modules |= set(out[2:])
    heavy = sorted(modules & set(HEAVY))
    return [
        Figure(what="off: import aperf, CPU", value=min(imports), unit="ms", budget=1.5),
        Figure(what="off: first span and instrument_loop()", value=min(first_uses), unit="ms"),
        Figure(
            what="off: heavy packages imported by all that",
            value=len(heavy),
            unit="packages",
            budget=0,
            note=", ".join(heavy),
        ),
    ]


def measure() -> list[Figure]:
    return [*asyncio.run(_calls()), *_import()]


if __name__ == "__main__":
    run(__doc__, measure)
