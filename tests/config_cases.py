"""What each variable accepts and what not, for test_config.py."""

from __future__ import annotations

import sys
from typing import Any

OTLP = "OTEL_EXPORTER_OTLP_"
TRACES = "OTEL_EXPORTER_OTLP_TRACES_"
METRICS = "OTEL_EXPORTER_OTLP_METRICS_"
LOGS = "OTEL_EXPORTER_OTLP_LOGS_"
ALL_AWAITS = [("all", "all")] if sys.version_info >= (3, 12) else []

YES_AND_NO = [
    *((text, True) for text in ("1", "true", "yes", "on", "TRUE", "Yes", "oN", " true ")),
    *((text, False) for text in ("0", "false", "no", "off", "False", "NO")),
]
NEITHER = ["2", "y", "t", "enabled", "true false"]

LOG_FORMATS = (
    [("pretty", "pretty"), ("Compact", "compact"), ("json", "json")],
    ["xml", "full"],
)

LIMITS: tuple[list[tuple[str, Any]], list[str]] = ([("0", 0), ("7", 7)], ["-1", "1.5", "none"])
FILTERS: tuple[list[tuple[str, Any]], list[str]] = (
    [(text, text) for text in ("off", "info,shop.db=debug", "a::b=2, [request{method=GET}]=off")],
    ["shop=loud", "=info", "[]", "shop[", "a..b=info"],
)

#: By variable: texts with the value that they stand for, and texts that are not accepted.
PLAIN: dict[str, tuple[list[tuple[str, Any]], list[str]]] = {
    "TELEMETRY_ENABLED": (YES_AND_NO, NEITHER),
    "OTEL_SERVICE_NAME": ([("shop", "shop"), (" shop ", "shop"), ("my shop", "my shop")], []),
    "OTEL_RESOURCE_ATTRIBUTES": (
        [
            ("service.name=shop", "shop"),
            ("a=b, service.name=my%20shop ,c=d", "my shop"),
            ("service.name=a,service.name=b", "b"),
        ],
        ["shop", "service.name=shop,x", "=shop", "service.name=%ff"],
    ),
    "APERF_AWAITS": (
        [("suspended", "suspended"), ("Suspended", "suspended"), *ALL_AWAITS],
        ["none", "sometimes"],
    ),
    "APERF_AWAIT_MIN_US": ([("0", 0), ("50", 50_000), ("0.5", 500)], ["-1", "x", "inf", "nan"]),
    "APERF_STACK_MIN_MS": ([("0", 0), ("2.5", 2_500_000)], ["-1", "1ms", "1e300"]),
    "APERF_TASK_PARENT": ([(w, w) for w in ("child", "link", "root")], ["none", "sibling"]),
    "APERF_SEGMENT_S": ([("90", 90 * 10**9), ("0.1", 10**8)], ["0", "-1", "1m"]),
    "APERF_SEGMENT_SPANS": ([("1", 1), ("500", 500)], ["0", "1.5", "many"]),
    "APERF_RING_MB": ([("1", 1 << 20), ("64", 64 << 20)], ["0", "0.5", "1025", "lots"]),
    "APERF_EXPORT_INTERVAL_MS": ([("1", 10**6), ("250", 250 * 10**6)], ["0", "-5", "soon"]),
    "OTEL_BSP_SCHEDULE_DELAY": ([("5000", 5 * 10**9)], ["0", "-5", "soon"]),
    "OTEL_BSP_MAX_QUEUE_SIZE": ([("1", 1), ("8192", 8192)], ["0", "1e3", "many"]),
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": ([("512", 512), ("9999", 9999)], ["0", "-1", "all"]),
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": LIMITS,
    "OTEL_ATTRIBUTE_COUNT_LIMIT": LIMITS,
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": LIMITS,
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": LIMITS,
    "OTEL_SPAN_EVENT_COUNT_LIMIT": LIMITS,
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT": LIMITS,
    "APERF_LOG": FILTERS,
    "RUST_LOG": FILTERS,
    "APERF_LOG_FORMAT": LOG_FORMATS,
    "RUST_LOG_FORMAT": LOG_FORMATS,
    "APERF_LOG_CLOSED_SPANS": (YES_AND_NO, NEITHER),
    "RUST_LOG_CLOSED_SPANS": (YES_AND_NO, NEITHER),
    "APERF_TRACE": FILTERS,
    "RUST_TRACE": FILTERS,
    "APERF_SHUTDOWN_TIMEOUT_S": ([("0", 0), ("2.5", 25 * 10**8)], ["-1", "never"]),
    "APERF_SUMMARY": ([(w, w) for w in ("text", "json", "none")], ["yaml", "off"]),
    "APERF_SUMMARY_FILE": ([("out dir/summary.txt", "out dir/summary.txt")], []),
    "APERF_PURE_PYTHON": (YES_AND_NO, NEITHER),
    "TRACY_ENABLED": (YES_AND_NO, NEITHER),
    "TRACY_PORT": ([("1", 1), ("65535", 65535)], ["0", "65536", "tracy"]),
    "TRACY_BIND": (
        [("0.0.0.0", "0.0.0.0"), ("::1", "::1"), ("localhost", "localhost")],
        ["nowhere", "127.0.0.1:8086", "256.0.0.1"],
    ),
    "APERF_TRACY_ANNOUNCE": (
        [("loopback", "loopback"), ("network", "network"), ("none", "none")],
        ["true", "lan"],
    ),
    "APERF_TRACY_HISTORY_S": ([("0", 0), ("2.5", 2_500_000_000)], ["-1", "soon"]),
    "APERF_TRACY_HISTORY_MB": ([("1", 1 << 20), ("1024", 1 << 30)], ["0", "1025", "x"]),
    "APERF_TRACY_SOURCES": (YES_AND_NO, NEITHER),
    "METRICS_LISTEN_ADDRESS": (
        [(text, text) for text in (":9091", ":0", "localhost:1", "1.2.3.4:65535", "[::1]:9091")],
        ["9091", "localhost", ":http", "::1:9091", ":65536", ":-1", "a b:1"],
    ),
    "OTEL_TRACES_SAMPLER": (
        [("always_off", "always_off"), ("TraceIdRatio", "traceidratio")],
        ["sometimes", "jaeger_remote"],
    ),
    "OTEL_TRACES_SAMPLER_ARG": ([("0.25", "0.25"), ("1", "1")], ["25%", "-0.1", "2", "nan"]),
}

#: The same for what makes `OtlpSettings`, by the end of the name: for traces and in general.
PER_SIGNAL: dict[str, tuple[list[tuple[str, Any]], list[str]]] = {
    "PROTOCOL": ([("grpc", "grpc"), ("HTTP/protobuf", "http/protobuf")], ["http", "tcp"]),
    "ENDPOINT": (
        [
            (text, text)
            for text in (
                "http://collector:4317",
                "https://collector",
                "HTTPS://collector/path",
                "http://[::1]:4317",
                "http://user:word@collector:4317",
                "collector:4317",
                "unix:///run/otlp.sock",
                "dns:///collector:4317",
            )
        ],
        ["ftp://collector", "http://", "http://:4317", "http://a:0", "http://a:99999", "a b:1"],
    ),
    "HEADERS": (
        [
            ("Authorization=Bearer%20x%3D", (("authorization", "Bearer x="),)),
            ("authorization=Bearer x%20", (("authorization", "Bearer x%20"),)),
            ("a=1, b = 2 ,,a=3", (("a", "3"), ("b", "2"))),
            ("x-key=a=b", (("x-key", "a=b"),)),
        ],
        ["token", "=x", "a b=1", "x=%0A", "x=é", "é=x"],
    ),
    "INSECURE": ([("true", True), ("FALSE", False)], ["1", "yes"]),
    "CERTIFICATE": ([("/etc/ca.pem", "/etc/ca.pem")], []),
    "CLIENT_KEY": ([("key.pem", "key.pem")], []),
    "CLIENT_CERTIFICATE": ([("cert.pem", "cert.pem")], []),
    "COMPRESSION": ([("gzip", "gzip"), ("None", "none")], ["deflate", "true"]),
    "TIMEOUT": ([("3", 3.0), ("0.5", 0.5)], ["0", "-1", "10s", "inf"]),
}

#: The variables that say whether there is OTLP at all, and what they do to an endpoint that is set.
SWITCHES: dict[str, tuple[list[tuple[str, bool]], list[str]]] = {
    "OTEL_SDK_DISABLED": ([("true", False), ("TRUE", False), ("false", True)], ["1", "yes"]),
    "OTEL_SDK_ENABLED": (YES_AND_NO, NEITHER),
    "OTEL_TRACES_EXPORTER": (
        [("otlp", True), ("OTLP", True), ("console,otlp", True), ("none", False)],
        ["console", "zipkin"],
    ),
}

HTTP_BAD = "use http://HOST:PORT or https://HOST:PORT with http/protobuf; ignored"

#: With http/protobuf: what the variables for all signals and for traces say, and where spans go.
HTTP_ENDPOINTS: list[tuple[str, str, str]] = [
    ("", "", "http://localhost:4318/v1/traces"),
    ("http://a:4318", "", "http://a:4318/v1/traces"),
    ("http://a:4318/", "", "http://a:4318/v1/traces"),
    ("https://a/otlp", "", "https://a/otlp/v1/traces"),
    ("https://a/otlp/", "", "https://a/otlp/v1/traces"),
    ("https://a/otlp?key=b", "", "https://a/otlp/v1/traces?key=b"),
    ("HTTPS://me:word@a", "", "https://me:word@a/v1/traces"),
    ("", "http://b:1/v1/traces", "http://b:1/v1/traces"),
    ("", "http://b:1/elsewhere/", "http://b:1/elsewhere/"),
    ("", "http://b:1", "http://b:1/"),
    ("http://a:4318", "http://b:1/x?y=z", "http://b:1/x?y=z"),
]

#: Of metrics alone.
METRICS_ONLY: dict[str, tuple[list[tuple[str, Any]], list[str]]] = {
    "OTEL_METRIC_EXPORT_INTERVAL": ([("1000", 10**9), ("0.5", 500_000)], ["0", "-1", "soon"]),
    METRICS + "TEMPORALITY_PREFERENCE": (
        [("Delta", "delta"), ("LOWMEMORY", "lowmemory"), ("cumulative", "cumulative")],
        ["sometimes"],
    ),
    METRICS + "DEFAULT_HISTOGRAM_AGGREGATION": (
        [
            (name, name)
            for name in ("explicit_bucket_histogram", "base2_exponential_bucket_histogram")
        ],
        ["explicit"],
    ),
}

#: Of log records alone.
LOGS_ONLY: dict[str, tuple[list[tuple[str, Any]], list[str]]] = {
    "OTEL_BLRP_SCHEDULE_DELAY": ([("0", 0), ("250", 250 * 10**6)], ["-5", "soon"]),
    "OTEL_BLRP_MAX_QUEUE_SIZE": ([("1", 1), ("8192", 8192)], ["0", "1e3", "many"]),
    "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": ([("64", 64)], ["0", "-1", "all"]),
    "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT": LIMITS,
    "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT": LIMITS,
}

#: The variables that say whether log records leave.
LOGS_SWITCHES: dict[str, tuple[list[tuple[str, bool]], list[str]]] = {
    LOGS + "ENABLED": (YES_AND_NO, NEITHER),
    "OTEL_LOGS_EXPORTER": (
        [("otlp", True), ("console, OTLP", True), ("none", False), ("console", False)],
        ["zipkin", "prometheus"],
    ),
}
