"""Run Python and aperf as a user would, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import aperf

__all__ = ("APERF", "Outcome", "clean_environment", "run_aperf", "run_python", "write")

APERF = (sys.executable, "-m", "aperf")
_TIMEOUT_S = 50  # shorter than that of a test, so that the output is shown


class Outcome(NamedTuple):
    """What a user sees of a process."""

    code: int
    stdout: str
    stderr: str


def clean_environment(**variables: str) -> dict[str, str]:
    """Return this environment without what configures aperf, and with aperf importable."""
    ours = ("RUST_", "METRICS_", "APERF_", "OTEL_", "TELEMETRY_", "TRACY_")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    # The tests may have found aperf by a relative path, and the programs run elsewhere.
    home = str(Path(next(iter(aperf.__path__))).resolve().parent)
    found = [home, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**environ, "PYTHONPATH": os.pathsep.join(found), "COLUMNS": "80", **variables}


def run_python(*words: str, cwd: Path, stdin: str = "", **variables: str) -> Outcome:
    """Run ``python WORDS``."""
    return _run((sys.executable, *words), cwd, stdin, variables)


def run_aperf(*words: str, cwd: Path, stdin: str = "", **variables: str) -> Outcome:
    """Run ``aperf WORDS``."""
    return _run((*APERF, *words), cwd, stdin, variables)


def _run(command: tuple[str, ...], cwd: Path, stdin: str, variables: dict[str, str]) -> Outcome:
    done = subprocess.run(
        command,
        cwd=cwd,
        env=clean_environment(**variables),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def write(path: Path, program: str) -> Path:
    """Write a program to a file, with the directories that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(program), encoding="utf-8")
    return path
