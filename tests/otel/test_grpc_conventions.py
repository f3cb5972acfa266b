from __future__ import annotations

import pytest
from opentelemetry.semconv._incubating.attributes import rpc_attributes
from opentelemetry.semconv._incubating.metrics import rpc_metrics

from aperf.otel._grpc_conventions import (
    CLIENT_ERRORS,
    SERVER_ERRORS,
    Semconv,
    duration_metric,
    method_attributes,
    peer_attributes,
    target_attributes,
)

SEMCONVS: tuple[Semconv, ...] = ("default", "rpc")


@pytest.mark.parametrize(
    ("target", "address", "port"),
    [
        ("catalog:443", "catalog", 443),
        ("catalog", "catalog", None),
        ("127.0.0.1:50051", "127.0.0.1", 50051),
        ("[::1]:50051", "::1", 50051),
        ("::1", "::1", None),
        ("dns:catalog:443", "catalog", 443),
        ("dns:///catalog:443", "catalog", 443),
        ("dns://8.8.8.8/catalog:443", "catalog", 443),
        ("ipv4:10.0.0.1:80", "10.0.0.1", 80),
        ("ipv6:[2001:db8::1]:80", "2001:db8::1", 80),
        ("unix:/tmp/a.sock", "/tmp/a.sock", None),
        ("unix:///tmp/a.sock", "/tmp/a.sock", None),
        ("xds:///catalog", "catalog", None),
    ],
)
def test_targets(target: str, address: str, port: int | None) -> None:
    """Whatever a channel takes gives an address, and a port if there is one."""
    expected = {"server.address": address} | ({} if port is None else {"server.port": port})
    assert expected == target_attributes(target)


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("ipv4:127.0.0.1:4711", ("127.0.0.1", 4711)),
        ("ipv6:%5B::1%5D:4711", ("::1", 4711)),
        ("unix:/tmp/a.sock", ("/tmp/a.sock", None)),
        ("unix:", (None, None)),
    ],
)
def test_peers(peer: str, expected: tuple[str | None, int | None]) -> None:
    """Whatever a servicer's context calls its peer gives a client's address."""
    attributes = peer_attributes(peer)
    assert expected == (attributes.get("client.address"), attributes.get("client.port"))
    assert expected == (
        attributes.get("network.peer.address"),
        attributes.get("network.peer.port"),
    )


def test_no_target() -> None:
    """Without an address there are no attributes of one."""
    assert {} == target_attributes(None)


@pytest.mark.parametrize("semconv", SEMCONVS)
def test_names_are_opentelemetry_s(semconv: Semconv) -> None:
    """Attributes and metrics are among those that OpenTelemetry lists."""
    known = {value for value in vars(rpc_attributes).values() if isinstance(value, str)}
    assert set(method_attributes("a.B/C", semconv)) <= known
    metrics = {value for value in vars(rpc_metrics).values() if isinstance(value, str)}
    assert {duration_metric(side, semconv).name for side in ("server", "client")} <= metrics


def test_errors() -> None:
    """A server is to blame for six codes, a client sees a failure in all but one."""
    assert 6 == len(SERVER_ERRORS)
    assert 16 == len(CLIENT_ERRORS)
    assert SERVER_ERRORS < CLIENT_ERRORS
