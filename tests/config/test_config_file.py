"""OpenTelemetry's configuration file: what aperf takes from it, and what it says about the rest."""

from __future__ import annotations

import json
import sys
from operator import attrgetter
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from aperf._config import (
    OtlpSettings,
    Reading,
    read_settings_with_warnings,
    resource_attributes,
    script_name,
)
from aperf._errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ["OTEL_CONFIG_FILE", "OTEL_EXPERIMENTAL_CONFIG_FILE"]

SIMPLE = "{simple: {exporter: {%s: }}}"
FULL = """
    file_format: "1.0"
    log_level: info
    disabled: false
    attribute_limits:
      attribute_count_limit: 10
      attribute_value_length_limit: 20
    resource:
      attributes_list: "region=eu,service.name=nobody,a=b%20c"
      attributes:
        - {name: service.name, value: "${SERVICE:-shop}"}
        - {name: shard, value: 7, type: int}
        - {name: zone, value: 7, type: string}
        - {name: ports, value: [1, 2]}
        - name: unset
          value: ${MISSING}
    propagator:
      composite: [{tracecontext: }, {baggage: }]
      composite_list: "tracecontext,baggage"
    tracer_provider:
      limits:
        attribute_count_limit: ${LIMIT}
        event_count_limit: 30
        event_attribute_count_limit: 40
      sampler:
        parent_based:
          root:
            trace_id_ratio_based: {ratio: 0.25}
      processors:
        - batch:
            schedule_delay: 1500
            max_queue_size: 8192
            max_export_batch_size: 100
            exporter:
              otlp_grpc:
                endpoint: https://collector:4317
                headers:
                  - {name: Authorization, value: "Bearer ${TOKEN}"}
                headers_list: "tenant=a,authorization=nobody"
                compression: gzip
                timeout: 2500
                tls: {ca_file: /ca.pem, key_file: /key.pem, cert_file: /cert.pem}
"""
VARIABLES = {"LIMIT": "15", "TOKEN": "sesame$1"}


def read(path: Path, text: str, **variables: str) -> Reading:
    """Read settings with a file of this text."""
    path.write_text(dedent(text), encoding="utf-8")
    return read_settings_with_warnings({"OTEL_CONFIG_FILE": str(path), **variables})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return where a configuration file may stand."""
    return tmp_path / "otel.yaml"


def provider(exporter: str) -> str:
    """Return a file with a single exporter."""
    processors = f"[{{simple: {{exporter: {exporter}}}}}]"
    return f'file_format: "1.0"\ntracer_provider: {{processors: {processors}}}'


def test_all_that_is_understood(file: Path) -> None:
    """Exporter, sampler, limits and resource become settings, and nothing is left to tell."""
    settings, warnings = read(file, FULL, **VARIABLES)
    assert () == warnings
    assert settings.otlp == OtlpSettings(
        endpoint="https://collector:4317",
        headers=(("tenant", "a"), ("authorization", "Bearer sesame$1")),
        insecure=False,
        certificate="/ca.pem",
        client_key="/key.pem",
        client_certificate="/cert.pem",
        compression="gzip",
        timeout_s=2.5,
    )
    assert ("parentbased_traceidratio", "0.25") == (settings.sampler, settings.sampler_arg)
    limits = settings.limits
    assert (15, 20, 30, 40) == (
        limits.attributes, limits.attribute_length, limits.events, limits.event_attributes,
    )  # fmt: skip
    assert (8192, 100, 1_500_000_000) == (
        limits.queue_spans, limits.batch_spans, settings.export_interval_ns,
    )  # fmt: skip
    assert ("shop", str(file)) == (settings.service_name, settings.config_file)
    assert "OTEL_CONFIG_FILE" == settings.sources["otlp"] == settings.sources["sampler"]


def test_resource(file: Path) -> None:
    """Attributes keep their types; those without a value are none."""
    read(file, FULL, **VARIABLES)
    environ = {"OTEL_CONFIG_FILE": str(file), "OTEL_RESOURCE_ATTRIBUTES": "region=us"}
    assert {
        "region": "eu",
        "service.name": "shop",
        "a": "b c",
        "shard": 7,
        "zone": "7",
        "ports": (1, 2),
    } == dict(resource_attributes(environ))
    assert resource_attributes(environ) == resource_attributes({}, str(file))
    file.write_text("[", encoding="utf-8")
    assert () == resource_attributes(environ)


def test_json(tmp_path: Path) -> None:
    """A file may also be JSON, for which no package is needed."""
    content = {
        "file_format": "1.0",
        "tracer_provider": {
            "sampler": {"always_off": None},
            "processors": [{"batch": {"exporter": {"otlp_http": {"endpoint": "${URL}"}}}}],
        },
    }
    path = tmp_path / "otel.json"
    settings, warnings = read(path, json.dumps(content), URL="http://a:1/x")
    assert () == warnings
    assert settings.otlp == OtlpSettings(protocol="http/protobuf", endpoint="http://a:1/x")
    assert "always_off" == settings.sampler


@pytest.mark.parametrize("name", NAMES)
def test_both_names(file: Path, name: str) -> None:
    """The variable has a name, and had another while it was an experiment."""
    read(file, provider("{otlp_grpc: }"))
    settings, _ = read_settings_with_warnings({name: str(file)})
    assert OtlpSettings() == settings.otlp
    assert name == settings.sources["otlp"] == settings.sources["config_file"]


@pytest.mark.parametrize(
    ("exporter", "expected"),
    [
        ("{otlp_grpc: {endpoint: a:1}}", OtlpSettings(endpoint="a:1", insecure=False)),
        (
            "{otlp_grpc: {endpoint: a:1, tls: {insecure: true}}}",
            OtlpSettings(endpoint="a:1", insecure=True),
        ),
        (
            "{otlp_http: }",
            OtlpSettings(protocol="http/protobuf", endpoint="http://localhost:4318/v1/traces"),
        ),
    ],
)
def test_exporters(file: Path, exporter: str, expected: OtlpSettings) -> None:
    """What is left out is as OpenTelemetry has it."""
    assert (expected, ()) == (read(file, provider(exporter)).settings.otlp, ())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("meter_provider: {readers: []}", ["meter_provider"]),
        ("logger_provider: {processors: []}", ["logger_provider"]),
        ("resource: {schema_url: x, detection/development: {}}", ["schema_url", "detection"]),
        ("propagator: {composite: [{b3: }]}", ["propagator.composite[0].b3"]),
        ("propagator: {composite_list: 'b3,baggage'}", ["propagator.composite_list"]),
        ("tracer_provider: {sampler: {jaeger: {}}}", ["tracer_provider.sampler.jaeger"]),
        ("tracer_provider: {id_generator: {random: }}", ["tracer_provider.id_generator"]),
        (
            "tracer_provider: {processors: [{simple: {exporter: {console: }}}]}",
            ["tracer_provider.processors[0].simple.exporter.console"],
        ),
        (
            f"tracer_provider: {{processors: [{SIMPLE % 'otlp_grpc'}, {SIMPLE % 'otlp_http'}]}}",
            ["tracer_provider.processors[1].simple.exporter.otlp_http"],
        ),
        ("tracer_provider: {limits: {link_count_limit: 1}}", ["limits.link_count_limit"]),
    ],
)
def test_what_is_not_understood(file: Path, text: str, told: list[str]) -> None:
    """Each part that says nothing to aperf is told of in a line."""
    _, warnings = read(file, f'file_format: "1.0"\n{text}')
    assert len(told) == len(warnings)
    for part, line in zip(told, warnings, strict=True):
        assert line.startswith(f"{file}: ")
        assert part in line
        assert "ignored" in line


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("disabled: perhaps", "disabled: 'perhaps' is not accepted; use true or false"),
        ("resource: [a]", "resource: ['a'] is not accepted; use a mapping"),
        ("tracer_provider: {processors: a}", "processors: 'a' is not accepted; use a list"),
        ("tracer_provider: {processors: [a]}", "processors[0]: 'a' is not accepted; use a mapping"),
        ("attribute_limits: {attribute_count_limit: -1}", "-1 is not accepted; use a whole number"),
        ("resource: {attributes: [{name: a, value: {b: c}}]}", "use a single value or a list"),
        ("resource: {attributes_list: a}", "use key=value,key=value"),
    ],
)
def test_bad_values(file: Path, text: str, told: str) -> None:
    """A bad value is a warning that says where it stands, and then counts as unset."""
    settings, warnings = read(file, f'file_format: "1.0"\n{text}')
    (line,) = warnings
    assert told in line
    assert settings.otlp is None
    assert script_name() == settings.service_name


@pytest.mark.parametrize(
    "exporter",
    [
        "{otlp_http: {endpoint: 'a:1'}}",
        "{otlp_grpc: {endpoint: 'ftp://a'}}",
        "{otlp_grpc: {timeout: 0}}",
        "{otlp_grpc: {compression: deflate}}",
        "{otlp_grpc: {headers: [{name: a b, value: c}]}}",
        '{otlp_grpc: {headers: [{name: a, value: "secret\\n"}]}}',
        "{otlp_grpc: {headers_list: secret}}",
    ],
)
def test_bad_exporters(file: Path, exporter: str) -> None:
    """So is a bad value of an exporter, and no secret is shown."""
    settings, (line,) = read(file, provider(exporter))
    assert settings.otlp is not None
    assert "is not accepted" in line
    assert "secret\n" not in line
    assert "'secret'" not in line


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is no mapping"),
        ("- a", "it is no mapping"),
        ("1: a", "it is no mapping"),
        ("a: [", "while parsing"),
        ("a: b", "its file_format is None; 1.0 is accepted"),
        ('file_format: "2.0"', "its file_format is 2.0; 1.0 is accepted"),
    ],
)
def test_unusable_file(file: Path, text: str, why: str) -> None:
    """A file that cannot be used is an error: nobody knows what would have been left out."""
    with pytest.raises(ConfigurationError) as caught:
        read(file, text)
    message = str(caught.value)
    assert f"the configuration file {str(file)!r} cannot be used: {why}" in message
    assert "\n" not in message


@pytest.mark.parametrize("content", [None, b"\xff"])
def test_unreadable_file(file: Path, content: bytes | None) -> None:
    """So is one that is not there, or is no text."""
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match="cannot be used: "):
        read_settings_with_warnings({"OTEL_CONFIG_FILE": str(file)})


def test_without_package(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where YAML cannot be read, it is said what would help."""
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ConfigurationError, match="pip install pyyaml"):
        read(file, FULL)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${A}", 5),
        ('"${A}"', "5"),
        ("${env:A}", 5),
        ("x${A}y", "x5y"),
        ("${A}${A}", "55"),
        ("${B:-c d}", "c d"),
        ("${EMPTY:-7}", 7),
        ("$${A}", "${A}"),
        ("$A", "$A"),
        ("'${B}'", ""),
    ],
)
@pytest.mark.parametrize("anchor", ["", "&a "])
def test_substitution(file: Path, text: str, expected: object, anchor: str) -> None:
    """References are replaced once, after parsing; a bare one takes its type from its value."""
    again = "*a" if anchor else text
    content = f"""
        file_format: "1.0"  # ${{A}}
        resource:
          attributes:
            - name: a
              value: {anchor}{text}
            - name: b
              value: {again}
    """
    environ = {"A": "5", "EMPTY": ""}
    read(file, content, **environ)
    environ["OTEL_CONFIG_FILE"] = str(file)
    assert {"a": expected, "b": expected} == dict(resource_attributes(environ))


# --------------------------------------------------------------------------------------- precedence


@pytest.mark.parametrize(
    ("variables", "field", "expected"),
    [
        ({"OTEL_TRACES_SAMPLER": "always_off"}, "sampler", "parentbased_always_on"),
        ({"OTEL_TRACES_SAMPLER": "bad"}, "sampler", "parentbased_always_on"),
        ({"OTEL_SERVICE_NAME": "other"}, "service_name", script_name()),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://b:1"}, "otlp.endpoint", "http://a:1"),
        ({"OTEL_SDK_DISABLED": "true"}, "otlp.endpoint", "http://a:1"),
        ({"OTEL_SDK_ENABLED": "false"}, "otlp", None),
        ({"OTEL_SDK_ENABLED": "true"}, "otlp.endpoint", "http://a:1"),
        ({"APERF_RING_MB": "2"}, "ring_bytes", 2 << 20),
    ],
)
def test_file_instead_of_variables(
    file: Path, variables: dict[str, str], field: str, expected: object
) -> None:
    """With a file, OpenTelemetry's variables count as unset; aperf's own still count."""
    text = provider("{otlp_grpc: {endpoint: 'http://a:1'}}")
    settings, warnings = read(file, text, **variables)
    assert (expected, ()) == (attrgetter(field)(settings), warnings)


def test_aperfs_own_variable_wins(file: Path) -> None:
    """What aperf's variable says about the interval wins over the file."""
    settings, _ = read(file, FULL, **VARIABLES, APERF_EXPORT_INTERVAL_MS="100")
    assert 100_000_000 == settings.export_interval_ns


@pytest.mark.parametrize("variables", [{}, {"OTEL_SDK_ENABLED": "true"}])
def test_disabled(file: Path, variables: dict[str, str]) -> None:
    """A file that is switched off means no OTLP."""
    settings, _ = read(file, provider("{otlp_grpc: }") + "\ndisabled: true", **variables)
    assert (None, "OTEL_CONFIG_FILE") == (settings.otlp, settings.sources["otlp"])


def test_without_exporter(file: Path) -> None:
    """A file without OTLP means none, unless aperf's own switch asks for it."""
    text = 'file_format: "1.0"'
    assert read(file, text).settings.otlp is None
    assert OtlpSettings() == read(file, text, OTEL_SDK_ENABLED="true").settings.otlp


def test_arguments_win(file: Path) -> None:
    """The caller wins over the file, and may name it as well."""
    read(file, provider("{otlp_grpc: {endpoint: 'http://a:1', compression: gzip}}"))
    settings, _ = read_settings_with_warnings(
        {}, config_file=str(file), otlp="http://b:1", sampler="always_off"
    )
    assert OtlpSettings(endpoint="http://b:1", compression="gzip") == settings.otlp
    assert ("always_off", "argument") == (settings.sampler, settings.sources["config_file"])
