"""How punctual a handler's loop is while the receiver of a signal is not well: p99 of loop delay.

python benchmarks/faulty_receiver.py [--protocol P …] [--fault F …] [--every MS] [--rounds N]
    [--markdown] [--json PATH]

For each fault, programs take turns: one that is not watched, one for each signal that sends it to a
receiver with that fault, and another one that is not watched. Each is a process that does the same
for a second, then waits for its next turn: wakes up each millisecond and, by default every time,
serves a request with 4 tasks, 9 suspensions and a log record. Each turn has a p99, each program the
lower quartile of those of its turns; the figure is how many times longer that is than in the two
programs that are not watched, and what these two differ by is noise. Time that the thread waited
for a processor does not count (Linux tells): other programs of the machine cause most of it. Where
there is no processor to spare, aperf's threads do, too.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from _report import Figure, print_table, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parents[1]
SIGNALS: Final = ("traces", "metrics", "logs")
#: "none" is a receiver without a fault: what the others are to be compared with.
FAULTS: Final = {
    "grpc": (
        "none",
        "refusing",
        "dead",
        "black-holed",
        "half-open",
        "garbage",
        "slow",
        "UNAVAILABLE",
        "INVALID_ARGUMENT",
        "RESOURCE_EXHAUSTED, later",
    ),
    "http/protobuf": (
        "none",
        "refusing",
        "dead",
        "black-holed",
        "half-open",
        "garbage",
        "slow",
        "400",
        "429",
        "503, later",
    ),
}
BUDGET: Final = 1.10
TURN_NS: Final = 10**9
TICK_NS: Final = 10**6
TASKS: Final = 4  # with the request's own, nine suspensions
WORK: Final = 300  # numbers to format: about 100 µs


# ---------------------------------------------------------------------------------- the program


async def _twice() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def _request(number: int) -> str:
    async with asyncio.TaskGroup() as group:
        for _ in range(TASKS):
            group.create_task(_twice())
    logging.getLogger("shop").info("request %d", number)
    return json.dumps(list(range(WORK)))


class Delay(NamedTuple):
    """By how much later than asked for something began."""

    all_ns: int
    own_ns: int  #: without the time that the thread waited for a processor


class _Clock:
    """Tells the time, and how long this thread has waited for a processor by now (Linux)."""

    def __init__(self) -> None:
        self._file = os.open("/proc/thread-self/schedstat", os.O_RDONLY)

    def now(self) -> tuple[int, int]:
        """Return both in ns."""
        return time.perf_counter_ns(), int(os.pread(self._file, 64, 0).split()[1])


async def _turn(clock: _Clock, ticks: int) -> list[Delay]:
    """Wake up each millisecond, and serve a request every so many times."""
    import aperf

    aperf.instrument_loop()
    delays = []
    begin_ns = time.perf_counter_ns()
    while True:
        before_ns, waited_before_ns = clock.now()
        if before_ns > begin_ns + TURN_NS:
            return delays
        await asyncio.sleep(TICK_NS / 1e9)
        now_ns, waited_ns = clock.now()
        late_ns = now_ns - before_ns - TICK_NS
        delays.append(Delay(late_ns, late_ns - (waited_ns - waited_before_ns)))
        if len(delays) % ticks == 0:
            await asyncio.create_task(_request(len(delays)))


def work(ticks: int) -> None:
    """Be a program: take a turn whenever a line arrives on stdin, and print its p99 in µs."""
    logging.getLogger("shop").setLevel(logging.INFO)
    logging.basicConfig(handlers=[logging.NullHandler()])
    clock = _Clock()
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        for _ in sys.stdin:
            delays = loop.run_until_complete(_turn(clock, ticks))
            every, own = (
                statistics.quantiles(kind, n=100)[98] for kind in zip(*delays, strict=True)
            )
            print(every / 1000, own / 1000, flush=True)


class P99(NamedTuple):
    """Of the delays of a turn, in µs.

    Attributes:
        every: with the time that the thread waited for a processor.
        own: without.
    """

    every: float
    own: float


class Worker:
    """A program in a process of its own."""

    def __init__(self, ticks: int, **variables: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--worker", str(ticks)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "APERF_SUMMARY": "none", **variables},
        )

    def take_turn(self) -> P99:
        """Let it work for a while; return the p99 of its delays."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return P99(*map(float, self._process.stdout.readline().split()))

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


# ---------------------------------------------------------------------------------- the receiver


@contextlib.contextmanager
def receiver(protocol: str, fault: str) -> Iterator[int]:
    """Run a receiver with a fault in a process of its own, and give its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faulty_receivers", protocol, fault],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(timeout=20)
        process.stdout.close()


def variables(signal: str, protocol: str, port: int) -> dict[str, str]:
    """Return what makes a program send a signal there, metrics each second."""
    exporter = f"OTEL_EXPORTER_OTLP_{signal.upper()}"
    path = "" if protocol == "grpc" else f"/v1/{signal}"
    return {
        "TELEMETRY_ENABLED": "true",
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        "OTEL_EXPORTER_OTLP_LOGS_ENABLED": str(signal == "logs").lower(),
        f"{exporter}_ENDPOINT": f"http://127.0.0.1:{port}{path}",
        f"{exporter}_PROTOCOL": protocol,
    }


# ---------------------------------------------------------------------------------- the figures


def compare(protocol: str, fault: str, ticks: int, rounds: int) -> list[Figure]:
    """Compare programs that send to a receiver with this fault."""
    with receiver(protocol, fault) as port, contextlib.ExitStack() as stack:
        workers = {
            "plain": Worker(ticks),
            **{signal: Worker(ticks, **variables(signal, protocol, port)) for signal in SIGNALS},
            "plain again": Worker(ticks),
        }
        for worker in workers.values():
            stack.callback(worker.stop)
            worker.take_turn()  # which does not count: it imports and connects
        turns: dict[str, list[P99]] = {name: [] for name in workers}
        for number in range(rounds):
            for name in list(workers) if number % 2 else list(workers)[::-1]:
                turns[name].append(workers[name].take_turn())
    label = f"{protocol}, {fault}, every {ticks} ms"
    return [
        *(_figure(f"{signal}, {label}", signal, turns) for signal in SIGNALS),
        Figure(what=f"noise, {label}", value=_noise(turns), unit="×", note="of two not watched"),
    ]


def _print_markdown(figures: list[Figure]) -> None:
    """Print figures as the documentation shows them: a row for each receiver."""
    columns = (*SIGNALS, "noise")
    print(f"\n| receiver | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")
    for start in range(0, len(figures), len(columns)):
        row = figures[start : start + len(columns)]
        label = row[0].what.partition(", ")[2].removesuffix(", every 1 ms")
        print(f"| {label} | {' | '.join(figure.measured() for figure in row)} |")


def _figure(what: str, signal: str, turns: dict[str, list[P99]]) -> Figure:
    plain = (_least_disturbed(turns["plain"]) + _least_disturbed(turns["plain again"])) / 2
    watched = _least_disturbed(turns[signal])
    note = f"{plain:.0f} → {watched:.0f} µs"
    return Figure(what=what, value=watched / plain, unit="×", budget=BUDGET, note=note)


def _noise(turns: dict[str, list[P99]]) -> float:
    """Return how many times longer it was in one of the programs that are not watched."""
    plain, again = _least_disturbed(turns["plain"]), _least_disturbed(turns["plain again"])
    return max(plain / again, again / plain)


def _least_disturbed(turns: list[P99]) -> float:
    """Return the p99 that a quarter of the turns stayed below: others can only make it longer."""
    return statistics.quantiles((p99.own for p99 in turns), n=4, method="inclusive")[0]


def main() -> None:
    title = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--protocol", choices=FAULTS, action="append", help="default: both")
    parser.add_argument("--fault", action="append", help="one of them; default: all")
    parser.add_argument("--every", type=int, default=1, metavar="MS", help="between requests")
    parser.add_argument("--rounds", type=int, default=8, help="turns of each program")
    parser.add_argument("--markdown", action="store_true", help="print as the documentation shows")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures here")
    options = parser.parse_args()
    for name in [n for n in os.environ if n.startswith(("APERF_", "OTEL_", "TELEMETRY_"))]:
        del os.environ[name]
    figures = []
    for protocol in options.protocol or FAULTS:
        for fault in options.fault or FAULTS[protocol]:
            found = compare(protocol, fault, options.every, options.rounds)
            print_table(f"{protocol}, {fault}", found)
            figures += found
    if options.markdown:
        _print_markdown(figures)
    if options.json:
        write_json(options.json, figures)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(int(sys.argv[2]))
    else:
        main()
