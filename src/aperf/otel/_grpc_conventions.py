"""What OpenTelemetry's semantic conventions call things in gRPC. Nothing here does anything.

There are two generations. The older one is what instrumentations and dashboards know; the newer one
is what the conventions ask for, and what ``OTEL_SEMCONV_STABILITY_OPT_IN=rpc`` means elsewhere.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple
from urllib.parse import unquote

import grpc

__all__ = (
    "CLIENT_ERRORS",
    "SERVER_ERRORS",
    "DurationMetric",
    "Semconv",
    "duration_metric",
    "method_attributes",
    "peer_attributes",
    "status_attributes",
    "target_attributes",
    "unknown_method_attributes",
)

Semconv = Literal["default", "rpc"]

#: For a client every status but OK is a failure, a cancellation of its own included.
CLIENT_ERRORS: Final = frozenset(grpc.StatusCode) - {grpc.StatusCode.OK}
#: For a server only those that it is to blame for.
SERVER_ERRORS: Final = frozenset(
    (
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    )
)

_OTHER: Final = "_OTHER"  # a value that the conventions keep for methods that do not exist
#: Prescribed for durations in seconds; OpenTelemetry's own default is made for milliseconds.
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)


class DurationMetric(NamedTuple):
    """A histogram of how long calls took."""

    name: str
    unit: str
    ns: float  #: in one unit
    boundaries: tuple[float, ...] | None


def duration_metric(side: str, semconv: Semconv) -> DurationMetric:
    """Return the histogram of a side, "server" or "client"."""
    if semconv == "rpc":
        return DurationMetric(f"rpc.{side}.call.duration", "s", 1e9, _SECONDS)
    return DurationMetric(f"rpc.{side}.duration", "ms", 1e6, None)


def method_attributes(method: str, semconv: Semconv) -> dict[str, str]:
    """Return what identifies a method, given as ``package.Service/Method``."""
    if semconv == "rpc":
        return {"rpc.system.name": "grpc", "rpc.method": method}
    service, _, name = method.rpartition("/")
    return {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}


def unknown_method_attributes(semconv: Semconv) -> dict[str, str]:
    """Return what stands for all methods that do not exist: whoever calls may invent any number."""
    system = "rpc.system.name" if semconv == "rpc" else "rpc.system"
    return {system: "grpc", "rpc.method": _OTHER}


def status_attributes(code: grpc.StatusCode, semconv: Semconv) -> dict[str, str | int]:
    """Return how a call ended."""
    if semconv == "rpc":
        return {"rpc.response.status_code": code.name}
    return {"rpc.grpc.status_code": code.value[0]}


def target_attributes(target: str | None) -> dict[str, str | int]:
    """Return the attributes of a server, given as channels and servers take it.

    >>> target_attributes("dns:///catalog.example:443")
    {'server.address': 'catalog.example', 'server.port': 443}
    """
    if target is None:
        return {}
    address, port = _host_and_port(target)
    return {"server.address": address} | ({} if port is None else {"server.port": port})


def peer_attributes(peer: str) -> dict[str, str | int]:
    """Return the attributes of a client, given as a servicer's context does."""
    address, port = _host_and_port(unquote(peer))
    if not address:  # a Unix socket without a name
        return {}
    ports = {} if port is None else {"client.port": port, "network.peer.port": port}
    return {"client.address": address, "network.peer.address": address} | ports


def _host_and_port(target: str) -> tuple[str, int | None]:
    scheme, colon, rest = target.partition(":")
    if scheme in ("unix", "unix-abstract") and colon:
        return rest.removeprefix("//"), None
    if "://" in target or scheme in ("dns", "ipv4", "ipv6"):
        target = rest.rpartition("/")[2]  # behind the name of a resolver's own server
    host, _, port = target.rpartition(":")
    if not host or not port.isdecimal():
        return target.strip("[]"), None
    if ":" in host and not host.startswith("["):  # IPv6, without brackets and without a port
        return target, None
    return host.strip("[]"), int(port)
