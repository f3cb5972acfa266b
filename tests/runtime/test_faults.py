"""Receivers that are dead, deaf, slow or gone: the program ends as ever, in bounded time."""

from __future__ import annotations

import time
from contextlib import contextmanager
from textwrap import dedent
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.programs import Completed, run_program
from tests.scripted_receiver import (
    Answer,
    ScriptedReceiver,
    black_hole,
    refusing_port,
    scripted_receiver,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

#: `APERF_SHUTDOWN_TIMEOUT_S` in these tests.
TIMEOUT_S: Final = 1
#: Beyond that: starting Python, importing gRPC, on a machine that has other things to do.
PATIENCE_S: Final = 15

PRELUDE: Final = dedent("""
    import asyncio, atexit, os, signal, sys, threading, time
    import aperf

    async def job():
        await asyncio.sleep(0)

    async def main():
        aperf.instrument_loop()
        await asyncio.gather(*(job() for _ in range(100)))
        print("worked", flush=True)

""")

#: How programs end: the rest of the program, and its exit code.
ENDINGS: Final = {
    "normal end": ("asyncio.run(main())", 0),
    "sys.exit": ("asyncio.run(main()); sys.exit(3)", 3),
    "SIGTERM": (
        """
        async def program():
            async with aperf.session(handle_signals=True):
                await main()
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.sleep(60)
        asyncio.run(program())
        """,
        -15,
    ),
    "daemon thread": (
        """
        ready = threading.Event()
        async def serve():
            await main()
            ready.set()
            await asyncio.sleep(60)
        threading.Thread(target=asyncio.run, args=[serve()], daemon=True).start()
        ready.wait()
        """,
        0,
    ),
}


@contextmanager
def refusing() -> Iterator[int]:
    """Give a port on which nobody listens."""
    yield refusing_port()


@contextmanager
def answering(*script: Answer) -> Iterator[int]:
    """Give the port of a receiver that answers so."""
    with scripted_receiver(*script) as receiver:
        yield receiver.port


def slow() -> Any:
    """Give the port of a receiver that takes much longer than there is time."""
    return answering(*[Answer(delay_s=4)] * 4)


DEAD: Final = {"refusing": refusing, "black hole": black_hole, "slow": slow}


def run(program: str, port: int, **variables: str) -> tuple[Completed, float]:
    """Run a program that sends to a port; return how it ended, and how long it took."""
    env = {
        "TELEMETRY_ENABLED": "true",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://127.0.0.1:{port}",
        "APERF_SHUTDOWN_TIMEOUT_S": str(TIMEOUT_S),
        **variables,
    }
    begin_s = time.monotonic()
    completed = run_program(PRELUDE + dedent(program), env=env)
    return completed, time.monotonic() - begin_s


def jobs(receiver: ScriptedReceiver) -> int:
    """Return how many tasks arrived that ran `job`."""
    return sum(span.name == "job" for span in receiver.accepted)


@pytest.mark.parametrize("dead", DEAD.values(), ids=DEAD)
@pytest.mark.parametrize(
    "ending",
    [
        ENDINGS["normal end"],
        *(
            pytest.param(ENDINGS[name], marks=pytest.mark.faults)
            for name in ENDINGS
            if name != "normal end"
        ),
    ],
    ids=ENDINGS,
)
def test_dead_receiver(dead: Any, ending: tuple[str, int]) -> None:
    """A receiver that does not answer costs the timeout; exit code and stderr stay clean."""
    program, code = ending
    with dead() as port:
        completed, duration_s = run(program, port)
    assert ("worked\n", "", code) == completed
    assert duration_s < TIMEOUT_S + PATIENCE_S


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_living_receiver(ending: tuple[str, int]) -> None:
    """A receiver that answers has everything when the process is gone, however it ended."""
    program, code = ending
    with scripted_receiver() as receiver:
        completed, _ = run(program, receiver.port, APERF_SHUTDOWN_TIMEOUT_S="20")
    assert ("worked\n", "", code) == completed
    assert jobs(receiver) >= 100


def test_slow_but_in_time() -> None:
    """A receiver that is slow, but within the timeout, gets everything."""
    with scripted_receiver(Answer(delay_s=0.7), Answer(delay_s=0.7)) as receiver:
        completed, _ = run("asyncio.run(main())", receiver.port, APERF_SHUTDOWN_TIMEOUT_S="20")
        assert ("worked\n", "", 0) == completed
        assert 100 == jobs(receiver)


@pytest.mark.parametrize("dead", DEAD.values(), ids=DEAD)
def test_session_is_truthful(dead: Any) -> None:
    """With a dead receiver `flush` is False by its deadline, and the loop never stands still."""
    program = """
        async def tick(gaps):
            while True:
                before = time.monotonic()
                await asyncio.sleep(0.01)
                gaps.append(time.monotonic() - before)

        async def program():
            async with aperf.session(exporters=None) as session:
                gaps = []
                ticking = asyncio.create_task(tick(gaps))
                await asyncio.gather(*(job() for _ in range(100)))
                before = time.monotonic()
                delivered = await session.flush(0.5)
                took = time.monotonic() - before
                ticking.cancel()
            statistics = session.statistics()
            print(delivered, 0.4 < took < 5, max(gaps) < 1)
            print(statistics.exported_spans, statistics.dropped_spans == statistics.spans)
        asyncio.run(program())
    """
    with dead() as port:
        completed, _ = run(program, port)
    assert ("False True True\n0 True\n", "", 0) == completed


def test_summary_tells_of_losses() -> None:
    """What a dead receiver cost stands in the summary."""
    program = """
        from aperf.exporters import OtlpExporter, SummaryExporter
        exporters = [OtlpExporter(os.environ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])]
        exporters.append(SummaryExporter("text"))
        with aperf.session(exporters=exporters) as session:
            asyncio.run(job())
    """
    completed, _ = run(program, refusing_port())
    assert ("", 0) == (completed.stdout, completed.code)
    assert "Not complete" in completed.stderr


@pytest.mark.faults
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("dead", DEAD.values(), ids=DEAD)
def test_aperf_run(dead: Any, loop: str) -> None:
    """Under `aperf run`, too, a dead receiver costs no more than the timeout."""
    program = """
        import subprocess
        with open("app.py", "w") as file:
            file.write("import asyncio; asyncio.run(asyncio.sleep(0.01)); print('app')")
        command = [sys.executable, "-m", "aperf", "run", "--summary", "none"]
        command += ["--loop", sys.argv[1], "--otlp", sys.argv[2], "app.py"]
        sys.exit(subprocess.run(command).returncode)
    """
    with dead() as port:
        begin_s = time.monotonic()
        completed = run_program(
            PRELUDE + dedent(program),
            args=[loop, f"http://127.0.0.1:{port}"],
            env={"APERF_SHUTDOWN_TIMEOUT_S": str(TIMEOUT_S)},
        )
    assert ("app\n", "", 0) == completed
    assert time.monotonic() - begin_s < TIMEOUT_S + PATIENCE_S


@pytest.mark.faults
@pytest.mark.parametrize("dead", DEAD.values(), ids=DEAD)
def test_fork_beside_a_dead_receiver(dead: Any) -> None:
    """A forked child ends at once: the connection is its parent's."""
    program = """
        import warnings
        warnings.simplefilter("ignore")
        asyncio.run(main())
        before = time.monotonic()
        child = os.fork()
        if not child:
            sys.exit(5)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        print(time.monotonic() - before < 5)
    """
    with dead() as port:
        completed, _ = run(program, port)
    assert ("worked\n5\nTrue\n", "", 0) == completed


@pytest.mark.faults
def test_full_disk() -> None:
    """A summary that finds no room is a line on stderr; exit code and output are unharmed."""
    program = """
        asyncio.run(main())
    """
    env = {"OTEL_SDK_DISABLED": "true", "APERF_SUMMARY_FILE": "/dev/full"}
    completed, _ = run(program, refusing_port(), **env)
    assert ("worked\n", 0) == (completed.stdout, completed.code)
    [line] = completed.stderr.splitlines()
    assert line.startswith("aperf: cannot write the summary to /dev/full: ")


@pytest.mark.faults
def test_closed_stderr() -> None:
    """A program that closes its stderr ends as ever."""
    program = """
        os.close(2)
        asyncio.run(main())
    """
    completed, _ = run(program, refusing_port(), OTEL_SDK_DISABLED="true")
    assert ("worked\n", "", 0) == completed
