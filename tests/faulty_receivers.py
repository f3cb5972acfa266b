"""Receivers of OTLP that misbehave, for every signal, over gRPC and HTTP.

What they do is the same for traces, metrics and logs, so they do not look at what they get, but for
keeping what they said to have taken. As a program, one of them runs in a process of its own:

    python -m tests.faulty_receivers PROTOCOL FAULT

prints its port, and ends when its stdin is closed. There, "none" is a receiver without a fault, and
"telling" one that also prints in hexadecimal what it takes.
"""

from __future__ import annotations

import gzip
import socket
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import grpc

from tests.scripted_http_receiver import PROTOBUF, HttpAnswer
from tests.scripted_receiver import Answer, status_with_retry_info

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

__all__ = ("FAULTS", "PROTOCOLS", "SLOW_S", "Fault", "Receiver")

#: How long a slow receiver takes for an answer.
SLOW_S: Final = 3.0
#: What a receiver asks for that wants less.
RETRY_AFTER_S: Final = 1

_CODE: Final = grpc.StatusCode


@dataclass(slots=True)
class Receiver:
    """A receiver on 127.0.0.1.

    Attributes:
        port: where it listens, or should.
        accepted: the messages that it has taken, uncompressed.
    """

    port: int = 0
    accepted: list[bytes] = field(default_factory=list)


#: Runs a receiver with a fault.
Fault: TypeAlias = "Callable[[], AbstractContextManager[Receiver]]"


# ---------------------------------------------------------------------------------- below protocols


@contextmanager
def refusing() -> Iterator[Receiver]:
    """Hold a port on which nobody listens."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        yield Receiver(nobody.getsockname()[1])


@contextmanager
def dead() -> Iterator[Receiver]:
    """Take connections, and never read from them: the kernel does the former by itself."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield Receiver(listener.getsockname()[1])


@contextmanager
def black_holed() -> Iterator[Receiver]:
    """Answer no attempt to connect: where a queue of one is full, Linux drops all that comes."""
    with socket.socket() as listener, socket.socket() as filler:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        filler.connect(listener.getsockname())
        yield Receiver(listener.getsockname()[1])


@contextmanager
def accepting(treat: Callable[[socket.socket], None]) -> Iterator[Receiver]:
    """Treat every connection so, then tear it down."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # shut down: the end
                return
            with connection:
                connection.settimeout(5)
                try:
                    treat(connection)
                except OSError:
                    pass  # the client was faster

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, name="receiver")
        thread.start()
        try:
            yield Receiver(listener.getsockname()[1])
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _reset(connection: socket.socket) -> None:
    """Tear down in the middle of a request."""
    connection.recv(64)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _babble(connection: socket.socket) -> None:
    """Answer with what is neither HTTP/1.1 nor HTTP/2."""
    connection.recv(1 << 16)
    connection.sendall(b"\x16\x03\x01 220 mail.example.com ESMTP\r\n" * 4)


# ---------------------------------------------------------------------------------- gRPC


@contextmanager
def grpc_receiver(answer: Answer) -> Iterator[Receiver]:
    """Run a gRPC server that answers all requests, of whatever service, in the same way."""
    receiver, ending = Receiver(), threading.Event()

    def export(request: bytes, context: grpc.ServicerContext) -> bytes:
        ending.wait(answer.delay_s)
        if answer.retry_after_s is not None:
            details = status_with_retry_info(answer)
            context.set_trailing_metadata((("grpc-status-details-bin", details),))
        if answer.code is not _CODE.OK:
            context.abort(answer.code, answer.message)
        receiver.accepted.append(request)
        return b""

    class AnyService(grpc.GenericRpcHandler):  # type: ignore[type-arg] # generic in stubs only
        def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler[bytes, bytes]:
            return grpc.unary_unary_rpc_method_handler(export)

    options = (("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 64 << 20))
    with ThreadPoolExecutor(8, "receiver") as pool:
        server = grpc.server(pool, options=options)
        server.add_generic_rpc_handlers((AnyService(),))
        receiver.port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield receiver
        finally:
            ending.set()
            server.stop(0).wait()


# ---------------------------------------------------------------------------------- HTTP


@contextmanager
def http_receiver(answer: HttpAnswer) -> Iterator[Receiver]:
    """Run an HTTP server that answers all requests, whatever the path, in the same way."""
    receiver, ending = Receiver(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # headers and body in one packet

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            ending.wait(answer.delay_s)
            if answer.status == 200:
                receiver.accepted.append(body)
            self.send_response(answer.status)
            for key, value in answer.headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False  # a client may keep its connection for ever

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing: clients end when they like."""

    with Server(("127.0.0.1", 0), Handler) as server:
        receiver.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="receiver")
        thread.start()
        try:
            yield receiver
        finally:
            ending.set()
            server.shutdown()
            thread.join()


# ---------------------------------------------------------------------------------- killed


@contextmanager
def process(protocol: str, fault: str) -> Iterator[tuple[Receiver, subprocess.Popen[str]]]:
    """Run a receiver in a process of its own."""
    running = subprocess.Popen(
        [sys.executable, "-m", "tests.faulty_receivers", protocol, fault],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with running:
        assert running.stdin is not None
        assert running.stdout is not None
        try:
            yield Receiver(int(running.stdout.readline())), running
        finally:
            running.stdin.close()


@contextmanager
def killed(protocol: str) -> Iterator[Receiver]:
    """Run a receiver that is killed when it has taken its first message."""

    def read() -> None:
        assert running.stdout is not None
        for line in running.stdout:
            if line.endswith("\n"):  # else it was killed while it said so
                receiver.accepted.append(bytes.fromhex(line))
            running.kill()

    with process(protocol, "telling") as (receiver, running):
        reader = threading.Thread(target=read, name="receiver")
        reader.start()
        yield receiver
        running.kill()
        reader.join()


# ---------------------------------------------------------------------------------- all of them


def _everywhere(protocol: str) -> Mapping[str, Fault]:
    return {
        "refusing": refusing,
        "dead": dead,
        "black-holed": black_holed,
        "half-open": partial(accepting, _reset),
        "garbage": partial(accepting, _babble),
        "killed": partial(killed, protocol),
    }


def _grpc(*, code: grpc.StatusCode = _CODE.OK, **answer: Any) -> Fault:
    return partial(grpc_receiver, Answer(code=code, message="as it likes", **answer))


def _http(status: int = 200, **answer: Any) -> Fault:
    answer.setdefault("headers", PROTOBUF if status == 200 else {"Content-Type": "text/plain"})
    body = b"" if status == 200 else b"as it likes"
    return partial(http_receiver, HttpAnswer(status=status, body=body, **answer))


_LATER: Final = {"Retry-After": str(RETRY_AFTER_S)}

#: What may be wrong, by protocol.
FAULTS: Final[Mapping[str, Mapping[str, Fault]]] = {
    "grpc": {
        **_everywhere("grpc"),
        "slow": _grpc(delay_s=SLOW_S),
        "UNAVAILABLE": _grpc(code=_CODE.UNAVAILABLE),
        "INVALID_ARGUMENT": _grpc(code=_CODE.INVALID_ARGUMENT),
        "RESOURCE_EXHAUSTED": _grpc(code=_CODE.RESOURCE_EXHAUSTED),
        "RESOURCE_EXHAUSTED, later": _grpc(
            code=_CODE.RESOURCE_EXHAUSTED, retry_after_s=0.9 * RETRY_AFTER_S
        ),
    },
    "http/protobuf": {
        **_everywhere("http/protobuf"),
        "slow": _http(delay_s=SLOW_S),
        "400": _http(400),
        "413": _http(413),
        "429": _http(429),
        "500": _http(500),
        "503, later": _http(503, headers=_LATER),
    },
}
PROTOCOLS: Final = tuple(FAULTS)

_SOUND: Final = {"grpc": _grpc(), "http/protobuf": _http()}


class _Told(list[bytes]):
    """Messages that are told to whoever started this process, instead of being kept."""

    def append(self, message: bytes, /) -> None:
        """Take one more."""
        sys.stdout.write(f"{message.hex()}\n")
        sys.stdout.flush()


def main(protocol: str, fault: str) -> None:
    """Be one of them until stdin is closed."""
    is_sound = fault in ("none", "telling")
    run = _SOUND[protocol] if is_sound else FAULTS[protocol][fault]
    with run() as receiver:
        if fault == "telling":
            receiver.accepted = _Told()
        print(receiver.port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
