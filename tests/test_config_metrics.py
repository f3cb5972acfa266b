from __future__ import annotations

from typing import Any

import pytest

from aperf._config import MetricsSettings, read_settings, read_settings_with_warnings
from tests.config_cases import METRICS, METRICS_ONLY, OTLP, PER_SIGNAL

GENERAL = {OTLP + "ENDPOINT": "http://all:4317"}
OWN = {METRICS + "ENDPOINT": "http://metrics:4317"}
EXPORTER = {"OTEL_METRICS_EXPORTER": "otlp"}
HTTP = {OTLP + "PROTOCOL": "http/protobuf"}


def metrics_of(environ: dict[str, str]) -> MetricsSettings:
    """Return the metrics settings of an environment that has them, without a warning."""
    settings, warnings = read_settings_with_warnings(environ)
    assert () == warnings
    assert settings.metrics is not None
    return settings.metrics


@pytest.mark.parametrize(
    ("environ", "wanted", "source"),
    [
        ({}, False, "default"),
        (GENERAL, False, "default"),
        (EXPORTER, False, "default"),
        ({"OTEL_SDK_ENABLED": "true"}, False, "default"),
        (OWN, True, METRICS + "ENDPOINT"),
        ({**GENERAL, **EXPORTER}, True, "OTEL_METRICS_EXPORTER"),
        ({"OTEL_SDK_ENABLED": "true", **EXPORTER}, True, "OTEL_METRICS_EXPORTER"),
        ({**OWN, "OTEL_METRICS_EXPORTER": "console, OTLP"}, True, METRICS + "ENDPOINT"),
        ({**OWN, "OTEL_METRICS_EXPORTER": "none"}, False, "OTEL_METRICS_EXPORTER"),
        ({**OWN, "OTEL_METRICS_EXPORTER": "prometheus"}, False, "OTEL_METRICS_EXPORTER"),
        ({**OWN, "OTEL_SDK_ENABLED": "false"}, False, "OTEL_SDK_ENABLED"),
        ({**OWN, "OTEL_SDK_DISABLED": "true"}, False, "OTEL_SDK_DISABLED"),
        ({**OWN, "OTEL_TRACES_EXPORTER": "none"}, True, METRICS + "ENDPOINT"),
    ],
)
def test_when_metrics_are_pushed(environ: dict[str, str], wanted: bool, source: str) -> None:
    """The endpoint for metrics is enough, the one for all signals needs the exporter's name."""
    settings, warnings = read_settings_with_warnings(environ)
    assert (wanted, ()) == (settings.metrics is not None, warnings)
    assert source == settings.sources["metrics"]


@pytest.mark.parametrize("prefix", [OTLP, METRICS])
@pytest.mark.parametrize(
    ("end", "text", "value"),
    [(end, *case) for end, (good, _) in PER_SIGNAL.items() for case in good],
)
def test_good_metrics_value(prefix: str, end: str, text: str, value: object) -> None:
    """What is said for metrics, or for all signals, reaches the setting."""
    environ = {"OTEL_SDK_ENABLED": "true", **EXPORTER, prefix + end: text}
    otlp: Any = metrics_of(environ).otlp
    field = {"TIMEOUT": "timeout_s"}.get(end, end.lower())
    assert value == getattr(otlp, field)
    assert prefix + end == read_settings(environ).sources[f"metrics.{field}"]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [(name, *case) for name, (good, _) in METRICS_ONLY.items() for case in good],
)
def test_good_value_of_metrics_alone(name: str, text: str, value: object) -> None:
    """Interval, temporality and form of histograms are those of the variables."""
    metrics = metrics_of({**OWN, name: text})
    assert value in (metrics.interval_ns, metrics.temporality, metrics.histograms)


@pytest.mark.parametrize("end", PER_SIGNAL)
def test_metrics_variable_wins(end: str) -> None:
    """What is said for metrics wins over what is said in general, and traces have no say."""
    (text, value), *_ = PER_SIGNAL[end][0]
    other, _ = PER_SIGNAL[end][0][-1]
    environ = {"OTEL_SDK_ENABLED": "1", **EXPORTER, METRICS + end: text, OTLP + end: other}
    otlp: Any = metrics_of(environ).otlp
    assert value == getattr(otlp, {"TIMEOUT": "timeout_s"}.get(end, end.lower()))
    traces = OTLP + "TRACES_" + end
    assert metrics_of({**OWN, traces: other}) == metrics_of(OWN)


@pytest.mark.parametrize(
    ("general", "own", "expected"),
    [
        ("", "", "http://localhost:4318/v1/metrics"),
        ("http://a:4318", "", "http://a:4318/v1/metrics"),
        ("http://a:4318/base/", "", "http://a:4318/base/v1/metrics"),
        ("http://a:4318", "http://b", "http://b/"),
        ("", "https://b/api/v1/otlp/v1/metrics", "https://b/api/v1/otlp/v1/metrics"),
    ],
)
def test_http_endpoint(general: str, own: str, expected: str) -> None:
    """The general endpoint is a base, the one for metrics is the URL, as the specification says."""
    environ = {**HTTP, **EXPORTER, "OTEL_SDK_ENABLED": "1"}
    otlp = metrics_of({**environ, OTLP + "ENDPOINT": general, METRICS + "ENDPOINT": own}).otlp
    assert ("http/protobuf", expected) == (otlp.protocol, otlp.endpoint)
    assert expected.startswith("http://") == otlp.insecure


def test_target_is_for_grpc() -> None:
    """With HTTP an endpoint that only gRPC understands is a bad value: warned of, and unset."""
    environ = {METRICS + "PROTOCOL": "http/protobuf", METRICS + "ENDPOINT": "unix:///x"}
    settings, (line,) = read_settings_with_warnings(environ)
    assert settings.metrics is not None
    assert "http://localhost:4318/v1/metrics" == settings.metrics.otlp.endpoint
    assert line.startswith(f"{METRICS}ENDPOINT: 'unix:///x' is not accepted; use http://HOST:PORT")


def test_json_is_a_warning() -> None:
    """A protocol that aperf does not speak means one warning and no metrics."""
    settings, (line,) = read_settings_with_warnings({**OWN, METRICS + "PROTOCOL": "http/json"})
    assert settings.metrics is None
    assert METRICS + "PROTOCOL" == settings.sources["metrics"]
    problem = "aperf cannot speak 'http/json', only grpc and http/protobuf; no metrics"
    assert f"{METRICS}PROTOCOL: {problem}" == line


def test_an_argument_wins() -> None:
    """Metrics settings that the caller gives stand above the environment."""
    given = MetricsSettings(interval_ns=1)
    settings = read_settings({**OWN, "OTEL_METRICS_EXPORTER": "none"}, metrics=given)
    assert (given, "argument") == (settings.metrics, settings.sources["metrics"])
