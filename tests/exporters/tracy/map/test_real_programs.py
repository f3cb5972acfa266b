"""Programs that really run, with either recorder, on either loop, as a viewer sees them."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import contextmanager
from textwrap import dedent
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pytest

from tests.command_line import clean_environment
from tests.tracy_viewer import Viewer, connected
from tests.twins import IMPLEMENTATIONS
from tests.watched import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aperf.protocol.tracy._server import Trace, Zone

#: A zone's name, and what is in it.
Shape: TypeAlias = "tuple[str, list[Shape]]"

PROGRAM: Final = dedent(
    """
    import asyncio
    import sys

    import aperf
    from aperf.exporters import TracyExporter


    async def leaf(n):
        with aperf.span("request", n=n):
            await asyncio.sleep(0.002)
        await asyncio.sleep(0)


    async def branch():
        await leaf(1)
        await leaf(2)


    async def taker(queue):
        await queue.get()


    async def bad():
        await asyncio.sleep(0.001)
        raise ValueError("no good")


    async def holder(lock):
        async with lock:
            await asyncio.sleep(0.002)


    async def phase(name):
        queue, lock = asyncio.Queue(), asyncio.Lock()
        tasks = [
            asyncio.create_task(branch(), name=f"{name}-branch"),
            asyncio.create_task(taker(queue), name=f"{name}-taker"),
            asyncio.create_task(bad(), name=f"{name}-bad"),
            *(asyncio.create_task(holder(lock), name=f"{name}-holder") for _ in range(2)),
        ]
        await asyncio.sleep(0.005)
        queue.put_nowait(1)
        await asyncio.to_thread(sum, (1, 2))
        await asyncio.gather(*tasks, return_exceptions=True)
        aperf.plot("level", 3)
        aperf.message(f"{name} is over")


    async def main():
        exporter = TracyExporter(port=0, announce="none")
        async with aperf.session(enabled=True, exporters=[exporter]):
            # It is suspended long before a viewer comes, and until it has gone.
            sleeper = asyncio.create_task(asyncio.Event().wait(), name="sleeper")
            await phase("one")
            print(exporter.port, flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            await phase("two")
            print("two", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            sleeper.cancel()
        print(exporter.counters().repairs, exporter.counters().faults)


    if sys.argv[1] == "uvloop":
        import uvloop

        uvloop.run(main())
    else:
        asyncio.run(main())
    """
)


@contextmanager
def running(source: str, *args: str, **env: str) -> Iterator[subprocess.Popen[str]]:
    """Have a program run that talks to us; it is ended with the block."""
    with subprocess.Popen(
        [sys.executable, "-c", source, *args],
        env=clean_environment(**env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    """Return the next line that a program prints."""
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line, process.communicate(timeout=DEADLINE_S)[1]
    return line


def go_on(process: subprocess.Popen[str]) -> None:
    """Let it go on."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def shape(zone: Zone) -> Shape:
    """Return what is in a zone; whether something was late is a matter of luck."""
    return zone.name, [shape(child) for child in zone.children if child.name != "ready"]


def task(trace: Trace, name: str) -> Zone:
    """Return the zone of the task with this name."""
    [zone] = tasks(trace, name)
    return zone


def tasks(trace: Trace, name: str) -> list[Zone]:
    """Return the zones of all tasks with this name."""
    zones = (zone for fiber in trace.fibers.values() for zone in fiber.zones)
    return [zone for zone in zones if zone.text.split("\n")[0] == name]


LEAF: Final[Any] = ("leaf", [("request", [("await sleep", [])]), ("await sleep(0)", [])])


def check(trace: Trace, phase: str) -> None:
    """Check what is drawn of a phase."""
    assert ((), ()) == (trace.failures, trace.undiagnosed)
    branch = task(trace, f"{phase}-branch")
    assert ("branch", [LEAF, LEAF]) == shape(branch)
    assert ["n=1", "n=2"] == [leaf.children[0].text for leaf in branch.children]
    assert ("taker", [("await Queue.get", [])]) == shape(task(trace, f"{phase}-taker"))
    waits = [[name for name, _ in shape(zone)[1]] for zone in tasks(trace, f"{phase}-holder")]
    assert [["await sleep"], ["await Lock.acquire", "await sleep"]] == waits
    said = [message.text for message in trace.messages]
    assert f"{phase}-bad (bad) failed: ValueError: no good" in said
    rows = {row.name for row in trace.threads.values() if row.zones}
    assert "MainThread" in rows
    jobs = [zone for zone in trace.zones() if zone.text == "for Task-1 (main)"]
    assert jobs
    for fiber in trace.fibers.values():
        assert [*fiber.regions] == sorted(fiber.regions)
        assert [*fiber.zones] == sorted(fiber.zones, key=lambda zone: zone.start_ns)


def see(viewer: Viewer, phase: str) -> Trace:
    """Read until a phase is over, and check what it looks like."""
    viewer.until_seen(f"{phase} is over")
    viewer.until(lambda: not viewer.server.unanswered, "answers")
    trace = viewer.server.trace
    check(trace, phase)
    return trace


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_program_is_drawn_before_during_and_after_a_connection(
    implementation: str, loop: str
) -> None:
    """History comes first, then what happens; a viewer that comes back gets both again."""
    pure = str(implementation == "python").lower()
    with running(PROGRAM, loop, APERF_PURE_PYTHON=pure) as process:
        port = int(line_of(process))
        with connected(port) as viewer:
            see(viewer, "one")
            go_on(process)
            assert "two" == line_of(process)
            see(viewer, "two")
        with connected(port, 65) as viewer:
            see(viewer, "one")
            trace = see(viewer, "two")
            assert task(trace, "sleeper").end_ns is None
            go_on(process)
            viewer.until(lambda: not viewer.server.is_reading, "the end")
            trace = viewer.server.trace
            assert ((), ()) == (trace.failures, trace.undiagnosed)
            assert all(zone.end_ns is not None for zone in trace.zones())
        output, errors = process.communicate(timeout=DEADLINE_S)
    assert ("0 0\n", "", 0) == (output, errors, process.returncode)


def test_tracy_alone_prints_nothing() -> None:
    """With TRACY_ENABLED, and telemetry off, a program says what it says without."""
    source = """
        import asyncio, sys
        import aperf

        async def work():
            await asyncio.sleep(0)
            await asyncio.to_thread(sys.stdin.readline)

        async def main():
            async with aperf.session():
                print("ready", flush=True)
                await asyncio.create_task(work(), name="work")
            print("over")

        asyncio.run(main())
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {"TRACY_ENABLED": "true", "TRACY_PORT": str(port), "APERF_TRACY_ANNOUNCE": "none"}
    with running(dedent(source), **env) as process:
        assert "ready" == line_of(process)
        with connected(port) as viewer:
            viewer.until(lambda: tasks(viewer.server.trace, "work"), "the task")
            go_on(process)
            viewer.until(lambda: not viewer.server.is_reading, "the end")
        output, errors = process.communicate(timeout=DEADLINE_S)
    assert ("over\n", "", 0) == (output, errors, process.returncode)
