"""Runs programs that need an interpreter of their own."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

from tests.command_line import clean_environment

__all__ = ("run_isolated",)

#: From 3.12 on, a fork with threads alive is warned of. aperf promises to survive it.
_FORKS = "ignore:This process:DeprecationWarning"
#: Shorter than the time that a test has, so that the output is shown.
_TIMEOUT_S = 50


def run_isolated(program: str, *args: str, **variables: str) -> str:
    """Run a program in a fresh interpreter, warnings being errors; return what it printed.

    Args:
        program: its source.
        args: its arguments.
        variables: of its environment, beside those of this process that do not configure aperf.
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", _FORKS, "-c", dedent(program), *args],
        env=clean_environment(**variables),
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr), f"exit {done.returncode}: {done.stderr}"
    return done.stdout
