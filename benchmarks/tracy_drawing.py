"""How fast a program is drawn for a Tracy viewer: zones encoded and steps drawn per second.

python benchmarks/tracy_drawing.py [--implementation c|python] [--json PATH]

CPU time of the thread, the best of several rounds. Steps are recorded first, then drawn again and
again, each time for a viewer that has just connected.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from _paired import paired_loops
from _report import Figure, run
from _tracy import VERSION, exporter
from _workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Callable

    from aperf.model import Chunk, ExportResult
    from aperf.protocol.tracy import Stream

ZONES = 100_000
#: About as much as is drawn before something is sent.
AT_ONCE = 1_000
STEPS = 20_000
ROUNDS = 15
BUDGET = 3.0  # millions of pairs a second
KINDS = {
    "sleep0": "sleep(0)",
    "sleep0_deep": "sleep(0), await depth 4",
    "queue_hop": "Queue hop",
}


def best_s(work: Callable[[], object]) -> float:
    """Return the CPU time of the fastest round."""
    best_ns = 0
    for _ in range(ROUNDS):
        before_ns = time.thread_time_ns()
        work()
        spent_ns = time.thread_time_ns() - before_ns
        best_ns = min(best_ns or spent_ns, spent_ns)
    return best_ns / 1e9


# ------------------------------------------------------------------------------------- encoding


def _stream() -> tuple[Stream, int]:
    """Return a stream and a place in the code."""
    from aperf.protocol.tracy import Stream, Strings

    strings = Strings("benchmark")
    stream = Stream(VERSION, strings)
    stream.thread(1)
    return stream, strings.source("fetch", "fetch", "app.py", 12)


def whole_zones() -> None:
    """Encode zones that have ended."""
    stream, source = _stream()
    zone = stream.zone
    for start in range(0, ZONES, AT_ONCE):
        for t_ns in range(start, start + AT_ONCE):
            zone(t_ns, t_ns + 1, source)
        stream.take()


def zones() -> None:
    """Encode begins and ends."""
    stream, source = _stream()
    begin, end = stream.zone_begin, stream.zone_end
    for start in range(0, ZONES, AT_ONCE):
        for t_ns in range(start, start + AT_ONCE):
            begin(t_ns, source)
            end(t_ns + 1)
        stream.take()


def steps() -> None:
    """Encode steps of a task: it runs, its wait ends, the next one begins, it is suspended."""
    stream, source = _stream()
    stream.fiber_enter(0, 1)
    stream.zone_begin(0, source)
    stream.fiber_leave(0)
    step = stream.step
    for start in range(0, ZONES, AT_ONCE):
        for t_ns in range(start, start + AT_ONCE):
            step(t_ns, t_ns + 1, 1, 0, source)
        stream.take()


def _encoding(what: str, work: Callable[[], None], budget: float | None = None) -> Figure:
    seconds = best_s(work)
    return Figure(
        what=f"Tracy, encoding: {what}",
        value=ZONES / seconds / 1e6,
        unit="M/s",
        budget=budget,
        at_least=True,
        note=f"{seconds / ZONES * 1e9:.0f} ns each",
    )


# -------------------------------------------------------------------------------------- drawing


def record(kind: str) -> tuple[list[Chunk], int]:
    """Run a workload; return what was recorded of it, and how many steps that is."""
    from aperf.exporters import TracyExporter

    chunks: list[Chunk] = []

    class Keeper(TracyExporter):
        def export(self, batch: Chunk, deadline_ns: int) -> ExportResult:
            chunks.append(batch)
            return super().export(batch, deadline_ns)

    with paired_loops("asyncio", exporters=[exporter(Keeper)]) as pair:
        pair.watched.run_until_complete(WORKLOADS[kind](STEPS))
        pair.plain.run_until_complete(pair.session.flush(60))
        return chunks, pair.session.statistics().steps


def _drawing(kind: str) -> Figure:
    from aperf.exporters._tracy._baseline import Baseline
    from aperf.exporters._tracy.map import Mapper
    from aperf.protocol.tracy import Stream, Strings

    chunks, count = record(kind)
    strings = Strings("benchmark")

    def draw() -> None:
        stream = Stream(VERSION, strings)
        mapper = Mapper(stream, chunks[0].tables, Baseline())
        for ring, data, _ in chunks:
            mapper.feed(ring, data)
            stream.take()

    seconds = best_s(draw)
    return Figure(
        what=f"Tracy, drawing: steps, {KINDS[kind]}",
        value=count / seconds / 1e6,
        unit="M/s",
        at_least=True,
        note=f"{seconds / count * 1e6:.1f} µs each",
    )


def measure() -> list[Figure]:
    return [
        _encoding("zones that have ended", whole_zones, BUDGET),
        _encoding("begins and ends of zones", zones),
        _encoding("steps with a wait", steps),
        *(_drawing(kind) for kind in KINDS),
    ]


if __name__ == "__main__":
    run(__doc__, measure)
