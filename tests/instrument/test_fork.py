"""I10: a forked child starts unwatched, with nothing of ours running, and can start anew."""

from __future__ import annotations

import os
import sys

import pytest

from tests.isolated import run_isolated

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

#: Runs first in each program. `check` is what a child must find.
PRELUDE = """
import asyncio, os, sys, threading, time
import aperf
from aperf.exporters import MemoryExporter

async def child_task():
    await asyncio.sleep(0)

async def parent_task():
    await asyncio.sleep(0)

def names(memory):
    return sorted({span.name for span in memory.spans} & {"child_task", "parent_task"})

def check(*loops):
    assert not aperf.is_active()
    for loop in loops:
        assert not {"create_task", "call_soon", "run_in_executor"} & set(vars(loop)), vars(loop)
    deadline = time.monotonic() + 10  # sessions of this process may have ended just now
    while any(thread.name.startswith("aperf") for thread in threading.enumerate()):
        assert time.monotonic() < deadline, threading.enumerate()
    assert "asyncio.base_events" == asyncio.BaseEventLoop.__init__.__module__

def fork(child):
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 1
    try:
        child()
        code = 0
    except BaseException:
        import traceback
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
"""

IN_A_TASK = """
memory = MemoryExporter()

def child(loop):
    check(loop)
    anew = MemoryExporter()
    with aperf.session(enabled=True, exporters=[anew]):
        asyncio.run(child_task())
    assert ["child_task"] == names(anew), names(anew)
    assert [] == names(memory)
    check(loop)

async def main():
    loop = asyncio.get_running_loop()
    async with aperf.session(enabled=True, exporters=[memory]) as session:
        for _ in range(2):
            assert 0 == fork(lambda: child(loop))
        await asyncio.create_task(parent_task())
        assert await session.flush()
    print(names(memory), session.statistics().internal_errors)

asyncio.run(main())
"""

OUTSIDE = """
memory = MemoryExporter()

def grandchild():
    check()
    anew = MemoryExporter()
    with aperf.session(enabled=True, exporters=[anew]):
        asyncio.run(child_task())
    assert ["child_task"] == names(anew)

def child():
    check()
    with aperf.session(enabled=True, exporters=[MemoryExporter()]):
        assert 0 == fork(grandchild)

with aperf.session(enabled=True, exporters=[memory], loops="all") as session:
    assert 0 == fork(child)
    asyncio.run(parent_task())
    with aperf.session(enabled=True, exporters=[MemoryExporter()], loops="all"):
        assert 0 == fork(child)
print(names(memory), session.statistics().internal_errors)
"""

WITH_A_SPAN_OPEN = """
memory = MemoryExporter()

async def main():
    loop = asyncio.get_running_loop()
    def child():
        check(loop)
        with aperf.span("of the child"):
            check(loop)
    async with aperf.session(enabled=True, exporters=[memory]) as session:
        with aperf.span("of the parent"):
            assert 0 == fork(child)
        await asyncio.create_task(parent_task())
    print(names(memory), session.statistics().internal_errors)
    assert not [span for span in memory.spans if span.name == "of the child"]
    assert 1 == len([span for span in memory.spans if span.name == "of the parent"])

asyncio.run(main())
"""

CHILD_GOES_ON_WITH_THE_LOOP = """
memory = MemoryExporter()
loop = asyncio.new_event_loop()

def child():
    check(loop)
    loop.run_until_complete(child_task())
    loop.run_until_complete(task)
    assert [] == names(memory)

with aperf.session(enabled=True, exporters=[memory], loops="current") as session:
    session.watch(loop)
    task = loop.create_task(parent_task())
    loop.run_until_complete(asyncio.sleep(0))
    assert 0 == fork(child)
    loop.run_until_complete(task)
loop.close()
print(names(memory), session.statistics().internal_errors)
"""

FROM_ANOTHER_THREAD = """
memory = MemoryExporter()

async def main():
    loop = asyncio.get_running_loop()
    async with aperf.session(enabled=True, exporters=[memory]) as session:
        code = await asyncio.to_thread(fork, lambda: check(loop))
        assert 0 == code
        await asyncio.create_task(parent_task())
    print(names(memory), session.statistics().internal_errors)

asyncio.run(main())
"""

CHILD_THAT_EXITS_AS_PROGRAMS_DO = """
memory = MemoryExporter()

with aperf.session(enabled=True, exporters=[memory]) as session:
    asyncio.run(parent_task())
    pid = os.fork()
    if pid == 0:
        sys.exit(7)  # through atexit
    assert 7 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print(names(memory), session.statistics().internal_errors)
"""

MULTIPROCESSING = """
import multiprocessing
memory = MemoryExporter()
context = multiprocessing.get_context("fork")

def child(queue):
    check()
    anew = MemoryExporter()
    with aperf.session(enabled=True, exporters=[anew]):
        asyncio.run(child_task())
    queue.put(names(anew))

with aperf.session(enabled=True, exporters=[memory]) as session:
    queue = context.Queue()
    process = context.Process(target=child, args=(queue,))
    process.start()
    assert ["child_task"] == queue.get(timeout=30)
    process.join(30)
    assert 0 == process.exitcode
    asyncio.run(parent_task())
print(names(memory), session.statistics().internal_errors)
"""

WHILE_ANOTHER_THREAD_OPENS_SESSIONS = """
memory = MemoryExporter()
stop = threading.Event()

def churn():
    while not stop.is_set():
        with aperf.session(enabled=True, exporters=[]):
            pass

def child():
    with aperf.session(enabled=True, exporters=[MemoryExporter()]):
        asyncio.run(child_task())

with aperf.session(enabled=True, exporters=[memory]) as session:
    thread = threading.Thread(target=churn)
    thread.start()
    for _ in range(10):
        assert 0 == fork(child)
    stop.set()
    thread.join()
    asyncio.run(parent_task())
print(names(memory), session.statistics().internal_errors)
"""

PROGRAMS = {
    "in a task": IN_A_TASK,
    "outside of loops": OUTSIDE,
    "with a span open": WITH_A_SPAN_OPEN,
    "the child goes on with the loop": CHILD_GOES_ON_WITH_THE_LOOP,
    "from another thread": FROM_ANOTHER_THREAD,
    "the child exits": CHILD_THAT_EXITS_AS_PROGRAMS_DO,
    "multiprocessing": MULTIPROCESSING,
    "while sessions open and close": WHILE_ANOTHER_THREAD_OPENS_SESSIONS,
}


@pytest.mark.parametrize("where", PROGRAMS)
def test_i10_fork(implementation: str, where: str) -> None:
    """The child finds nothing of ours, and may start anew; the parent sees what it did itself."""
    pure = "1" if implementation == "python" else "0"
    output = run_isolated(PRELUDE + PROGRAMS[where], APERF_PURE_PYTHON=pure)
    assert "['parent_task'] 0\n" == output


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_i10_the_child_has_one_thread(implementation: str) -> None:
    """No thread is started for the child unasked."""
    program = """
with aperf.session(enabled=True, exporters=[]):
    assert 0 == fork(lambda: print(len(os.listdir("/proc/self/task"))))
"""
    pure = "1" if implementation == "python" else "0"
    assert "1\n" == run_isolated(PRELUDE + program, APERF_PURE_PYTHON=pure)
