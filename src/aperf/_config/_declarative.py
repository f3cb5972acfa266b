"""What OpenTelemetry's configuration file means to aperf.

https://github.com/open-telemetry/opentelemetry-configuration
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ._file import load_file
from ._kinds import (
    ENDPOINT,
    HEADER_NAME,
    HEADER_VALUE,
    HEADERS,
    OTEL_BOOLEAN,
    PAIRS,
    RATIO,
    TEXT,
    URL,
    Kind,
    choice,
    number,
    whole,
)
from ._section import Section

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("Declared", "read_file")

_EXPORTERS: Final = {"otlp_grpc": "grpc", "otlp_http": "http/protobuf"}
_LIMIT: Final = whole(0, 10**9)
_COUNT: Final = whole(1, 10**9)
_DELAY: Final = number(1, ns=10**6)
_SAMPLERS: Final = {
    "always_on": "always_on",
    "always_off": "always_off",
    "trace_id_ratio_based": "traceidratio",
}
#: Propagators are OpenTelemetry's affair: these are those that it uses where nobody says otherwise.
_PROPAGATORS: Final = ("tracecontext", "baggage")


def _timeout(text: str) -> float:
    milliseconds = float(number(exclusive=True).parse(text))  # type: ignore[arg-type]
    return milliseconds / 1000


def _propagators(text: str) -> str:
    if {name.strip() for name in text.split(",")} - {*_PROPAGATORS}:
        raise ValueError(text)
    return text


_TIMEOUT: Final = Kind("a number above 0", _timeout)
_PROPAGATOR_LIST: Final = Kind(" and ".join(_PROPAGATORS), _propagators)


@dataclass(slots=True)
class Declared:
    """What a file says.

    Attributes:
        values: by the field of `Settings`, as `Variable.field` has it.
        resource: attributes of the process.
        warnings: what the user is to be told, a line each.
    """

    values: dict[str, object] = field(default_factory=dict)
    resource: dict[str, object] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def put(self, name: str, value: object) -> None:
        """Note a value, unless there is none."""
        if value is not None:
            self.values[name] = value


def read_file(path: str, environ: Mapping[str, str]) -> Declared:
    """Read a file.

    Raises:
        ConfigurationError: it cannot be read, or is no configuration.
    """
    declared = Declared()
    root = Section(f"{path}: ", load_file(path, environ), declared.warnings)
    root.take("log_level", TEXT)  # of OpenTelemetry's own messages
    limits = root.section("attribute_limits")
    _read_limits(limits, declared)
    _read_resource(root.section("resource"), declared)
    _read_provider(root.section("tracer_provider"), declared)
    _read_propagator(root.section("propagator"))
    if root.take("disabled", OTEL_BOOLEAN):
        declared.values["otlp"] = False
    root.tell_rest()
    return declared


# ---------------------------------------------------------------------------------------- resource


def _read_resource(section: Section, declared: Declared) -> None:
    declared.resource.update(section.pairs("attributes_list", PAIRS))
    for attribute in section.sections("attributes"):
        name, as_type = attribute.text("name"), attribute.text("type")
        value = attribute.attribute("value")
        if name and value is not None:
            declared.resource[name] = str(value) if as_type == "string" else value
    if service_name := declared.resource.get("service.name"):
        declared.values["service_name"] = str(service_name)


# ------------------------------------------------------------------------------------------ traces


def _read_provider(section: Section, declared: Declared) -> None:
    limits = section.section("limits")
    _read_limits(limits, declared)
    declared.put("limits.events", limits.take("event_count_limit", _LIMIT))
    declared.put("limits.event_attributes", limits.take("event_attribute_count_limit", _LIMIT))
    name, ratio = _read_sampler(section.section("sampler"))
    declared.put("sampler", name)
    declared.put("sampler_arg", ratio)
    for processor in section.sections("processors"):
        _read_processor(processor, declared)


def _read_limits(section: Section, declared: Declared) -> None:
    declared.put("limits.attributes", section.take("attribute_count_limit", _LIMIT))
    declared.put("limits.attribute_length", section.take("attribute_value_length_limit", _LIMIT))


def _read_sampler(section: Section) -> tuple[str | None, str | None]:
    """Return name and argument, as the variables would have them."""
    if "parent_based" in section:
        parent_based = section.section("parent_based")
        name, ratio = _read_sampler(parent_based.section("root"))
        return f"parentbased_{name or 'always_on'}", ratio
    key = section.only(*_SAMPLERS)
    if key is None:
        return None, None
    return _SAMPLERS[key], section.section(key).text("ratio", RATIO)


def _read_processor(section: Section, declared: Declared) -> None:
    kind = section.only("batch", "simple")
    if kind is None:
        return
    processor = section.section(kind)
    exporter = processor.section("exporter")
    key = exporter.only(*_EXPORTERS)
    if key is None or "otlp" in declared.values:  # a further one is told to be ignored
        return
    declared.values["otlp"] = True
    declared.put("export_interval_ns", processor.take("schedule_delay", _DELAY))
    declared.put("limits.queue_spans", processor.take("max_queue_size", _COUNT))
    declared.put("limits.batch_spans", processor.take("max_export_batch_size", _COUNT))
    declared.values["otlp.protocol"] = _EXPORTERS[key]
    _read_exporter(exporter.section(key), declared, URL if key == "otlp_http" else ENDPOINT)


def _read_exporter(section: Section, declared: Declared, endpoint: Kind) -> None:
    declared.put("otlp.endpoint", section.take("endpoint", endpoint))
    declared.put("otlp.compression", section.take("compression", choice("none", "gzip")))
    declared.put("otlp.timeout_s", section.take("timeout", _TIMEOUT))
    declared.put("otlp.headers", _read_headers(section))
    tls = section.section("tls")
    declared.put("otlp.certificate", tls.take("ca_file", TEXT))
    declared.put("otlp.client_key", tls.take("key_file", TEXT))
    declared.put("otlp.client_certificate", tls.take("cert_file", TEXT))
    if endpoint is ENDPOINT:
        declared.put("otlp.insecure", tls.take("insecure", OTEL_BOOLEAN))


def _read_headers(section: Section) -> tuple[tuple[str, str], ...] | None:
    headers = dict(section.pairs("headers_list", HEADERS))
    for header in section.sections("headers"):
        name, value = header.text("name", HEADER_NAME), header.text("value", HEADER_VALUE)
        if name and value:
            headers[name] = value
    return tuple(headers.items()) or None


# ------------------------------------------------------------------------------------- propagation


def _read_propagator(section: Section) -> None:
    for propagator in section.sections("composite"):
        for name in _PROPAGATORS:
            propagator.section(name)
    section.take("composite_list", _PROPAGATOR_LIST)
