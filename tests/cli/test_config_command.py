"""``aperf config``: the effective settings, for people and for programs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from aperf._cli import main
from aperf._config import VARIABLES

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "sesame"
SET = {
    "TELEMETRY_ENABLED": "on",
    "APERF_RING_MB": "16",
    "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://me:{SECRET}@collector:4317",
    "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={SECRET},tenant={SECRET}",
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "3",
}


@pytest.fixture
def config(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Run ``aperf config`` with exactly these variables."""
    for name in [name for name in os.environ if name in {variable.name for variable in VARIABLES}]:
        monkeypatch.delenv(name)

    def run(*words: str, **variables: str) -> tuple[int, str, str]:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        code = main(["config", *words])
        return code, *capsys.readouterr()

    return run


def as_dict(config: Callable[..., tuple[int, str, str]], **variables: str) -> dict[str, Any]:
    """Return what ``aperf config --json`` prints."""
    code, stdout, stderr = config("--json", **variables)
    assert (0, "") == (code, stderr)
    result = json.loads(stdout)
    assert isinstance(result, dict)
    return result


def test_defaults_as_json(config: Callable[..., tuple[int, str, str]]) -> None:
    """Every setting is there, with its value, its source and the variables that could set it."""
    report = as_dict(config)
    assert ["version", "settings", "warnings"] == list(report)
    assert (1, []) == (report["version"], report["warnings"])
    off = ("logs.", "metrics.", "otlp.")
    shown = [variable for variable in VARIABLES if not variable.field.startswith(off)]
    assert {variable.field for variable in shown} == report["settings"].keys()
    names = [name for setting in report["settings"].values() for name in setting["variables"]]
    assert {variable.name for variable in shown} == set(names)
    assert {
        "value": 8 << 20,
        "source": "default",
        "variables": ["APERF_RING_MB"],
    } == report["settings"]["ring_bytes"]
    assert {"default"} == {setting["source"] for setting in report["settings"].values()}


def test_values_as_json(config: Callable[..., tuple[int, str, str]]) -> None:
    """What is set is shown with the variable that sets it, OTLP included."""
    settings = as_dict(config, **SET)["settings"]
    shown = {field: (setting["value"], setting["source"]) for field, setting in settings.items()}
    assert (True, "TELEMETRY_ENABLED") == shown["enabled"]
    assert (16 << 20, "APERF_RING_MB") == shown["ring_bytes"]
    assert (True, "OTEL_EXPORTER_OTLP_ENDPOINT") == shown["otlp"]
    assert (3.0, "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT") == shown["otlp.timeout_s"]
    endpoint = "http://me:***@collector:4317"
    assert (endpoint, "OTEL_EXPORTER_OTLP_ENDPOINT") == shown["otlp.endpoint"]
    headers = {"authorization": "***", "tenant": "***"}
    assert (headers, "OTEL_EXPORTER_OTLP_HEADERS") == shown["otlp.headers"]


def test_warnings_as_json(config: Callable[..., tuple[int, str, str]]) -> None:
    """Warnings are on stderr for people, and in the report for programs."""
    _, stdout, stderr = config("--json", OTEL_TRACES_SAMPLER="some")
    (warning,) = json.loads(stdout)["warnings"]
    assert f"aperf: {warning}\n" == stderr


@pytest.mark.parametrize("words", [[], ["--json"]], ids=["text", "json"])
def test_secrets_are_hidden(config: Callable[..., tuple[int, str, str]], words: list[str]) -> None:
    """Neither headers nor passwords are shown."""
    assert SECRET not in "".join(map(str, config(*words, **SET)))


def test_text(config: Callable[..., tuple[int, str, str]]) -> None:
    """The table shows values with their units, and fits 80 columns as long as the values do."""
    code, stdout, _ = config(**SET)
    rows = {" ".join(line.split()) for line in stdout.splitlines()}
    assert 0 == code
    assert {
        "enabled true TELEMETRY_ENABLED",
        "awaits suspended default (APERF_AWAITS)",
        "ring 16 MiB APERF_RING_MB",
        "otlp on OTEL_EXPORTER_OTLP_ENDPOINT",
        "protocol grpc default (…PROTOCOL)",
        "timeout 3 s …TRACES_TIMEOUT",
        "compression none default (…COMPRESSION)",
    } <= rows
    assert [] == [line for line in stdout.splitlines() if len(line) > 80]


def test_rich(config: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal rich draws the table, with the same words; without rich it is plain."""
    pytest.importorskip("rich")
    plain = config(**SET)
    for name, value in {"TERM": "xterm", "COLUMNS": "80"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    _, coloured, _ = config(**SET)
    words = re.sub(r"\x1b\[[\d;]*m", "", coloured)
    assert words != coloured
    assert plain[1].split() == words.split()
    monkeypatch.setitem(sys.modules, "rich", None)
    assert plain == config(**SET)


def test_bad_variable(config: Callable[..., tuple[int, str, str]]) -> None:
    """A bad variable is one line and exit code 2."""
    line = "aperf: TRACY_PORT: 'x' is not accepted; use a whole number from 1 to 65535\n"
    assert (2, "", line) == config(TRACY_PORT="x")


def test_a_reader_that_leaves() -> None:
    """Whoever has read enough (``aperf config | head``) is shown no traceback."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "aperf", "config"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writing)
    assert (1, b"") == (done.returncode, done.stderr)
