"""Each signal, over each protocol, to receivers with each fault: the program does not suffer."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.command_line import clean_environment
from tests.faulty_receivers import FAULTS, PROTOCOLS
from tests.programs import Completed, run_program

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.faulty_receivers import Receiver

#: `APERF_SHUTDOWN_TIMEOUT_S` of the programs; less than a slow receiver takes.
TIMEOUT_S: Final = 1
#: What an end may take beyond that, and beyond that of a program without aperf: the machine has
#: other things to do.
MARGIN_S: Final = 2

#: Works for a second; tells when it has done its work, and what it lost when all is over.
PROGRAM: Final = """
    import asyncio, atexit, json, logging, time
    import aperf

    logging.basicConfig(format="%(message)s")
    produced = {"logs": 0}

    async def job(number):
        await asyncio.sleep(0)
        return number

    async def main():
        session = aperf.instrument_loop()
        end_s = time.monotonic() + 1
        while time.monotonic() < end_s:
            assert sum(range(10)) == sum(await asyncio.gather(*map(job, range(10))))
            logging.getLogger("shop").info("ten jobs are done")
            produced["logs"] += 1
            await asyncio.sleep(0.01)
        return session

    atexit.register(lambda: print(json.dumps(session.statistics()._asdict() | produced)))
    session = asyncio.run(main())
    print(time.monotonic(), flush=True)
"""

#: What the line says (a pattern), where it is not the code or status that the fault is called by.
REASONS: Final = {
    "refusing": "refused",
    "killed": "refused",
    "dead": "no answer",
    "black-holed": "no answer",
    "slow": "no answer",
    "half-open": "reset by peer|Broken pipe|closed connection",  # by what the client did just then
    "garbage": "HTTP/",
}


class Case(NamedTuple):
    """A signal on its way to a receiver with a fault."""

    signal: str
    protocol: str
    fault: str

    def variables(self, port: int) -> dict[str, str]:
        """Return what makes a program send there."""
        exporter = f"OTEL_EXPORTER_OTLP_{self.signal.upper()}"
        path = "" if self.protocol == "grpc" else f"/v1/{self.signal}"
        return {
            "TELEMETRY_ENABLED": "true",
            "APERF_SHUTDOWN_TIMEOUT_S": str(TIMEOUT_S),
            "APERF_SUMMARY": "none",
            "OTEL_METRIC_EXPORT_INTERVAL": "200",
            "OTEL_EXPORTER_OTLP_LOGS_ENABLED": str(self.signal == "logs").lower(),
            f"{exporter}_ENDPOINT": f"http://127.0.0.1:{port}{path}",
            f"{exporter}_PROTOCOL": self.protocol,
        }


class Result(NamedTuple):
    """How a program ended."""

    completed: Completed
    end_s: float  #: what that took, from the last line of the program on
    statistics: dict[str, Any]
    accepted: Sequence[bytes] = ()
    port: int = 0


def run(case: Case | None) -> Result:
    """Run the program, without aperf if there is no case."""
    if case is None:
        return run_with({"TELEMETRY_ENABLED": "false"}, None)
    with FAULTS[case.protocol][case.fault]() as receiver:
        return run_with(case.variables(receiver.port), receiver)


def run_with(variables: dict[str, str], receiver: Receiver | None) -> Result:
    """Run the program with these variables."""
    completed = run_program(PROGRAM, env=variables)
    now_s = time.monotonic()
    assert 0 == completed.code, completed.stderr
    finished_s, statistics = completed.stdout.splitlines()
    accepted, port = ((), 0) if receiver is None else (receiver.accepted, receiver.port)
    return Result(completed, now_s - float(finished_s), json.loads(statistics), accepted, port)


def check_all(cases: Iterable[Case]) -> None:
    """Run a program for each case and one without aperf, all at once, and compare."""
    cases = list(cases)
    with ThreadPoolExecutor() as pool:
        control, *results = pool.map(run, [None, *cases])
    for case, result in zip(cases, results, strict=True):
        assert result.end_s < control.end_s + TIMEOUT_S + MARGIN_S, case
        check_line(case, result)
        CHECKS[case.signal](result)


def check_line(case: Case, result: Result) -> None:
    """One line says where the signal does not arrive, and why."""
    where, (reason, *_) = f"127.0.0.1:{result.port}", case.fault.split(",")
    (line,) = [line for line in result.completed.stderr.splitlines() if where in line]
    # On a busy machine the end may come before the first attempt has failed.
    assert re.search(f"{REASONS.get(case.fault, reason)}|no answer", line), case


def check_spans(result: Result) -> None:
    """Each span counts as exported or dropped, and only those that arrived as exported."""
    statistics = result.statistics
    assert 0 == statistics["dropped_records"]
    assert statistics["spans"] > 100
    assert statistics["spans"] == statistics["exported_spans"] + statistics["dropped_spans"]
    arrived = [
        span
        for message in result.accepted
        for resource_spans in ExportTraceServiceRequest.FromString(message).resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    ]
    assert statistics["exported_spans"] <= len(arrived)
    assert statistics["export_failures"] > 0


def check_pushes(result: Result) -> None:
    """Pushes that failed are counted, the last one at least."""
    assert result.statistics["export_failures"] > 0
    assert 0 == result.statistics["dropped_spans"]


def check_records(result: Result) -> None:
    """Each log record counts as exported or dropped, and only those that arrived as exported."""
    statistics = result.statistics
    assert statistics["logs"] > 10
    assert statistics["logs"] == statistics["exported_logs"] + statistics["dropped_logs"]
    arrived = [
        record
        for message in result.accepted
        for resource_logs in ExportLogsServiceRequest.FromString(message).resource_logs
        for scope_logs in resource_logs.scope_logs
        for record in scope_logs.log_records
    ]
    assert statistics["exported_logs"] <= len(arrived)
    assert statistics["export_failures"] > 0


CHECKS: Final = {"traces": check_spans, "metrics": check_pushes, "logs": check_records}


def test_some_faults() -> None:
    """A receiver's fault costs the program no more than the shutdown timeout, and one line."""
    check_all(
        [
            Case("traces", "grpc", "dead"),
            Case("metrics", "grpc", "UNAVAILABLE"),
            Case("logs", "grpc", "refusing"),
            Case("traces", "http/protobuf", "killed"),
            Case("metrics", "http/protobuf", "black-holed"),
            Case("logs", "http/protobuf", "400"),
        ]
    )


@pytest.mark.faults
@pytest.mark.parametrize(
    ("protocol", "fault"),
    [(protocol, fault) for protocol in PROTOCOLS for fault in FAULTS[protocol]],
)
def test_every_fault(protocol: str, fault: str) -> None:
    """The same for each signal, over each protocol, with each fault."""
    check_all(Case(signal, protocol, fault) for signal in CHECKS)


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what others' load costs")
def test_no_fault_makes_the_loop_late(tmp_path: Path) -> None:
    """The p99 of the loop's delay is within 10 % of a loop's that is not watched, or no worse than
    with a receiver that is well; but for what two loops that are not watched differ by.
    """
    script, file = Path(__file__).parents[2] / "benchmarks/faulty_receiver.py", tmp_path / "json"
    faults = ("none", "refusing", "dead", "INVALID_ARGUMENT")
    choice = [word for fault in faults for word in ("--fault", fault)]
    command = [sys.executable, str(script), "--protocol", "grpc", *choice, "--json", str(file)]
    subprocess.run(command, check=True, env=clean_environment())
    figures = json.loads(file.read_text())["figures"]
    ratios = {figure["what"]: figure["value"] for figure in figures}
    for fault in faults[1:]:
        noise = ratios[f"noise, grpc, {fault}, every 1 ms"]
        noise *= ratios["noise, grpc, none, every 1 ms"]
        for signal in CHECKS:
            well = ratios[f"{signal}, grpc, none, every 1 ms"]
            late = ratios[f"{signal}, grpc, {fault}, every 1 ms"]
            assert late <= max(1.10, well) * noise, (signal, fault, ratios)
