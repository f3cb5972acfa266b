"""A gRPC server in this process that answers OTLP by a script, and peers that never answer."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How the scripted receiver answers one request."""

    code: grpc.StatusCode = grpc.StatusCode.OK
    delay_s: float = 0
    retry_after_s: float | None = None
    rejected_spans: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request that arrived."""

    spans: Sequence[Span]
    metadata: dict[str, str | bytes]
    time_s: float
    message: ExportTraceServiceRequest


@dataclass(slots=True)
class ScriptedReceiver:
    """Answers requests by a script, then with success.

    Attributes:
        script: the answers that are still to be given.
        requests: what arrived, answered with success or not.
        accepted: the spans of requests that were taken.
    """

    port: int = 0
    script: list[Answer] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    accepted: list[Span] = field(default_factory=list)
    max_in_flight: int = 0
    _in_flight: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, message: ExportTraceServiceRequest, context: grpc.ServicerContext) -> bytes:
        """Answer one request."""
        spans = [
            span
            for resource_spans in message.resource_spans
            for scope_spans in resource_spans.scope_spans
            for span in scope_spans.spans
        ]
        metadata = dict(context.invocation_metadata())
        with self._lock:
            answer = self.script.pop(0) if self.script else Answer()
            now_s = time.monotonic()
            self.requests.append(
                Request(spans=spans, metadata=metadata, time_s=now_s, message=message)
            )
            self._in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self._in_flight)
        try:
            time.sleep(answer.delay_s)
            return self._answer(answer, spans, context)
        finally:
            with self._lock:
                self._in_flight -= 1

    def _answer(
        self, answer: Answer, spans: Sequence[Span], context: grpc.ServicerContext
    ) -> bytes:
        if answer.retry_after_s is not None:
            details = status_with_retry_info(answer)
            context.set_trailing_metadata((("grpc-status-details-bin", details),))
        if answer.code is not grpc.StatusCode.OK:
            context.abort(answer.code, answer.message)
        with self._lock:
            self.accepted.extend(spans)
        response = ExportTraceServiceResponse()
        if answer.rejected_spans or answer.message:
            response.partial_success.CopyFrom(
                ExportTracePartialSuccess(
                    rejected_spans=answer.rejected_spans, error_message=answer.message
                )
            )
        return response.SerializeToString()


def status_with_retry_info(answer: Answer) -> bytes:
    """Return the details of a status that say when to try again."""
    info, detail = RetryInfo(), AnyMessage()
    if answer.retry_after_s:
        info.retry_delay.CopyFrom(Duration(nanos=int(answer.retry_after_s * 1e9)))
    detail.Pack(info)
    return bytes(Status(code=answer.code.value[0], details=[detail]).SerializeToString())


@contextmanager
def scripted_receiver(
    *script: Answer, credentials: grpc.ServerCredentials | None = None, port: int = 0
) -> Iterator[ScriptedReceiver]:
    """Run a gRPC server on 127.0.0.1 that answers as the script says."""
    receiver = ScriptedReceiver(script=list(script))
    handler = grpc.unary_unary_rpc_method_handler(
        receiver, request_deserializer=ExportTraceServiceRequest.FromString
    )
    service, method = METHOD.strip("/").split("/")
    with ThreadPoolExecutor(8, "receiver") as pool:
        server = grpc.server(pool, options=(("grpc.so_reuseport", 0),))
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {method: handler}),)
        )
        address = f"127.0.0.1:{port}"
        if credentials is None:
            receiver.port = server.add_insecure_port(address)
        else:
            receiver.port = server.add_secure_port(address, credentials)
        server.start()
        try:
            yield receiver
        finally:
            server.stop(0).wait()


@contextmanager
def black_hole() -> Iterator[int]:
    """Listen on a port, and never answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def refusing_port() -> int:
    """Return a port of 127.0.0.1 on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def wait_until(condition: Callable[[], Any], timeout_s: float = 20) -> None:
    """Poll until the condition holds; fail when it does not in time."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"{condition} still false after {timeout_s} s"
        time.sleep(0.01)


def certificates() -> Path:
    """Return the directory of a key and a certificate for localhost, signed by itself."""
    return Path(__file__).parent / "certificates"
