"""A receiver of OTLP traces in a process of its own, which counts requests and throws them away.

Prints its port, and ends when its stdin is closed. It never decodes: a receiver that is slower than
the sender would be what is measured.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
MESSAGE_BYTES = 64 << 20


@contextlib.contextmanager
def otlp_sink() -> Iterator[str]:
    """Start a sink and give its endpoint."""
    process = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.stdin.close()
        process.wait(timeout=10)
        process.stdout.close()


def serve() -> None:
    import grpc

    def export(request: bytes, context: grpc.ServicerContext) -> bytes:
        return b""  # an empty ExportTraceServiceResponse: everything was taken

    limits = [("grpc.max_receive_message_length", MESSAGE_BYTES)]
    server = grpc.server(ThreadPoolExecutor(max_workers=2), options=limits)
    handlers = {"Export": grpc.unary_unary_rpc_method_handler(export)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(grace=None)


if __name__ == "__main__":
    serve()
