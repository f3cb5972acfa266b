"""Run small programs in fresh interpreters, with aperf and without, and see how they end."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from textwrap import dedent
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tests.command_line import clean_environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ("TIMEOUT_S", "Completed", "Ended", "run_program", "run_to_its_end")

TIMEOUT_S: Final = 40.0  #: shorter than that of a test, so that the output is shown


class Completed(NamedTuple):
    """What others see of a program that has ended."""

    stdout: str
    stderr: str
    code: int  #: negative: the signal that it died of


def run_program(
    source: str,
    *,
    env: Mapping[str, str] | None = None,
    args: Sequence[str] = (),
    options: Sequence[str] = (),
    timeout: float = TIMEOUT_S,
    cwd: Path | None = None,
) -> Completed:
    """Run a program as a script.

    Args:
        source: the program; it may be indented.
        env: variables beside those of this process; nothing else configures aperf.
        args: its arguments.
        options: of the interpreter.
        timeout: in seconds; a program that takes longer is a failure.
        cwd: where it runs and where the script is put; by default a directory that is gone after.
    """
    with TemporaryDirectory() as directory:
        place = directory if cwd is None else str(cwd)
        script = f"{place}/program.py"
        with open(script, "w", encoding="utf-8") as file:
            file.write(dedent(source))
        done = subprocess.run(
            [sys.executable, *options, script, *args],
            cwd=place,
            env=clean_environment(**(env or {})),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        stderr = done.stderr.replace(f"{place}/", "")  # tracebacks are the same wherever it runs
    return Completed(done.stdout, stderr, done.returncode)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A watched program that has ended.

    Attributes:
        completed: what others see of it.
        summary: what its session found out, empty if nothing was delivered.
        duration_s: how long it took, the start of the interpreter included.
    """

    completed: Completed
    summary: dict[str, Any] = field(default_factory=dict)
    duration_s: float = 0.0

    @property
    def tasks(self) -> dict[str, int]:
        """How many tasks ran each coroutine function."""
        return {entry["name"]: entry["tasks"] for entry in self.summary.get("coroutines", ())}


def run_to_its_end(
    source: str,
    cwd: Path,
    *,
    implementation: str,
    env: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
) -> Ended:
    """Run a program with telemetry on; nothing is delivered before the program or its session ends.

    Args:
        source: the program.
        cwd: an empty directory.
        implementation: which recorder: "c" or "python".
        env: further variables.
        options: of the interpreter.
    """
    file = cwd / "summary.json"
    variables = {
        "TELEMETRY_ENABLED": "true",
        "APERF_SUMMARY": "json",
        "APERF_SUMMARY_FILE": str(file),
        "APERF_EXPORT_INTERVAL_MS": "60000",
        "APERF_PURE_PYTHON": str(implementation == "python").lower(),
        **(env or {}),
    }
    begin_s = time.monotonic()
    completed = run_program(source, env=variables, cwd=cwd, options=options)
    duration_s = time.monotonic() - begin_s
    summary = json.loads(file.read_text("utf-8")) if file.exists() else {}
    return Ended(completed=completed, summary=summary, duration_s=duration_s)
