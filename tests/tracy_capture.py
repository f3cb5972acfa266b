"""Real servers of Tracy: the capture tools that packages on PyPI bring along.

One of them the tests require (protocol 72). Those in APERF_TEST_TRACY_CAPTURES, executables
joined as in PATH, are run too: `nox -s tracy_versions` installs some of other versions.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("CAPTURES", "Capture", "Captured", "capture")

_PACKAGE: Final = "iree-base-runtime"
_NAME: Final = "iree-tracy-capture"
_VARIABLE: Final = "APERF_TEST_TRACY_CAPTURES"

#: A capture that takes longer hangs.
_DEADLINE_S: Final = 30.0

_ZONES: Final = re.compile(r"Zones: ([\d,]+)")
_FAILURE: Final = re.compile(r"Instrumentation failure:? *(.*)")
#: Colours, and the line that is drawn again and again while it captures.
_DRAWING: Final = re.compile(r"\x1b\[[\d;?]*[A-Za-z]|\r")


def _find() -> tuple[Path, ...]:
    """Return the executables; the installed one first.

    The package's command would start it as a child that outlives it.
    """
    try:
        files = importlib.metadata.files(_PACKAGE) or ()
    except importlib.metadata.PackageNotFoundError:  # there are wheels for some machines only
        files = ()
    installed = [Path(str(file.locate())) for file in files if file.match(f"_runtime*/{_NAME}*")]
    others = os.environ.get(_VARIABLE, "").split(os.pathsep)
    return (*installed, *(Path(other) for other in others if other))


CAPTURES: Final = _find()


class Captured(NamedTuple):
    """What a capture tool said in the end."""

    exit_code: int
    zones: int | None  #: None if it did not come so far
    failure: str  #: why it stopped; "" if it came to the end
    output: str


@dataclass(frozen=True, slots=True)
class Capture:
    """A capture tool at work."""

    process: subprocess.Popen[str]
    file: Path

    def result(self) -> Captured:
        """Wait for its end and return what it said."""
        output, _ = self.process.communicate(timeout=_DEADLINE_S)
        output = _DRAWING.sub("\n", output)
        zones, failure = _ZONES.search(output), _FAILURE.search(output)
        return Captured(
            self.process.returncode,
            int(zones[1].replace(",", "")) if zones else None,
            (failure[1].strip() or "unknown") if failure else "",
            output,
        )


@contextmanager
def capture(executable: Path, port: int, directory: Path) -> Iterator[Capture]:
    """Let a capture tool connect to a port of this machine; end it with the block."""
    file = directory / "out.tracy"
    command: list[str | Path] = [executable, "-a", "127.0.0.1", "-p", str(port), "-o", file, "-f"]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        try:
            yield Capture(process, file)
        finally:
            process.kill()
