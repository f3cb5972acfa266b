"""Can the configured destinations be reached from here?"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from ._show import public_endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aperf._config import OtlpSettings, Settings

__all__ = ("Destination", "destinations")

_TIMEOUT_S = 1.0
_GRPC_PORT, _HTTP_PORT = 4317, 4318  # what OpenTelemetry registered; easily mixed up
_WELL = {"reachable", "not tried", "writable"}
_TRACY_PORTS = 20  # so many are tried


class Destination(NamedTuple):
    """Something that a session delivers to."""

    kind: str  #: "otlp" (spans), "metrics", "logs", "tracy" or "summary"
    target: str
    state: str  #: "reachable", "not tried", "writable", or what is wrong
    ok: bool


def destinations(settings: Settings) -> tuple[Destination, ...]:
    """Return the configured destinations, each tried once."""
    return tuple(_destinations(settings))


def _destinations(settings: Settings) -> Iterator[Destination]:
    signals = {"otlp": settings.otlp}
    signals["metrics"] = None if settings.metrics is None else settings.metrics.otlp
    signals["logs"] = None if settings.logs is None else settings.logs.otlp
    for kind, otlp in signals.items():
        if otlp is not None:
            target = public_endpoint(otlp.endpoint)
            state = _missing_file(otlp) or _connect(otlp.endpoint)
            yield Destination(kind, target, state + _hint(otlp), state in _WELL)
    if settings.tracy_enabled:
        yield _tracy(settings)
    if settings.summary != "none":
        target = settings.summary_file or "stderr"
        state = _write(target) if settings.summary_file else "writable"
        yield Destination("summary", target, state, state in _WELL)


def _tracy(settings: Settings) -> Destination:
    """Say where a viewer would find the next program that is run with these settings."""
    address, first = settings.tracy_bind, settings.tracy_port
    for port in range(first, min(first + _TRACY_PORTS, 65_536)):
        if _can_bind(address, port):
            hint = "" if port == first else f" ({first} is taken)"
            return Destination("tracy", f"{address}:{port}", f"free{hint}", ok=True)
    return Destination("tracy", f"{address}:{first}", "cannot listen there", ok=False)


def _can_bind(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
        except OSError:
            return False
    return True


def _missing_file(otlp: OtlpSettings) -> str:
    """Name the first file for TLS that is not there."""
    for path in (otlp.certificate, otlp.client_key, otlp.client_certificate):
        if path and not os.path.isfile(path):
            return f"no such file: {path}"
    return ""


def _hint(otlp: OtlpSettings) -> str:
    """Point out the port of the other protocol."""
    authority = otlp.endpoint.rpartition("://")[2].partition("/")[0]
    port = authority.rpartition(":")[2]
    if otlp.protocol == "grpc" and port == str(_HTTP_PORT):
        return f"; {port} is usually OTLP/HTTP (OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf)"
    if otlp.protocol != "grpc" and port == str(_GRPC_PORT):
        return f"; {port} is usually OTLP/gRPC, OTLP/HTTP usually {_HTTP_PORT}"
    return ""


def _connect(endpoint: str) -> str:
    """Open a connection and say what came of it."""
    scheme, separator, _ = endpoint.partition("://")
    if separator and scheme not in {"http", "https"}:
        return "not tried"  # a target that only gRPC can resolve
    parts = urlsplit(endpoint if separator else f"//{endpoint}")
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, _GRPC_PORT)
    try:
        socket.create_connection((parts.hostname or "", port), _TIMEOUT_S).close()
    except socket.gaierror:
        return "name not known"
    except ConnectionRefusedError:
        return "refused"
    except TimeoutError:
        return "no answer"
    except OSError as error:
        return error.strerror or str(error)
    return "reachable"


def _write(path: str) -> str:
    directory = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(directory):
        return f"no such directory: {directory}"
    writable = os.access(path if os.path.exists(path) else directory, os.W_OK)
    return "writable" if writable else "not writable"
