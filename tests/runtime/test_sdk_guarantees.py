"""What an SDK with `aperf.instrument_loop()` in it may promise the programs that use it.

These are the promises of docs/sdk-clients.md that concern a process as a whole.
"""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.programs import run_program
from tests.scripted_receiver import ScriptedReceiver, scripted_receiver

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "sdk-clients.md"

#: A client.
PRELUDE: Final = dedent("""
    import asyncio, builtins, gc, io, json, logging, os, signal, sys, threading, warnings
    import aperf

    class Client:
        async def request(self):
            aperf.instrument_loop()
            await asyncio.create_task(self.answer())

        async def answer(self):
            await asyncio.sleep(0)

""")

#: Looks at everything that a process or a loop has only one of.
GLOBALS: Final = PRELUDE + dedent("""
    def new_loop():
        if sys.argv[1] == "asyncio":
            return asyncio.new_event_loop()
        import uvloop
        return uvloop.new_event_loop()

    def look(loop):
        monitoring = getattr(sys, "monitoring", None)  # 3.12+
        modules = (builtins, asyncio, asyncio.events, asyncio.tasks, asyncio.runners)
        classes = {*type(loop).__mro__, *asyncio.SelectorEventLoop.__mro__}
        finders = [f for f in sys.meta_path if not type(f).__module__.startswith("aperf.")]
        root = logging.root
        return {
            "environment": dict(os.environ),
            "event loop policy": asyncio.get_event_loop_policy(),
            "task factory": loop.get_task_factory(),
            "exception handler of the loop": loop.get_exception_handler(),
            "debug mode of the loop": loop.get_debug(),
            "classes of loops": {cls: dict(vars(cls)) for cls in classes},
            "class of tasks": dict(vars(asyncio.Task)),
            "modules": [dict(vars(module)) for module in modules],
            "signal handlers": {n: signal.getsignal(n) for n in signal.valid_signals()},
            "hooks": [sys.excepthook, sys.unraisablehook, sys.displayhook, threading.excepthook],
            "tracing": [sys.gettrace(), sys.getprofile(), threading.gettrace()],
            "monitoring": [monitoring and monitoring.get_tool(number) for number in range(6)],
            "hooks of generators": sys.get_asyncgen_hooks(),
            "import": [finders, list(sys.path_hooks), list(sys.path)],
            "collector": [gc.isenabled(), gc.get_threshold(), list(gc.callbacks)],
            "switch interval": sys.getswitchinterval(),
            "warnings": list(warnings.filters),
            "root logger": [root.level, root.handlers[:], root.filters[:], root.manager.disable],
            "logging": [logging.getLoggerClass(), logging.getLogRecordFactory()],
            "class of loggers": dict(vars(logging.Logger)),
            "streams": [sys.stdin, sys.stdout, sys.stderr],
        }

    async def main():
        loop = asyncio.get_running_loop()
        before = look(loop)
        await Client().request()
        await aperf.instrument_loop().flush()  # by then everything is imported that there is
        during, watched = look(loop), "call_soon" in vars(loop)
        aperf.uninstrument_loop()
        after, still_watched = look(loop), "call_soon" in vars(loop)
        changed = [name for name in before if not before[name] == during[name] == after[name]]
        print(json.dumps([changed, watched, still_watched]))

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
""")


#: Of Python 3.12 and later, about forks with threads alive.
FORKS: Final = ("-W", "ignore::DeprecationWarning")
OFF: Final[dict[str, str]] = {}
SUMMARY: Final = {"TELEMETRY_ENABLED": "true", "APERF_SUMMARY": "none"}


@pytest.fixture
def receiver() -> Iterator[ScriptedReceiver]:
    """A receiver that takes everything."""
    with scripted_receiver() as receiver:
        yield receiver


@pytest.fixture
def otlp(receiver: ScriptedReceiver) -> dict[str, str]:
    """What has spans sent to the receiver."""
    return {
        "TELEMETRY_ENABLED": "true",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://127.0.0.1:{receiver.port}",
        "APERF_SHUTDOWN_TIMEOUT_S": "20",  # longer than any machine takes
    }


@pytest.fixture(params=["off", "summary", "otlp"])
def settings(request: pytest.FixtureRequest, otlp: dict[str, str]) -> dict[str, str]:
    """What a user may have set."""
    return {"off": OFF, "summary": SUMMARY, "otlp": otlp}[request.param]


def output_of(program: str, *args: str, **variables: str) -> Any:
    """Run a program that prints JSON and nothing else."""
    done = run_program(program, args=args, env=variables, options=FORKS)
    assert ("", 0) == (done.stderr, done.code)
    return json.loads(done.stdout)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_what_there_is_only_one_of_stays(settings: dict[str, str], loop: str) -> None:
    """Policy, factories, classes, handlers, hooks, loggers, environment: none is changed by us."""
    is_on = settings is not OFF
    assert [[], is_on, False] == output_of(GLOBALS, loop, **settings)


def test_providers_stay_the_applications(otlp: dict[str, str], implementation: str) -> None:
    """An application that sets its OpenTelemetry providers after the first request may do so."""
    program = PRELUDE + dedent("""
        async def main():
            await Client().request()
            from opentelemetry import metrics, propagate, trace
            from opentelemetry.sdk.metrics import MeterProvider
            from opentelemetry.sdk.trace import TracerProvider
            propagator = propagate.get_global_textmap()
            tracers, meters = TracerProvider(), MeterProvider()
            trace.set_tracer_provider(tracers)
            metrics.set_meter_provider(meters)
            await Client().request()
            return [
                tracers is trace.get_tracer_provider(),
                meters is metrics.get_meter_provider(),
                propagator is propagate.get_global_textmap(),
            ]

        print(json.dumps(asyncio.run(main())))
    """)
    variables = {**otlp, "APERF_PURE_PYTHON": str(implementation == "python")}
    assert [True] * 3 == output_of(program, **variables)


def test_threads(settings: dict[str, str]) -> None:
    """All threads of ours say so by their name and keep no program alive; off, there is none."""
    program = PRELUDE + dedent("""
        async def main():
            for _ in range(3):
                await Client().request()
            await aperf.instrument_loop().flush()
            return [[thread.name, thread.daemon] for thread in threading.enumerate()]

        print(json.dumps(asyncio.run(main())))
    """)
    [_, *others] = output_of(program, **settings)
    assert (settings is not OFF) == bool(others)
    assert all(is_daemon and name.startswith("aperf-") for name, is_daemon in others), others


def tasks_by_process(receiver: ScriptedReceiver) -> list[int]:
    """Return how many answers each process has told of."""
    counts = Counter[int]()
    for request in receiver.requests:
        for resource_spans in request.message.resource_spans:
            attributes = {a.key: a.value for a in resource_spans.resource.attributes}
            spans = (span for scope in resource_spans.scope_spans for span in scope.spans)
            counts[attributes["process.pid"].int_value] += sum(
                span.name == "Client.answer" for span in spans
            )
    return sorted(counts.values())


def test_forked_workers_use_the_client_themselves(
    receiver: ScriptedReceiver, otlp: dict[str, str]
) -> None:
    """A client used before the fork works in the child, as a session of the child's own."""
    program = PRELUDE + dedent("""
        async def work(requests):
            for _ in range(requests):
                await Client().request()

        asyncio.run(work(2))
        child = os.fork()
        asyncio.run(work(4 if child else 3))
        if child:
            print(json.dumps(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
    """)
    assert 0 == output_of(program, **otlp)
    assert [3, 2 + 4] == tasks_by_process(receiver)


def test_loop_after_loop(receiver: ScriptedReceiver, otlp: dict[str, str]) -> None:
    """Each `asyncio.run` of a program is seen, by one session, and no loop is kept."""
    program = PRELUDE + dedent("""
        import weakref

        gc.disable()
        loops, sessions = [], set()

        async def main():
            loops.append(weakref.ref(asyncio.get_running_loop()))
            sessions.add(aperf.instrument_loop())
            await Client().request()

        for _ in range(3):
            asyncio.run(main())
        print(json.dumps([len(sessions), sum(loop() is not None for loop in loops)]))
    """)
    assert [1, 0] == output_of(program, **otlp)
    assert [3] == tasks_by_process(receiver)


@pytest.mark.parametrize("form", ["given", "running", "refusing"])
def test_loop_that_cannot_be_watched(form: str) -> None:
    """A loop that takes no attributes is told on stderr once, and the request goes on."""
    program = PRELUDE + dedent("""
        class Closed:
            __slots__ = ()

            def is_running(self):
                return sys.argv[1] == "running"

        class Refusing(asyncio.SelectorEventLoop):
            def __setattr__(self, name, value):
                if name == "call_soon":
                    raise AttributeError("no")
                super().__setattr__(name, value)

        loop = Refusing() if sys.argv[1] == "refusing" else Closed()
        if sys.argv[1] == "running":
            asyncio._set_running_loop(loop)
        told = sys.stderr = io.StringIO()
        for _ in range(3):
            aperf.instrument_loop(None if sys.argv[1] == "running" else loop)
        asyncio._set_running_loop(None)
        sys.stderr = sys.__stderr__
        asyncio.run(Client().request())
        print(json.dumps([told.getvalue().count("aperf.task_factory"), vars(loop).get("create_task")
                          if sys.argv[1] == "refusing" else None]))
    """)
    assert [1, None] == output_of(program, form, **SUMMARY)


# ------------------------------------------------------------------------------------- the page


def test_every_guarantee_has_its_test() -> None:
    """Each row of the page's table of guarantees names tests, and they exist."""
    table = PAGE.read_text("utf-8").partition("## The guarantees")[2].partition("\n## ")[0]
    guarantees = [line for line in table.splitlines() if line.startswith("| **")]
    assert len(guarantees) > 10
    for guarantee in guarantees:
        named = re.findall(r"`([\w/]+\.py)::(\w+)`", guarantee)
        assert named, guarantee
        for path, name in named:
            tree = ast.parse((ROOT / "tests" / path).read_text("utf-8"))
            assert name in {getattr(node, "name", "") for node in tree.body}, (path, name)
