"""Scripts that a Tracy viewer looks at: they begin and end when they are told to."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.command_line import clean_environment, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ("Script", "running")

#: Says where viewers can connect, runs the script, and waits before that and after it. Whoever
#: looks on then is sent everything, however long a busy machine takes.
_RUNNER: Final = """
    import asyncio, logging, runpy, sys
    import aperf

    log = logging.getLogger("aperf")
    log.setLevel(logging.INFO)
    log.addHandler(logging.StreamHandler(sys.stdout))
    _, loop, script = sys.argv
    if loop == "uvloop":
        import uvloop
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    with aperf.session() as session:
        sys.stdin.readline()
        runpy.run_path(script, run_name="__main__")
        print("done", flush=True)
        sys.stdin.readline()
        print("sent:", asyncio.run(session.flush(30)), flush=True)
"""
_END_S: Final = 20.0


@dataclass(slots=True)
class Script:
    """A script at work."""

    process: subprocess.Popen[str]
    port: int = 0  #: where viewers can connect
    said: list[str] = field(default_factory=list)  #: lines that nobody has waited for yet

    def go(self) -> None:
        """Let it go on to where it waits for an order the next time."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def until(self, words: str) -> str:
        """Wait until it says these words, and return the line."""
        assert self.process.stdout is not None
        while True:
            for line in self.said:
                if words in line:
                    self.said.remove(line)
                    return line
            said = self.process.stdout.readline()
            if not said:
                raise AssertionError(f"ended without {words!r}, with {self.said}:\n{self.end()[1]}")
            self.said.append(said)

    def end(self) -> tuple[int, str]:
        """Wait for its end; return its exit code, and what it says on stderr."""
        _, complaints = self.process.communicate(timeout=_END_S)
        return self.process.returncode, complaints


def _free_port() -> int:
    """Return a port that is free now; should it be taken, the program takes a later one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def running(
    script: Path, directory: Path, *, loop: str = "asyncio", implementation: str = ""
) -> Iterator[Script]:
    """Have a script wait to run; its process ends with the block.

    Args:
        script: what runs.
        directory: for the program that runs it.
        loop: "asyncio" or "uvloop".
        implementation: which recorder, "c" or "python"; by default the best that is there.
    """
    variables = {
        "TRACY_ENABLED": "true",
        "TRACY_PORT": str(_free_port()),
        "APERF_TRACY_ANNOUNCE": "none",
        "APERF_TRACY_HISTORY_S": "3600",  # a busy machine takes its time
        "APERF_PURE_PYTHON": str(implementation == "python").lower(),
    }
    runner = write(directory / "runner.py", _RUNNER)
    with subprocess.Popen(
        [sys.executable, runner, loop, script],
        env=clean_environment(**variables),
        cwd=directory,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            started = Script(process)
            started.port = int(started.until("viewers can connect").split()[-1])
            yield started
        finally:
            process.kill()
