"""Receivers of log records in this process: a gRPC LogsService by a script, and an HTTP one."""

from __future__ import annotations

import gzip
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

__all__ = ("Arrived", "LogsReceiver", "grpc_logs_receiver", "http_logs_receiver", "plain_value")

_SERVICE = "opentelemetry.proto.collector.logs.v1.LogsService"


class Arrived(NamedTuple):
    """A record as it arrived."""

    record: LogRecord
    scope: str
    resource: dict[str, Any]

    @property
    def body(self) -> Any:
        """The message."""
        return plain_value(self.record.body)

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes; each key may stand there only once."""
        pairs = [(pair.key, plain_value(pair.value)) for pair in self.record.attributes]
        assert len(pairs) == len(dict(pairs))
        return dict(pairs)


@dataclass(slots=True)
class LogsReceiver:
    """Answers requests with the codes of its script, then with success.

    Attributes:
        port: where it listens.
        script: status codes still to be answered.
        rejected: how many records of each request it says to have rejected.
        requests: what arrived, answered with success or not.
        metadata: what came with each request: gRPC's metadata, or headers and path.
        accepted: the records of requests that were taken.
        answering: is waited for before each answer.
    """

    port: int = 0
    script: list[Any] = field(default_factory=list)
    rejected: int = 0
    requests: list[ExportLogsServiceRequest] = field(default_factory=list)
    metadata: list[dict[str, Any]] = field(default_factory=list)
    accepted: list[Arrived] = field(default_factory=list)
    answering: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, request: ExportLogsServiceRequest, metadata: dict[str, Any]) -> Any:
        """Note a request; return the code that the script answers it with, None for success."""
        with self._lock:
            self.requests.append(request)
            self.metadata.append(metadata)
        self.answering.wait(60)
        with self._lock:
            code = self.script.pop(0) if self.script else None
            if code is None:
                self.accepted.extend(_records(request))
            return code

    def response(self) -> ExportLogsServiceResponse:
        """Return the answer to a request that was taken."""
        partial = ExportLogsPartialSuccess(
            rejected_log_records=self.rejected, error_message="too old" if self.rejected else ""
        )
        return ExportLogsServiceResponse(partial_success=partial)

    @property
    def bodies(self) -> list[Any]:
        """The messages of what was taken."""
        return [arrived.body for arrived in self.accepted]


def plain_value(value: AnyValue) -> Any:
    """Return a value as Python has it."""
    kind = value.WhichOneof("value")
    if kind == "kvlist_value":
        return {pair.key: plain_value(pair.value) for pair in value.kvlist_value.values}
    if kind == "array_value":
        return [plain_value(item) for item in value.array_value.values]
    return None if kind is None else getattr(value, kind)


def _records(request: ExportLogsServiceRequest) -> Iterator[Arrived]:
    for of_resource in request.resource_logs:
        pairs = of_resource.resource.attributes
        resource = {pair.key: plain_value(pair.value) for pair in pairs}
        for of_scope in of_resource.scope_logs:
            for record in of_scope.log_records:
                yield Arrived(record, of_scope.scope.name, resource)


@contextmanager
def grpc_logs_receiver(*script: grpc.StatusCode) -> Iterator[LogsReceiver]:
    """Run a LogsService on a free port of 127.0.0.1."""
    receiver = LogsReceiver(script=list(script))
    receiver.answering.set()

    def export(
        request: ExportLogsServiceRequest, context: grpc.ServicerContext
    ) -> ExportLogsServiceResponse:
        code = receiver.take(request, dict(context.invocation_metadata()))
        if code is not None:
            context.abort(code, "as the script says")
        return receiver.response()

    handler = grpc.unary_unary_rpc_method_handler(
        export,
        request_deserializer=ExportLogsServiceRequest.FromString,
        response_serializer=ExportLogsServiceResponse.SerializeToString,
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
            receiver.answering.set()
            server.stop(0).wait()


@contextmanager
def http_logs_receiver(*script: int) -> Iterator[LogsReceiver]:
    """Run an OTLP/HTTP receiver on a free port of 127.0.0.1."""
    receiver = LogsReceiver(script=list(script))
    receiver.answering.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                data = gzip.decompress(data)
            metadata = {**{k.lower(): v for k, v in self.headers.items()}, "path": self.path}
            code = receiver.take(ExportLogsServiceRequest.FromString(data), metadata)
            body = receiver.response().SerializeToString()
            self.send_response(code or 200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

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
        receiver.answering.set()
        server.shutdown()
        server.server_close()
        thread.join()
