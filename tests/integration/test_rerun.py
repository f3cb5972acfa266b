"""The example for rerun's catalog: one trace of Python and Rust, read back from a real receiver.

Needs the extra `rerun`: nox -s rerun.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

from tests.command_line import run_python, write
from tests.receivers import ReceivedSpan, TestAgent, ddapm

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("ddapm",)  # a fixture: pytest finds it by its name in this module

# Making the receiver's environment takes a minute on a fresh machine.
pytestmark = [pytest.mark.rerun, pytest.mark.slow, pytest.mark.timeout(400)]

EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "rerun_catalog.py"
ROBOTS: Final = {"arm", "drone", "rover"}
PYTHON: Final = "survey"
RUST: Final = "rerun-py"  # whatever OTEL_SERVICE_NAME says

#: rerun traces the requests of its own exporter, too, each in a trace of its own.
EXPORTER: Final = "/opentelemetry.proto.collector."
CALL: Final = "/rerun.cloud."


class Traces:
    """The spans that a program has sent."""

    def __init__(self, agent: TestAgent) -> None:
        rust = [s for s in agent.spans_of(RUST) if not s.name.startswith(EXPORTER)]
        self.rust = {span.span_id: span for span in rust}
        self.python = {span.span_id: span for span in agent.spans_of(PYTHON)}
        self.all = self.rust | self.python

    def above(self, span: ReceivedSpan) -> Iterator[ReceivedSpan]:
        """Yield the parents of a span, the nearest first."""
        while span.parent_span_id:
            span = self.all[span.parent_span_id]
            yield span

    def calls(self) -> list[ReceivedSpan]:
        """Return the requests that rerun's client sent to the catalog."""
        return [span for span in self.rust.values() if span.name.startswith(CALL)]

    def tasks(self, name: str) -> dict[str, ReceivedSpan]:
        """Return the tasks of a coroutine function by their own names."""
        tasks = (
            span for span in self.python.values() if (span.scope, span.name) == ("aperf", name)
        )
        return {str(task.attributes["asyncio.task.name"]): task for task in tasks}


class Run(NamedTuple):
    """What came of the example."""

    stdout: str
    traces: Traces


def variables(agent: TestAgent) -> dict[str, str]:
    """Return what the example's header says to set."""
    return {
        "TELEMETRY_ENABLED": "true",
        "OTEL_SERVICE_NAME": PYTHON,
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": agent.endpoint,
    }


def send(agent: TestAgent, script: Path, directory: Path) -> Run:
    """Run a program that sends its spans; return what arrived."""
    agent.clear()
    done = run_python(str(script), cwd=directory, **variables(agent))
    assert 0 == done.code, done.stderr
    return Run(done.stdout, Traces(agent))


@pytest.fixture(scope="module")
def run(ddapm: TestAgent, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The example, run once with telemetry."""
    return send(ddapm, EXAMPLE, tmp_path_factory.mktemp("survey"))


@pytest.fixture
def traces(run: Run) -> Traces:
    """The spans of the example."""
    return run.traces


def test_prints_the_same(run: Run, tmp_path: Path) -> None:
    """The program's output does not tell whether it sends spans."""
    assert run_python(str(EXAMPLE), cwd=tmp_path).stdout == run.stdout
    assert ROBOTS <= set(run.stdout.split())


def test_one_trace(traces: Traces) -> None:
    """Spans of both languages are in one trace, below one root, and no parent is missing."""
    assert 1 == len({span.trace_id for span in traces.all.values()})
    [root] = [span for span in traces.all.values() if not span.parent_span_id]
    assert ("survey", "rerun", PYTHON) == (root.name, root.scope, root.resource["service.name"])
    missing = {s.parent_span_id: s.name for s in traces.all.values() if s is not root}
    assert not missing.keys() - traces.all.keys(), missing
    assert len(traces.calls()) > 20


def test_each_span_once(ddapm: TestAgent, traces: Traces) -> None:
    """No span is delivered twice, and none by both services."""
    sent = [*ddapm.spans_of(PYTHON), *ddapm.spans_of(RUST)]
    assert len({span.span_id for span in sent}) == len(sent)
    assert not traces.rust.keys() & traces.python.keys()


def test_rust_below_the_call(traces: Traces) -> None:
    """Each request of the Rust client lies in the Python call that made it, and in no other one."""
    for call in traces.calls():
        python = next(span for span in traces.above(call) if span.span_id in traces.python)
        assert "rerun" == python.scope, call.name
        between = [s for s in traces.above(call) if s.span_id in traces.rust]
        assert {"rerun-py"} == {span.scope for span in (call, *between)}


def test_calls_below_the_task(traces: Traces) -> None:
    """What a task has called in threads lies below this very task, beside its waits and jobs."""
    tasks = traces.tasks("count")
    assert ROBOTS == tasks.keys()
    for task in tasks.values():
        below = [s for s in traces.python.values() if s.parent_span_id == task.span_id]
        assert ["count_rows", "register"] == sorted(s.name for s in below if s.scope == "rerun")
        ours = sorted(span.name for span in below if span.scope == "aperf")
        assert [*["await to_thread"] * 3, "count_rows", "record", "register"] == ours
        requests = {
            call.name.rpartition("/")[2] for call in traces.calls() if task in traces.above(call)
        }
        assert {"CreateDatasetEntry", "RegisterWithDataset", "FindChunks"} <= requests


def test_tasks_below_the_program(traces: Traces) -> None:
    """The tasks lie below the one that made them, and this one below the root."""
    [survey] = traces.tasks("survey").values()
    [root] = [span for span in traces.all.values() if not span.parent_span_id]
    assert root.span_id == survey.parent_span_id
    assert {survey.span_id} == {t.parent_span_id for t in traces.tasks("count").values()}


MAILBOX: Final = """
    import asyncio

    import rerun as rr
    from rerun_bindings import _get_trace_context_var

    import aperf

    PARENT = _get_trace_context_var()


    async def call(function, *args):
        headers = aperf.current_trace_headers()
        token = PARENT.set(headers.to_headers() if headers else None)
        try:
            return await asyncio.to_thread(function, *args)
        finally:
            PARENT.reset(token)


    async def ask(client):
        await call(client.datasets)


    async def main(url):
        client = await call(rr.catalog.CatalogClient, url)
        async with asyncio.TaskGroup() as group:
            for name in ("one", "two"):
                group.create_task(ask(client), name=name)


    with rr.server.Server(host="127.0.0.1") as server, aperf.session():
        asyncio.run(main(server.url()))
"""


def test_headers_in_a_context_variable(ddapm: TestAgent, tmp_path: Path) -> None:
    """A program may tell Rust by itself, in a trace of aperf's: right below the task that calls."""
    traces = send(ddapm, write(tmp_path / "mailbox.py", MAILBOX), tmp_path).traces
    [main] = traces.tasks("main").values()
    assert "" == main.parent_span_id
    assert {main.trace_id} == {span.trace_id for span in traces.rust.values()}
    asking = traces.tasks("ask")
    assert {"one", "two"} == asking.keys()
    below = {main.span_id: "CatalogClient.__new__"}
    below |= {task.span_id: "CatalogClient.datasets" for task in asking.values()}
    tops = [s for s in traces.rust.values() if s.parent_span_id not in traces.rust]
    assert below == {span.parent_span_id: span.name for span in tops}
    assert len(below) == len(tops)
