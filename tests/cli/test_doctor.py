"""``aperf doctor``: what runs here, and whether the destinations can be reached."""

from __future__ import annotations

import importlib
import json
import os
import platform
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest

import aperf
from aperf._cli import main
from aperf._config import VARIABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.fixture
def doctor(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str]]:
    """Run ``aperf doctor`` with exactly these variables."""
    for name in [name for name in os.environ if name in {variable.name for variable in VARIABLES}]:
        monkeypatch.delenv(name)

    def run(*words: str, **variables: str) -> tuple[int, str]:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        code = main(["doctor", *words])
        return code, capsys.readouterr().out

    return run


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A socket that takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def otlp_state(doctor: Callable[..., tuple[int, str]], **variables: str) -> tuple[int, str]:
    """Return the exit code and what is said about the OTLP destination."""
    code, stdout = doctor("--json", **variables)
    otlp = json.loads(stdout)["destinations"][0]
    assert "otlp" == otlp["kind"]
    assert (code == 0) == otlp["ok"] == json.loads(stdout)["ok"]
    return code, otlp["state"]


def test_facts(doctor: Callable[..., tuple[int, str]]) -> None:
    """The report names the core, the interpreter, the packages and every setting."""
    code, stdout = doctor("--json")
    report: dict[str, Any] = json.loads(stdout)
    assert (0, True) == (code, report["ok"])
    assert aperf.IMPLEMENTATION == report["core"]
    assert f"CPython {platform.python_version()}" == report["python"]
    assert sys.executable == report["executable"]
    assert report["packages"]["grpcio"]
    assert "pytracy" in report["packages"]
    assert "default" == report["settings"]["enabled"]["source"]
    assert [{"kind": "summary", "target": "stderr", "state": "writable", "ok": True}] == report[
        "destinations"
    ]


def test_why_pure_python(
    doctor: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the Python twin runs, the report says why."""
    monkeypatch.setattr(aperf, "IMPLEMENTATION", "python")
    _, stdout = doctor("--json", APERF_PURE_PYTHON="1")
    assert "APERF_PURE_PYTHON is set" == json.loads(stdout)["core_reason"]
    monkeypatch.setitem(sys.modules, "aperf._recorder._core", None)
    _, stdout = doctor("--json", APERF_PURE_PYTHON="0")
    assert "the native core was not compiled" == json.loads(stdout)["core_reason"]

    def fail(name: str) -> None:
        raise ImportError("undefined symbol")

    monkeypatch.setattr(importlib, "import_module", fail)
    _, stdout = doctor("--json", APERF_PURE_PYTHON="")
    assert json.loads(stdout)["core_reason"].endswith("cannot be loaded: undefined symbol")


def test_why_native(
    doctor: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the native core runs, there is nothing to explain."""
    monkeypatch.setattr(aperf, "IMPLEMENTATION", "c")
    assert "compiled" == json.loads(doctor("--json")[1])["core_reason"]


def test_reachable(doctor: Callable[..., tuple[int, str]], listener: socket.socket) -> None:
    """A receiver that takes connections is reachable."""
    port = listener.getsockname()[1]
    assert (0, "reachable") == otlp_state(doctor, **{ENDPOINT: f"http://127.0.0.1:{port}"})


def test_each_signal(doctor: Callable[..., tuple[int, str]], listener: socket.socket) -> None:
    """Metrics and log records have destinations of their own."""
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    code, stdout = doctor(
        "--json",
        OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=f"{url}/v1/metrics",
        OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=f"{url}/v1/logs",
        OTEL_EXPORTER_OTLP_LOGS_ENABLED="true",
    )
    report = json.loads(stdout)
    found = {each["kind"]: (each["target"], each["state"]) for each in report["destinations"]}
    assert ("metrics", "logs", "summary") == tuple(found)
    assert (0, (f"{url}/v1/logs", "reachable")) == (code, found["logs"])
    assert (f"{url}/v1/metrics", "reachable") == found["metrics"]
    assert "OTEL_EXPORTER_OTLP_LOGS_ENABLED" == report["settings"]["logs"]["source"]
    assert f"{url}/v1/logs" == report["settings"]["logs.endpoint"]["value"]


def test_refused(doctor: Callable[..., tuple[int, str]], listener: socket.socket) -> None:
    """Where nobody listens, the connection is refused."""
    port = listener.getsockname()[1]
    listener.close()
    assert (1, "refused") == otlp_state(doctor, **{ENDPOINT: f"http://127.0.0.1:{port}"})


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "name not known"),
        (TimeoutError("timed out"), "no answer"),
        (OSError(113, "No route to host"), "No route to host"),
    ],
)
def test_unreachable(
    doctor: Callable[..., tuple[int, str]],
    monkeypatch: pytest.MonkeyPatch,
    error: OSError,
    state: str,
) -> None:
    """Each way of being unreachable has its words."""
    asked = []

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        asked.append((address, timeout))
        raise error

    monkeypatch.setattr(socket, "create_connection", connect)
    assert (1, state) == otlp_state(doctor, **{ENDPOINT: "http://collector:4317"})
    assert [(("collector", 4317), 1.0)] == asked


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [
        ("http://a", ("a", 80)),
        ("https://a/path", ("a", 443)),
        ("https://me:word@[::1]:5", ("::1", 5)),
        ("a:5", ("a", 5)),
        ("a", ("a", 4317)),
    ],
)
def test_address(
    doctor: Callable[..., tuple[int, str]],
    monkeypatch: pytest.MonkeyPatch,
    endpoint: str,
    address: tuple[str, int],
) -> None:
    """Every form of an endpoint is tried where gRPC would connect."""
    asked = []

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        asked.append(address)
        return socket.socket()

    monkeypatch.setattr(socket, "create_connection", connect)
    assert (0, "reachable") == otlp_state(doctor, **{ENDPOINT: endpoint})
    assert [address] == asked


def test_grpc_target_is_not_tried(doctor: Callable[..., tuple[int, str]]) -> None:
    """What only gRPC can resolve is left to gRPC."""
    assert (0, "not tried") == otlp_state(doctor, **{ENDPOINT: "unix:///nowhere.sock"})


@pytest.mark.parametrize(
    ("protocol", "port", "hint"),
    [
        ("grpc", 4317, ""),
        ("grpc", 4318, "; 4318 is usually OTLP/HTTP (OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf)"),
        ("http/protobuf", 4318, ""),
        ("http/protobuf", 4317, "; 4317 is usually OTLP/gRPC, OTLP/HTTP usually 4318"),
    ],
)
def test_port_of_the_other_protocol(
    doctor: Callable[..., tuple[int, str]],
    monkeypatch: pytest.MonkeyPatch,
    protocol: str,
    port: int,
    hint: str,
) -> None:
    """OTLP/HTTP for the port of OTLP/gRPC, and the other way round, is answered with a hint."""
    monkeypatch.setattr(socket, "create_connection", lambda *_: socket.socket())
    variables = {ENDPOINT: f"http://collector:{port}/", "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
    assert (0, f"reachable{hint}") == otlp_state(doctor, **variables)


def test_missing_certificate(
    doctor: Callable[..., tuple[int, str]], listener: socket.socket, tmp_path: Path
) -> None:
    """A certificate that is not there is as bad as no receiver."""
    path = str(tmp_path / "ca.pem")
    endpoint = f"https://127.0.0.1:{listener.getsockname()[1]}"
    variables = {ENDPOINT: endpoint, "OTEL_EXPORTER_OTLP_CERTIFICATE": path}
    assert (1, f"no such file: {path}") == otlp_state(doctor, **variables)


def test_summary_file(doctor: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    """A file for the summary that cannot be written is found out before it is needed."""
    path = tmp_path / "summary.json"
    code, stdout = doctor("--json", APERF_SUMMARY_FILE=str(path))
    assert (0, "writable") == (code, json.loads(stdout)["destinations"][0]["state"])
    assert not path.exists()
    code, stdout = doctor("--json", APERF_SUMMARY_FILE=str(tmp_path / "no" / "s.json"))
    state = json.loads(stdout)["destinations"][0]["state"]
    assert (1, f"no such directory: {tmp_path / 'no'}") == (code, state)


def test_text(doctor: Callable[..., tuple[int, str]]) -> None:
    """For people there are tables, which fit 80 columns where paths and names do."""
    code, stdout = doctor()
    assert 0 == code
    for heading in ("aperf doctor", "package ", "setting ", "destination "):
        assert any(line.startswith(heading) for line in stdout.splitlines()), heading
    assert "Telemetry is off: set TELEMETRY_ENABLED=true, or use" in stdout
    long = [line for line in stdout.splitlines() if len(line) > 80]
    assert [] == [line for line in long if not line.startswith(("executable", "platform"))]


def test_on_is_not_off(doctor: Callable[..., tuple[int, str]]) -> None:
    """With the tracker on nobody is told to turn it on."""
    assert "Telemetry is off" not in doctor(TELEMETRY_ENABLED="1")[1]
