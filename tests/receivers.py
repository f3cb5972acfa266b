"""A real OTLP receiver that others wrote: Datadog's test agent, from PyPI.

It pins an old opentelemetry-proto, so it lives in an environment of its own, which is made once and
kept in .nox. Use it with ``from tests.receivers import ddapm``.
"""

from __future__ import annotations

import base64
import fcntl
import json
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

#: The fixtures of all that there are; only the first one can be had everywhere.
RECEIVERS: Final = ("ddapm", pytest.param("mockotlpserver", marks=pytest.mark.receivers))

_HOME = Path(__file__).parents[1] / ".nox" / "ddapm-test-agent"
_REQUIREMENT = "ddapm-test-agent>=1.20"
_START_TIMEOUT_S = 60

# The environment's proxies are for the outside world.
_open = build_opener(ProxyHandler({})).open


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedLink:
    """A link as it arrived."""

    trace_id: str
    span_id: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedSpan:
    """A span as it arrived; ids in hexadecimal, "" for none."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_span_id: str
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Any]
    links: Sequence[ReceivedLink]
    events: Sequence[Mapping[str, Any]]
    status: Mapping[str, Any]
    flags: int
    scope: str
    resource: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedLog:
    """A log record as it arrived; ids in hexadecimal, "" for none."""

    body: Any
    trace_id: str
    span_id: str
    attributes: Mapping[str, Any]
    scope: str
    resource: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedMetric:
    """A metric as it arrived: what it is about, by the attributes of its points."""

    name: str
    points: Sequence[Mapping[str, Any]]
    scope: str
    resource: Mapping[str, Any]


class Receiver(Protocol):
    """What all receivers can do. Each method that reads tells of what was answered by then."""

    @property
    def endpoint(self) -> str:
        """Where it takes OTLP/gRPC."""

    @property
    def http_url(self) -> str:
        """Where it takes OTLP/HTTP."""

    def spans(self) -> list[ReceivedSpan]:
        """Return the spans that have arrived."""

    def logs(self) -> list[ReceivedLog]:
        """Return the log records that have arrived."""

    def metrics(self) -> list[ReceivedMetric]:
        """Return the metrics that have arrived, once for each time."""

    def clear(self) -> None:
        """Forget what has arrived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestAgent:
    """A running agent.

    Attributes:
        endpoint: where it takes OTLP/gRPC.
        http_url: where it takes OTLP/HTTP, and shows what it took.
    """

    __test__ = False  # its name does not make it a test

    endpoint: str
    http_url: str

    def spans_of(self, service: str) -> list[ReceivedSpan]:
        """Return the spans of a service that have arrived so far."""
        return [span for span in self.spans() if span.resource.get("service.name") == service]

    def spans(self) -> list[ReceivedSpan]:
        """Return the spans that have arrived so far."""
        return list(spans_in(json.loads(self._get("/test/session/traces"))))

    def logs(self) -> list[ReceivedLog]:
        """Return the log records that have arrived so far."""
        return list(logs_in(json.loads(self._get("/test/session/logs"))))

    def metrics(self) -> list[ReceivedMetric]:
        """Return the metrics that have arrived so far, once for each time."""
        return list(metrics_in(json.loads(self._get("/test/session/metrics"))))

    def clear(self) -> None:
        """Forget what has arrived."""
        self._get("/test/session/clear")

    def _get(self, path: str) -> bytes:
        with _open(self.http_url + path, timeout=20) as response:
            data: bytes = response.read()
        return data


@pytest.fixture(scope="session")
def ddapm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestAgent]:
    """Datadog's test agent on free ports of 127.0.0.1."""
    python = _installed()
    with _running(python, tmp_path_factory.mktemp("ddapm")) as agent:
        yield agent


# ---------------------------------------------------------------------------------- installing


def _installed() -> Path:
    """Return the interpreter of the agent's environment, which is made if need be."""
    _HOME.parent.mkdir(exist_ok=True)
    python, finished = _HOME / "bin" / "python", _HOME / "installed"
    with _HOME.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several sessions of nox may want it at once
        if not (python.exists() and finished.exists() and finished.read_text() == _REQUIREMENT):
            shutil.rmtree(_HOME, ignore_errors=True)
            _run(sys.executable, "-m", "venv", "--without-pip", str(_HOME))
            pip = (sys.executable, "-m", "pip", "--python", str(python))
            _run(*pip, "install", "--quiet", "--disable-pip-version-check", _REQUIREMENT)
            finished.write_text(_REQUIREMENT)
    return python


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}{done.stderr}"


# ---------------------------------------------------------------------------------- running


#: Others pick free ports as well, and between the picking and the binding one may be gone.
_ATTEMPTS = 3


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports


@contextmanager
def _running(python: Path, directory: Path) -> Iterator[TestAgent]:
    log = directory / "log.txt"
    for attempt in range(_ATTEMPTS):
        main, grpc, http = _free_ports(3)
        with _process(python, (main, grpc, http), directory, log) as process:
            try:
                _wait_for(f"http://127.0.0.1:{main}/info", process, log)
                _wait_for(f"http://127.0.0.1:{http}/test/session/traces", process, log)
            except AssertionError as error:  # a port that was free is another's now
                if attempt + 1 < _ATTEMPTS and "address already in use" in str(error):
                    continue
                raise
            yield TestAgent(
                endpoint=f"http://127.0.0.1:{grpc}", http_url=f"http://127.0.0.1:{http}"
            )
            return


@contextmanager
def _process(
    python: Path, ports: tuple[int, int, int], directory: Path, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    program = "from ddapm_test_agent.agent import main; main()"
    options = zip(("--port", "--otlp-grpc-port", "--otlp-http-port"), ports, strict=True)
    command = [str(python), "-c", program, *(str(word) for option in options for word in option)]
    with log.open("wb") as output:
        # It keeps snapshots in the working directory.
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=directory)
        try:
            yield process
        finally:
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process, and wait for it."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline_s = time.monotonic() + _START_TIMEOUT_S
    while True:
        try:
            with _open(url, timeout=5):
                return
        except (URLError, OSError):
            ended = process.poll() is not None or time.monotonic() > deadline_s
            assert not ended, f"{url} does not answer:\n{log.read_text()}"
            time.sleep(0.05)


# ---------------------------------------------------------------------------------- reading


Found: TypeAlias = "tuple[Mapping[str, Any], str, Mapping[str, Any]]"


def _found(requests: Iterable[Mapping[str, Any]], signal: str, kind: str) -> Iterator[Found]:
    """Yield what there is of a kind, its scope and its resource.

    The requests are in the JSON form of Protocol Buffers (bytes as base64).
    """
    for request in requests:
        for of_resource in request.get(f"resource_{signal}", ()):
            resource = _attributes(of_resource.get("resource", {}))
            for of_scope in of_resource.get(f"scope_{signal}", ()):
                scope = of_scope.get("scope", {}).get("name", "")
                for one in of_scope.get(kind, ()):
                    yield one, scope, resource


def spans_in(requests: Iterable[Mapping[str, Any]]) -> Iterator[ReceivedSpan]:
    """Yield the spans of requests."""
    for span, scope, resource in _found(requests, "spans", "spans"):
        yield _span(span, scope, resource)


def logs_in(requests: Iterable[Mapping[str, Any]]) -> Iterator[ReceivedLog]:
    """Yield the log records of requests."""
    for record, scope, resource in _found(requests, "logs", "log_records"):
        yield ReceivedLog(
            body=_value(record["body"]),
            trace_id=_hexadecimal(record, "trace_id"),
            span_id=_hexadecimal(record, "span_id"),
            attributes=_attributes(record),
            scope=scope,
            resource=resource,
        )


def metrics_in(requests: Iterable[Mapping[str, Any]]) -> Iterator[ReceivedMetric]:
    """Yield the metrics of requests."""
    for metric, scope, resource in _found(requests, "metrics", "metrics"):
        [data] = [value for value in metric.values() if isinstance(value, dict)]
        yield ReceivedMetric(
            name=metric["name"],
            points=[_attributes(point) for point in data.get("data_points", ())],
            scope=scope,
            resource=resource,
        )


def _span(span: Mapping[str, Any], scope: str, resource: Mapping[str, Any]) -> ReceivedSpan:
    return ReceivedSpan(
        name=span.get("name", ""),
        kind=span.get("kind", "").removeprefix("SPAN_KIND_"),
        trace_id=_hexadecimal(span, "trace_id"),
        span_id=_hexadecimal(span, "span_id"),
        parent_span_id=_hexadecimal(span, "parent_span_id"),
        start_ns=int(span.get("start_time_unix_nano", 0)),
        end_ns=int(span.get("end_time_unix_nano", 0)),
        attributes=_attributes(span),
        links=[
            ReceivedLink(
                trace_id=_hexadecimal(link, "trace_id"),
                span_id=_hexadecimal(link, "span_id"),
                attributes=_attributes(link),
            )
            for link in span.get("links", ())
        ],
        events=[
            {"name": event.get("name", ""), "attributes": _attributes(event)}
            for event in span.get("events", ())
        ],
        status=span.get("status", {}),
        flags=span.get("flags", 0),
        scope=scope,
        resource=resource,
    )


def _hexadecimal(message: Mapping[str, Any], field: str) -> str:
    return base64.b64decode(message.get(field, "")).hex()


def _attributes(message: Mapping[str, Any]) -> dict[str, Any]:
    return {pair["key"]: _value(pair.get("value", {})) for pair in message.get("attributes", ())}


def _value(value: Mapping[str, Any]) -> Any:
    ((kind, content),) = value.items()
    if kind == "int_value":  # 64 bits are too much for JSON's numbers
        return int(content)
    if kind == "array_value":
        return [_value(item) for item in content.get("values", ())]
    return content
