"""Metrics of calls where the program has no meter provider: they go along with aperf's own."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import pytest

import aperf.grpc
from aperf._config import MetricsSettings, OtlpSettings
from aperf.otel import MetricsExporter
from aperf.otel._metrics_provider import own_providers
from tests.grpc_service import DEADLINE_S, Telemetry, all_handlers, call, method, serving, waiting
from tests.metered import metered_session
from tests.metrics_receiver import grpc_metrics_receiver
from tests.watched import run_plain

if TYPE_CHECKING:
    import grpc

    from tests.metrics_receiver import MetricsReceiver

SIDES = ("client", "server")


def pushing(receiver: MetricsReceiver) -> MetricsExporter:
    """Return an exporter that pushes when it is told to."""
    endpoint = f"http://127.0.0.1:{receiver.port}"
    settings = MetricsSettings(otlp=OtlpSettings(endpoint=endpoint), interval_ns=3600 * 10**9)
    return MetricsExporter(settings, application=False)


def observed(**options: Any) -> Any:
    """Serve all methods, observed on both sides."""
    return serving(
        all_handlers(),
        server=aperf.grpc.server_interceptors(**options),
        client=aperf.grpc.client_interceptors(**options),
    )


def in_flight(receiver: MetricsReceiver) -> list[int]:
    """Return what arrived last, of both sides."""
    metrics = receiver.metrics()
    names = [f"rpc.{side}.active_requests" for side in SIDES]
    return [point.as_int for name in names for point in metrics[name].sum.data_points]


async def until_waiting(channel: grpc.aio.Channel) -> Any:
    """Begin a call that does not end by itself."""
    waiting.clear()
    ongoing: Any = channel.unary_unary(method("unary_unary"))(b"wait")  # type: ignore[call-arg]
    async with asyncio.timeout(DEADLINE_S):
        while not waiting:
            await asyncio.sleep(0.002)
    return ongoing


async def until_in_flight(calls: int, session: aperf.Session, receiver: MetricsReceiver) -> None:
    """Wait until so many are in flight on both sides: a server is done after its client."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            assert await session.flush()
            if [calls, calls] == in_flight(receiver):
                return


def test_a_session_that_pushes_takes_them() -> None:
    """Each call is counted once on either side, and none is left in flight."""

    async def main(receiver: MetricsReceiver) -> None:
        async with metered_session(pushing(receiver)), observed() as channel:
            await call(channel, "unary_unary", "go")
            await call(channel, "unary_unary", "abort NOT_FOUND")

    with grpc_metrics_receiver() as receiver:
        run_plain(main(receiver))
    for side in SIDES:
        points = receiver.metrics()[f"rpc.{side}.duration"].histogram.data_points
        codes = {
            pair.value.int_value: point.count
            for point in points
            for pair in point.attributes
            if pair.key == "rpc.grpc.status_code"
        }
        assert {0: 1, 5: 1} == codes
    assert [0, 0] == in_flight(receiver)
    (resource_metrics,) = receiver.requests[-1].resource_metrics
    scopes = {scope.scope.name for scope in resource_metrics.scope_metrics}
    assert {"aperf", "aperf.grpc"} == scopes


def test_a_session_that_begins_in_a_call() -> None:
    """A call in flight when a session begins is told to it, and taken off when it ends."""

    async def main(receiver: MetricsReceiver) -> None:
        async with observed() as channel:
            ongoing = await until_waiting(channel)
            async with metered_session(pushing(receiver)) as session:
                await call(channel, "unary_unary", "go")
                await until_in_flight(1, session, receiver)
                ongoing.cancel()
                await until_in_flight(0, session, receiver)

    with grpc_metrics_receiver() as receiver:
        run_plain(main(receiver))


def test_a_scrape_shows_them() -> None:
    """Where metrics are served, calls are counted from the first scrape on."""

    async def main() -> str:
        exporter = MetricsExporter(application=False)
        async with metered_session(exporter) as session, observed() as channel:
            listener = await session.start_metrics_listener("127.0.0.1:0")
            await asyncio.to_thread(_get, listener.url)
            await call(channel, "unary_unary", "go")
            return await asyncio.to_thread(_get, listener.url)

    text = run_plain(main())
    for side in SIDES:
        assert f"rpc_{side}_duration_milliseconds_count{{" in text


def _get(url: str) -> str:
    from urllib.request import ProxyHandler, build_opener

    with build_opener(ProxyHandler({})).open(url, timeout=DEADLINE_S) as response:
        text: bytes = response.read()
    return text.decode()


def test_a_provider_that_is_named_is_the_only_one() -> None:
    """Metrics that the program sends to a provider of its choice go nowhere else."""
    telemetry = Telemetry()

    async def main(receiver: MetricsReceiver) -> None:
        async with metered_session(pushing(receiver)), observed(**telemetry.providers) as channel:
            await call(channel, "unary_unary", "go")

    with grpc_metrics_receiver() as receiver:
        run_plain(main(receiver))
    assert {0: 1} == telemetry.ended("server")
    assert "rpc.server.duration" not in receiver.metrics()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_nothing_is_left_after_a_session() -> None:
    """Neither after the end of a session nor in a forked child does anybody take metrics."""

    async def main(receiver: MetricsReceiver) -> int:
        async with metered_session(pushing(receiver)):
            assert 1 == len(own_providers())
            child = os.fork()
            if child == 0:
                os._exit(len(own_providers()))
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    with grpc_metrics_receiver() as receiver:
        assert 0 == run_plain(main(receiver))
    assert () == own_providers()
