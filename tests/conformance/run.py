"""Runs other people's test-suites without and with aperf on every event loop, and compares.

    python tests/conformance/run.py                          # CPython's test.test_asyncio
    python tests/conformance/run.py --suite anyio --suite uvloop
    python tests/conformance/run.py --module test_tasks --implementation python

A test that passes without aperf and fails with it is the one thing that must not happen: its
module is run again, and if the test fails again the program exits with 1. What fails either way is
none of aperf's doing.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))  # this file is run as a script

from tests.conformance.suites import SUITES, Outcome, Suite, Unavailable

HERE = Path(__file__).parent

VARIABLES = ("APERF_", "OTEL_", "TELEMETRY_", "TRACY_")
TIMEOUT_S = 300
SEEN = re.compile(r"aperf-conformance: implementation=(\w+) tasks=(\d+) .*internal_errors=(\d+)")


class Seen(NamedTuple):
    """What aperf says that it saw of a run (see preload.py)."""

    implementation: str = ""
    tasks: int = 0
    internal_errors: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table."""

    suite: str
    module: str
    implementation: str
    base: Outcome
    watched: Outcome
    seen: Seen
    new: frozenset[str]
    passed_later: frozenset[str]

    def problems(self) -> list[str]:
        """Return what is wrong, nothing if all is well."""
        found = [f"fails only with aperf: {test}" for test in sorted(self.new)]
        if self.seen.implementation != self.implementation:
            found.append(f"implementation {self.seen.implementation or 'none'} ran")
        if self.seen.tasks == 0:
            found.append("aperf saw no task: the hook was not in place")
        if self.seen.internal_errors:
            found.append(f"aperf counted {self.seen.internal_errors} internal errors")
        return [f"{self.module} ({self.implementation}): {text}" for text in found]


def _environment(suite: Suite, implementation: str | None) -> dict[str, str]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith(VARIABLES)}
    paths = [str(path) for path in suite.search_path()]
    if implementation is not None:
        paths.append(str(HERE))
        environ["APERF_PURE_PYTHON"] = str(implementation == "python").lower()
    inherited = [path for path in environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    environ["PYTHONPATH"] = os.pathsep.join([*paths, *map(os.path.abspath, inherited)])
    return environ


def _run(suite: Suite, module: str, implementation: str | None) -> tuple[Outcome, Seen]:
    """Run a module in a process of its own; without aperf if no implementation is named."""
    report = suite.home / "report"
    report.unlink(missing_ok=True)
    arguments = suite.command(module, report, preload=implementation is not None)
    # faulthandler: so that SIGABRT shows where a hanging run stands.
    child = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", *arguments],
        cwd=suite.home,
        env=_environment(suite, implementation),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    try:
        output, _ = child.communicate(timeout=TIMEOUT_S)
        ending = f"exit code {child.returncode}"
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGABRT)
        output, _ = child.communicate()
        ending = f"still running after {TIMEOUT_S} s"
    if not report.exists():
        print(f"{output[-8000:]}\n{module}: {ending}", file=sys.stderr)
        return Outcome(0, frozenset({"(the whole module)"})), Seen()
    match = SEEN.search(output)
    seen = Seen(match[1], int(match[2]), int(match[3])) if match else Seen()
    return suite.read(report), seen


def _compare(name: str, suite: Suite, module: str, implementation: str, base: Outcome) -> Row:
    watched, seen = _run(suite, module, implementation)
    suspects = watched.failed - base.failed
    again = _run(suite, module, implementation)[0].failed if suspects else frozenset()
    return Row(
        suite=name,
        module=module,
        implementation=implementation,
        base=base,
        watched=watched,
        seen=seen,
        new=suspects & again,
        passed_later=suspects - again,
    )


_LINE = "{:8} {:22} {:14} {:>6} {:>14} {:>11} {:>4} {:>11}"


def _print_row(row: Row) -> None:
    counts = (row.watched.run, len(row.base.failed), len(row.watched.failed), len(row.new))
    print(_LINE.format(row.suite, row.module, row.implementation, *counts, row.seen.tasks))
    for test in sorted(row.passed_later):
        print(f"         failed once with aperf, then passed: {test}")
    sys.stdout.flush()


def _check(name: str, suite: Suite, modules: list[str], implementations: list[str]) -> list[str]:
    """Run a suite, print its rows, and return the problems."""
    problems = []
    for module in modules:
        base, _ = _run(suite, module, None)
        for implementation in implementations:
            row = _compare(name, suite, module, implementation, base)
            _print_row(row)
            problems += row.problems()
    return problems


def _implementations(asked: list[str] | None) -> list[str]:
    """Return those asked for, else those that are there."""
    if asked:
        return asked
    probe = [sys.executable, "-c", "import aperf; print(aperf.IMPLEMENTATION)"]
    environ = {k: v for k, v in os.environ.items() if not k.startswith(VARIABLES)}
    found = subprocess.run(probe, capture_output=True, text=True, env=environ, check=True)
    return sorted({found.stdout.strip(), "python"})


def _parse() -> argparse.Namespace:
    description = __doc__.partition("\n")[0] if __doc__ else None
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--suite", action="append", choices=SUITES, help="default: cpython")
    parser.add_argument("--module", action="append", help="only this one, may be repeated")
    parser.add_argument("--implementation", action="append", choices=("c", "python"))
    return parser.parse_args()


def main() -> int:
    """Compare and say whether aperf was noticed."""
    arguments = _parse()
    implementations = _implementations(arguments.implementation)
    problems: list[str] = []
    header = ("suite", "module", "implementation", "run", "fail without", "fail with", "new")
    print(_LINE.format(*header, "tasks seen"), flush=True)
    for name in arguments.suite or ["cpython"]:
        with tempfile.TemporaryDirectory(prefix=f"aperf-{name}-") as directory:
            suite = SUITES[name](Path(directory))
            modules = [m for m in suite.modules if m in (arguments.module or suite.modules)]
            try:
                suite.prepare()
                if not modules:
                    raise Unavailable(f"has no module {' or '.join(arguments.module)}")
            except Unavailable as error:
                problems.append(f"{name}: {error}")
                continue
            problems += _check(name, suite, modules, implementations)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
