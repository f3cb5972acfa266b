"""A service in two processes, examples/service, as receivers that others wrote get to see it."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

from tests.command_line import APERF, clean_environment
from tests.mock_otlp_server import mockotlpserver
from tests.receivers import RECEIVERS, ddapm

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.receivers import ReceivedLog, ReceivedMetric, ReceivedSpan, Receiver

__all__ = ("ddapm", "mockotlpserver")  # fixtures: pytest finds them by their names in this module

# Making the receiver's environment takes a minute on a fresh machine.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

SERVICE: Final = Path(__file__).parents[2] / "examples" / "service"
TIMEOUT_S: Final = 60
SIGNALS: Final = {
    "OTEL_METRICS_EXPORTER": "otlp",
    "OTEL_EXPORTER_OTLP_LOGS_ENABLED": "true",
    "APERF_LOG_FORMAT": "json",
    "APERF_SUMMARY": "none",
    "APERF_SHUTDOWN_TIMEOUT_S": "30",  # nothing is to be lost on a busy machine
}

PROTOCOLS: Final = ("grpc", "http/protobuf")


# ------------------------------------------------------------------------------ what is expected


class Line(NamedTuple):
    """A span of the trace, as the header of front.py shows it."""

    depth: int
    name: str
    service: str
    kind: str = "INTERNAL"


def _stated() -> list[Line]:
    header = ast.get_docstring(ast.parse((SERVICE / "front.py").read_text())) or ""
    found = re.findall(r"^    ( *)(\S.*?) {2,}(front|back)(?:, (\w+))?$", header, re.MULTILINE)
    return [
        Line(len(indent) // 2, name, service, kind or "INTERNAL")
        for indent, name, service, kind in found
    ]


STATED: Final = _stated()


# ------------------------------------------------------------------------------- what was received


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a run of the service left behind.

    Attributes:
        spans: all that the receiver got.
        logs: likewise.
        metrics: likewise.
        lines: of the two processes' stderr, which are JSON.
    """

    spans: Sequence[ReceivedSpan]
    logs: Sequence[ReceivedLog]
    metrics: Sequence[ReceivedMetric]
    lines: Sequence[dict[str, Any]]

    def the_span(self, name: str, kind: str = "INTERNAL") -> ReceivedSpan:
        """Return the one span of a name and kind."""
        [span] = self.some(name, kind)
        return span

    def some(self, name: str, kind: str = "INTERNAL") -> list[ReceivedSpan]:
        """Return all spans of a name and kind."""
        return [span for span in self.spans if (name, kind) == (span.name, span.kind)]

    def trace(self) -> list[ReceivedSpan]:
        """Return the customer's trace."""
        trace_id = self.the_span("buy").trace_id
        return [span for span in self.spans if span.trace_id == trace_id]

    def ids(self) -> set[tuple[str, str]]:
        """Return what can be a parent."""
        return {(span.trace_id, span.span_id) for span in self.spans}

    def stated(self) -> list[Line]:
        """Return of the customer's trace what the header speaks of, each below the nearest one."""
        known = {line[1:] for line in STATED}
        lines = []

        def visit(parent: ReceivedSpan, depth: int) -> None:
            line = Line(depth, parent.name, _service(parent), parent.kind)
            if line[1:] in known:
                lines.append(line)
                depth += 1
            children = [span for span in self.trace() if span.parent_span_id == parent.span_id]
            for child in sorted(children, key=lambda span: span.start_ns):
                visit(child, depth)

        visit(self.the_span("buy"), 0)
        return lines


def _service(what: ReceivedSpan | ReceivedLog | ReceivedMetric) -> str:
    service: str = what.resource["service.name"]
    return service


@contextmanager
def _stock(errors: Path, variables: dict[str, str]) -> Iterator[str]:
    """Run back.py, and give its address; at the end it has delivered everything."""
    command = [*APERF, "run", str(SERVICE / "back.py")]
    with errors.open("wb") as stderr:
        process = subprocess.Popen(
            command, env=clean_environment(**variables), stdout=subprocess.PIPE, stderr=stderr
        )
        try:
            assert process.stdout is not None
            with process.stdout:
                yield process.stdout.readline().decode().strip()
            process.terminate()
            assert 0 == process.wait(TIMEOUT_S), errors.read_text()
        finally:
            process.kill()
            process.wait()


def run(receiver: Receiver, protocol: str, directory: Path, **more: str) -> Told:
    """Run the service, configured by nothing but variables, and read what the receiver got."""
    receiver.clear()
    endpoint = receiver.endpoint if protocol == "grpc" else receiver.http_url
    to = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
    variables = SIGNALS | to | more
    errors = directory / "stderr.txt"
    with _stock(errors, variables) as target:
        front = subprocess.run(
            [sys.executable, *APERF[1:], "run", str(SERVICE / "front.py"), target],
            env=clean_environment(**variables),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert (0, "a pear costs 100.0\n") == (front.returncode, front.stdout), front.stderr
    lines = [*front.stderr.splitlines(), *errors.read_text().splitlines()]
    return Told(
        spans=receiver.spans(),
        logs=receiver.logs(),
        metrics=receiver.metrics(),
        lines=[json.loads(line) for line in lines],
    )


@pytest.fixture(scope="module", params=RECEIVERS)
def receiver(request: pytest.FixtureRequest) -> Receiver:
    """A receiver of traces, metrics and logs."""
    found: Receiver = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module", params=PROTOCOLS)
def told(
    request: pytest.FixtureRequest, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> Told:
    """What a run left behind that took each of the protocols for all signals."""
    return run(receiver, request.param, tmp_path_factory.mktemp("service"))


# ------------------------------------------------------------------------------------- the tests


def test_one_trace(told: Told) -> None:
    """All that happens for the customer is in one trace, as the header of the example says."""
    assert STATED == told.stated()
    for name, kind in {(line.name, line.kind) for line in STATED}:
        assert {told.the_span("buy").trace_id} == {span.trace_id for span in told.some(name, kind)}


def test_every_parent_is_there(told: Told) -> None:
    """Each trace has one root, and no span of any of them has a parent that nobody knows."""
    assert set() == {
        (span.name, span.parent_span_id)
        for span in told.spans
        if span.parent_span_id and (span.trace_id, span.parent_span_id) not in told.ids()
    }
    roots = [span for span in told.spans if not span.parent_span_id]
    assert len({span.trace_id for span in told.spans}) == len(roots)
    assert ["main"] == [span.name for span in told.trace() if not span.parent_span_id]


def test_parents(told: Told) -> None:
    """Where a span was opened in another one, or a task was made in one, nothing is in between."""
    call = told.the_span("shop.v1.Stock/Offer", "CLIENT")
    served = told.the_span("shop.v1.Stock/Offer", "SERVER")
    found, asks = told.the_span("find the cheapest"), told.the_span("ask_rate")
    assert call.span_id == served.parent_span_id
    assert served.span_id == found.parent_span_id
    warehouses = told.some("look_into")
    assert [found.span_id] * 3 == [span.parent_span_id for span in (asks, *warehouses)]
    assert asks.span_id == told.the_span("GET /rate").parent_span_id

    def waits(parent: ReceivedSpan) -> list[str]:
        below = [span for span in told.trace() if span.parent_span_id == parent.span_id]
        return [span.name for span in below if span.name.startswith("await ")]

    assert [["await sleep"]] * 2 == [waits(task) for task in warehouses]
    assert waits(asks)
    assert ["await TaskGroup"] == waits(found)


def test_log_records(told: Told) -> None:
    """The records of both processes arrive with the ids of the spans that they were made in."""
    assert {
        ("a customer wants a pear", "front"),
        ("looking for a pear", "back"),
        ("the rate is wanted", "front"),
    } == {(record.body, _service(record)) for record in told.logs}
    assert {told.the_span("buy").trace_id} == {record.trace_id for record in told.logs}
    assert {(record.trace_id, record.span_id) for record in told.logs} <= told.ids()


def test_log_lines(told: Told) -> None:
    """The lines that both processes write have the trace id, too, and say nothing of trouble."""
    trace_id = told.the_span("buy").trace_id
    lines = [(line["target"], line["fields"]["message"]) for line in told.lines]
    assert [
        ("shop", "a customer wants a pear"),
        ("shop", "the rate is wanted"),
        ("stock", "looking for a pear"),
    ] == lines
    assert [trace_id] * 3 == [line["trace_id"] for line in told.lines]


def test_metrics(told: Told) -> None:
    """Of both processes, metrics of the loop and of the calls arrive."""
    arrived = {(_service(metric), metric.name) for metric in told.metrics}
    assert {
        ("front", "asyncio.eventloop.delay"),
        ("front", "rpc.client.duration"),
        ("back", "asyncio.eventloop.delay"),
        ("back", "rpc.server.duration"),
    } <= arrived
    methods = {
        point["rpc.method"]
        for metric in told.metrics
        if metric.name in ("rpc.client.duration", "rpc.server.duration")
        for point in metric.points
    }
    assert {"Offer"} == methods


def test_a_trace_that_others_began(receiver: Receiver, tmp_path: Path) -> None:
    """Where the environment names a trace the service goes on with it, and adds no root to it."""
    told = run(receiver, "grpc", tmp_path, TRACEPARENT=f"00-{7:032x}-{9:016x}-01")
    assert STATED == told.stated()
    assert f"{7:032x}" == told.the_span("buy").trace_id
    assert ["buy"] == [span.name for span in told.trace() if span.parent_span_id == f"{9:016x}"]
    assert "" not in {span.parent_span_id for span in told.trace()}
    assert [f"{7:032x}"] * 3 == [line["trace_id"] for line in told.lines]
