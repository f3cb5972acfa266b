"""The table of budgets with what was measured: runs all benchmarks, each in its own process.

    nox -s bench
    python benchmarks/table.py [--json PATH] [--only NAME …] [--implementation c|python]

Takes some minutes. Look at ratios and instruction counts; nanoseconds are those of this machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _report import Figure, machine, print_markdown, print_table, read_json, write_json

HERE = Path(__file__).parent
TRACY = ("tracy", "tracy_drawing", "tracy_memory")
#: Run once, with the best implementation of the recorder that is there.
ONCE = ("disabled", "otlp", "many_tasks", "http_handler", "loop_latency", *TRACY)
#: Run for each implementation.
BOTH = ("suspension", "task")
#: Millions of spans a second.
OTLP_BUDGETS = {"await": 2.0, "await, sent without pauses, CPU": 3.0}


def _implementations(asked: str | None) -> list[str]:
    if asked:
        return [asked]
    probe = [sys.executable, "-c", "import aperf; print(aperf.IMPLEMENTATION)"]
    best = subprocess.run(probe, capture_output=True, text=True, check=True).stdout.strip()
    return ["c", "python"] if best == "c" else ["python"]


def _otlp(path: Path) -> list[Figure]:
    """Turn the encoder's times into rates."""
    times: dict[str, float] = json.loads(path.read_text())
    return [
        Figure(
            what=f"OTLP, {name}",
            value=1000 / ns,
            unit="M spans/s",
            budget=OTLP_BUDGETS.get(name),
            at_least=True,
            note=f"{ns:.0f} ns per span",
        )
        for name, ns in times.items()
    ]


def _measure(name: str, implementation: str) -> list[Figure]:
    """Run one benchmark and return its figures; one that fails is reported and left out."""
    options = [] if name == "otlp" else ["--implementation", implementation]
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "figures.json"
        command = [sys.executable, str(HERE / f"{name}.py"), *options, "--json", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        print(f"{name:15} {implementation:8} {time.monotonic() - started:4.0f} s", flush=True)
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            return []
        return _otlp(path) if name == "otlp" else read_json(path)


def main() -> int:
    title = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures here")
    parser.add_argument("--markdown", action="store_true", help="as docs/what-it-costs.md has it")
    parser.add_argument("--only", action="append", choices=(*ONCE, *BOTH))
    parser.add_argument("--implementation", choices=("c", "python"))
    options = parser.parse_args()
    chosen = options.only or (*ONCE, *BOTH)
    implementations = _implementations(options.implementation)
    runs = [(name, implementations[0]) for name in ONCE if name in chosen]
    runs += [(name, each) for each in implementations for name in BOTH if name in chosen]
    results = {run: _measure(*run) for run in runs}
    figures = [figure for result in results.values() for figure in result]
    if options.markdown:
        print_markdown(figures)
    else:
        print_table(", ".join(f"{key} {value}" for key, value in machine().items()), figures)
    if options.json:
        write_json(options.json, figures)
    return 0 if all(results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
