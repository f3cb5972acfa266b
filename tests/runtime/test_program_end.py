"""However a program ends: what was recorded is delivered, and it ends as it would have."""

from __future__ import annotations

import functools
import json
import sys
from textwrap import dedent
from typing import TYPE_CHECKING, Final

import pytest

from tests.programs import Completed, run_program, run_to_its_end

if TYPE_CHECKING:
    from pathlib import Path

PRELUDE: Final = dedent("""
    import asyncio, atexit, os, signal, sys, threading, time
    import aperf

    async def job():
        await asyncio.sleep(0)

    async def main():
        aperf.instrument_loop()
        await asyncio.gather(job(), job(), job())
        print("worked", flush=True)

""")

#: How a program goes on after the prelude, by what it shows.
ENDINGS: Final = {
    "normal end": "asyncio.run(main())",
    "sys.exit": "asyncio.run(main()); sys.exit(3)",
    "sys.exit with a message": "asyncio.run(main()); sys.exit('no more')",
    "sys.exit in a task": """
        async def program():
            await main()
            sys.exit(4)
        asyncio.run(program())
    """,
    "uncaught exception": "asyncio.run(main()); raise ValueError('uncaught')",
    "exception in asyncio.run": """
        async def program():
            await main()
            raise ValueError("uncaught")
        asyncio.run(program())
    """,
    "exception that nobody retrieved": """
        async def fail():
            raise ValueError("unretrieved")
        async def program():
            await main()
            task = asyncio.create_task(fail(), name="failing")
            await asyncio.sleep(0)
            del task
        asyncio.run(program())
    """,
    "loop closed with tasks pending": """
        loop = asyncio.new_event_loop()
        async def program():
            await main()
            loop.pending = loop.create_task(asyncio.sleep(100))
            await asyncio.sleep(0)
        loop.run_until_complete(program())
        loop.pending._log_destroy_pending = False
        loop.close()
    """,
    "loop neither stopped nor closed": """
        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
    """,
    "daemon thread with a loop": """
        ready = threading.Event()
        async def serve():
            await main()
            ready.set()
            await asyncio.sleep(100)
        threading.Thread(target=asyncio.run, args=[serve()], daemon=True).start()
        ready.wait()
    """,
    "thread that outlives the main one": """
        ready = threading.Event()
        async def serve():
            await main()
            ready.set()
            await asyncio.sleep(0.2)
            await asyncio.gather(job(), job())
        threading.Thread(target=asyncio.run, args=[serve()]).start()
        ready.wait()
    """,
    "asyncio.run in atexit": """
        async def farewell():
            await asyncio.gather(job(), job())
            print("farewell")
        async def program():
            await main()
            atexit.register(lambda: asyncio.run(farewell()))
        asyncio.run(program())
    """,
    "interrupt that is caught": """
        async def program():
            await main()
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(100)
        try:
            asyncio.run(program())
        except KeyboardInterrupt:
            print("interrupted")
            sys.exit(7)
    """,
    "SIGTERM handled by the program": """
        async def program():
            await main()
            loop = asyncio.get_running_loop()
            stop = asyncio.Event()
            loop.add_signal_handler(signal.SIGTERM, stop.set)
            os.kill(os.getpid(), signal.SIGTERM)
            await stop.wait()
            return 5
        sys.exit(asyncio.run(program()))
    """,
}


@functools.cache
def plain(ending: str) -> Completed:
    """Return how a program ends without aperf."""
    return run_program(PRELUDE + dedent(ending))


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_delivered_at_the_end(tmp_path: Path, implementation: str, ending: str) -> None:
    """All that was recorded is delivered; code, stdout and stderr are those of the program."""
    ended = run_to_its_end(PRELUDE + dedent(ending), tmp_path, implementation=implementation)
    assert plain(ending) == ended.completed
    assert ended.tasks["job"] >= 3
    assert 0 == ended.summary["internal_errors"]
    assert implementation == ended.summary["implementation"]


@pytest.mark.parametrize("name", ["sys.exit in a task", "loop closed with tasks pending"])
def test_uvloop(tmp_path: Path, name: str) -> None:
    """The same is true with uvloop."""
    program = "import uvloop; uvloop.install()\n" + PRELUDE + dedent(ENDINGS[name])
    options = ("-W", "ignore::DeprecationWarning")  # install() is deprecated, but one line
    without = run_program(program, options=options)
    ended = run_to_its_end(program, tmp_path, implementation="python", options=options)
    assert without == ended.completed
    assert ended.tasks["job"] >= 3


def test_interrupt(tmp_path: Path, implementation: str) -> None:
    """A program that dies of Ctrl-C does so, and is delivered."""
    ending = """
        async def program():
            await main()
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(100)
        asyncio.run(program())
    """
    ended = run_to_its_end(PRELUDE + dedent(ending), tmp_path, implementation=implementation)
    without = plain(ending)
    assert (without.code, without.stdout) == (ended.completed.code, ended.completed.stdout)
    assert "KeyboardInterrupt" == ended.completed.stderr.splitlines()[-1]
    assert 3 == ended.tasks["job"]


@pytest.mark.parametrize(
    ("ending", "code"),
    [("os._exit(9)", 9), ("os.kill(os.getpid(), signal.SIGTERM)", -15), ("os.abort()", -6)],
    ids=["os._exit", "SIGTERM", "abort"],
)
def test_ends_that_nobody_can_see(
    tmp_path: Path, implementation: str, ending: str, code: int
) -> None:
    """A process that is torn away takes what was not delivered yet; its end is its own."""
    program = PRELUDE + "asyncio.run(main())\n" + ending
    ended = run_to_its_end(program, tmp_path, implementation=implementation)
    assert ("worked\n", "", code) == ended.completed
    assert {} == ended.summary


@pytest.mark.parametrize("form", ["with", "async with"])
@pytest.mark.parametrize(("error", "code"), [("", 0), ("sys.exit(3)", 3), ("1 / 0", 1)])
def test_session_block(tmp_path: Path, form: str, error: str, code: int) -> None:
    """A session that is a block is delivered by the end of the block, whatever ends it."""
    inside = "asyncio.run(program())" if form == "with" else "await program()"
    program = f"""
        import asyncio, os, sys, aperf
        async def job():
            await asyncio.sleep(0)
        async def program():
            await asyncio.gather(job(), job())
            {error}
        {"async " if form == "async with" else ""}def block():
            {form} aperf.session():
                {inside}
        try:
            {"asyncio.run(block())" if form == "async with" else "block()"}
        finally:
            print(os.path.exists("summary.json"))
    """
    ended = run_to_its_end(program, tmp_path, implementation="python")
    assert ("True\n", code) == (ended.completed.stdout, ended.completed.code)
    assert 2 == ended.tasks["job"]


# --------------------------------------------------------------------------- the interpreter exits


@pytest.mark.parametrize(
    "begin",
    ["atexit.register(last)", "threading.Thread(target=lambda: (time.sleep(0.1), last())).start()"],
    ids=["atexit", "thread"],
)
def test_session_begun_too_late(tmp_path: Path, implementation: str, begin: str) -> None:
    """A session begun while the interpreter exits works, or stays off and says so."""
    program = PRELUDE + f"def last(): asyncio.run(main())\n{begin}\n"
    ended = run_to_its_end(program, tmp_path, implementation=implementation)
    assert (0, "worked\n") == (ended.completed.code, ended.completed.stdout)
    if ended.completed.stderr:  # from 3.12 on there can be no new thread
        why, what = ended.completed.stderr.splitlines()
        assert why.startswith("aperf: ")
        assert "aperf: telemetry stays off" == what
        assert sys.version_info >= (3, 12) or "atexit" in why


def test_exit_handlers_of_the_program_come_first(tmp_path: Path) -> None:
    """Handlers registered after the session began still find it open."""
    program = PRELUDE + dedent("""
        asyncio.run(main())
        atexit.register(lambda: print(aperf.is_active()))
    """)
    ended = run_to_its_end(program, tmp_path, implementation="python")
    assert ("worked\nTrue\n", "", 0) == ended.completed


# ---------------------------------------------------------------------------------- many processes


def test_fork(tmp_path: Path, implementation: str) -> None:
    """A forked child starts off and can begin anew; the parent goes on, and delivers its own."""
    program = PRELUDE + dedent("""
        from aperf.exporters import MemoryExporter

        def in_child(session):
            assert not aperf.is_active()
            assert not aperf._client._process.is_enabled or aperf._client._process.is_closed
            assert session.is_closed
            session.statistics(), session.summary()
            assert not asyncio.run(session.flush())
            loop = asyncio.new_event_loop()
            assert "call_soon" not in vars(loop)
            loop.close()
            exporter = MemoryExporter()
            with aperf.session(enabled=True, exporters=[exporter]):
                asyncio.run(job())
            assert ["job"] == [s.name for s in exporter.spans if s.name == "job"], exporter.spans
            session.__exit__()

        session = aperf.session(loops="all")
        session.__enter__()
        asyncio.run(main())
        child = os.fork()
        if not child:
            try:
                in_child(session)
            except BaseException:
                sys.excepthook(*sys.exc_info())
                os._exit(1)
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        asyncio.run(main())
    """)
    options = ("-W", "ignore::DeprecationWarning")
    ended = run_to_its_end(program, tmp_path, implementation=implementation, options=options)
    assert ("worked\n0\nworked\n", "", 0) == ended.completed
    assert 6 == ended.tasks["job"]


def test_fork_inside_a_loop(tmp_path: Path, implementation: str) -> None:
    """A child that goes on in the forked loop is not watched, and disturbs nothing."""
    program = PRELUDE + dedent("""
        async def program():
            await main()
            child = os.fork()
            await job()
            await job()
            if not child:
                os._exit(aperf.is_active())
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        asyncio.run(program())
    """)
    options = ("-W", "ignore::DeprecationWarning")
    ended = run_to_its_end(program, tmp_path, implementation=implementation, options=options)
    assert ("worked\n0\n", "", 0) == ended.completed
    assert 3 == ended.tasks["job"]


def test_fork_again_and_again(tmp_path: Path) -> None:
    """Children may fork children, with sessions open in each."""
    program = PRELUDE + dedent("""
        from aperf.exporters import SummaryExporter
        for generation in range(3):
            file = f"{generation}.json"
            with aperf.session(enabled=True, exporters=[SummaryExporter("json", file)]):
                asyncio.run(job())
                child = os.fork()
                if child:
                    asyncio.run(job())
                    os.waitpid(child, 0)
                    break
        os._exit(0)
    """)
    options = ("-W", "ignore::DeprecationWarning")
    completed = run_program(program, cwd=tmp_path, options=options)
    assert ("", "", 0) == completed
    for generation in range(3):
        summary = json.loads((tmp_path / f"{generation}.json").read_text("utf-8"))
        jobs = [entry["tasks"] for entry in summary["coroutines"] if entry["name"] == "job"]
        assert [2 if generation < 2 else 1] == jobs or generation == 2


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(tmp_path: Path, implementation: str, method: str) -> None:
    """Workers of multiprocessing deliver what they recorded when they end."""
    program = """
        import asyncio, multiprocessing, os, sys
        import aperf
        from aperf.exporters import SummaryExporter

        async def job():
            await asyncio.sleep(0)

        async def work():
            exporter = SummaryExporter("json", f"worker-{os.getpid()}.json")
            aperf.instrument_loop(enabled=True, exporters=[exporter])
            await asyncio.gather(job(), job())

        def worker():
            asyncio.run(work())

        if __name__ == "__main__":
            with aperf.session():
                asyncio.run(job())
                context = multiprocessing.get_context(sys.argv[1])
                workers = [context.Process(target=worker) for _ in range(2)]
                for process in workers:
                    process.start()
                for process in workers:
                    process.join()
                print([process.exitcode for process in workers])
    """
    completed = run_program(
        program,
        cwd=tmp_path,
        args=[method],
        options=("-W", "ignore::DeprecationWarning"),
        env={
            "TELEMETRY_ENABLED": "true",
            "APERF_SUMMARY": "none",
            "APERF_PURE_PYTHON": str(implementation == "python").lower(),
        },
    )
    assert ("[0, 0]\n", "", 0) == completed
    files = list(tmp_path.glob("worker-*.json"))
    assert 2 == len(files)
    for file in files:
        assert 2 == sum(
            entry["tasks"]
            for entry in json.loads(file.read_text("utf-8"))["coroutines"]
            if entry["name"] == "job"
        )


# ---------------------------------------------------------------------- observe, and never disturb


def test_program_cannot_tell(implementation: str) -> None:
    """A program writes the same with and without a session around it."""
    program = """
        import asyncio, contextlib, logging, sys, aperf
        logging.basicConfig(level=logging.INFO, format="%(name)s %(message)s")

        async def fail(n):
            await asyncio.sleep(0)
            raise ValueError(n)

        async def pipe(queue):
            while (item := await queue.get()) is not None:
                yield item * 2

        async def main():
            queue = asyncio.Queue()
            for n in (1, 2, 3, None):
                queue.put_nowait(n)
            print([item async for item in pipe(queue)])
            print(await asyncio.gather(fail(1), fail(2), return_exceptions=True))
            try:
                async with asyncio.timeout(0.01):
                    await asyncio.Event().wait()
            except TimeoutError as error:
                print(repr(error), repr(error.__cause__))
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(fail(3), name="three")
                    group.create_task(asyncio.sleep(10))
            except* ValueError as group:
                print(group.exceptions)
            task = asyncio.current_task()
            print(task.get_name(), task.get_coro().__qualname__, len(asyncio.all_tasks()))
            print(asyncio.get_running_loop().get_task_factory())
            print(await asyncio.to_thread(sum, [1, 2]))
            logging.getLogger("app").info("done")

        def run():
            asyncio.run(main())

        with aperf.session(enabled=True, exporters=[]) if "on" in sys.argv else (
            contextlib.nullcontext()
        ):
            run()
        print("end", file=sys.stderr)
        sys.exit(6)
    """
    env = {"APERF_PURE_PYTHON": str(implementation == "python").lower()}
    off, on = (run_program(program, env=env, args=[word]) for word in ("off", "on"))
    assert off == on
    assert 6 == off.code
