"""What ``aperf run`` adds to a program: the watching, the summary, the kind of loop."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from aperf._cli._loops import use_uvloop
from aperf._errors import ConfigurationError
from tests.command_line import clean_environment, run_aperf, write

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
    import asyncio

    async def worker():
        await asyncio.sleep(0)

    async def main():
        await asyncio.gather(worker(), worker())

    asyncio.run(main())
    print("done")
"""
LOOPS = """
    import asyncio, threading, warnings
    warnings.simplefilter("ignore")

    def kind(loop):
        loop.close()
        return type(loop).__module__.partition(".")[0]

    async def current():
        return type(asyncio.get_running_loop()).__module__.partition(".")[0]

    kinds = [kind(asyncio.get_event_loop()), kind(asyncio.new_event_loop()), asyncio.run(current())]
    with asyncio.Runner() as runner:
        kinds.append(runner.run(current()))
    thread = threading.Thread(target=lambda: kinds.append(asyncio.run(current())))
    thread.start()
    thread.join()
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        kinds.append(runner.run(current()))
    print(*kinds, type(asyncio.get_event_loop_policy()).__module__.partition(".")[0])
"""


def tasks_of(coroutine: str, summary: dict[str, Any]) -> int:
    """Return how many tasks of a coroutine function a summary counts."""
    return sum(each["tasks"] for each in summary["coroutines"] if each["name"] == coroutine)


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A small program in a directory of its own."""
    write(tmp_path / "app.py", PROGRAM)
    return tmp_path


def test_summary_on_stderr(app: Path) -> None:
    """Without any option the summary comes on stderr, after everything that the program says."""
    outcome = run_aperf("run", "app.py", cwd=app)
    assert (0, "done\n") == (outcome.code, outcome.stdout)
    assert "worker" in outcome.stderr


def test_summary_after_traceback(tmp_path: Path) -> None:
    """A failed program shows its traceback first, then the summary."""
    write(tmp_path / "app.py", PROGRAM + "    raise ValueError('bad')\n")
    outcome = run_aperf("run", "app.py", cwd=tmp_path)
    traceback, error, summary = outcome.stderr.partition("ValueError: bad\n")
    assert 1 == outcome.code
    assert traceback.startswith("Traceback")
    assert error
    assert "worker" in summary


def test_summary_beside_otlp(app: Path) -> None:
    """The summary comes even if the spans have another destination, and one that is dead."""
    options = ("--otlp", "http://127.0.0.1:1")
    outcome = run_aperf("run", *options, "app.py", cwd=app, APERF_SHUTDOWN_TIMEOUT_S="0.2")
    assert (0, "done\n") == (outcome.code, outcome.stdout)
    assert "worker" in outcome.stderr


def test_no_summary(app: Path) -> None:
    """--summary none leaves stderr to the program."""
    assert (0, "done\n", "") == run_aperf("run", "--summary", "none", "app.py", cwd=app)


def test_summary_file(app: Path) -> None:
    """--summary json and --summary-file give a file with all that was seen, and a quiet stderr."""
    outcome = run_aperf("run", "--summary=json", "--summary-file", "s.json", "app.py", cwd=app)
    assert (0, "done\n", "") == outcome
    summary = json.loads((app / "s.json").read_text(encoding="utf-8"))
    assert 2 == tasks_of("worker", summary)
    assert "app" == summary["service_name"]


def test_every_loop_is_watched(tmp_path: Path) -> None:
    """Loops of all origins count, also in a thread that outlives the main thread."""
    program = """
        import asyncio, threading, time

        async def nothing():
            await asyncio.sleep(0)

        def late():
            time.sleep(0.2)
            asyncio.run(nothing())

        asyncio.run(nothing())
        with asyncio.Runner() as runner:
            runner.run(nothing())
        loop = asyncio.new_event_loop()
        loop.run_until_complete(nothing())
        loop.close()
        threading.Thread(target=late).start()
    """
    write(tmp_path / "app.py", program)
    options = ("--summary", "json", "--summary-file", "s.json")
    outcome = run_aperf("run", *options, "app.py", cwd=tmp_path)
    assert (0, "", "") == outcome
    summary = json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))
    assert 4 == tasks_of("nothing", summary)


def test_module_gives_service_its_name(tmp_path: Path) -> None:
    """A module that runs is the service."""
    write(tmp_path / "shop" / "__main__.py", PROGRAM)
    options = ("--summary", "json", "--summary-file", "s.json")
    run_aperf("run", *options, "-m", "shop", cwd=tmp_path)
    summary = json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))
    assert "shop" == summary["service_name"]


@pytest.mark.parametrize("value", ["false", "0", "Off"])
def test_explicit_false_wins(app: Path, value: str) -> None:
    """TELEMETRY_ENABLED=false runs the program unwatched, with one line that says so."""
    line = "aperf: TELEMETRY_ENABLED is false: the program runs unwatched\n"
    outcome = run_aperf("run", "app.py", cwd=app, TELEMETRY_ENABLED=value)
    assert (0, "done\n", line) == outcome


def test_everything_bad_is_said_at_once(app: Path) -> None:
    """Bad options and bad variables: a line for each, exit code 2, and nothing has run."""
    options = ("--otlp", "collector:4317", "--summary", "xml", "--loop", "trio", "--awaits", "no")
    outcome = run_aperf("run", *options, "app.py", cwd=app, APERF_RING_MB="lots")
    accepted = {
        "--awaits": "'no' is not accepted; use suspended or all (all needs Python 3.12)",
        "--otlp": "'collector:4317' is not accepted; use http://HOST:PORT or https://HOST:PORT",
        "--summary": "'xml' is not accepted; use text, json or none",
        "--loop": "'trio' is not accepted; use asyncio or uvloop",
        "APERF_RING_MB": "'lots' is not accepted; use a whole number from 1 to 1024",
    }
    lines = "".join(f"aperf: {name}: {text}\n" for name, text in accepted.items())
    assert (2, "", lines) == outcome


def test_warnings_come_first(app: Path) -> None:
    """What is wrong with a variable of OpenTelemetry is said, and the program runs."""
    outcome = run_aperf("run", "--summary=none", "app.py", cwd=app, OTEL_TRACES_SAMPLER="some")
    assert (0, "done\n") == (outcome.code, outcome.stdout)
    assert outcome.stderr.startswith("aperf: OTEL_TRACES_SAMPLER: 'some' is not accepted; use ")
    assert 1 == outcome.stderr.count("\n")


def test_default_loop_is_asyncio(tmp_path: Path) -> None:
    """Nothing is changed about loops unless it is asked for."""
    write(tmp_path / "app.py", LOOPS)
    outcome = run_aperf("run", "--summary=none", "app.py", cwd=tmp_path)
    assert (0, f"{'asyncio ' * 7}".rstrip() + "\n", "") == outcome


def test_uvloop(tmp_path: Path) -> None:
    """--loop uvloop reaches every default, but neither the policy nor an explicit choice."""
    pytest.importorskip("uvloop")
    write(tmp_path / "app.py", LOOPS)
    outcome = run_aperf("run", "--summary=none", "--loop=uvloop", "app.py", cwd=tmp_path)
    assert (0, f"{'uvloop ' * 5}asyncio asyncio\n", "") == outcome


def test_uvloop_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without uvloop one line says how to get it."""
    monkeypatch.setitem(sys.modules, "uvloop", None)
    with pytest.raises(ConfigurationError, match=r"^--loop: uvloop is not installed; .* pip inst"):
        use_uvloop()


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="there it is accepted")
def test_all_awaits_need_monitoring(app: Path) -> None:
    """On 3.11 --awaits all is refused before the program runs."""
    outcome = run_aperf("run", "--awaits", "all", "app.py", cwd=app)
    assert (2, "") == (outcome.code, outcome.stdout)
    assert "all needs Python 3.12" in outcome.stderr


def test_multiprocessing_imported_before_the_program(tmp_path: Path) -> None:
    """What a site customisation imports first does not take aperf's module for the program's."""
    write(tmp_path / "first" / "sitecustomize.py", "import multiprocessing")
    write(
        tmp_path / "app.py",
        "import sys; print(sys.modules['__mp_main__'] is sys.modules['__main__'])",
    )
    path = os.pathsep.join([str(tmp_path / "first"), clean_environment()["PYTHONPATH"]])
    outcome = run_aperf("run", "app.py", cwd=tmp_path, PYTHONPATH=path)
    assert "True\n" == outcome.stdout


def test_log_records_are_shown_in_the_form_that_is_asked_for(tmp_path: Path) -> None:
    """With a format in the environment, records appear with their task; without, as ever."""
    program = """
        import asyncio, logging

        async def main():
            logging.getLogger("shop").info("open")

        asyncio.run(main())
    """
    script = write(tmp_path / "app.py", program)
    quiet = run_aperf("run", "--summary", "none", str(script), cwd=tmp_path)
    assert ("", 0) == (quiet.stderr, quiet.code)
    words = ("run", "--summary", "none", str(script))
    shown = run_aperf(*words, cwd=tmp_path, APERF_LOG_FORMAT="json")
    (line,) = map(json.loads, shown.stderr.splitlines())
    assert ("open", "shop", "Task-1") == (line["fields"]["message"], line["target"], line["task"])
