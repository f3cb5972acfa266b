"""Settings as options of a program's own command line."""

from __future__ import annotations

import argparse
import re
from operator import attrgetter
from typing import Any

import pytest

from aperf._config import VARIABLES, Settings, read_settings
from aperf._errors import ConfigurationError
from tests.command_line import run_python, write

ENVIRONMENT = {variable.name for variable in VARIABLES}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tests decide on every variable."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)


def parser_of(**options: Any) -> argparse.ArgumentParser:
    """Return a parser of a program that has arguments of its own, too."""
    parser = argparse.ArgumentParser(prog="shop")
    parser.add_argument("--summary-of-sales", action="store_true")
    parser.add_argument("files", nargs="*")
    Settings.add_arguments(parser, **options)
    return parser


def settings_of(*words: str) -> Settings:
    """Return the settings of a command line."""
    return Settings.from_namespace(parser_of().parse_args(words))


#: By option: what is written behind it, and the setting with its value.
GOOD: dict[str, tuple[str | None, str, object]] = {
    "--telemetry-enabled": (None, "enabled", True),
    "--no-pure-python": (None, "pure_python", False),
    "--service-name": ("shop", "service_name", "shop"),
    "--await-min-us": ("50", "await_min_ns", 50_000),
    "--segment-s": ("1.5", "segment_ns", 1_500_000_000),
    "--ring-mb": ("16", "ring_bytes", 16 << 20),
    "--export-interval-ms": ("250", "export_interval_ns", 250_000_000),
    "--task-parent": ("link", "task_parent", "link"),
    "--traces-sampler": ("always_off", "sampler", "always_off"),
    "--log-filter": ("debug,lib=off", "log_filter", "debug,lib=off"),
    "--trace-filter": ("off", "trace_filter", "off"),
    "--bsp-max-queue-size": ("9", "limits.queue_spans", 9),
    "--span-attribute-value-length-limit": ("9", "limits.attribute_length", 9),
    "--tracy-port": ("9000", "tracy_port", 9000),
    "--otlp-enabled": (None, "otlp.endpoint", "http://localhost:4317"),
    "--otlp-endpoint": ("https://a:1", "otlp.endpoint", "https://a:1"),
    "--otlp-metrics-endpoint": ("http://a:1", "metrics.otlp.endpoint", "http://a:1"),
    "--metrics-listen-address": (":0", "metrics_listen", ":0"),
}


@pytest.mark.parametrize("option", GOOD)
def test_good_option(option: str) -> None:
    """An option sets its setting, in the unit that its name has."""
    text, field, value = GOOD[option]
    settings = settings_of(option, *filter(None, [text]))
    assert value == attrgetter(field)(settings)
    if field in settings.sources and option != "--otlp-enabled":
        assert "argument" == settings.sources[field]


def test_every_setting_has_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    """All fields can be set; each option says what it does, and names its variable."""
    monkeypatch.setenv("COLUMNS", "200")  # no name is broken
    fields = {variable.field for variable in VARIABLES}
    help = " ".join(parser_of().format_help().split())
    named = {name for name in ENVIRONMENT if re.search(rf"\({name}[;)]", help)}
    assert fields == {variable.field for variable in VARIABLES if variable.name in named}
    assert len(fields) == len(named)
    assert "`" not in help


@pytest.mark.parametrize(
    ("words", "environ", "field", "expected"),
    [
        ([], {}, "ring_bytes", 8 << 20),
        ([], {"APERF_RING_MB": "2"}, "ring_bytes", 2 << 20),
        (["--ring-mb=3"], {"APERF_RING_MB": "2"}, "ring_bytes", 3 << 20),
        (["--no-telemetry-enabled"], {"TELEMETRY_ENABLED": "true"}, "enabled", False),
        (["--service-name=a"], {"OTEL_RESOURCE_ATTRIBUTES": "service.name=b"}, "service_name", "a"),
        (
            ["--otlp-endpoint=http://a:1"],
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://b:1"},
            "otlp.endpoint",
            "http://a:1",
        ),
        (["--otlp-enabled"], {"OTEL_SDK_DISABLED": "true"}, "otlp.timeout_s", 10.0),
        (
            ["--no-otlp-enabled"],
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://b:1"},
            "otlp",
            None,
        ),
        (
            ["--otlp-timeout=3", "--otlp-protocol=http/protobuf"],
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://b:1"},
            "otlp.endpoint",
            "http://b:1/v1/traces",
        ),
        (["--metrics-exporter=none"], {"OTEL_METRICS_EXPORTER": "otlp"}, "metrics", None),
        (
            ["--otlp-metrics-endpoint=http://a:1/x", "--otlp-metrics-protocol=http/protobuf"],
            {},
            "metrics.otlp.endpoint",
            "http://a:1/x",
        ),
    ],
)
def test_precedence(
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    environ: dict[str, str],
    field: str,
    expected: object,
) -> None:
    """Options win over the environment, which wins over the defaults."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert expected == attrgetter(field)(settings_of(*words))


def test_nothing_given() -> None:
    """Without options the settings are those of the environment."""
    assert read_settings() == settings_of("a.csv")
    assert {"default"} == set(settings_of().sources.values())


def test_prefix() -> None:
    """A program that has such options already puts a word before aperf's."""
    parser = parser_of(prefix="aperf-")
    parser.add_argument("--service-name")
    options = parser.parse_args(["--aperf-service-name", "a", "--service-name", "b"])
    assert "b" == options.service_name
    assert "a" == Settings.from_namespace(options).service_name


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("--tracy-port=0", "argument --tracy-port: '0' is not accepted; use a whole number from 1"),
        ("--summary=xml", "argument --summary: 'xml' is not accepted; use text, json or none"),
        ("--log-filter=info,a=loud", "argument --log-filter: 'a=loud' is not accepted; use dir"),
        ("--otlp-headers=sesame", "argument --otlp-headers: '(secret)' is not accepted; use key="),
    ],
)
def test_bad_option(capsys: pytest.CaptureFixture[str], word: str, message: str) -> None:
    """A bad value ends the program as argparse ends it, with what is accepted and no secrets."""
    with pytest.raises(SystemExit, match="2"):
        settings_of(word)
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith(f"shop: error: {message}")
    assert "sesame" not in line


def test_target_with_http() -> None:
    """An endpoint that only gRPC understands is no use to HTTP, whoever says it."""
    with pytest.raises(
        ConfigurationError, match=r"^otlp\.endpoint: 'a:1' is not accepted; use http"
    ):
        settings_of("--otlp-endpoint=a:1", "--otlp-protocol=http/protobuf")


def test_bad_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bad variables are an error of their own, all of them at once."""
    monkeypatch.setenv("APERF_RING_MB", "lots")
    monkeypatch.setenv("TRACY_PORT", "x")
    with pytest.raises(ConfigurationError) as caught:
        settings_of()
    assert ["APERF_RING_MB", "TRACY_PORT"] == [
        line.split(":")[0] for line in str(caught.value).splitlines()
    ]


PROGRAM = """
    import argparse, asyncio
    import aperf
    from aperf._config import Settings

    parser = argparse.ArgumentParser()
    Settings.add_arguments(parser)
    settings = Settings.from_namespace(parser.parse_args())

    async def main():
        async with aperf.session(settings=settings) as session:
            await asyncio.sleep(0)
        print(session.is_enabled, session.summary().service_name)

    asyncio.run(main())
"""


def test_program(tmp_path: Any) -> None:
    """A program of its own is watched as its options say; bad ones end it with code 2."""
    write(tmp_path / "app.py", PROGRAM)
    words = ("app.py", "--telemetry-enabled", "--service-name=shop", "--summary=none")
    assert (0, "True shop\n", "") == run_python(*words, cwd=tmp_path)
    assert (0, "False \n", "") == run_python("app.py", cwd=tmp_path)
    code, stdout, stderr = run_python("app.py", "--ring-mb=lots", cwd=tmp_path)
    assert (2, "") == (code, stdout)
    assert "argument --ring-mb: 'lots' is not accepted" in stderr


def test_warnings_are_told(tmp_path: Any) -> None:
    """What the environment has that is only warned of is told on stderr."""
    write(tmp_path / "app.py", PROGRAM)
    code, _, stderr = run_python("app.py", cwd=tmp_path, OTEL_TRACES_SAMPLER="some")
    assert 0 == code
    assert stderr.startswith("aperf: OTEL_TRACES_SAMPLER: 'some' is not accepted; use always_on")
