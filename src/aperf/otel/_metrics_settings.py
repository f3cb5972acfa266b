"""How metrics are pushed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ("MetricsSettings",)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSettings:
    """Where metrics go as OTLP, how and how often.

    Attributes:
        endpoint: URL of the receiver; with http/protobuf the path is part of it.
        protocol: "grpc" or "http/protobuf".
        headers: sent with every request; not part of the repr, since they hold credentials.
        insecure: without TLS, for gRPC.
        certificate: file with the certificates of trusted authorities (PEM).
        client_key: file with the client's private key (PEM).
        client_certificate: file with the client's certificate chain (PEM).
        compression: of each request.
        timeout_s: for one request, retries included.
        interval_ns: from one push to the next.
        temporality: "cumulative", "delta" or "lowmemory", as OpenTelemetry defines them.
        histograms: "explicit_bucket_histogram" or "base2_exponential_bucket_histogram".
    """

    endpoint: str = "http://localhost:4317"
    protocol: Literal["grpc", "http/protobuf"] = "grpc"
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    insecure: bool = True
    certificate: str | None = None
    client_key: str | None = None
    client_certificate: str | None = None
    compression: Literal["none", "gzip"] = "none"
    timeout_s: float = 10.0
    interval_ns: int = 60 * 10**9
    temporality: Literal["cumulative", "delta", "lowmemory"] = "cumulative"
    histograms: Literal["explicit_bucket_histogram", "base2_exponential_bucket_histogram"] = (
        "explicit_bucket_histogram"
    )
