"""Every variable that aperf reads. docs/reference/environment.md is checked against this table."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ._kinds import (
    ADDRESS,
    AWAITS,
    BOOLEAN,
    ENDPOINT,
    FILTER,
    HEADERS,
    LISTEN_ADDRESS,
    LOGS_EXPORTER,
    METRICS_EXPORTER,
    OTEL_BOOLEAN,
    PROTOCOL,
    RATIO,
    SERVICE_NAME,
    TEXT,
    TRACES_EXPORTER,
    Kind,
    choice,
    number,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("VARIABLES", "Variable")

_US, _MS, _S = 10**3, 10**6, 10**9
_LOG_FORMAT = choice("pretty", "compact", "json")
_PORT = whole(1, 65535)
_LIMIT = whole(0, 10**9)
_COUNT = whole(1, 10**9)
_OURS = ("OTEL_EXPORTER_OTLP_LOGS_ENABLED", "OTEL_SDK_ENABLED")


class Variable(NamedTuple):
    """One variable of the environment.

    Where several speak of the same field, the one that comes first in the table wins.
    """

    name: str
    field: str  #: of `Settings`; "otlp.endpoint" stands for what `Settings.otlp` is made from
    kind: Kind
    default: str  #: as one would write it; "" where unset means something else than any value
    help: str

    @property
    def forgiving(self) -> bool:
        """Whether a bad value is a warning and no error.

        OpenTelemetry's specification asks for that. Filters are made of many parts, and `RUST_*`
        are meant for others too.
        """
        return self.is_opentelemetry or self.kind is FILTER or self.name.startswith("RUST_")

    @property
    def is_opentelemetry(self) -> bool:
        """Whether OpenTelemetry's specification has it, which also calls it off for a file."""
        return self.name.startswith("OTEL_") and self.name not in _OURS


def _otlp(what: str, field: str, kind: Kind, default: str, help: str) -> Iterator[Variable]:
    for prefix in ("OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"):
        yield Variable(prefix + what, f"otlp.{field}", kind, default, help)


def _metrics(what: str, field: str, kind: Kind, default: str, help: str) -> Variable:
    return Variable(f"OTEL_EXPORTER_OTLP_METRICS_{what}", f"metrics.{field}", kind, default, help)


def _logs(what: str, field: str, kind: Kind, help: str) -> Variable:
    return Variable(f"OTEL_EXPORTER_OTLP_LOGS_{what}", f"logs.{field}", kind, "", help)


VARIABLES: tuple[Variable, ...] = (
    Variable("TELEMETRY_ENABLED", "enabled", BOOLEAN, "false", "Turn the tracker on."),
    Variable("OTEL_SERVICE_NAME", "service_name", TEXT, "", "Name of the program."),
    Variable(
        "OTEL_RESOURCE_ATTRIBUTES",
        "service_name",
        SERVICE_NAME,
        "",
        "Attributes of the process, `service.name` among them.",
    ),
    Variable(
        "APERF_AWAITS",
        "awaits",
        AWAITS,
        "suspended",
        "`all` also records awaits that never suspend (Python 3.12 and later).",
    ),
    Variable(
        "APERF_AWAIT_MIN_US",
        "await_min_ns",
        number(ns=_US),
        "0",
        "Awaits shorter than so many microseconds are counted, but not exported as spans.",
    ),
    Variable(
        "APERF_STACK_MIN_MS",
        "stack_min_ns",
        number(ns=_MS),
        "1",
        "Waits of so many milliseconds or more carry the whole chain of awaits.",
    ),
    Variable(
        "APERF_TASK_PARENT",
        "task_parent",
        choice("child", "link", "root"),
        "",
        "Parent of every task: its creator (`child`), none but a link to it (`link`), or none.",
    ),
    Variable(
        "APERF_SEGMENT_S",
        "segment_ns",
        number(exclusive=True, ns=_S),
        "60",
        "Tasks go on in a new trace when theirs is so many seconds old.",
    ),
    Variable(
        "APERF_SEGMENT_SPANS",
        "segment_spans",
        whole(1, 10**9),
        "10000",
        "Tasks go on in a new trace when theirs has so many spans.",
    ),
    Variable(
        "APERF_RING_MB",
        "ring_bytes",
        whole(1, 1024, scale=1 << 20),
        "8",
        "Memory for records not yet taken, in MiB for each thread with an event loop.",
    ),
    Variable(
        "APERF_EXPORT_INTERVAL_MS",
        "export_interval_ns",
        number(1, ns=_MS),
        "500",
        "Records are taken and exported every so many milliseconds.",
    ),
    Variable(
        "OTEL_BSP_SCHEDULE_DELAY",
        "export_interval_ns",
        number(1, ns=_MS),
        "500",
        "The same, in OpenTelemetry's name.",
    ),
    Variable(
        "OTEL_BSP_MAX_QUEUE_SIZE",
        "limits.queue_spans",
        _COUNT,
        "262144",
        "So many spans may wait for a destination; more are dropped and counted.",
    ),
    Variable(
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
        "limits.batch_spans",
        _COUNT,
        "4096",
        "Spans in one request, at most; never more than 4096.",
    ),
    Variable(
        "APERF_SHUTDOWN_TIMEOUT_S",
        "shutdown_timeout_ns",
        number(ns=_S),
        "5",
        "Seconds that the end of a session may wait for its destinations.",
    ),
    Variable(
        "APERF_SUMMARY",
        "summary",
        choice("text", "json", "none"),
        "text",
        "Form of the summary at the end of a session.",
    ),
    Variable(
        "APERF_SUMMARY_FILE", "summary_file", TEXT, "", "File for the summary instead of stderr."
    ),
    *(
        Variable(name, "log_filter", FILTER, "info", "What is logged, by logger, level and span.")
        for name in ("APERF_LOG", "RUST_LOG")
    ),
    *(
        Variable(
            name, "log_format", _LOG_FORMAT, "", "`aperf run` shows log records, in this form."
        )
        for name in ("APERF_LOG_FORMAT", "RUST_LOG_FORMAT")
    ),
    *(
        Variable(
            name,
            "log_closed_spans",
            BOOLEAN,
            "false",
            "One log line for each task and `aperf.span` that has ended.",
        )
        for name in ("APERF_LOG_CLOSED_SPANS", "RUST_LOG_CLOSED_SPANS")
    ),
    *(
        Variable(
            name,
            "trace_filter",
            FILTER,
            "info",
            "Which of the program's own spans (all of level `info`) are exported.",
        )
        for name in ("APERF_TRACE", "RUST_TRACE")
    ),
    Variable(
        "APERF_PURE_PYTHON",
        "pure_python",
        BOOLEAN,
        "false",
        "Use the Python twin of the native core.",
    ),
    Variable(
        "TRACY_ENABLED",
        "tracy_enabled",
        BOOLEAN,
        "false",
        "Listen for the Tracy profiler, also without `TELEMETRY_ENABLED`.",
    ),
    Variable(
        "TRACY_PORT",
        "tracy_port",
        _PORT,
        "8086",
        "Port for the Tracy profiler; the next free one of 20 when it is taken.",
    ),
    Variable(
        "TRACY_BIND",
        "tracy_bind",
        ADDRESS,
        "127.0.0.1",
        "Address for the Tracy profiler; there is no authentication.",
    ),
    Variable(
        "APERF_TRACY_ANNOUNCE",
        "tracy_announce",
        choice("loopback", "network", "none"),
        "loopback",
        "Whose viewers are told that there is something to connect to.",
    ),
    Variable(
        "APERF_TRACY_HISTORY_S",
        "tracy_history_ns",
        number(ns=_S),
        "10",
        "A viewer that connects is shown so many seconds of what was before.",
    ),
    Variable(
        "APERF_TRACY_HISTORY_MB",
        "tracy_history_bytes",
        whole(1, 1024, scale=1 << 20),
        "32",
        "Memory for what a viewer has not been shown yet, in MiB.",
    ),
    Variable(
        "APERF_TRACY_SOURCES",
        "tracy_sources",
        BOOLEAN,
        "false",
        "Show source files in the viewer.",
    ),
    *(
        Variable(name, "config_file", TEXT, "", "OpenTelemetry's configuration file.")
        for name in ("OTEL_CONFIG_FILE", "OTEL_EXPERIMENTAL_CONFIG_FILE")
    ),
    Variable(
        "OTEL_SDK_DISABLED",
        "otlp",
        OTEL_BOOLEAN,
        "false",
        "`true`: no OTLP, whatever the other variables say.",
    ),
    Variable(
        "OTEL_SDK_ENABLED",
        "otlp",
        BOOLEAN,
        "",
        "`true`: OTLP, `false`: no OTLP; unset: OTLP when an endpoint is set.",
    ),
    Variable("OTEL_TRACES_EXPORTER", "otlp", TRACES_EXPORTER, "otlp", "`none`: no OTLP."),
    *_otlp(
        "PROTOCOL",
        "protocol",
        PROTOCOL,
        "grpc",
        "What OTLP travels in; aperf does not speak `http/json`.",
    ),
    *_otlp(
        "ENDPOINT",
        "endpoint",
        ENDPOINT,
        "http://localhost:4317",
        "The receiver; with `http/protobuf` port 4318 by default, and a path (see below).",
    ),
    *_otlp("HEADERS", "headers", HEADERS, "", "Sent with every request."),
    *_otlp(
        "INSECURE",
        "insecure",
        OTEL_BOOLEAN,
        "",
        "No TLS; unset: no TLS exactly for `http://`. For `https://` always TLS.",
    ),
    *_otlp("CERTIFICATE", "certificate", TEXT, "", "File of trusted certificates (PEM)."),
    *_otlp("CLIENT_KEY", "client_key", TEXT, "", "File of the client's private key (PEM)."),
    *_otlp(
        "CLIENT_CERTIFICATE",
        "client_certificate",
        TEXT,
        "",
        "File of the client's certificate chain (PEM).",
    ),
    *_otlp(
        "COMPRESSION", "compression", choice("none", "gzip"), "none", "Compression of requests."
    ),
    *_otlp(
        "TIMEOUT",
        "timeout_s",
        number(exclusive=True),
        "10",
        "Seconds for one request (seconds, as OpenTelemetry's Python SDK reads it).",
    ),
    Variable(
        "OTEL_TRACES_SAMPLER",
        "sampler",
        choice(
            "always_on",
            "always_off",
            "traceidratio",
            "parentbased_always_on",
            "parentbased_always_off",
            "parentbased_traceidratio",
        ),
        "parentbased_always_on",
        "Which traces are exported; it limits neither statistics nor summary.",
    ),
    Variable(
        "OTEL_TRACES_SAMPLER_ARG",
        "sampler_arg",
        RATIO,
        "",
        "Share of traces that the `traceidratio` samplers keep; unset: all.",
    ),
    *(
        Variable(name, "limits.attributes", _LIMIT, "128", "Attributes of a span, at most.")
        for name in ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT")
    ),
    *(
        Variable(name, "limits.attribute_length", _LIMIT, "", "Longer texts in attributes are cut.")
        for name in ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT")
    ),
    Variable(
        "OTEL_SPAN_EVENT_COUNT_LIMIT", "limits.events", _LIMIT, "128", "Events of a span, at most."
    ),
    Variable(
        "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
        "limits.event_attributes",
        _LIMIT,
        "128",
        "Attributes of an event, at most.",
    ),
    Variable(
        "METRICS_LISTEN_ADDRESS",
        "metrics_listen",
        LISTEN_ADDRESS,
        "",
        "Serve metrics for Prometheus there, at `/metrics`; there is no authentication.",
    ),
    Variable(
        "OTEL_METRICS_EXPORTER",
        "metrics",
        METRICS_EXPORTER,
        "",
        "`otlp`: push metrics to the endpoint of all signals; others: push none.",
    ),
    _metrics("ENDPOINT", "endpoint", ENDPOINT, "", "Push metrics there."),
    _metrics("PROTOCOL", "protocol", PROTOCOL, "", "What metrics travel in."),
    _metrics("HEADERS", "headers", HEADERS, "", "Sent with metrics."),
    _metrics("INSECURE", "insecure", OTEL_BOOLEAN, "", "No TLS for metrics."),
    _metrics("CERTIFICATE", "certificate", TEXT, "", "File of trusted certificates (PEM)."),
    _metrics("CLIENT_KEY", "client_key", TEXT, "", "File of the client's private key (PEM)."),
    _metrics(
        "CLIENT_CERTIFICATE",
        "client_certificate",
        TEXT,
        "",
        "File of the client's certificate chain (PEM).",
    ),
    _metrics("COMPRESSION", "compression", choice("none", "gzip"), "", "Compression of metrics."),
    _metrics("TIMEOUT", "timeout_s", number(exclusive=True), "", "Seconds for one push."),
    Variable(
        "OTEL_METRIC_EXPORT_INTERVAL",
        "metrics.interval_ns",
        number(exclusive=True, ns=_MS),
        "60000",
        "Milliseconds from one push to the next.",
    ),
    _metrics(
        "TEMPORALITY_PREFERENCE",
        "temporality",
        choice("cumulative", "delta", "lowmemory"),
        "cumulative",
        "Whether counters and histograms are told since the begin or since the last push.",
    ),
    _metrics(
        "DEFAULT_HISTOGRAM_AGGREGATION",
        "histograms",
        choice("explicit_bucket_histogram", "base2_exponential_bucket_histogram"),
        "explicit_bucket_histogram",
        "Form of histograms.",
    ),
    Variable(
        "OTEL_EXPORTER_OTLP_LOGS_ENABLED",
        "logs",
        BOOLEAN,
        "false",
        "Log records leave as OTLP, too.",
    ),
    Variable(
        "OTEL_LOGS_EXPORTER",
        "logs",
        LOGS_EXPORTER,
        "",
        "`otlp`: the same, if an endpoint is set; others: they do not.",
    ),
    _logs("ENDPOINT", "endpoint", ENDPOINT, "Log records go there."),
    _logs("PROTOCOL", "protocol", PROTOCOL, "What log records travel in."),
    _logs("HEADERS", "headers", HEADERS, "Sent with log records."),
    _logs("INSECURE", "insecure", OTEL_BOOLEAN, "No TLS for log records."),
    _logs("CERTIFICATE", "certificate", TEXT, "File of trusted certificates (PEM)."),
    _logs("CLIENT_KEY", "client_key", TEXT, "File of the client's private key (PEM)."),
    _logs(
        "CLIENT_CERTIFICATE",
        "client_certificate",
        TEXT,
        "File of the client's certificate chain (PEM).",
    ),
    _logs("COMPRESSION", "compression", choice("none", "gzip"), "Compression of log records."),
    _logs("TIMEOUT", "timeout_s", number(exclusive=True), "Seconds for one request."),
    Variable(
        "OTEL_BLRP_SCHEDULE_DELAY",
        "logs.delay_ns",
        number(ns=_MS),
        "1000",
        "So many milliseconds a record waits for others to go with it.",
    ),
    Variable(
        "OTEL_BLRP_MAX_QUEUE_SIZE",
        "logs.queue_records",
        _COUNT,
        "2048",
        "So many records may wait to be sent; more are dropped and counted.",
    ),
    Variable(
        "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE",
        "logs.batch_records",
        _COUNT,
        "512",
        "Records in one request, at most.",
    ),
    Variable(
        "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT",
        "logs.attributes",
        _LIMIT,
        "128",
        "Attributes of a record, at most.",
    ),
    Variable(
        "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        "logs.attribute_length",
        _LIMIT,
        "",
        "Longer texts in attributes of a record are cut.",
    ),
)
