"""Memory of Tracy: of a viewer that is shown 10,000 tasks, and of what is kept for the next viewer.

python benchmarks/tracy_memory.py [--implementation c|python] [--json PATH]

The viewer is a capture tool. Tasks are drawn on lanes, which are used again; for comparison, it is
shown the same number of tasks on a fiber each. Without a capture tool these rows are left out, and
so is everything where there is no /proc.
"""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import TYPE_CHECKING

from _paired import paired_loops
from _report import Figure, run
from _tracy import capture, capture_tool, exporter
from _workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Callable

    from aperf.exporters import TracyExporter
    from aperf.exporters._tracy._baseline import Baseline
    from aperf.model import RecordTables
    from aperf.protocol.tracy import Stream

TASKS = 10_000
SUSPENSIONS = 1_000_000
SETTLED_S = 0.5
HISTORY_MIB = 32
#: Rings and what the allocator keeps.
BESIDE_MIB = 24


def resident_mib(process: int | str = "self") -> float:
    """Return the resident memory of a process."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    [kib] = [line.split()[1] for line in lines if line.startswith("VmRSS:")]
    return int(kib) / 1024


# ------------------------------------------------------------------------- memory of the viewer


class FiberPerTask:
    """Draws tasks with ten suspensions each, on a fiber for each of them, whatever was recorded."""

    def __init__(self, stream: Stream, tables: RecordTables, baseline: Baseline) -> None:
        self._stream = stream
        self._t_ns = baseline.begin_ns
        self._left = TASKS

    def feed(self, ring: int, data: bytes) -> None:
        """Draw a few of the tasks."""
        for _ in range(min(self._left, 10)):
            self._draw(TASKS - self._left + 1)
            self._left -= 1

    def _draw(self, number: int) -> None:
        stream, strings, t_ns = self._stream, self._stream.strings, self._t_ns
        task, wait = (strings.source(name, name, "app.py", 1) for name in ("task", "await sleep"))
        strings.fiber(number, f"task {number}")
        stream.thread(1)
        stream.fiber_enter(t_ns, number)
        stream.zone_begin(t_ns, task)
        stream.zone_begin(t_ns + 1, wait)
        stream.fiber_leave(t_ns + 1)
        for _ in range(9):
            t_ns += 10
            stream.step(t_ns, t_ns + 1, number, 0, wait)
        stream.fiber_enter(t_ns + 10, number)
        stream.zone_end(t_ns + 10)
        stream.zone_end(t_ns + 11)
        stream.fiber_leave(t_ns + 11)
        self._t_ns = t_ns + 12

    def gap(self, t_ns: int, slots: int) -> None:
        """Draw no gaps."""

    def sample(self, now_ns: int) -> None:
        """Draw nothing else."""

    def finish(self, t_ns: int) -> None:
        """Nothing is open."""


def viewer_mib(tool: Path, tracy: TracyExporter) -> float:
    """Return by how much a capture tool grows when the tasks have run."""
    with paired_loops("asyncio", exporters=[tracy]) as pair:
        pair.watched.run_until_complete(WORKLOADS["many_tasks"](1))  # makes the first lanes
        with capture(tool, tracy) as process:
            pair.plain.run_until_complete(pair.session.flush(60))
            before = resident_mib(process)
            pair.watched.run_until_complete(WORKLOADS["many_tasks"](TASKS))
            pair.plain.run_until_complete(pair.session.flush(60))
            size = settled(lambda: resident_mib(process))
    return size - before


def settled(size: Callable[[], float]) -> float:
    """Return a size once it has not grown for a while."""
    last, since_s = 0.0, time.monotonic()
    while time.monotonic() - since_s < SETTLED_S:
        time.sleep(0.01)
        if (now := size()) != last:
            last, since_s = now, time.monotonic()
    return last


def _viewer(tool: Path) -> list[Figure]:
    from aperf.exporters import TracyExporter

    class OnFibers(TracyExporter):
        def _mapper(self) -> type[FiberPerTask]:
            return FiberPerTask

    on_lanes, on_fibers = viewer_mib(tool, exporter()), viewer_mib(tool, exporter(OnFibers))
    what = f"Tracy, viewer's memory: {TASKS:,} tasks × 10 sleep(0)"
    return [
        Figure(what=f"{what}, on lanes", value=on_lanes, unit="MiB"),
        Figure(what=f"{what}, on a fiber each", value=on_fibers, unit="MiB"),
    ]


# ------------------------------------------------------------------------ memory of the history


def history_mib(**options: object) -> float:
    """Return by how much this process grows while a program is recorded, and nobody looks."""
    gc.collect()
    with paired_loops("asyncio", **options) as pair:
        before = resident_mib()
        for _ in range(10):
            pair.watched.run_until_complete(WORKLOADS["sleep0_deep"](SUSPENSIONS // 10))
            pair.plain.run_until_complete(pair.session.flush(60))
        return resident_mib() - before


def _history() -> Figure:
    recorded = history_mib(exporters=[])
    kept = history_mib(exporters=[exporter()])
    return Figure(
        what=f"Tracy, history's memory: {SUSPENSIONS:,} suspensions, nobody looks",
        value=kept,
        unit="MiB",
        budget=HISTORY_MIB + BESIDE_MIB,
        note=f"limit {HISTORY_MIB} MiB; {recorded:.1f} MiB without a history",
    )


def measure() -> list[Figure]:
    if not Path("/proc/self/status").exists():
        return []
    tool = capture_tool()
    return [_history(), *(_viewer(tool) if tool is not None else ())]


if __name__ == "__main__":
    run(__doc__, measure)
