"""The placeholder in programs of their own: late imports, providers, forks and automatic set-up."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.command_line import clean_environment
from tests.isolated import run_isolated
from tests.scripted_receiver import scripted_receiver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.scripted_receiver import ScriptedReceiver


@pytest.fixture
def receiver() -> Iterator[ScriptedReceiver]:
    """A receiver of OTLP."""
    with scripted_receiver() as found:
        yield found


def environment(receiver: ScriptedReceiver) -> dict[str, str]:
    """Return what sends everything there."""
    return {
        "TELEMETRY_ENABLED": "true",
        "APERF_SUMMARY": "none",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{receiver.port}",
    }


def names(receiver: ScriptedReceiver) -> list[str]:
    """Return the names of the spans that have arrived."""
    return [span.name for span in receiver.accepted]


@pytest.mark.parametrize(
    ("enabled", "unwanted"),
    [(False, "opentelemetry"), (True, "opentelemetry.trace")],
    ids=["off", "no OTLP"],
)
def test_off_is_off(enabled: bool, unwanted: str) -> None:
    """Without a session, or in one without OTLP, OpenTelemetry is neither imported nor touched."""
    program = """
    import asyncio, sys, aperf

    async def main():
        before = list(sys.meta_path)
        async with aperf.session(enabled=sys.argv[1] == "True", exporters=[]):
            assert before == sys.meta_path
            assert not [name for name in sys.modules if name.startswith(sys.argv[2])]
            from opentelemetry import trace
            assert trace._TRACER_PROVIDER is None

    asyncio.run(main())
    """
    run_isolated(program, str(enabled), unwanted)


def test_a_program_that_never_uses_opentelemetry(receiver: ScriptedReceiver) -> None:
    """Neither the API of traces nor the SDK is imported for it; its imports are watched no more."""
    program = """
    import asyncio, sys, aperf

    async def main():
        async with aperf.session() as session:
            await asyncio.sleep(0.001)
            assert await session.flush()

    before = list(sys.meta_path)
    asyncio.run(main())
    assert before == sys.meta_path
    print([name for name in ("opentelemetry.trace", "opentelemetry.sdk") if name in sys.modules])
    """
    assert "[]\n" == run_isolated(program, **environment(receiver))
    assert "await sleep" in names(receiver)


def test_the_first_span_after_a_late_import(receiver: ScriptedReceiver) -> None:
    """A program that imports OpenTelemetry in the middle of a session loses no span."""
    program = """
    import asyncio, importlib.util, sys, aperf

    async def main():
        async with aperf.session():
            assert importlib.util.find_spec("opentelemetry.trace") is not None  # just asking
            await asyncio.sleep(0)
            assert "opentelemetry.trace" not in sys.modules
            from opentelemetry import trace
            with trace.get_tracer("late").start_as_current_span("first"):
                await asyncio.create_task(task())

    async def task():
        await asyncio.sleep(0.001)

    asyncio.run(main())
    import opentelemetry.trace as module
    assert module.__loader__ is module.__spec__.loader
    print(type(module.__loader__).__name__, module._TRACER_PROVIDER)
    """
    assert "SourceFileLoader None\n" == run_isolated(program, **environment(receiver))
    first = next(span for span in receiver.accepted if span.name == "first")
    below = [span.name for span in receiver.accepted if span.parent_span_id == first.span_id]
    assert "task" in below


def test_the_sdk_is_imported_beside_the_program(receiver: ScriptedReceiver) -> None:
    """Neither the begin of a session nor a tracer does it on the program's thread."""
    program = """
    import asyncio, builtins, sys, threading, aperf
    from opentelemetry import trace

    def watch(event, args):
        if event == "import" and args[0] == "opentelemetry.sdk.trace":
            threads.append(threading.current_thread().name)

    async def main():
        async with aperf.session():
            trace.get_tracer("tracer")
            while not hasattr(sys.modules.get("aperf.exporters._placeholder_sdk"), "make_provider"):
                await asyncio.sleep(0.001)

    threads = []
    sys.addaudithook(watch)
    asyncio.run(main())
    print(threads)
    """
    stdout = run_isolated(program, **environment(receiver))
    assert "['aperf-opentelemetry-import']\n" == stdout


SETS_A_PROVIDER = """
import asyncio, logging, sys, aperf
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

logging.basicConfig(level=logging.WARNING)  # on stderr, where nothing is to be
early = trace.get_tracer("early")

async def task():
    with early.start_as_current_span("in a task"):
        await asyncio.sleep(0.001)

async def main():
    async with aperf.session() as session:
        with early.start_as_current_span("before"):
            memory = InMemorySpanExporter()
            provider = TracerProvider()
            provider.add_span_processor(SimpleSpanProcessor(memory))
            trace.set_tracer_provider(provider)
            await asyncio.create_task(task())
        assert await session.flush()
    assert trace.get_tracer_provider() is provider
    names = sorted(span.name for span in memory.get_finished_spans())
    print([name for name in names if name not in ("await Event.wait", "await sleep(0)")])  # flush's

asyncio.run(main())
"""


def test_a_provider_that_is_set_later(receiver: ScriptedReceiver) -> None:
    """It takes over without a warning, and aperf's own spans go there as well; none goes twice."""
    stdout = run_isolated(SETS_A_PROVIDER, **environment(receiver))
    assert str(["await Task", "await sleep", "in a task", "main", "task"]) + "\n" == stdout
    assert ["before"] == names(receiver)


FORK = """
import asyncio, os, sys, aperf
from opentelemetry import trace

tracer = trace.get_tracer("early")

async def main(name):
    async with aperf.session() as session:
        with tracer.start_as_current_span(name):
            await asyncio.sleep(0)
        assert await session.flush()

with aperf.session() as session:
    tracer.start_span("before the fork").end()
    pid = os.fork()
    if pid == 0:
        assert trace._TRACER_PROVIDER is None
        assert not tracer.start_span("nobody's").is_recording()
        asyncio.run(main("in the child"))
        os._exit(3)
    assert 3 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    tracer.start_span("after the fork").end()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no fork")
def test_fork(receiver: ScriptedReceiver) -> None:
    """The child begins without a placeholder and may have its own; each span arrives once."""
    run_isolated(FORK, **environment(receiver))
    told = [name for name in names(receiver) if "fork" in name or "child" in name]
    assert ["after the fork", "before the fork", "in the child"] == sorted(told)


AUTOMATIC = """
import asyncio, sys, aperf
from opentelemetry import trace

async def main():
    async with aperf.session():
        print(type(trace._TRACER_PROVIDER).__name__)
        with trace.get_tracer("program").start_as_current_span("own"):
            await asyncio.sleep(0.001)

asyncio.run(main())
"""


def test_under_opentelemetry_instrument(receiver: ScriptedReceiver, tmp_path: Path) -> None:
    """Nothing stands in: whether there is a provider, and which, was decided by somebody else."""
    pytest.importorskip("opentelemetry.instrumentation")  # no more: it would count as in use here
    script = tmp_path / "program.py"
    script.write_text(AUTOMATIC, encoding="utf-8")
    run_it = "from opentelemetry.instrumentation.auto_instrumentation import run; run()"
    stdout = run([sys.executable, "-c", run_it, sys.executable, str(script)], receiver)
    assert "NoneType\n" == stdout
    assert ["main"] == [name for name in names(receiver) if name in ("main", "own")]


PLAIN = """
import asyncio
from opentelemetry import trace

async def main():
    with trace.get_tracer("program").start_as_current_span("own"):
        await asyncio.sleep(0.001)

asyncio.run(main())
"""


def test_aperf_run(receiver: ScriptedReceiver, tmp_path: Path) -> None:
    """A script that knows nothing of aperf, and has OpenTelemetry's API alone, has one trace."""
    script = tmp_path / "program.py"
    script.write_text(PLAIN, encoding="utf-8")
    run([sys.executable, "-m", "aperf", "run", str(script)], receiver)
    own = next(span for span in receiver.accepted if span.name == "own")
    below = [span.name for span in receiver.accepted if span.parent_span_id == own.span_id]
    assert ["await sleep"] == below


def run(command: list[str], receiver: ScriptedReceiver) -> str:
    """Run a command that sends everything there; return what it printed."""
    done = subprocess.run(
        command,
        env=clean_environment(**environment(receiver)),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout
