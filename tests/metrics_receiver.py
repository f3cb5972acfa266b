"""Receivers of metrics in this process: a gRPC MetricsService by a script, and an HTTP one."""

from __future__ import annotations

import gzip
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import grpc
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

__all__ = ("MetricsReceiver", "grpc_metrics_receiver", "http_metrics_receiver")

_SERVICE = "opentelemetry.proto.collector.metrics.v1.MetricsService"


@dataclass(slots=True)
class MetricsReceiver:
    """Answers requests with the codes of its script, then with success.

    Attributes:
        port: where it listens.
        script: status codes still to be answered.
        delay_s: how long it takes for each answer.
        requests: what arrived.
        metadata: what came with each request: gRPC's metadata, or headers and path.
    """

    port: int = 0
    script: list[Any] = field(default_factory=list)
    delay_s: float = 0
    requests: list[ExportMetricsServiceRequest] = field(default_factory=list)
    metadata: list[dict[str, Any]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, request: ExportMetricsServiceRequest, metadata: dict[str, Any]) -> Any:
        """Note a request; return the code that the script answers it with, None for success."""
        time.sleep(self.delay_s)
        with self._lock:
            self.requests.append(request)
            self.metadata.append(metadata)
            return self.script.pop(0) if self.script else None

    def metrics(self, number: int = -1) -> dict[str, Metric]:
        """Return the metrics of a request by name."""
        return {
            metric.name: metric
            for resource_metrics in self.requests[number].resource_metrics
            for scope_metrics in resource_metrics.scope_metrics
            for metric in scope_metrics.metrics
        }


@contextmanager
def grpc_metrics_receiver(
    *script: grpc.StatusCode, delay_s: float = 0
) -> Iterator[MetricsReceiver]:
    """Run a MetricsService on a free port of 127.0.0.1."""
    receiver = MetricsReceiver(script=list(script), delay_s=delay_s)

    def export(
        request: ExportMetricsServiceRequest, context: grpc.ServicerContext
    ) -> ExportMetricsServiceResponse:
        code = receiver.take(request, dict(context.invocation_metadata()))
        if code is not None:
            context.abort(code, "as the script says")
        return ExportMetricsServiceResponse()

    handler = grpc.unary_unary_rpc_method_handler(
        export,
        request_deserializer=ExportMetricsServiceRequest.FromString,
        response_serializer=ExportMetricsServiceResponse.SerializeToString,
    )
    with ThreadPoolExecutor(4, "receiver") as pool:
        server = grpc.server(pool, options=(("grpc.so_reuseport", 0),))
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(_SERVICE, {"Export": handler}),)
        )
        receiver.port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield receiver
        finally:
            server.stop(0).wait()


@contextmanager
def http_metrics_receiver(*script: int) -> Iterator[MetricsReceiver]:
    """Run an OTLP/HTTP receiver on a free port of 127.0.0.1."""
    receiver = MetricsReceiver(script=list(script))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                data = gzip.decompress(data)
            metadata = {**{k.lower(): v for k, v in self.headers.items()}, "path": self.path}
            code = receiver.take(ExportMetricsServiceRequest.FromString(data), metadata)
            self.send_response(code or 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
