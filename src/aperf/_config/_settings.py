"""What a session is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

__all__ = ("LimitSettings", "LogsSettings", "MetricsSettings", "OtlpSettings", "Settings")


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpSettings:
    """Where OTLP goes, and how.

    Attributes:
        protocol: what OTLP travels in.
        endpoint: URL of the receiver, or a gRPC target; for HTTP with the path.
        headers: sent with every request; not part of the repr, since they hold credentials.
        insecure: without TLS.
        certificate: file with the certificates of trusted authorities (PEM).
        client_key: file with the client's private key (PEM).
        client_certificate: file with the client's certificate chain (PEM).
        compression: of each request.
        timeout_s: for one request, retries included.
    """

    protocol: Literal["grpc", "http/protobuf"] = "grpc"
    endpoint: str = "http://localhost:4317"
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    insecure: bool = True
    certificate: str | None = None
    client_key: str | None = None
    client_certificate: str | None = None
    compression: Literal["none", "gzip"] = "none"
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """How much there may be.

    Attributes:
        queue_spans: waiting for a destination.
        batch_spans: in one request; never more than 4096.
        attributes: of a span.
        attribute_length: of a text in an attribute; None for no limit.
        events: of a span.
        event_attributes: of an event.
    """

    queue_spans: int = 1 << 18
    batch_spans: int = 4096
    attributes: int = 128
    attribute_length: int | None = None
    events: int = 128
    event_attributes: int = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSettings:
    """Where metrics go as OTLP, how and how often.

    Attributes:
        otlp: where and how; for HTTP, an endpoint without a path means ``/v1/metrics``.
        interval_ns: from one push to the next.
        temporality: whether values are told since the begin or since the last push; what each word
            means is up to OpenTelemetry.
        histograms: the form of histograms.
    """

    otlp: OtlpSettings = field(default_factory=OtlpSettings)
    interval_ns: int = 60 * 10**9
    temporality: Literal["cumulative", "delta", "lowmemory"] = "cumulative"
    histograms: Literal["explicit_bucket_histogram", "base2_exponential_bucket_histogram"] = (
        "explicit_bucket_histogram"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsSettings:
    """Where log records go as OTLP, how, and how many may be on their way.

    Attributes:
        otlp: where and how; for HTTP, an endpoint without a path means ``/v1/logs``.
        delay_ns: so long a record waits for others to go with it.
        queue_records: waiting to be sent.
        batch_records: in one request.
        attributes: of a record.
        attribute_length: of a text in an attribute; None for no limit.
    """

    otlp: OtlpSettings = field(default_factory=OtlpSettings)
    delay_ns: int = 10**9
    queue_records: int = 2048
    batch_records: int = 512
    attributes: int = 128
    attribute_length: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set, with its defaults; docs/reference/environment.md explains each.

    Attributes:
        otlp: None when nothing is to leave as OTLP.
        metrics: None when no metrics are to be pushed.
        logs: None when no log records are to leave as OTLP.
        metrics_listen: None when no listener is to begin with a session.
        task_parent: None for the rules that aperf finds by itself.
        summary_file: None for stderr.
        log_filter: the text of a `Filter`, and so is `trace_filter`.
        log_format: None shows no log records under ``aperf run``.
        config_file: None when the file is not asked for; what it says stands in the other values.
        sources: where each value comes from: "default", "argument", or the variable's name; the
            values of `otlp` under "otlp.endpoint" and so on, and under "otlp" what decided on it.
    """

    enabled: bool = False
    service_name: str = "unknown_service"
    otlp: OtlpSettings | None = None
    sampler: str = "parentbased_always_on"
    sampler_arg: str | None = None
    awaits: Literal["suspended", "all"] = "suspended"
    await_min_ns: int = 0
    stack_min_ns: int = 1_000_000
    task_parent: Literal["child", "link", "root"] | None = None
    segment_ns: int = 60 * 10**9
    segment_spans: int = 10_000
    ring_bytes: int = 8 << 20
    export_interval_ns: int = 500 * 10**6
    limits: LimitSettings = LimitSettings()
    shutdown_timeout_ns: int = 5 * 10**9
    summary: Literal["text", "json", "none"] = "text"
    summary_file: str | None = None
    log_filter: str = "info"
    log_format: Literal["pretty", "compact", "json"] | None = None
    log_closed_spans: bool = False
    logs: LogsSettings | None = None
    trace_filter: str = "info"
    metrics: MetricsSettings | None = None
    metrics_listen: str | None = None
    config_file: str | None = None
    pure_python: bool = False
    tracy_enabled: bool = False
    tracy_port: int = 8086
    tracy_bind: str = "127.0.0.1"
    tracy_announce: Literal["loopback", "network", "none"] = "loopback"
    tracy_history_ns: int = 10 * 10**9
    tracy_history_bytes: int = 32 << 20
    tracy_sources: bool = False
    # Two settings are equal when they say the same, whoever said it.
    sources: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType({}), compare=False, repr=False
    )

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser, *, prefix: str = "") -> None:
        """Give a command line an option for each setting, in a group of their own.

        Args:
            parser: takes the options.
            prefix: what their names begin with, if they would clash: ``prefix="aperf-"`` makes
                ``--aperf-service-name``.
        """
        from ._options import add_arguments

        add_arguments(parser, prefix)

    @staticmethod
    def from_namespace(namespace: argparse.Namespace) -> Settings:
        """Return the settings of a command line: options win over the environment.

        What the environment has that is only to be warned of is told on stderr.

        Args:
            namespace: what the parser returned that `add_arguments` was called with.

        Raises:
            ConfigurationError: one line for each variable that has a bad value.
        """
        from ._options import from_namespace

        return from_namespace(namespace)
