"""Viewers of Tracy: one that reads and throws away, and the capture tool that keeps everything.

Each is a process of its own. The first one never asks anything and never decodes: a viewer that is
slower than aperf would be what is measured.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aperf.exporters import TracyExporter

VERSION = 76  # of the protocol; 0.13
DEADLINE_S = 30
PACKAGE = "iree-base-runtime"


def exporter(kind: type[TracyExporter] | None = None) -> TracyExporter:
    """Return an exporter that listens at any free port."""
    from aperf.exporters import TracyExporter

    return (kind or TracyExporter)(port=0, announce="none")


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for something that another process does."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError(what)
        time.sleep(0.01)


@contextlib.contextmanager
def viewer(exporter: TracyExporter) -> Iterator[None]:
    """Have a viewer connected that throws away what it is sent."""
    with _connected([sys.executable, __file__, str(exporter.port)], exporter):
        yield


def capture_tool() -> Path | None:
    """Return the capture tool, if there is one for this platform."""
    try:
        files = importlib.metadata.files(PACKAGE) or ()
    except importlib.metadata.PackageNotFoundError:
        return None
    tools = [file for file in files if file.match("_runtime*/iree-tracy-capture")]
    return Path(str(tools[0].locate())) if tools else None


@contextlib.contextmanager
def capture(tool: Path, exporter: TracyExporter) -> Iterator[int]:
    """Have a capture tool connected, and give the number of its process."""
    with tempfile.TemporaryDirectory() as directory:
        command = [str(tool), "-a", "127.0.0.1", "-p", str(exporter.port)]
        with _connected([*command, "-o", f"{directory}/out.tracy"], exporter) as process:
            yield process.pid


@contextlib.contextmanager
def _connected(command: list[str], exporter: TracyExporter) -> Iterator[subprocess.Popen[bytes]]:
    before = exporter.counters().viewers
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            until(lambda: exporter.counters().viewers > before, "no viewer has connected")
            yield process
        finally:
            process.kill()


def throw_away(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"TracyPrf" + VERSION.to_bytes(4, "little"))
        while connection.recv(1 << 20):
            pass


if __name__ == "__main__":
    throw_away(int(sys.argv[1]))
