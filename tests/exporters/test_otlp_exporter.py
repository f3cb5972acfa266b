"""The OTLP exporter against a real gRPC server that answers by script."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from opentelemetry import context

from aperf._config import OtlpSettings
from aperf._errors import ConfigurationError
from aperf.exporters._otlp_grpc import GrpcClient, target_of
from aperf.exporters.otlp import OtlpExporter
from aperf.model import Detail, Exporter, ExporterStatistics
from tests.otlp_batches import SESSION, a_batch, in_s, started
from tests.scripted_receiver import (
    Answer,
    ScriptedReceiver,
    black_hole,
    certificates,
    refusing_port,
    scripted_receiver,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aperf.exporters._otlp_client import Outcome

RETRYABLE = (
    "CANCELLED",
    "DEADLINE_EXCEEDED",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNAVAILABLE",
    "DATA_LOSS",
)
REFUSALS = ("INVALID_ARGUMENT", "UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED", "INTERNAL")


@pytest.fixture
def receiver() -> Iterator[ScriptedReceiver]:
    """A receiver that takes everything until its script says otherwise."""
    with scripted_receiver() as running:
        yield running


# ---------------------------------------------------------------------------------- delivery


def test_is_an_exporter() -> None:
    """It has what aperf asks of a destination, and takes spans."""
    exporter = OtlpExporter()
    assert isinstance(exporter, Exporter)
    assert exporter.consumes == "spans"


def test_delivers(receiver: ScriptedReceiver) -> None:
    """What was exported has arrived when flush says so, with resource and scope."""
    with started(receiver.port) as exporter:
        exporter.export(a_batch(3), in_s(5))
        assert exporter.flush(in_s(10))
        assert [1, 2, 3] == [int.from_bytes(span.span_id, "big") for span in receiver.accepted]
        (request,) = receiver.requests
        (resource_spans,) = request.message.resource_spans
        assert ["service.name", "process.pid"] == [
            pair.key for pair in resource_spans.resource.attributes
        ]
        assert ("aperf", "1.2") == (
            resource_spans.scope_spans[0].scope.name,
            resource_spans.scope_spans[0].scope.version,
        )
        assert ExporterStatistics(exported_spans=3) == exporter.statistics()


def test_headers_and_user_agent(receiver: ScriptedReceiver) -> None:
    """Headers travel in lower case, as gRPC demands, and the user agent begins with aperf."""
    with started(receiver.port, headers={"X-Api-Key": "secret"}) as exporter:
        exporter.export(a_batch(1), in_s(5))
        assert exporter.flush(in_s(10))
    metadata = receiver.requests[0].metadata
    assert "secret" == metadata["x-api-key"]
    assert str(metadata["user-agent"]).startswith("aperf/1.2 ")


def test_only_sampled_spans(receiver: ScriptedReceiver) -> None:
    """Spans of traces that are not sampled stay here, and nobody counts them as lost."""
    with started(receiver.port) as exporter:
        exporter.export(a_batch(5, sampled=False), in_s(5))
        assert exporter.flush(in_s(10))
        assert exporter.statistics() == ExporterStatistics()
    assert not receiver.requests


def test_large_batches(receiver: ScriptedReceiver) -> None:
    """A large batch leaves in requests of at most 4096 spans, two of them at a time."""
    receiver.script += [Answer(delay_s=0.3)] * 6
    with started(receiver.port) as exporter:
        exporter.export(a_batch(20_000), in_s(5))
        assert exporter.flush(in_s(30))
    assert 20_000 == len(receiver.accepted)
    assert 4096 == max(len(request.spans) for request in receiver.requests)
    assert 2 == receiver.max_in_flight


def test_large_spans(receiver: ScriptedReceiver) -> None:
    """No request exceeds what receivers take by default, however much text a span carries."""
    batch = a_batch(100)
    batch.details.append(Detail(status_message="x" * 200_000))
    for row in range(100):
        batch.rows[row * 19 + 15] = 1
    with started(receiver.port) as exporter:
        exporter.export(batch, in_s(5))
        assert exporter.flush(in_s(30))
    assert 100 == len(receiver.accepted)
    assert max(request.message.ByteSize() for request in receiver.requests) < 4 << 20


def test_export_does_not_wait() -> None:
    """Export returns at once, whatever the receiver does."""
    with black_hole() as port, started(port) as exporter:
        before_s = time.monotonic()
        for _ in range(100):
            exporter.export(a_batch(10), in_s(5))
        assert time.monotonic() - before_s < 1


def test_start_again(receiver: ScriptedReceiver) -> None:
    """After a shutdown it can serve another session."""
    exporter = OtlpExporter(f"http://127.0.0.1:{receiver.port}")
    for _ in range(2):
        exporter.start(SESSION)
        exporter.export(a_batch(2), in_s(5))
        assert exporter.shutdown(in_s(10))
        assert ExporterStatistics(exported_spans=2) == exporter.statistics()
    assert 4 == len(receiver.accepted)


def test_export_after_shutdown(receiver: ScriptedReceiver) -> None:
    """What comes too late is dropped and counted with what the session delivered."""
    with started(receiver.port) as exporter:
        exporter.export(a_batch(2), in_s(5))
        assert exporter.shutdown(in_s(10))
        assert (0, 3) == exporter.export(a_batch(3), in_s(5))
        assert not exporter.flush(in_s(1))
        assert not exporter.shutdown(in_s(1))
        assert ExporterStatistics(exported_spans=2, dropped_spans=3) == exporter.statistics()


def test_not_started() -> None:
    """Before a session starts there is nothing to deliver and nothing to lose."""
    exporter = OtlpExporter()
    assert exporter.flush(in_s(1))
    assert exporter.shutdown(in_s(1))


# ---------------------------------------------------------------------------------- answers


@pytest.mark.parametrize("code", RETRYABLE)
def test_retries(receiver: ScriptedReceiver, code: str) -> None:
    """What the specification calls retryable is sent again until it is taken."""
    receiver.script += [Answer(code=grpc.StatusCode[code])] * 2
    with started(receiver.port) as exporter:
        exporter.export(a_batch(3), in_s(5))
        assert exporter.flush(in_s(10))
        assert ExporterStatistics(exported_spans=3) == exporter.statistics()
    assert 3 == len(receiver.requests)


@pytest.mark.parametrize("code", REFUSALS)
def test_refusals(receiver: ScriptedReceiver, code: str) -> None:
    """Anything else is final: dropped, counted, and flush says so."""
    receiver.script += [Answer(code=grpc.StatusCode[code])]
    with started(receiver.port) as exporter:
        exporter.export(a_batch(3), in_s(5))
        assert not exporter.flush(in_s(10))
        assert ExporterStatistics(dropped_spans=3, export_failures=1) == exporter.statistics()
        exporter.export(a_batch(2), in_s(5))
        assert exporter.flush(in_s(10))  # what came later was delivered
        assert 2 == exporter.statistics().exported_spans
        assert not exporter.shutdown(in_s(10))  # but something was lost
    assert 2 == len(receiver.requests)


def test_back_off_grows(receiver: ScriptedReceiver) -> None:
    """While nobody waits, each pause is longer than the one before."""
    receiver.script += [Answer(code=grpc.StatusCode.UNAVAILABLE)] * 3
    with started(receiver.port) as exporter:
        exporter.export(a_batch(1), in_s(5))
        wait_until(lambda: receiver.accepted)
    times = [request.time_s for request in receiver.requests]
    first, second, third = (after - before for before, after in pairwise(times))
    assert 0.1 < first < second < third


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED"])
def test_retry_info(receiver: ScriptedReceiver, code: str) -> None:
    """A delay that the receiver asks for is kept, even when somebody waits."""
    receiver.script += [Answer(code=grpc.StatusCode[code], retry_after_s=0.7)]
    with started(receiver.port) as exporter:
        exporter.export(a_batch(1), in_s(5))
        assert exporter.flush(in_s(10))
    first, second = receiver.requests
    assert second.time_s - first.time_s >= 0.7


def test_exhausted_without_hint(receiver: ScriptedReceiver) -> None:
    """RESOURCE_EXHAUSTED without RetryInfo means "too much at once": halves are sent, once."""
    receiver.script += [Answer(code=grpc.StatusCode.RESOURCE_EXHAUSTED)] * 2
    with started(receiver.port) as exporter:
        exporter.export(a_batch(9), in_s(5))
        assert not exporter.flush(in_s(10))
        assert [9, 5, 4] == [len(request.spans) for request in receiver.requests]
        assert ExporterStatistics(4, 5, 1) == exporter.statistics()


def test_partial_success(receiver: ScriptedReceiver) -> None:
    """Rejected spans are counted as dropped, and the request is not sent again."""
    receiver.script += [Answer(rejected_spans=2, message="too old")]
    with started(receiver.port) as exporter:
        exporter.export(a_batch(5), in_s(5))
        assert not exporter.flush(in_s(10))
        assert ExporterStatistics(exported_spans=3, dropped_spans=2) == exporter.statistics()
    assert 1 == len(receiver.requests)


def test_receiver_that_comes_later() -> None:
    """Spans wait for a receiver that is being restarted."""
    port = refusing_port()
    with started(port) as exporter:
        exporter.export(a_batch(3), in_s(5))
        assert not exporter.flush(in_s(0.5))
        with scripted_receiver(port=port) as receiver:
            assert exporter.flush(in_s(9))
            assert 3 == len(receiver.accepted)


# ---------------------------------------------------------------------------------- limits


def test_full_queue() -> None:
    """What does not fit is dropped and counted at once."""
    with black_hole() as port, started(port, queue_spans=100) as exporter:
        assert (0, 20) == exporter.export(a_batch(120), in_s(5))
        assert (0, 50) == exporter.export(a_batch(50), in_s(5))
        assert (0, 0) == exporter.export(a_batch(50, sampled=False), in_s(5))
        assert 70 == exporter.statistics().dropped_spans


@pytest.mark.parametrize("peer", ["refusing", "black hole", "slow"])
def test_deadlines_and_truth(peer: str) -> None:
    """Whatever the peer does: flush and shutdown end in time and say that nothing arrived."""
    slowly = [Answer(delay_s=2)] * 9
    with black_hole() as hole, scripted_receiver(*slowly) as slow, ExitStack() as stack:
        port = {"refusing": refusing_port(), "black hole": hole, "slow": slow.port}[peer]
        tested = stack.enter_context(started(port))
        tested.export(a_batch(5000), in_s(5))
        for finish in (tested.flush, tested.shutdown):
            before_s = time.monotonic()
            assert not finish(in_s(0.8))
            assert time.monotonic() - before_s < 1.6
        assert 5000 == tested.statistics().dropped_spans
        assert 0 == tested.statistics().exported_spans


def test_deadline_that_has_passed(receiver: ScriptedReceiver) -> None:
    """A deadline in the past means: no waiting."""
    receiver.script += [Answer(delay_s=1)]
    with started(receiver.port) as exporter:
        exporter.export(a_batch(1), in_s(5))
        assert not exporter.flush(in_s(-1))
        assert not exporter.shutdown(in_s(-1))


def test_timeout_of_a_request() -> None:
    """A request that stays unanswered is given up after `timeout_s`, and the next one is tried."""
    with black_hole() as port, started(port, timeout_s=0.3) as exporter:
        exporter.export(a_batch(2), in_s(5))
        wait_until(lambda: exporter.statistics().dropped_spans == 2)
        assert 1 == exporter.statistics().export_failures


def test_one_warning(receiver: ScriptedReceiver, caplog: pytest.LogCaptureFixture) -> None:
    """Many failures write one line."""
    receiver.script += [Answer(code=grpc.StatusCode.UNAUTHENTICATED, message="who?")] * 5
    with caplog.at_level(logging.DEBUG, "aperf"), started(receiver.port) as exporter:
        for _ in range(5):
            exporter.export(a_batch(2), in_s(5))
            exporter.flush(in_s(10))
    (line,) = [record.getMessage() for record in caplog.records]
    assert f"127.0.0.1:{receiver.port} failed (UNAUTHENTICATED: who?); 2 spans" in line


def test_the_end_tells_why(caplog: pytest.LogCaptureFixture) -> None:
    """What is given up at the end has one line: how much, and why the last attempt failed."""
    with started(refusing_port()) as exporter:
        exporter.export(a_batch(3), in_s(5))
        assert not exporter.shutdown(in_s(1))
        assert ExporterStatistics(dropped_spans=3, export_failures=1) == exporter.statistics()
    (line,) = caplog.messages
    assert "Connection refused" in line
    assert line.endswith("3 spans dropped so far")


def test_the_end_tells_of_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    """The same where nobody has answered by then."""
    with black_hole() as port, started(port) as exporter:
        exporter.export(a_batch(3), in_s(5))
        assert not exporter.shutdown(in_s(0.2))
    (line,) = caplog.messages
    assert line.endswith("(no answer by the end of the session); 3 spans dropped so far")


def test_fault_of_our_own(receiver: ScriptedReceiver) -> None:
    """A batch that cannot be encoded is counted as dropped; the senders go on."""
    broken = a_batch(2)
    broken.rows[0] = 77  # no such template
    with started(receiver.port) as exporter:
        exporter.export(broken, in_s(5))
        assert not exporter.flush(in_s(10))
        assert 2 == exporter.statistics().dropped_spans
        exporter.export(a_batch(3), in_s(5))
        assert exporter.flush(in_s(10))
        assert 3 == exporter.statistics().exported_spans


def test_own_calls_are_not_traced(
    receiver: ScriptedReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An instrumentation of gRPC in the same process is asked not to trace the exporter."""
    seen: list[object] = []
    send = GrpcClient.send

    def watched(
        client: GrpcClient, request: bytes, timeout_s: float, headers: Mapping[str, str]
    ) -> Outcome:
        seen.append(context.get_value(context._SUPPRESS_INSTRUMENTATION_KEY))
        return send(client, request, timeout_s, headers)

    monkeypatch.setattr(GrpcClient, "send", watched)
    with started(receiver.port) as exporter:
        exporter.export(a_batch(1), in_s(5))
        assert exporter.flush(in_s(10))
    assert [True] == seen


def test_wrong_header(receiver: ScriptedReceiver, caplog: pytest.LogCaptureFixture) -> None:
    """A header that gRPC does not accept is a failure like any other, and is not repeated."""
    headers = {"bad header": "x", "authorization": "sesame"}
    with (
        caplog.at_level(logging.DEBUG, "aperf"),
        started(receiver.port, headers=headers) as exporter,
    ):
        exporter.export(a_batch(3), in_s(5))
        assert not exporter.flush(in_s(10))
        assert ExporterStatistics(dropped_spans=3, export_failures=1) == exporter.statistics()
    assert "Invalid metadata" in caplog.text
    assert "sesame" not in caplog.text


# ---------------------------------------------------------------------------------- endpoints


@pytest.mark.parametrize(
    ("endpoint", "insecure", "expected"),
    [
        ("http://localhost:4317", None, ("localhost:4317", True)),
        ("http://localhost:4317", False, ("localhost:4317", True)),
        ("https://example.org:4317", True, ("example.org:4317", False)),
        ("http://[::1]:4317/ignored", None, ("[::1]:4317", True)),
        ("localhost:4317", None, ("localhost:4317", False)),
        ("localhost:4317", True, ("localhost:4317", True)),
        ("unix:/run/otel.sock", True, ("unix:/run/otel.sock", True)),
        ("dns:///example.org:4317", False, ("dns:///example.org:4317", False)),
    ],
)
def test_endpoints(endpoint: str, insecure: bool | None, expected: tuple[str, bool]) -> None:
    """The scheme decides on TLS; where there is none, `insecure` does."""
    assert expected == target_of(endpoint, insecure)


def server_credentials(*, mutual: bool) -> grpc.ServerCredentials:
    """Return what a server on localhost needs for TLS."""
    key = (certificates() / "localhost.key").read_bytes()
    certificate = (certificates() / "localhost.pem").read_bytes()
    return grpc.ssl_server_credentials([(key, certificate)], certificate, mutual)


@pytest.mark.parametrize("mutual", [False, True])
def test_tls(mutual: bool) -> None:
    """With the right certificates spans travel encrypted, the client's identity proven if asked."""
    certificate, key = (str(certificates() / f"localhost.{kind}") for kind in ("pem", "key"))
    client = {"client_key": key, "client_certificate": certificate} if mutual else {}
    with scripted_receiver(credentials=server_credentials(mutual=mutual)) as receiver:
        endpoint = f"https://localhost:{receiver.port}"
        with started(endpoint, certificate=certificate, **client) as exporter:
            exporter.export(a_batch(2), in_s(5))
            assert exporter.flush(in_s(10))
    assert 2 == len(receiver.accepted)


def test_certificate_that_is_not_there() -> None:
    """A missing file is named when the session starts."""
    exporter = OtlpExporter("https://localhost:1", certificate="/missing.pem")
    with pytest.raises(ConfigurationError, match=r"certificate is '/missing\.pem'"):
        exporter.start(SESSION)


def test_gzip(receiver: ScriptedReceiver) -> None:
    """Compressed requests are understood."""
    with started(receiver.port, compression="gzip") as exporter:
        exporter.export(a_batch(10), in_s(5))
        assert exporter.flush(in_s(10))
    assert 10 == len(receiver.accepted)


def test_from_settings(receiver: ScriptedReceiver) -> None:
    """The settings read from the environment decide where it goes and how."""
    settings = OtlpSettings(
        endpoint=f"http://127.0.0.1:{receiver.port}", headers=(("tenant", "a"),), timeout_s=3
    )
    exporter = OtlpExporter.from_settings(settings)
    exporter.start(SESSION)
    exporter.export(a_batch(1), in_s(5))
    assert exporter.shutdown(in_s(10))
    assert "a" == receiver.requests[0].metadata["tenant"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"endpoint": ""}, "endpoint is empty"),
        ({"compression": "zip"}, "compression is 'zip'; none or gzip"),
        ({"timeout_s": 0}, "timeout_s is 0; more than 0"),
        ({"queue_spans": 0}, "queue_spans is 0; 1 or more"),
        ({"batch_spans": 0}, "batch_spans is 0; 1 to 4096"),
        ({"batch_spans": 4097}, "batch_spans is 4097; 1 to 4096"),
        ({"headers": "tenant=a"}, "headers is not accepted; use a mapping"),
        ({"headers": {"tenant": 3}}, "headers is not accepted; use a mapping"),
    ],
)
def test_bad_arguments(options: dict[str, Any], message: str) -> None:
    """A bad argument is refused with its name, its value and what is accepted."""
    with pytest.raises(ConfigurationError, match=message):
        OtlpExporter(**options)
