"""Nothing accumulates: memory blocks, objects and threads are the same after many rounds as before.

Each scenario runs in a fresh interpreter, with the collector off while it is measured: what is not
freed by reference counts counts as lost, too.
"""

from __future__ import annotations

import sys

import pytest

from tests.isolated import run_isolated

pytestmark = [pytest.mark.leaks, pytest.mark.timeout(300)]

PRELUDE = """
import asyncio, gc, sys, threading, time
import aperf
from aperf._pipeline import _tasks

ROUNDS = 6
PER_ROUND = 400

# Ended tasks are remembered for a while, thousands of them: that is no leak, but hides one.
_tasks.REMEMBERED = 16

async def child(number=0):
    await asyncio.sleep(0)
    return number

async def fails():
    await asyncio.sleep(0)
    raise ValueError("bad")

async def forever():
    await asyncio.get_running_loop().create_future()

def blocks():
    gc.collect()
    return sys.getallocatedblocks()

def verdict(counts):
    # The first rounds fill tables and caches; from then on nothing may grow with the work done.
    settled = counts[len(counts) // 2:]
    growth = (settled[-1] - settled[0]) / (len(settled) - 1) / PER_ROUND
    # A leak is a block each time. Histograms and the list of the longest steps fill up slowly.
    print("steady" if growth < 0.5 else f"grows by {growth:.2f} blocks each time: {counts}")
"""

ON_A_LOOP = """
async def main():
    counts = []
    async with aperf.session(enabled=True, exporters=[]) as session:
        for _ in range(ROUNDS):
            for number in range(PER_ROUND):
                await scenario(number)
            assert await session.flush()
            counts.append(blocks())
    assert 0 == session.statistics().internal_errors
    verdict(counts)

asyncio.run(main())
"""

#: What one task does again and again on a loop that is watched.
SCENARIOS = {
    "tasks": """
async def scenario(number):
    await asyncio.create_task(child())
""",
    "named tasks": """
async def scenario(number):
    await asyncio.create_task(child(), name=f"number {number}")
""",
    "failures": """
async def scenario(number):
    await asyncio.gather(fails(), return_exceptions=True)
""",
    "cancellations": """
async def scenario(number):
    task = asyncio.create_task(forever())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
""",
    "groups and timeouts": """
async def scenario(number):
    async with asyncio.timeout(10):
        async with asyncio.TaskGroup() as group:
            group.create_task(child())
            group.create_task(child())
""",
    "shields and waits": """
async def scenario(number):
    await asyncio.shield(asyncio.create_task(child()))
    await asyncio.wait([asyncio.create_task(child())])
""",
    "tasks made by hand": """
async def scenario(number):
    await asyncio.Task(child(), loop=asyncio.get_running_loop())
""",
    "jobs": """
async def scenario(number):
    await asyncio.to_thread(int)
""",
    "user spans": """
async def scenario(number):
    with aperf.span("outer", number=number):
        async with asyncio.TaskGroup() as group:
            group.create_task(spanned())

@aperf.instrument
async def spanned():
    await asyncio.sleep(0)
""",
    "asynchronous generators": """
async def numbers():
    for number in range(2):
        await asyncio.sleep(0)
        yield number

async def scenario(number):
    async for _ in numbers():
        break
    await asyncio.sleep(0)
""",
    "code made anew": """
async def scenario(number):
    space = {"asyncio": asyncio}
    exec("async def made():\\n    await asyncio.sleep(0)", space)
    made = space.pop("made")
    code = made.__code__
    if number % 100 == 0:
        await made()
""",
    "callbacks": """
async def scenario(number):
    future = asyncio.get_running_loop().create_future()
    future.add_done_callback(lambda _: None)
    asyncio.get_running_loop().call_soon(future.set_result, None)
    await future
""",
}
if sys.version_info >= (3, 12):
    SCENARIOS["eager tasks"] = """
async def scenario(number):
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    await asyncio.create_task(child())
    await asyncio.gather(fails(), return_exceptions=True)
"""
SCENARIOS["wrapped tasks"] = """
async def scenario(number):
    loop = asyncio.get_running_loop()
    if number == 0:
        loop.set_task_factory(aperf.task_factory())
    await asyncio.create_task(child())
    await asyncio.gather(fails(), return_exceptions=True)
"""


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_work_on_a_loop_leaves_nothing(implementation: str, scenario: str) -> None:
    """What tasks allocate is freed when they end, whichever way they do."""
    pure = "1" if implementation == "python" else "0"
    program = PRELUDE + SCENARIOS[scenario] + ON_A_LOOP
    assert "steady\n" == run_isolated(program, APERF_PURE_PYTHON=pure)


OVER_AND_OVER = {
    "sessions": """
def scenario(number):
    with aperf.session(enabled=True, exporters=[]):
        asyncio.run(child())
""",
    "sessions on a loop": """
async def watched():
    async with aperf.session(enabled=True, exporters=[]):
        await asyncio.create_task(child())

def scenario(number):
    asyncio.run(watched())
""",
    "nested sessions": """
def scenario(number):
    with aperf.session(enabled=True, exporters=[]):
        with aperf.session(enabled=True, exporters=[]):
            asyncio.run(child())
""",
}

WITHOUT_A_LOOP = """
PER_ROUND = 20
counts, threads = [], threading.active_count()
for _ in range(ROUNDS):
    for number in range(PER_ROUND):
        scenario(number)
    deadline = time.monotonic() + 10
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.001)
    assert threading.active_count() == threads
    counts.append(blocks())
settled = counts[2:]
growth = (settled[-1] - settled[0]) / (len(settled) - 1) / PER_ROUND
# asyncio.run() of 3.11 loses a block each time by itself; a session has hundreds.
print("steady" if growth < 5 else f"grows by {growth:.2f} blocks each time: {counts}")
"""


@pytest.mark.parametrize("scenario", OVER_AND_OVER)
def test_sessions_leave_nothing(implementation: str, scenario: str) -> None:
    """A session that has ended is gone, with its thread, its tables and its rings."""
    pure = "1" if implementation == "python" else "0"
    program = PRELUDE + OVER_AND_OVER[scenario] + WITHOUT_A_LOOP
    assert "steady\n" == run_isolated(program, APERF_PURE_PYTHON=pure)


RESIDENT = """
import os

def resident_mib():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
"""

THREADS_COME_AND_GO = """
def life():
    asyncio.run(child())

with aperf.session(enabled=True, exporters=[]) as session:
    for number in range(120):
        thread = threading.Thread(target=life)
        thread.start()
        thread.join()
        assert asyncio.run(session.flush())  # a ring is given back when it has been read
        if number == 20:
            before = resident_mib()
    grown = resident_mib() - before
print("steady" if grown < 50 else f"{grown:.0f} MiB for 100 threads")
"""

SESSIONS_COME_AND_GO = """
for number in range(60):
    with aperf.session(enabled=True, exporters=[]):
        asyncio.run(child())
    if number == 10:
        before = resident_mib()
grown = resident_mib() - before
print("steady" if grown < 60 else f"{grown:.0f} MiB for 50 sessions")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    "program", [THREADS_COME_AND_GO, SESSIONS_COME_AND_GO], ids=["threads", "sessions"]
)
def test_rings_are_given_back(implementation: str, program: str) -> None:
    """A ring is megabytes large: those of threads and sessions that have ended must not pile up."""
    pure = "1" if implementation == "python" else "0"
    assert "steady\n" == run_isolated(PRELUDE + RESIDENT + program, APERF_PURE_PYTHON=pure)
