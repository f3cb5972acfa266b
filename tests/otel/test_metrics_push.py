from __future__ import annotations

import json
import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from opentelemetry import metrics as api
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from aperf._config import MetricsSettings, OtlpSettings
from aperf.otel import MetricsExporter
from aperf.otel._metrics_table import METRICS
from tests.metered import a_bit_of_everything, metered_session
from tests.metrics_receiver import grpc_metrics_receiver, http_metrics_receiver
from tests.receivers import ddapm
from tests.scripted_receiver import black_hole, refusing_port, wait_until
from tests.watched import run_plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aperf._session import Session
    from tests.metrics_receiver import MetricsReceiver
    from tests.receivers import TestAgent

__all__ = ("ddapm",)

DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
#: So that a test that does not wait for an interval never sees one.
NEVER_NS = 3600 * 10**9


def to(port: int, *, interval_ns: int = NEVER_NS, **settings: Any) -> MetricsSettings:
    """Return settings for a receiver that speaks gRPC."""
    ours = {name: settings.pop(name) for name in ("temporality", "histograms") if name in settings}
    settings = {"endpoint": f"http://127.0.0.1:{port}", **settings}
    return MetricsSettings(otlp=OtlpSettings(**settings), interval_ns=interval_ns, **ours)


def over_http(port: int, **settings: Any) -> MetricsSettings:
    """Return settings for a receiver that speaks HTTP."""
    return to(port, protocol="http/protobuf", **settings)


def session_pushing(settings: MetricsSettings, *, flush: bool = False) -> Session:
    """Run a program whose metrics are pushed, also halfway if wanted; return its session."""

    async def main() -> Session:
        async with metered_session(MetricsExporter(settings)) as session:
            await a_bit_of_everything()
            if flush:
                assert await session.flush()
                await a_bit_of_everything()
        return session

    return run_plain(main())


def check_all(receiver: MetricsReceiver) -> None:
    """Check what arrived last: all metrics, with right values, as one session's."""
    metrics = receiver.metrics()
    # The percentiles are those of a moment in which something ran, the GC's of any.
    assert metrics.keys() <= {metric.name for metric in METRICS}
    expected = {metric.name for metric in METRICS if ".delay." not in metric.name}
    assert metrics.keys() >= expected
    finished = {
        point.attributes[0].value.string_value: point.as_int
        for point in metrics["asyncio.task.finished"].sum.data_points
    }
    assert {"ok": 4, "error": 1, "cancelled": 1} == finished
    assert metrics["asyncio.task.finished"].sum.is_monotonic
    (delay,) = metrics["asyncio.eventloop.delay"].histogram.data_points
    assert delay.count == sum(delay.bucket_counts) > 6
    assert delay.max >= 0.05
    (blocked,) = metrics["asyncio.eventloop.blocked.duration"].histogram.data_points
    assert 1 == blocked.count
    assert 0.06 <= blocked.sum < 10
    (resource_metrics,) = receiver.requests[-1].resource_metrics
    resource = {pair.key: pair.value for pair in resource_metrics.resource.attributes}
    assert "metered" == resource["service.name"].string_value
    assert {"aperf"} == {scope.scope.name for scope in resource_metrics.scope_metrics}


def test_the_end_of_a_session_pushes_all_over_grpc() -> None:
    """A session shorter than the interval delivers everything."""
    with grpc_metrics_receiver() as receiver:
        session = session_pushing(to(receiver.port, headers=(("x-key", "secret"),)))
    check_all(receiver)
    assert "secret" == receiver.metadata[-1]["x-key"]
    assert 0 == session.statistics().export_failures


def test_the_end_of_a_session_pushes_all_over_http() -> None:
    """The same over HTTP, where no path means the usual one, compressed if wanted."""
    with http_metrics_receiver() as receiver:
        session_pushing(
            over_http(receiver.port, headers=(("x-key", "secret"),), compression="gzip")
        )
    check_all(receiver)
    metadata = receiver.metadata[-1]
    assert "/v1/metrics" == metadata["path"]
    assert "application/x-protobuf" == metadata["content-type"]
    assert ("gzip", "secret") == (metadata["content-encoding"], metadata["x-key"])


def test_metrics_are_pushed_at_intervals() -> None:
    """Pushes come by themselves, and cumulative counters only grow."""
    with grpc_metrics_receiver() as receiver:

        async def main() -> None:
            settings = to(receiver.port, interval_ns=20_000_000)
            async with metered_session(MetricsExporter(settings)):
                await a_bit_of_everything()
                wait_until(lambda: len(receiver.requests) > 3)

        run_plain(main())
    steps = [
        receiver.metrics(number)["asyncio.task.steps"].sum.data_points[0].as_int
        for number in range(len(receiver.requests))
    ]
    assert sorted(steps) == steps
    assert CUMULATIVE == receiver.metrics()["asyncio.task.steps"].sum.aggregation_temporality


@pytest.mark.parametrize(
    ("temporality", "counters", "histograms"),
    [
        ("cumulative", CUMULATIVE, CUMULATIVE),
        ("delta", DELTA, DELTA),
        ("lowmemory", CUMULATIVE, DELTA),
    ],
)
def test_the_temporality_is_as_preferred(
    temporality: str,
    counters: AggregationTemporality.ValueType,
    histograms: AggregationTemporality.ValueType,
) -> None:
    """Counters and histograms follow the preference, and deltas add up to the whole."""
    with grpc_metrics_receiver() as receiver:
        settings = to(receiver.port, temporality=temporality)
        session = session_pushing(settings, flush=True)
    last = receiver.metrics(1)
    assert counters == last["asyncio.task.steps"].sum.aggregation_temporality
    assert histograms == last["asyncio.eventloop.delay"].histogram.aggregation_temporality
    assert CUMULATIVE == last["process.memory.usage"].sum.aggregation_temporality
    pushes = [receiver.metrics(number) for number in range(len(receiver.requests))]
    steps = [push["asyncio.task.steps"].sum.data_points[0].as_int for push in pushes]
    delays = [
        point.count
        for push in pushes
        if "asyncio.eventloop.delay" in push
        for point in push["asyncio.eventloop.delay"].histogram.data_points
    ]
    expected = session.statistics().steps
    assert expected == (sum(steps) if counters == DELTA else steps[-1])
    # The first steps come before anybody takes metrics.
    assert expected - 3 <= (sum(delays) if histograms == DELTA else delays[-1]) <= expected


def test_histograms_are_exponential_if_wanted() -> None:
    """The variable's other word changes the form of the same histograms."""
    with grpc_metrics_receiver() as receiver:
        session_pushing(to(receiver.port, histograms="base2_exponential_bucket_histogram"))
    data = receiver.metrics()["asyncio.eventloop.delay"].exponential_histogram
    (point,) = data.data_points
    assert point.count == point.zero_count + sum(point.positive.bucket_counts)


def test_a_flush_pushes_now() -> None:
    """`flush` returns when the receiver has what was counted before it."""
    with grpc_metrics_receiver() as receiver:

        async def main() -> None:
            async with metered_session(MetricsExporter(to(receiver.port))) as session:
                await a_bit_of_everything()
                assert await session.flush()
                assert 1 == len(receiver.requests)
                finished = receiver.metrics()["asyncio.task.finished"].sum.data_points
                assert 6 == sum(point.as_int for point in finished)

        run_plain(main())


def test_a_refused_push_is_counted_and_told() -> None:
    """`flush` says no when the receiver does, the failure is counted, and the next one works."""
    with grpc_metrics_receiver(grpc.StatusCode.PERMISSION_DENIED) as receiver:

        async def main() -> tuple[bool, bool, int]:
            async with metered_session(MetricsExporter(to(receiver.port))) as session:
                refused = await session.flush()
                failures = session.statistics().export_failures
                return refused, await session.flush(), failures

        assert (False, True, 1) == run_plain(main())


@pytest.mark.parametrize(
    ("receiver_of", "settings_for", "answer"),
    [
        (grpc_metrics_receiver, to, grpc.StatusCode.UNAVAILABLE),
        (http_metrics_receiver, over_http, 503),
    ],
)
def test_a_receiver_that_is_away_for_a_moment_gets_them(
    receiver_of: Any, settings_for: Any, answer: Any
) -> None:
    """What may succeed later is sent again within the time of one request; nothing has failed."""
    with receiver_of(answer) as receiver:
        session = session_pushing(settings_for(receiver.port))
        assert receiver.requests[0] == receiver.requests[1]
    assert 0 == session.statistics().export_failures


def test_failed_pushes_at_intervals_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody waits for them, so a counter tells, which is pushed later, and one line for a row."""
    with http_metrics_receiver(400, 400) as receiver:

        async def main() -> int:
            settings = over_http(receiver.port, interval_ns=20_000_000)
            async with metered_session(MetricsExporter(settings)) as session:
                wait_until(lambda: len(receiver.requests) > 3)
            return session.statistics().export_failures

        assert 2 == run_plain(main())
    (failures,) = receiver.metrics()["aperf.export.failures"].sum.data_points
    assert 2 == failures.as_int
    (line,) = [line for line in caplog.messages if "pushed" in line]
    assert "metrics cannot be pushed to http://127.0.0.1" in line
    assert "HTTP 400" in line


@contextmanager
def refusing() -> Iterator[int]:
    """A port on which nobody listens."""
    yield refusing_port()


@contextmanager
def unavailable() -> Iterator[int]:
    """A receiver that always asks to come back."""
    with grpc_metrics_receiver(*[grpc.StatusCode.UNAVAILABLE] * 50) as receiver:
        yield receiver.port


@contextmanager
def slow() -> Iterator[int]:
    """A receiver that takes longer than the session's end may."""
    with grpc_metrics_receiver(delay_s=3) as receiver:
        yield receiver.port


@pytest.mark.parametrize(
    ("peer", "settings_for"),
    [
        *((peer, to) for peer in (refusing, black_hole, unavailable, slow)),
        *((peer, over_http) for peer in (refusing, black_hole)),
    ],
)
def test_no_receiver_keeps_a_session_from_ending(peer: Any, settings_for: Any) -> None:
    """Whatever the receiver does, the end comes within the shutdown timeout."""
    with peer() as port:

        async def main() -> float:
            exporter = MetricsExporter(settings_for(port, timeout_s=1.5))
            async with metered_session(exporter, timeout_s=1):
                await a_bit_of_everything()
                begin_s = time.monotonic()
            return time.monotonic() - begin_s

        assert run_plain(main()) < 1.5 + 1


@pytest.mark.parametrize(
    ("peer", "reason"), [(refusing, "Connection refused"), (black_hole, "no answer by the end")]
)
def test_a_last_push_that_does_not_arrive_is_counted_and_told(
    peer: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The end of a session counts the push that it gives up, and says where and why."""
    with peer() as port:

        async def main() -> Session:
            exporter = MetricsExporter(over_http(port))
            async with metered_session(exporter, timeout_s=0.5) as session:
                await a_bit_of_everything()
            return session

        session = run_plain(main())
    assert 1 == session.statistics().export_failures
    (line,) = caplog.messages
    assert f"127.0.0.1:{port}" in line
    assert reason in line


def test_nothing_is_pushed_beside_a_provider_of_the_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The program's own provider gets the metrics, and no second copy leaves."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    with grpc_metrics_receiver() as receiver:

        async def main() -> None:
            async with metered_session(MetricsExporter(to(receiver.port))) as session:
                await session.flush()
                monkeypatch.setattr(api, "get_meter_provider", lambda: provider)
                await session.flush()

        run_plain(main())
        assert 1 == len(receiver.requests), "pushed until the program had one"
        run_plain(main())
        assert 1 == len(receiver.requests)
    assert reader.get_metrics_data() is not None


def test_an_unreadable_certificate_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is not there is named, with what it is for."""
    session_pushing(
        to(1, endpoint="https://localhost:1", insecure=False, certificate="/nowhere.pem")
    )
    assert "OTLP certificate is '/nowhere.pem'" in capsys.readouterr().err


def test_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's exporter gets everything from the settings."""
    for name, value in {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://nowhere.invalid:1",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://nowhere.invalid:1",
        "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION": "gzip",
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta",
        "OTEL_METRIC_EXPORT_INTERVAL": "1",
    }.items():
        monkeypatch.setenv(name, value)
    with grpc_metrics_receiver() as receiver:
        session_pushing(to(receiver.port))
    assert "identity" == receiver.metadata[-1].get("grpc-encoding", "identity")
    assert CUMULATIVE == receiver.metrics()["asyncio.task.steps"].sum.aggregation_temporality
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


def test_a_forked_child_pushes_nothing() -> None:
    """The child has no thread of ours, and what the parent counts is told by the parent alone."""
    with grpc_metrics_receiver() as receiver:

        async def main() -> int:
            exporter = MetricsExporter(to(receiver.port, interval_ns=20_000_000))
            async with metered_session(exporter):
                wait_until(lambda: receiver.requests)
                child = os.fork()
                if child == 0:
                    ours = [t for t in threading.enumerate() if t.name.startswith("aperf-")]
                    os._exit(0 if not ours and exporter.shutdown(0) else 10)
                return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

        assert 0 == run_plain(main())
        resources = {
            pair.value.int_value
            for request in receiver.requests
            for pair in request.resource_metrics[0].resource.attributes
            if pair.key == "process.pid"
        }
        assert {os.getpid()} == resources


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_receiver_of_others_takes_them(ddapm: TestAgent, protocol: str) -> None:
    """Datadog's test agent reads what was pushed, over both protocols."""
    ddapm.clear()
    endpoint = ddapm.endpoint if protocol == "grpc" else f"{ddapm.http_url}/v1/metrics"
    session_pushing(to(0, endpoint=endpoint, protocol=protocol))
    requests = json.loads(ddapm._get("/test/session/metrics"))
    names = {
        metric["name"]
        for request in requests
        for resource_metrics in request["resource_metrics"]
        for scope_metrics in resource_metrics["scope_metrics"]
        for metric in scope_metrics["metrics"]
    }
    assert names >= {"asyncio.eventloop.delay", "asyncio.task.created", "process.memory.usage"}
