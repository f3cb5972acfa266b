"""Instruction counts by valgrind's callgrind: no noise, the same on every machine of one kind.

A workload runs with n and with 2n repetitions in fresh interpreters; the difference, divided by n,
is what one repetition costs, whatever start-up and shutdown take. Only the loop's thread counts.
Run as a script this file is the program that valgrind watches.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from _paired import new_loop
from _workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Sequence

MODES = (False, True)


def available() -> bool:
    """Say whether valgrind is installed."""
    return shutil.which("valgrind") is not None


def _count(workload: str, loop: str, n: int, *, watched: bool) -> int:
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "callgrind"
        tool = ["--tool=callgrind", "--separate-threads=yes", f"--callgrind-out-file={out}"]
        target = [__file__, workload, loop, str(n), "watched" if watched else "plain"]
        # Fixed hashes: otherwise every process would fill its dictionaries in another order.
        environ = os.environ | {"PYTHONHASHSEED": "0"}
        command = ["valgrind", "--quiet", *tool, sys.executable, *target]
        subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)
        main_thread = out.with_name("callgrind-01").read_text()
    match = re.search(r"^totals: (\d+)", main_thread, re.MULTILINE)
    if match is None:
        raise RuntimeError("callgrind wrote no totals")
    return int(match[1])


def added_instructions(workloads: Sequence[str], loop: str, n: int) -> dict[str, float]:
    """Return how many instructions aperf adds to one repetition of each workload."""
    runs = [
        (workload, k, watched) for workload in workloads for k in (n, 2 * n) for watched in MODES
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counts = pool.map(lambda run: _count(run[0], loop, run[1], watched=run[2]), runs)
        count = dict(zip(runs, counts, strict=True))

    def each(workload: str, *, watched: bool) -> float:
        return (count[workload, 2 * n, watched] - count[workload, n, watched]) / n

    return {w: each(w, watched=True) - each(w, watched=False) for w in workloads}


def main(workload: str, loop_name: str, repetitions: str, mode: str) -> None:
    loop = new_loop(loop_name)
    if mode == "watched":
        import aperf

        # No drain before the end, and no end: both would count.
        os.environ["APERF_EXPORT_INTERVAL_MS"] = "60000"
        aperf.instrument_loop(loop, enabled=True, exporters=[])
    loop.run_until_complete(WORKLOADS[workload](int(repetitions)))
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
