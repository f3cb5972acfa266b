"""OpenTelemetry's OTLP exporters for metrics, set up without their looking into the environment."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from aperf._errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricExporter

    from ._metrics_settings import MetricsSettings

__all__ = ("otlp_exporter",)

_HTTP = "opentelemetry-exporter-otlp-proto-http"


def otlp_exporter(settings: MetricsSettings) -> MetricExporter:
    """Return what sends metrics as the settings say.

    Raises:
        ConfigurationError: what speaks the protocol is not installed, or a file cannot be read.
    """
    return _over_http(settings) if settings.protocol == "http/protobuf" else _over_grpc(settings)


def _over_grpc(settings: MetricsSettings) -> MetricExporter:
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter

    gzip = settings.compression == "gzip"
    return OTLPMetricExporter(
        endpoint=settings.endpoint,
        insecure=settings.insecure,
        credentials=None if settings.insecure else _credentials(settings),
        headers=settings.headers,
        timeout=settings.timeout_s,
        compression=grpc.Compression.Gzip if gzip else grpc.Compression.NoCompression,
    )


def _over_http(settings: MetricsSettings) -> MetricExporter:
    try:
        http: Any = import_module("opentelemetry.exporter.otlp.proto.http")
        exporter: Any = import_module("opentelemetry.exporter.otlp.proto.http.metric_exporter")
    except ImportError:
        raise ConfigurationError(
            f"pushing metrics over http/protobuf needs {_HTTP}, which is not installed; "
            f"use `pip install {_HTTP}`, or grpc as OTEL_EXPORTER_OTLP_METRICS_PROTOCOL"
        ) from None
    gzip = settings.compression == "gzip"
    result: MetricExporter = exporter.OTLPMetricExporter(
        endpoint=settings.endpoint,
        certificate_file=settings.certificate,
        client_key_file=settings.client_key,
        client_certificate_file=settings.client_certificate,
        headers=dict(settings.headers),
        timeout=settings.timeout_s,
        compression=http.Compression.Gzip if gzip else http.Compression.NoCompression,
    )
    return result


def _credentials(settings: MetricsSettings) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        _read("certificate", settings.certificate),
        _read("client_key", settings.client_key),
        _read("client_certificate", settings.client_certificate),
    )


def _read(name: str, path: str | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        message = f"OTLP metrics {name} is {path!r} ({error.strerror}); a PEM file is accepted"
        raise ConfigurationError(message) from error
