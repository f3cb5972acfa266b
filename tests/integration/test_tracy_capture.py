"""Whole programs in front of real Tracy servers: nothing fails, and every zone arrives.

How often a loop iterates, and how often a task is ready for long, is different each time. So the
zones that a capture tool counts are compared with those that our own server half reads of the same
bytes, and the latter, by name, with what the program did.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.command_line import write
from tests.tracy_capture import CAPTURES, capture
from tests.tracy_script import running
from tests.tracy_tap import tapped
from tests.twins import IMPLEMENTATIONS
from tests.watched import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aperf.protocol.tracy._server import Trace
    from tests.tracy_capture import Capture
    from tests.tracy_script import Script
    from tests.tracy_tap import Tap

EXAMPLES: Final = Path(__file__).parents[2] / "examples"

FAN_OUT: Final = {
    "main": 1,
    "await TaskGroup": 1,
    "ask_region": 6,
    "await gather": 6,
    "ask_server": 48,
    "await sleep": 48,
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CAPTURES, reason="no package for this platform has a capture tool"),
]


@pytest.fixture(params=range(len(CAPTURES)))
def executable(request: pytest.FixtureRequest) -> Path:
    """One of the capture tools."""
    number: int = request.param
    return CAPTURES[number]


@contextmanager
def captured(executable: Path, script: Script, directory: Path) -> Iterator[tuple[Capture, Tap]]:
    """Let a capture tool look at a script through a tap, from here on."""
    with tapped(script.port) as tap, capture(executable, tap.port, directory) as tool:
        script.until("viewer is connected")
        yield tool, tap


def end(script: Script, tool: Capture, tap: Tap, zones: dict[str, int]) -> Trace:
    """End a script; it and the tool must have ended well, with exactly these zones and others."""
    script.go()
    script.until("sent: True")
    assert (0, "") == script.end()
    result, trace = tool.result(), tap.trace
    assert (0, "") == (result.exit_code, result.failure), result.output
    assert sum(1 for _ in trace.zones()) == result.zones
    # The script's flush, by which it knows that all is sent, lets the loop turn once.
    turns = {name: 1 for name in zones if name == "await sleep(0)"}
    assert zones == dict(Counter(tap.count(*zones)) - Counter(turns))
    assert () == trace.failures
    assert () == trace.undiagnosed
    return trace


def watch(executable: Path, script: Script, directory: Path, zones: dict[str, int]) -> Trace:
    """Let a capture tool look at a script from its begin to its end."""
    with captured(executable, script, directory) as (tool, tap):
        script.go()
        script.until("done")
        return end(script, tool, tap, zones)


# --------------------------------------------------------------------------------------- examples


def test_crawler(executable: Path, tmp_path: Path) -> None:
    """The crawler is drawn: its workers, what they await, and the jobs in threads."""
    zones = {
        "main": 1,
        "Crawler.crawl": 1,
        "await Queue.join": 1,
        "Crawler.work": 4,
        "Crawler.visit": 61,
        "await to_thread": 60,
        "find_links": 60,
        "Archive.store": 60,
        "checksum": 1,
        "await Process.wait": 1,
    }
    with running(EXAMPLES / "crawler.py", tmp_path) as script:
        watch(executable, script, tmp_path, zones)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_fan_out(executable: Path, tmp_path: Path, implementation: str, loop: str) -> None:
    """Each task and each await of the fan-out is drawn, on both loops and by both twins."""
    options = {"implementation": implementation, "loop": loop}
    with running(EXAMPLES / "fan_out.py", tmp_path, **options) as script:
        watch(executable, script, tmp_path, FAN_OUT)


# ------------------------------------------------------------------------------------- many tasks

IN_TURNS: Final = """
    import asyncio

    async def short():
        await asyncio.sleep(0)

    async def main():
        for _ in range(50):
            async with asyncio.TaskGroup() as group:
                for _ in range(200):
                    group.create_task(short())

    asyncio.run(main())
"""
AT_ONCE: Final = IN_TURNS.replace("range(50)", "range(1)").replace("range(200)", "range(10_000)")

#: All find a lane.
ALL_IN_TURNS: Final = {"main": 1, "await TaskGroup": 50, "short": 10_000, "await sleep(0)": 10_000}
#: One of the 256 lanes is main's. Without a lane a task is drawn twice, a zone for each step.
ALL_AT_ONCE: Final = {
    "main": 1,
    "await TaskGroup": 1,
    "short": 255 + 2 * (10_000 - 255),
    "await sleep(0)": 255,
}


def test_many_tasks_in_turns(executable: Path, tmp_path: Path) -> None:
    """Ten thousand short tasks and their awaits are drawn, on lanes that are used again."""
    with running(write(tmp_path / "script.py", IN_TURNS), tmp_path) as script:
        trace = watch(executable, script, tmp_path, ALL_IN_TURNS)
    assert 201 == len(trace.fibers)


def test_many_tasks_at_once(executable: Path, tmp_path: Path) -> None:
    """Tasks that find no lane are drawn step by step on the thread of their loop."""
    with running(write(tmp_path / "script.py", AT_ONCE), tmp_path) as script:
        trace = watch(executable, script, tmp_path, ALL_AT_ONCE)
    assert 256 == len(trace.fibers)


# ------------------------------------------------------------------------------------ cancellation

CANCELLED: Final = """
    import asyncio, signal

    async def tidy_up():
        await asyncio.sleep(0)

    async def victim():
        try:
            await asyncio.sleep(3600)
        finally:
            await tidy_up()

    async def unborn():
        raise AssertionError("never runs")

    async def main():
        victims = [asyncio.create_task(victim()) for _ in range(100)]
        await asyncio.sleep(0)
        tasks = [*victims, *(asyncio.create_task(unborn()) for _ in range(10))]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(3600)

    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
"""


def test_cancelled(executable: Path, tmp_path: Path) -> None:
    """Tasks that are cancelled end, and say that they were; the program's first one, too."""
    zones = {
        "main": 1,
        "victim": 100,
        "await sleep": 101,
        "tidy_up": 100,
        "await sleep(0)": 101,
        "unborn": 10,
    }
    with running(write(tmp_path / "script.py", CANCELLED), tmp_path) as script:
        trace = watch(executable, script, tmp_path, zones)
    cancelled = [zone.name for zone in trace.zones() if "cancelled" in zone.text.splitlines()]
    assert {"main": 1, "victim": 100, "unborn": 10} == Counter(cancelled)


# --------------------------------------------------------------------- viewers that come and go

IN_HALVES: Final = """
    import asyncio, sys

    async def short():
        await asyncio.sleep(0)

    async def half():
        async with asyncio.TaskGroup() as group:
            for _ in range(1_000):
                group.create_task(short())

    async def main():
        await half()
        print("half", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await half()

    asyncio.run(main())
"""

HALF: Final = {"half": 1, "short": 255 + 2 * (1_000 - 255), "await sleep(0)": 255}
BOTH: Final = {"main": 1, "await to_thread": 1, **{name: 2 * n for name, n in HALF.items()}}


def test_disconnected_half_way(executable: Path, tmp_path: Path) -> None:
    """A viewer that is killed does not disturb the program, and the next one is shown all of it."""
    with running(write(tmp_path / "script.py", IN_HALVES), tmp_path) as script:
        with captured(executable, script, tmp_path) as (tool, tap):
            script.go()
            script.until("half")
            tap.until(HALF)
            tool.process.kill()
            script.until("viewer has left")
        script.go()
        script.until("done")
        with captured(executable, script, tmp_path) as (tool, tap):
            end(script, tool, tap, BOTH)


def test_disconnected_at_any_time(executable: Path, tmp_path: Path) -> None:
    """A viewer may be killed in the middle of what it is sent."""
    with running(write(tmp_path / "script.py", AT_ONCE), tmp_path) as script:
        with captured(executable, script, tmp_path) as (tool, tap):
            script.go()
            until(lambda: tap.received > 10_000, "a part of the trace")
            tool.process.kill()
            script.until("viewer has left")
        script.until("done")
        with captured(executable, script, tmp_path) as (tool, tap):
            end(script, tool, tap, ALL_AT_ONCE)


def test_connected_late(executable: Path, tmp_path: Path) -> None:
    """A viewer that comes while the program runs is shown what was before, and what follows."""
    with running(write(tmp_path / "script.py", IN_HALVES), tmp_path) as script:
        script.go()
        script.until("half")
        with captured(executable, script, tmp_path) as (tool, tap):
            tap.until(HALF)
            script.go()
            script.until("done")
            end(script, tool, tap, BOTH)


def test_connected_when_all_is_over(executable: Path, tmp_path: Path) -> None:
    """A viewer that comes when the loop is closed is shown what was."""
    with running(write(tmp_path / "script.py", IN_TURNS), tmp_path) as script:
        script.go()
        script.until("done")
        with captured(executable, script, tmp_path) as (tool, tap):
            end(script, tool, tap, ALL_IN_TURNS)
