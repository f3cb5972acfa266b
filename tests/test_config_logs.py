from __future__ import annotations

from typing import Any

import pytest

from aperf._config import (
    LogsSettings,
    may_export_logs,
    read_settings,
    read_settings_with_warnings,
)
from tests.config_cases import LOGS, LOGS_ONLY, LOGS_SWITCHES, OTLP, PER_SIGNAL

ENABLED = {LOGS + "ENABLED": "true"}
EXPORTER = {"OTEL_LOGS_EXPORTER": "otlp"}
GENERAL = {OTLP + "ENDPOINT": "http://all:4317"}
OWN = {LOGS + "ENDPOINT": "http://logs:4317"}
HTTP = {OTLP + "PROTOCOL": "http/protobuf"}


def logs_of(environ: dict[str, str]) -> LogsSettings:
    """Return the settings for log records of an environment that has them, without a warning."""
    settings, warnings = read_settings_with_warnings(environ)
    assert () == warnings
    assert settings.logs is not None
    return settings.logs


@pytest.mark.parametrize(
    ("environ", "wanted", "source"),
    [
        ({}, False, "default"),
        ({**GENERAL, **OWN, "OTEL_SDK_ENABLED": "true"}, False, "default"),
        (EXPORTER, False, "default"),
        (ENABLED, True, LOGS + "ENABLED"),
        ({**ENABLED, **OWN}, True, LOGS + "ENABLED"),
        ({**GENERAL, **EXPORTER}, True, "OTEL_LOGS_EXPORTER"),
        ({**OWN, **EXPORTER}, True, "OTEL_LOGS_EXPORTER"),
        ({"OTEL_SDK_ENABLED": "true", **EXPORTER}, True, "OTEL_LOGS_EXPORTER"),
        ({**OWN, **EXPORTER, LOGS + "ENABLED": "no"}, False, LOGS + "ENABLED"),
        ({**ENABLED, "OTEL_LOGS_EXPORTER": "none"}, False, "OTEL_LOGS_EXPORTER"),
        ({**ENABLED, "OTEL_LOGS_EXPORTER": "console"}, False, "OTEL_LOGS_EXPORTER"),
        ({**ENABLED, "OTEL_SDK_ENABLED": "false"}, False, "OTEL_SDK_ENABLED"),
        ({**ENABLED, "OTEL_SDK_DISABLED": "true"}, False, "OTEL_SDK_DISABLED"),
        ({**ENABLED, "OTEL_TRACES_EXPORTER": "none"}, True, LOGS + "ENABLED"),
    ],
)
def test_when_log_records_leave(environ: dict[str, str], wanted: bool, source: str) -> None:
    """No endpoint is enough: somebody has to ask for it, and several can forbid it."""
    settings, warnings = read_settings_with_warnings(environ)
    assert (wanted, ()) == (settings.logs is not None, warnings)
    assert source == settings.sources["logs"]


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [(name, *case) for name, (good, _) in LOGS_SWITCHES.items() for case in good],
)
def test_switch(name: str, text: str, wanted: bool) -> None:
    """With an endpoint, each switch says whether log records leave."""
    settings = read_settings({**GENERAL, name: text})
    assert (wanted, name) == (settings.logs is not None, settings.sources["logs"])


@pytest.mark.parametrize("prefix", [OTLP, LOGS])
@pytest.mark.parametrize(
    ("end", "text", "value"),
    [(end, *case) for end, (good, _) in PER_SIGNAL.items() for case in good],
)
def test_good_value(prefix: str, end: str, text: str, value: object) -> None:
    """What is said for log records, or for all signals, reaches the setting."""
    environ = {**ENABLED, prefix + end: text}
    otlp: Any = logs_of(environ).otlp
    field = {"TIMEOUT": "timeout_s"}.get(end, end.lower())
    assert value == getattr(otlp, field)
    assert prefix + end == read_settings(environ).sources[f"logs.{field}"]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [(name, *case) for name, (good, _) in LOGS_ONLY.items() for case in good],
)
def test_good_value_of_log_records_alone(name: str, text: str, value: object) -> None:
    """Delay, queue, batch and limits are those of the variables."""
    logs = logs_of({**ENABLED, name: text})
    sizes = (logs.delay_ns, logs.queue_records, logs.batch_records)
    assert value in (*sizes, logs.attributes, logs.attribute_length)


def test_limits_of_all_attributes() -> None:
    """Limits of anything's attributes are those of log records, unless these have their own."""
    general = {"OTEL_ATTRIBUTE_COUNT_LIMIT": "5", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "6"}
    logs = logs_of({**ENABLED, **general})
    assert (5, 6) == (logs.attributes, logs.attribute_length)
    own = "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT"
    settings = read_settings({**ENABLED, **general, own: "7"})
    assert settings.logs is not None
    assert (7, 6) == (settings.logs.attributes, settings.logs.attribute_length)
    assert own == settings.sources["logs.attributes"]
    assert "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT" == settings.sources["logs.attribute_length"]


@pytest.mark.parametrize("end", PER_SIGNAL)
def test_own_variable_wins(end: str) -> None:
    """What is said for log records wins over what is said in general, and traces have no say."""
    (text, value), *_ = PER_SIGNAL[end][0]
    other, _ = PER_SIGNAL[end][0][-1]
    otlp: Any = logs_of({**ENABLED, LOGS + end: text, OTLP + end: other}).otlp
    assert value == getattr(otlp, {"TIMEOUT": "timeout_s"}.get(end, end.lower()))
    assert logs_of({**ENABLED, OTLP + "TRACES_" + end: other}) == logs_of(ENABLED)


@pytest.mark.parametrize(
    ("general", "own", "expected"),
    [
        ("", "", "http://localhost:4318/v1/logs"),
        ("http://a:4318", "", "http://a:4318/v1/logs"),
        ("http://a:4318/base/", "", "http://a:4318/base/v1/logs"),
        ("http://a:4318", "http://b", "http://b/"),
        ("", "https://b/otlp/v1/logs", "https://b/otlp/v1/logs"),
    ],
)
def test_http_endpoint(general: str, own: str, expected: str) -> None:
    """The general endpoint is a base, the one for logs is the URL, as the specification says."""
    environ = {**HTTP, **ENABLED, OTLP + "ENDPOINT": general, LOGS + "ENDPOINT": own}
    otlp = logs_of(environ).otlp
    assert ("http/protobuf", expected) == (otlp.protocol, otlp.endpoint)
    assert expected.startswith("http://") == otlp.insecure


def test_target_is_for_grpc() -> None:
    """With HTTP an endpoint that only gRPC understands is a bad value: warned of, and unset."""
    environ = {**ENABLED, LOGS + "PROTOCOL": "http/protobuf", LOGS + "ENDPOINT": "unix:///x"}
    settings, (line,) = read_settings_with_warnings(environ)
    assert settings.logs is not None
    assert "http://localhost:4318/v1/logs" == settings.logs.otlp.endpoint
    assert line.startswith(f"{LOGS}ENDPOINT: 'unix:///x' is not accepted; use http://HOST:PORT")


def test_json_is_a_warning() -> None:
    """A protocol that aperf does not speak means one warning, and nothing leaves."""
    settings, (line,) = read_settings_with_warnings({**ENABLED, LOGS + "PROTOCOL": "http/json"})
    assert (None, LOGS + "PROTOCOL") == (settings.logs, settings.sources["logs"])
    problem = "aperf cannot speak 'http/json', only grpc and http/protobuf; no logs"
    assert f"{LOGS}PROTOCOL: {problem}" == line


def test_an_argument_wins() -> None:
    """Settings that the caller gives stand above the environment."""
    given = LogsSettings(delay_ns=1)
    settings = read_settings({"OTEL_LOGS_EXPORTER": "none"}, logs=given)
    assert (given, "argument") == (settings.logs, settings.sources["logs"])


@pytest.mark.parametrize(
    ("environ", "expected"),
    [({}, False), (GENERAL, False), (ENABLED, True), (EXPORTER, True), ({"X": "1"}, False)],
)
def test_a_look_in_advance(environ: dict[str, str], expected: bool) -> None:
    """Whoever reads nothing else learns whether reading is of use."""
    assert expected == may_export_logs(environ)
