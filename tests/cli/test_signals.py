"""Signals end a program as without aperf, but nothing that was recorded is lost."""

from __future__ import annotations

import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.command_line import APERF, Outcome, clean_environment, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WAITING = """
    import asyncio

    async def worker():
        await asyncio.sleep(0)
        print("ready", flush=True)
        await asyncio.Event().wait()

    asyncio.run(worker())
"""


@contextmanager
def started(path: Path, program: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program under aperf until it says that it is ready."""
    write(path / "app.py", program)
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*APERF, "run", *options, "app.py"],
        cwd=path, env=clean_environment(), text=True, stdout=pipe, stderr=pipe,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            assert "ready\n" == process.stdout.readline()
            yield process
        finally:
            process.kill()


def end(process: subprocess.Popen[str], number: int) -> Outcome:
    """Send a signal and wait for what comes of it."""
    process.send_signal(number)
    # Not communicate(): it would miss what has been read ahead of the line "ready".
    assert process.stdout is not None
    assert process.stderr is not None
    stdout, stderr = process.stdout.read(), process.stderr.read()
    return Outcome(process.wait(), stdout, stderr)


def test_terminated(tmp_path: Path) -> None:
    """SIGTERM delivers what was recorded; the exit status is that of the signal."""
    with started(tmp_path, WAITING) as process:
        outcome = end(process, signal.SIGTERM)
    assert -signal.SIGTERM == outcome.code
    assert "worker" in outcome.stderr


def test_terminated_silently(tmp_path: Path) -> None:
    """Without a summary a terminated program says nothing that it would not say by itself."""
    with started(tmp_path, WAITING, "--summary", "none") as process:
        outcome = end(process, signal.SIGTERM)
    assert (-signal.SIGTERM, "", "") == outcome


def test_terminated_between_loops(tmp_path: Path) -> None:
    """SIGTERM while no loop runs is no different."""
    program = WAITING.replace("await asyncio.Event().wait()", "").rstrip() + "; input()\n"
    write(tmp_path / "app.py", program)
    command = [*APERF, "run", "app.py"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=tmp_path, env=clean_environment(), text=True,
        stdin=pipe, stdout=pipe, stderr=pipe,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert "ready\n" == process.stdout.readline()
        outcome = end(process, signal.SIGTERM)
    assert -signal.SIGTERM == outcome.code
    assert "worker" in outcome.stderr


@pytest.mark.parametrize(
    "install",
    [
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))",
        "asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, sys.exit, 3)",
    ],
    ids=["signal", "loop"],
)
def test_own_handler_wins(tmp_path: Path, install: str) -> None:
    """A program that handles SIGTERM itself goes on to do so."""
    program = f"""
        import asyncio, signal, sys
        async def main():
            {install}
            print("ready", flush=True)
            await asyncio.Event().wait()
        asyncio.run(main())
    """
    with started(tmp_path, program, "--summary", "none") as process:
        outcome = end(process, signal.SIGTERM)
    assert (3, "", "") == outcome


def test_ignored_signal_stays_ignored(tmp_path: Path) -> None:
    """A SIGTERM that the parent ignores, as nohup does with others, is not handled."""
    program = """
        import signal
        print("ready", flush=True)
        print(signal.getsignal(signal.SIGTERM) is signal.SIG_IGN)
    """
    previous = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with started(tmp_path, program, "--summary", "none") as process:
            assert (0, "True\n", "") == end(process, 0)
    finally:
        signal.signal(signal.SIGTERM, previous)


def test_interrupted(tmp_path: Path) -> None:
    """Ctrl-C shows the traceback and the summary; the exit status is that of the signal."""
    with started(tmp_path, WAITING) as process:
        outcome = end(process, signal.SIGINT)
    traceback, error, summary = outcome.stderr.partition("\nKeyboardInterrupt\n")
    assert -signal.SIGINT == outcome.code
    assert traceback.startswith("Traceback (most recent call last):\n")
    assert "aperf" not in traceback
    assert error
    assert "worker" in summary


def test_forked_child_is_left_alone(tmp_path: Path) -> None:
    """A forked child dies of SIGTERM at once; the session belongs to its parent."""
    program = """
        import os, signal, time
        child = os.fork()
        if not child:
            signal.pause()
        time.sleep(0.1)
        os.kill(child, signal.SIGTERM)
        print("ready", flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    with started(tmp_path, program) as process:
        outcome = end(process, 0)
    assert (0, "-15\n") == (outcome.code, outcome.stdout)
    assert outcome.stderr
