"""An HTTP server in this process that answers OTLP by a script."""

from __future__ import annotations

import gzip
import socket
import ssl
import struct
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.scripted_receiver import certificates

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

PROTOBUF = {"Content-Type": "application/x-protobuf"}


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """How the scripted receiver answers one request.

    Attributes:
        delay_s: before the answer begins.
        raw: sent instead of an answer; then the connection is closed.
        pause_s: between the bytes of `raw`.
        reset: the connection is torn down without a word.
        unread: answer and close without having read the body.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay_s: float = 0
    raw: bytes = b""
    pause_s: float = 0
    reset: bool = False
    unread: bool = False


def partly(rejected_spans: int, message: str) -> HttpAnswer:
    """Return the answer for a request of which not all was taken."""
    partial = ExportTracePartialSuccess(rejected_spans=rejected_spans, error_message=message)
    response = ExportTraceServiceResponse(partial_success=partial)
    return HttpAnswer(headers=PROTOBUF, body=response.SerializeToString())


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A request that arrived."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    spans: Sequence[Span]
    peer: Any  #: address of the client: one for each connection
    time_s: float


@dataclass(slots=True)
class ScriptedHttpReceiver:
    """Answers requests by a script, then with success.

    Attributes:
        script: the answers that are still to be given.
        requests: what arrived, answered with success or not.
        accepted: the spans of requests that were taken.
    """

    port: int = 0
    script: list[HttpAnswer] = field(default_factory=list)
    requests: list[HttpRequest] = field(default_factory=list)
    accepted: list[Span] = field(default_factory=list)
    open_sockets: list[socket.socket] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def hang_up(self) -> None:
        """Close the connections that clients keep for their next request."""
        for connection in self.open_sockets:
            connection.shutdown(socket.SHUT_RDWR)
        self.open_sockets.clear()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a client may keep its connection for ever
    receiver: ScriptedHttpReceiver
    tls: ssl.SSLContext | None = None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients of these tests hang up as they like."""

    def get_request(self) -> tuple[socket.socket, Any]:
        """Take a connection; its thread does the handshake."""
        connection, address = super().get_request()
        connection.settimeout(30)
        if self.tls is not None:
            connection = self.tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        self.receiver.open_sockets.append(connection)
        return connection, address


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    wbufsize = -1  # headers and body in one packet

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        """Answer one request."""
        receiver = self.server.receiver
        with receiver.lock:
            answer = receiver.script.pop(0) if receiver.script else HttpAnswer()
        if answer.unread:
            self._answer(answer)
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        request = _request(self, body)
        with receiver.lock:
            receiver.requests.append(request)
            if 200 <= answer.status < 300 and not answer.raw and not answer.reset:
                receiver.accepted.extend(request.spans)
        time.sleep(answer.delay_s)
        self._answer(answer)

    def _answer(self, answer: HttpAnswer) -> None:
        if answer.reset:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True
            self.connection.close()
        elif answer.raw:
            self._drip(answer)
            self.close_connection = True
        else:
            self.send_response(answer.status)
            for key, value in answer.headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

    def _drip(self, answer: HttpAnswer) -> None:
        size = 1 if answer.pause_s else len(answer.raw)
        for position in range(0, len(answer.raw), size):
            self.wfile.write(answer.raw[position : position + size])
            self.wfile.flush()
            time.sleep(answer.pause_s)


def _request(handler: _Handler, body: bytes) -> HttpRequest:
    message = ExportTraceServiceRequest.FromString(body)
    return HttpRequest(
        path=handler.path,
        headers={key.lower(): value for key, value in handler.headers.items()},
        body=body,
        spans=[
            span
            for resource_spans in message.resource_spans
            for scope_spans in resource_spans.scope_spans
            for span in scope_spans.spans
        ],
        peer=handler.client_address,
        time_s=time.monotonic(),
    )


def server_tls(*, mutual: bool) -> ssl.SSLContext:
    """Return what a server on localhost needs for TLS."""
    certificate = certificates() / "localhost.pem"
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificate)
    context.load_cert_chain(certificate, certificates() / "localhost.key")
    context.verify_mode = ssl.CERT_REQUIRED if mutual else ssl.CERT_NONE
    return context


@contextmanager
def scripted_http_receiver(
    *script: HttpAnswer, tls: ssl.SSLContext | None = None, port: int = 0
) -> Iterator[ScriptedHttpReceiver]:
    """Run an HTTP server on 127.0.0.1 that answers as the script says."""
    receiver = ScriptedHttpReceiver(script=list(script))
    with _Server(("127.0.0.1", port), _Handler) as server:
        server.receiver, server.tls = receiver, tls
        receiver.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="receiver")
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
            for connection in receiver.open_sockets:
                connection.close()
