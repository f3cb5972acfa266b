"""The environment, variable by variable, and who wins over whom."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import types
from dataclasses import fields
from operator import attrgetter
from pathlib import Path

import pytest

from aperf._config import (
    VARIABLES,
    LimitSettings,
    LogsSettings,
    MetricsSettings,
    OtlpSettings,
    Settings,
    Variable,
    pure_python,
    read_settings,
    read_settings_with_warnings,
    resource_attributes,
    script_name,
    telemetry_enabled,
)
from aperf._errors import ConfigurationError
from tests.config_cases import (
    HTTP_BAD,
    HTTP_ENDPOINTS,
    LOGS,
    LOGS_ONLY,
    LOGS_SWITCHES,
    METRICS,
    METRICS_ONLY,
    NEITHER,
    OTLP,
    PER_SIGNAL,
    PLAIN,
    SWITCHES,
    TRACES,
    YES_AND_NO,
)

DOCS = Path(__file__).parents[1] / "docs" / "reference" / "environment.md"
FILES = {"OTEL_CONFIG_FILE", "OTEL_EXPERIMENTAL_CONFIG_FILE"}
DEFAULTS = Settings(otlp=OtlpSettings(), metrics=MetricsSettings(), logs=LogsSettings())
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317"}


def by_name(name: str) -> Variable:
    """Return a variable of the table."""
    return next(variable for variable in VARIABLES if variable.name == name)


def otlp_of(environ: dict[str, str]) -> OtlpSettings:
    """Return the OTLP settings of an environment that has them."""
    otlp = read_settings(environ).otlp
    assert otlp is not None
    return otlp


# ---------------------------------------------------------------------------------------- the table


def test_cases_cover_table() -> None:
    """Every variable is tested with good values, and with bad ones unless any text is good."""
    cases = PLAIN | SWITCHES
    cases |= METRICS_ONLY | {"OTEL_METRICS_EXPORTER": ([], ["zipkin"])}
    cases |= LOGS_ONLY | LOGS_SWITCHES
    prefixes = (OTLP, TRACES, METRICS, LOGS)
    cases |= {prefix + end: case for end, case in PER_SIGNAL.items() for prefix in prefixes}
    assert {variable.name for variable in VARIABLES} == cases.keys() | FILES  # test_config_file.py
    any_text = {name for name, (_, bad) in cases.items() if not bad}
    assert any_text == {v.name for v in VARIABLES if v.kind.accepts == "a text"} - FILES


def test_table_covers_settings() -> None:
    """Every setting has a variable, and every variable a setting."""
    named = {variable.field for variable in VARIABLES}
    plain = {field.name for field in fields(Settings)} - {"sources"}
    otlp = {f"otlp.{field.name}" for field in fields(OtlpSettings)}
    limits = {f"limits.{field.name}" for field in fields(LimitSettings)}
    signals = {
        f"{signal}.{field.name}"
        for signal, kind in (("metrics", MetricsSettings), ("logs", LogsSettings))
        for field in fields(OtlpSettings) + fields(kind)
        if field.name != "otlp"
    }
    assert named == (plain - {"limits"}) | otlp | limits | signals


def test_defaults_agree() -> None:
    """The defaults that the table shows are those of the dataclasses."""
    for variable in VARIABLES:
        group, _, field = variable.field.rpartition(".")
        owner = getattr(DEFAULTS, group) if group else DEFAULTS
        if variable.default and field not in ("logs", "otlp"):
            assert getattr(owner, field) == variable.kind.parse(variable.default), variable.name


def test_documentation_agrees() -> None:
    """The reference lists exactly the variables of the table, with their defaults and meanings."""
    documented: dict[str, tuple[str, ...]] = {}
    for line in DOCS.read_text(encoding="utf-8").splitlines():
        if line.startswith("| `"):
            names, *rest = (cell.strip() for cell in line.strip("|").split("|"))
            documented |= {name: tuple(rest) for name in re.findall(r"`(\w+)`", names)}
    expected = {
        variable.name: (
            f"`{variable.default}`" if variable.default else "unset",
            variable.kind.accepts,
            variable.help,
        )
        for variable in VARIABLES
    }
    assert expected == documented


# --------------------------------------------------------------------------------------- the values


def test_empty_environment_gives_defaults() -> None:
    """With nothing set, nothing is on and every value is the default."""
    settings = read_settings({})
    assert Settings(service_name=script_name()) == settings
    assert {"default"} == set(settings.sources.values())


def test_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument the variables of the process are read, and left as they are."""
    monkeypatch.setenv("APERF_SEGMENT_SPANS", "7")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=shop")
    before = dict(os.environ)
    assert (7, "shop") == (read_settings().segment_spans, read_settings().service_name)
    assert (("service.name", "shop"),) == resource_attributes()
    assert before == dict(os.environ)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [(name, *case) for name, (good, _) in PLAIN.items() for case in good],
)
def test_good_value(name: str, text: str, value: object) -> None:
    """A good value reaches its setting, and the setting knows where it comes from."""
    settings, warnings = read_settings_with_warnings({name: text})
    assert value == attrgetter(by_name(name).field)(settings)
    assert name == settings.sources[by_name(name).field]
    assert () == warnings


@pytest.mark.parametrize("prefix", [OTLP, TRACES])
@pytest.mark.parametrize(
    ("end", "text", "value"),
    [(end, *case) for end, (good, _) in PER_SIGNAL.items() for case in good],
)
def test_good_otlp_value(prefix: str, end: str, text: str, value: object) -> None:
    """A good value reaches its OTLP setting, in both spellings of the variable."""
    name = prefix + end
    settings, warnings = read_settings_with_warnings({"OTEL_SDK_ENABLED": "true", name: text})
    assert value == getattr(settings.otlp, by_name(name).field.removeprefix("otlp."))
    assert name == settings.sources[by_name(name).field]
    assert () == warnings


@pytest.mark.parametrize(
    ("name", "text", "otlp"),
    [(name, *case) for name, (good, _) in SWITCHES.items() for case in good],
)
def test_otlp_switch(name: str, text: str, otlp: bool) -> None:
    """With an endpoint set, each switch says whether there is OTLP."""
    settings = read_settings({**ENDPOINT, name: text})
    assert otlp == (settings.otlp is not None)
    if not otlp:
        assert name == settings.sources["otlp"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *((name, text) for name, (_, bad) in (PLAIN | SWITCHES).items() for text in bad),
        *((name, text) for name, (_, bad) in METRICS_ONLY.items() for text in bad),
        ("OTEL_METRICS_EXPORTER", "zipkin"),
        *((name, text) for name, (_, bad) in (LOGS_ONLY | LOGS_SWITCHES).items() for text in bad),
        *((LOGS + end, text) for end, (_, bad) in PER_SIGNAL.items() for text in bad),
        *((METRICS + end, text) for end, (_, bad) in PER_SIGNAL.items() for text in bad),
        *((OTLP + end, text) for end, (_, bad) in PER_SIGNAL.items() for text in bad),
        *((TRACES + end, text) for end, (_, bad) in PER_SIGNAL.items() for text in bad),
    ],
)
def test_bad_value(name: str, text: str) -> None:
    """A bad value is an error in aperf's own variables, else a warning: one line that says all."""
    variable = by_name(name)
    if variable.forgiving:
        settings, (line,) = read_settings_with_warnings({name: text})
        assert read_settings({}) == settings
        assert {"default"} == set(settings.sources.values())
    else:
        with pytest.raises(ConfigurationError) as caught:
            read_settings({name: text})
        line = str(caught.value)
    assert line.startswith(f"{name}: ")
    assert variable.kind.accepts in line
    assert variable.kind.secret != (repr(text) in line)
    assert "\n" not in line


@pytest.mark.parametrize("name", [variable.name for variable in VARIABLES])
@pytest.mark.parametrize("text", ["", "  "])
def test_empty_is_unset(name: str, text: str) -> None:
    """An empty variable is the same as none."""
    settings, warnings = read_settings_with_warnings({name: text})
    assert (read_settings({}), ()) == (settings, warnings)


def test_every_bad_value_is_reported() -> None:
    """One error tells of all that is wrong, a line each, arguments included."""
    with pytest.raises(ConfigurationError) as caught:
        read_settings(
            {"TELEMETRY_ENABLED": "maybe", "TRACY_PORT": "x", "OTEL_TRACES_SAMPLER": "x"},
            awaits="never",
        )
    assert [
        "TELEMETRY_ENABLED: 'maybe' is not accepted; use true or false (also 1/0, yes/no, on/off)",
        "TRACY_PORT: 'x' is not accepted; use a whole number from 1 to 65535",
        "awaits: 'never' is not accepted; use suspended or all (all needs Python 3.12)",
    ] == str(caught.value).splitlines()


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="there it is accepted")
def test_all_awaits_need_monitoring() -> None:
    """On 3.11 the value that needs sys.monitoring is refused with what it needs."""
    with pytest.raises(ConfigurationError, match=r"all needs Python 3\.12"):
        read_settings({"APERF_AWAITS": "all"})


# -------------------------------------------------------------------------------------- precedence


@pytest.mark.parametrize("end", PER_SIGNAL)
def test_traces_variable_wins(end: str) -> None:
    """What is said for traces wins over what is said in general."""
    (text, value), *_ = PER_SIGNAL[end][0]
    other, _ = PER_SIGNAL[end][0][-1]
    environ = {"OTEL_SDK_ENABLED": "1", TRACES + end: text, OTLP + end: other}
    settings = read_settings(environ)
    field = by_name(TRACES + end).field
    assert value == getattr(settings.otlp, field.removeprefix("otlp."))
    assert TRACES + end == settings.sources[field]


#: Which variables speak of one thing, the winner first; the names for traces have a test above.
RIVALS = [
    ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"),
    ("APERF_EXPORT_INTERVAL_MS", "OTEL_BSP_SCHEDULE_DELAY"),
    ("APERF_LOG", "RUST_LOG"),
    ("APERF_LOG_FORMAT", "RUST_LOG_FORMAT"),
    ("APERF_LOG_CLOSED_SPANS", "RUST_LOG_CLOSED_SPANS"),
    ("APERF_TRACE", "RUST_TRACE"),
    ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT"),
    ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"),
]


def test_rivals_cover_table() -> None:
    """Wherever several variables speak of one field, it is tested which one wins."""
    by_field: dict[str, list[str]] = {}
    for variable in VARIABLES:
        by_field.setdefault(variable.field, []).append(variable.name)
    signals = ("otlp", "logs")
    found = {
        tuple(n) for field, n in by_field.items() if len(n) > 1 and not field.startswith(signals)
    }
    assert found - {tuple(sorted(FILES))} == set(RIVALS)


@pytest.mark.parametrize(("winner", "loser"), RIVALS)
def test_winner(winner: str, loser: str) -> None:
    """The first of two variables wins; where it is bad or empty, the second one counts."""
    (text, value), *_ = PLAIN[winner][0]
    other, other_value = PLAIN[loser][0][-1]
    field = by_name(winner).field
    settings = read_settings({winner: text, loser: other})
    assert (value, winner) == (attrgetter(field)(settings), settings.sources[field])
    for bad in ["", *PLAIN[winner][1]] if by_name(winner).forgiving else [""]:
        settings = read_settings({winner: bad, loser: other})
        assert (other_value, loser) == (attrgetter(field)(settings), settings.sources[field])


@pytest.mark.parametrize("name", ["APERF_LOG", "RUST_TRACE"])
def test_filter_is_good_in_part(name: str) -> None:
    """What is no directive is left out with one warning, and the others count."""
    settings, warnings = read_settings_with_warnings({name: "debug,a=loud,b=off,[]"})
    assert "debug,b=off" == getattr(settings, by_name(name).field)
    assert 1 == len(warnings)
    assert warnings[0].startswith(f"{name}: 'a=loud,[]' is not accepted; use directives like ")


def test_bad_traces_variable_leaves_general_one() -> None:
    """A bad value is ignored, so the general variable decides."""
    settings, warnings = read_settings_with_warnings({**ENDPOINT, TRACES + "ENDPOINT": "a b"})
    assert settings.otlp is not None
    assert "http://collector:4317" == settings.otlp.endpoint
    assert ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] == [line.split(":")[0] for line in warnings]


def test_traces_protocol_wins() -> None:
    """The protocol for traces decides, whatever the general one is."""
    environ = {**ENDPOINT, OTLP + "PROTOCOL": "http/json", TRACES + "PROTOCOL": "grpc"}
    settings, warnings = read_settings_with_warnings(environ)
    assert settings.otlp is not None
    assert () == warnings


@pytest.mark.parametrize("url", [None, "http://b:2"])
@pytest.mark.parametrize("prefix", [OTLP, TRACES])
def test_json_is_a_warning(prefix: str, url: str | None) -> None:
    """A protocol that aperf does not speak means one warning and no OTLP, whoever asks for it."""
    environ = {**ENDPOINT, prefix + "PROTOCOL": "http/json"}
    settings, warnings = read_settings_with_warnings(environ, otlp=url)
    assert settings.otlp is None
    assert prefix + "PROTOCOL" == settings.sources["otlp"]
    problem = "aperf cannot speak 'http/json', only grpc and http/protobuf; no OTLP"
    assert (f"{prefix}PROTOCOL: {problem}",) == warnings


def test_json_without_otlp_is_silent() -> None:
    """Nobody is warned about the protocol of something that nobody asked for."""
    assert () == read_settings_with_warnings({OTLP + "PROTOCOL": "http/json"}).warnings


# ----------------------------------------------------------------------------------- OTLP over HTTP

HTTP = {"OTEL_SDK_ENABLED": "true", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}


@pytest.mark.parametrize(("general", "traces", "expected"), HTTP_ENDPOINTS)
def test_http_endpoint(general: str, traces: str, expected: str) -> None:
    """The general endpoint is a base, the one for traces is the URL, as the specification says."""
    environ = {**HTTP, OTLP + "ENDPOINT": general, TRACES + "ENDPOINT": traces}
    settings, warnings = read_settings_with_warnings(environ)
    assert settings.otlp is not None
    assert (expected, ()) == (settings.otlp.endpoint, warnings)
    assert expected.startswith("http://") == settings.otlp.insecure
    source = TRACES + "ENDPOINT" if traces else OTLP + "ENDPOINT" if general else "default"
    assert source == settings.sources["otlp.endpoint"] == settings.sources["otlp.insecure"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://c:4318", "http://c:4318/v1/traces"),
        ("http://c:4318/", "http://c:4318/"),
        ("https://c/otlp/v1/traces", "https://c/otlp/v1/traces"),
    ],
)
def test_http_url(url: str, expected: str) -> None:
    """The URL that a caller gives is whole, unless it has no path."""
    otlp = read_settings({**HTTP, OTLP + "ENDPOINT": "http://a:1"}, otlp=url).otlp
    assert otlp is not None
    assert ("http/protobuf", expected) == (otlp.protocol, otlp.endpoint)


def test_insecure_is_for_grpc() -> None:
    """With HTTP the scheme decides, whatever the variable says."""
    environ = {**HTTP, OTLP + "ENDPOINT": "http://a:1", OTLP + "INSECURE": "false"}
    assert otlp_of(environ).insecure
    assert not otlp_of(
        {**environ, OTLP + "ENDPOINT": "https://a:1", OTLP + "INSECURE": "true"}
    ).insecure


@pytest.mark.parametrize("target", ["collector:4318", "unix:///run/otlp.sock", "dns:///collector"])
def test_target_is_for_grpc(target: str) -> None:
    """With HTTP an endpoint that only gRPC understands is a bad value: warned of, and unset."""
    environ = {OTLP + "PROTOCOL": "http/protobuf", OTLP + "ENDPOINT": target}
    settings, warnings = read_settings_with_warnings(environ)
    assert settings.otlp is None
    assert (f"{OTLP}ENDPOINT: {target!r} is not accepted; {HTTP_BAD}",) == warnings
    other = {**environ, TRACES + "ENDPOINT": "http://b:1/x"}
    assert "http://b:1/x" == otlp_of(other).endpoint


@pytest.mark.parametrize(
    ("environ", "otlp", "source"),
    [
        ({}, False, "default"),
        ({"OTEL_SDK_ENABLED": "true"}, True, "OTEL_SDK_ENABLED"),
        (ENDPOINT, True, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({TRACES + "ENDPOINT": "http://a:1"}, True, TRACES + "ENDPOINT"),
        ({**ENDPOINT, "OTEL_SDK_ENABLED": "false"}, False, "OTEL_SDK_ENABLED"),
        ({"OTEL_SDK_ENABLED": "1", "OTEL_SDK_DISABLED": "true"}, False, "OTEL_SDK_DISABLED"),
        ({"OTEL_SDK_ENABLED": "1", "OTEL_SDK_DISABLED": "false"}, True, "OTEL_SDK_ENABLED"),
        ({"OTEL_SDK_ENABLED": "1", "OTEL_TRACES_EXPORTER": "none"}, False, "OTEL_TRACES_EXPORTER"),
        ({OTLP + "HEADERS": "a=b"}, False, "default"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, False, "default"),
    ],
)
def test_when_there_is_otlp(environ: dict[str, str], otlp: bool, source: str) -> None:
    """OTLP exists exactly by the rules of the reference, and its source says which rule it was."""
    settings = read_settings(environ)
    assert (otlp, source) == (settings.otlp is not None, settings.sources["otlp"])


def test_otlp_defaults() -> None:
    """Switched on without an endpoint, OTLP goes where OpenTelemetry's default says."""
    assert OtlpSettings() == otlp_of({"OTEL_SDK_ENABLED": "true"})


@pytest.mark.parametrize(
    ("endpoint", "variable", "insecure"),
    [
        ("http://a:1", None, True),
        ("http://a:1", "false", False),
        ("https://a:1", None, False),
        ("https://a:1", "true", False),
        ("a:1", None, False),
        ("a:1", "true", True),
    ],
)
def test_insecure(endpoint: str, variable: str | None, insecure: bool) -> None:
    """Whether there is TLS is decided as OpenTelemetry's Python SDK decides it."""
    environ = {OTLP + "ENDPOINT": endpoint} | ({OTLP + "INSECURE": variable} if variable else {})
    assert insecure == otlp_of(environ).insecure


def test_headers_stay_secret() -> None:
    """Credentials appear neither in a repr nor in a warning."""
    settings = read_settings({**ENDPOINT, OTLP + "HEADERS": "authorization=sesame"})
    assert "sesame" not in repr(settings)
    warnings = read_settings_with_warnings({OTLP + "HEADERS": "sesame"}).warnings
    assert "sesame" not in "".join(warnings)


# --------------------------------------------------------------------------------------- arguments


def test_arguments_win() -> None:
    """What the caller says wins over the environment; None says nothing."""
    settings = read_settings({"APERF_SUMMARY": "json"}, summary="none", awaits=None, enabled=True)
    assert ("none", "suspended", True) == (settings.summary, settings.awaits, settings.enabled)
    assert "argument" == settings.sources["summary"] == settings.sources["enabled"]
    assert "default" == settings.sources["awaits"]


def test_otlp_argument_is_taken_as_it_is() -> None:
    """Complete OTLP settings owe nothing to the environment."""
    otlp = OtlpSettings(endpoint="https://b:2", insecure=False)
    settings = read_settings({**ENDPOINT, OTLP + "TIMEOUT": "3"}, otlp=otlp)
    assert otlp == settings.otlp
    assert "argument" == settings.sources["otlp"]


def test_otlp_url_takes_the_rest_from_the_environment() -> None:
    """A URL says where OTLP goes, even if it was switched off; the environment says how."""
    environ = {**ENDPOINT, OTLP + "TIMEOUT": "3", "OTEL_SDK_DISABLED": "true"}
    settings = read_settings(environ, otlp="https://b:2")
    assert OtlpSettings(endpoint="https://b:2", insecure=False, timeout_s=3.0) == settings.otlp
    assert "argument" == settings.sources["otlp"] == settings.sources["otlp.endpoint"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("enabled", 1),
        ("enabled", "true"),
        ("segment_spans", -1),
        ("segment_spans", True),
        ("ring_bytes", 1.5),
        ("summary", "JSON"),
        ("task_parent", "sibling"),
        ("sampler_arg", "2"),
        ("service_name", ""),
        ("service_name", 5),
        ("otlp", "collector:4317"),
        ("otlp", True),
    ],
)
def test_bad_argument(field: str, value: object) -> None:
    """A bad argument is named like a bad variable."""
    with pytest.raises(ConfigurationError, match=rf"^{field}: .* is not accepted; use \w"):
        read_settings({}, **{field: value})


@pytest.mark.parametrize("field", ["colour", "sources"])
def test_unknown_argument(field: str) -> None:
    """A setting that does not exist is the caller's mistake."""
    with pytest.raises(TypeError, match=f"no such setting: {field}"):
        read_settings({}, **{field: 1})


def test_settings_are_frozen() -> None:
    """Nobody changes settings, nor what they say about their sources, once they are read."""
    settings = read_settings({})
    with pytest.raises(AttributeError):
        settings.enabled = True  # type: ignore[misc]
    with pytest.raises(TypeError):
        settings.sources["enabled"] = "me"  # type: ignore[index]


# ------------------------------------------------------------------------------------ service names


def test_service_name_wins_over_resource() -> None:
    """The variable for the name wins over the attribute."""
    environ = {"OTEL_SERVICE_NAME": "a", "OTEL_RESOURCE_ATTRIBUTES": "service.name=b"}
    assert "a" == read_settings(environ).service_name


def test_resource_without_name_leaves_default() -> None:
    """Other attributes say nothing about the name."""
    settings = read_settings({"OTEL_RESOURCE_ATTRIBUTES": "a=b,service.name="})
    assert (script_name(), "default") == (settings.service_name, settings.sources["service_name"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("a=b", (("a", "b"),)),
        (" a = b , c=d=e,", (("a", "b"), ("c", "d=e"))),
        ("a=b%2Cc%20d,%C3%BC=%C3%A4", (("a", "b,c d"), ("ü", "ä"))),
        ("a=1,a=2", (("a", "2"),)),
        ("a=1,b", ()),
        ("a=%ff", ()),
    ],
)
def test_resource_attributes(text: str, expected: tuple[tuple[str, str], ...]) -> None:
    """Attributes are percent-decoded; a list that cannot be read counts as none."""
    assert expected == resource_attributes({"OTEL_RESOURCE_ATTRIBUTES": text})


@pytest.mark.parametrize(
    ("argument", "spec", "expected"),
    [
        ("app.py", None, "app"),
        ("/srv/my app/main.py", None, "main"),
        ("/usr/bin/uvicorn", None, "uvicorn"),
        ("/srv/shop/__main__.py", None, "shop"),
        ("/srv/shop", "__main__", "shop"),
        ("/srv/shop/__main__.py", "shop.__main__", "shop"),
        ("/srv/shop/tool.py", "shop.tool", "shop.tool"),
        ("-c", None, "unknown_service"),
        ("", None, "unknown_service"),
    ],
)
def test_script_name(
    monkeypatch: pytest.MonkeyPatch, argument: str, spec: str | None, expected: str
) -> None:
    """A program without a name is called after its script or module."""
    main = types.ModuleType("__main__")
    main.__spec__ = types.SimpleNamespace(name=spec) if spec else None  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "__main__", main)
    monkeypatch.setattr(sys, "argv", [argument])
    assert expected == script_name()


@pytest.mark.parametrize("words", [["-m", "shop.web"], ["-X", "dev", "-mshop.web"]])
@pytest.mark.parametrize("arguments", [[], ["-m", "other"]])
def test_script_name_at_startup(
    monkeypatch: pytest.MonkeyPatch, words: list[str], arguments: list[str]
) -> None:
    """While the interpreter starts, the name of a module stands only in what it was called with."""
    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
    monkeypatch.setattr(sys, "argv", ["-m", *arguments])
    monkeypatch.setattr(sys, "orig_argv", ["python", *words, *arguments])
    assert "shop.web" == script_name()


# ---------------------------------------------------------------------------------------- switches


@pytest.mark.parametrize(("text", "expected"), [("", False), *YES_AND_NO])
def test_switches(text: str, expected: bool) -> None:
    """The quick readers say what the full one says."""
    assert expected == telemetry_enabled({"TELEMETRY_ENABLED": text})
    assert expected == pure_python({"APERF_PURE_PYTHON": text})


@pytest.mark.parametrize(("text", "expected"), YES_AND_NO)
def test_tracy_alone_is_enough(text: str, expected: bool) -> None:
    """A viewer can be listened for without any other telemetry."""
    assert expected == telemetry_enabled({"TELEMETRY_ENABLED": "false", "TRACY_ENABLED": text})


@pytest.mark.parametrize("text", NEITHER)
@pytest.mark.parametrize("name", ["TELEMETRY_ENABLED", "TRACY_ENABLED"])
def test_bad_switches(name: str, text: str) -> None:
    """A bad main switch is an error; a bad choice of the core must not fail an import."""
    with pytest.raises(ConfigurationError, match=f"^{name}: "):
        telemetry_enabled({"TELEMETRY_ENABLED": "yes", name: text})
    assert not pure_python({"APERF_PURE_PYTHON": text})


def loaded_by(program: str, *modules: str) -> list[str]:
    """Return which of these modules a program loads in a fresh interpreter."""
    # -S, since .pth files of the environment import what they like; it hides aperf, hence the path.
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}
    program += f"; import sys; print(*sorted({set(modules)} & sys.modules.keys()))"
    command = [sys.executable, "-S", "-c", program]
    done = subprocess.run(command, env=path, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_switch_is_cheap() -> None:
    """A program that is not watched loads nothing but the switch."""
    program = "from aperf._config import telemetry_enabled; telemetry_enabled()"
    assert [] == loaded_by(program, "dataclasses", "typing", "inspect", "aperf._config._read")


def test_reading_is_cheap() -> None:
    """Reading everything loads neither loops nor destinations."""
    program = "from aperf._config import read_settings; read_settings()"
    assert [] == loaded_by(program, "asyncio", "anyio", "grpc", "opentelemetry", "socket", "urllib")


def test_unknown_attribute() -> None:
    """The lazy package says so when it does not have a name."""
    import aperf._config

    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        aperf._config.nothing  # noqa: B018
