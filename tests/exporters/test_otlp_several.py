"""Several OTLP destinations at once: one that stalls delays nobody."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

import aperf
from aperf._config import Settings
from aperf.exporters.otlp import OtlpExporter
from tests.scripted_http_receiver import HttpAnswer, scripted_http_receiver
from tests.scripted_receiver import black_hole, refusing_port, scripted_receiver, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aperf.model import ExporterStatistics, Statistics

STALLED = "stalled.invalid"
TIMEOUT_S = 1.5


@pytest.fixture
def stalled_lookup(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the look-up of one name last until the test is over."""
    release, getaddrinfo = threading.Event(), socket.getaddrinfo

    def look_up(host: Any, *arguments: Any, **options: Any) -> Any:
        if host == STALLED:
            release.wait(20)
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        return getaddrinfo(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    yield
    release.set()


def stalling(kind: str, stack: ExitStack) -> OtlpExporter:
    """Return an exporter whose receiver cannot be reached, in one of many ways."""
    local = "http://127.0.0.1"
    if kind == "slow":
        slow = [HttpAnswer(delay_s=3, status=500)] * 20
        receiver = stack.enter_context(scripted_http_receiver(*slow))
        return OtlpExporter(f"{local}:{receiver.port}", protocol="http/protobuf")
    if kind == "token":
        release = threading.Event()
        stack.callback(release.set)
        return OtlpExporter(f"{local}:1", token_provider=lambda: str(release.wait(20)))
    hole = stack.enter_context(black_hole())
    endpoints: dict[str, tuple[str, Any]] = {
        "black hole, gRPC": (f"{local}:{hole}", "grpc"),
        "black hole, HTTP": (f"{local}:{hole}", "http/protobuf"),
        "black hole, TLS": (f"https://127.0.0.1:{hole}", "http/protobuf"),
        "refusing": (f"{local}:{refusing_port()}", "http/protobuf"),
        "lookup": (f"http://{STALLED}:4318", "http/protobuf"),
    }
    endpoint, protocol = endpoints[kind]
    return OtlpExporter(endpoint, protocol=protocol)


async def work(rounds: int) -> None:
    """Make some spans."""
    for _ in range(rounds):
        await asyncio.gather(*(asyncio.sleep(0) for _ in range(100)))


@pytest.mark.usefixtures("stalled_lookup")
@pytest.mark.parametrize(
    "kind",
    [
        "black hole, gRPC",
        "black hole, HTTP",
        "black hole, TLS",
        "refusing",
        "slow",
        "token",
        "lookup",
    ],
)
def test_stalled_destination_delays_nobody(kind: str) -> None:
    """While one destination stalls, the others have everything, before anybody asks for it."""
    settings = Settings(enabled=True, shutdown_timeout_ns=int(TIMEOUT_S * 1e9))

    async def program() -> tuple[Statistics, bool]:
        exporters = [stalled, by_grpc, by_http]
        async with aperf.session(settings=settings, exporters=exporters) as session:
            await work(20)
            # Nobody has flushed: the periodic export alone reaches those that are fine.
            await asyncio.to_thread(wait_until, lambda: grpc_receiver.accepted, 5)
            await asyncio.to_thread(wait_until, lambda: http_receiver.accepted, 5)
            assert not await session.flush(0.3)
            await work(20)
        return session.statistics(), await session.flush()

    with (
        scripted_receiver() as grpc_receiver,
        scripted_http_receiver() as http_receiver,
        ExitStack() as stack,
    ):
        stalled = stalling(kind, stack)
        by_grpc = OtlpExporter(f"http://127.0.0.1:{grpc_receiver.port}")
        by_http = OtlpExporter(f"http://127.0.0.1:{http_receiver.port}", protocol="http/protobuf")
        statistics, delivered = asyncio.run(program())
        counters: list[ExporterStatistics] = [
            each.statistics() for each in (stalled, by_grpc, by_http)
        ]

    spans = statistics.spans
    assert spans > 4000
    assert spans == len(grpc_receiver.accepted) == len(http_receiver.accepted)
    assert [(0, spans), (spans, 0), (spans, 0)] == [each[:2] for each in counters]
    assert (2 * spans, spans) == (statistics.exported_spans, statistics.dropped_spans)
    assert not delivered  # the whole truth: one of three has nothing


def test_each_has_its_own_queue() -> None:
    """A queue that is full costs spans where it is full, and nowhere else."""

    async def program() -> None:
        async with aperf.session(settings=settings, exporters=[small, fine]):
            await work(20)

    settings = Settings(enabled=True, shutdown_timeout_ns=10**9)
    with black_hole() as hole, scripted_http_receiver() as receiver:
        small = OtlpExporter(f"http://127.0.0.1:{hole}", queue_spans=10)
        fine = OtlpExporter(f"http://127.0.0.1:{receiver.port}", protocol="http/protobuf")
        asyncio.run(program())
    spans = len(receiver.accepted)
    assert spans > 2000
    assert ((spans, 0), (0, spans)) == (fine.statistics()[:2], small.statistics()[:2])
