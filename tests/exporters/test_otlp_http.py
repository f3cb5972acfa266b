"""The OTLP exporter against a real HTTP server that answers by script."""

from __future__ import annotations

import logging
import socket
import struct
import threading
import time
from email.utils import formatdate
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from google.rpc.status_pb2 import Status

from aperf._config import OtlpSettings
from aperf._errors import ConfigurationError
from aperf.exporters._otlp_client import Verdict, connect
from aperf.exporters.otlp import OtlpExporter
from aperf.model import ExporterStatistics
from tests.otlp_batches import SESSION, a_batch, in_s
from tests.otlp_batches import started as started_for
from tests.scripted_http_receiver import (
    PROTOBUF,
    HttpAnswer,
    ScriptedHttpReceiver,
    partly,
    scripted_http_receiver,
    server_tls,
)
from tests.scripted_receiver import (
    black_hole,
    certificates,
    refusing_port,
    scripted_receiver,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

REFUSALS = (400, 401, 403, 404, 405, 408, 415, 500, 501, 505)
REDIRECTS = (301, 302, 303, 307, 308)


def started(endpoint: str | int, **options: Any) -> AbstractContextManager[OtlpExporter]:
    """Run an exporter that speaks HTTP; a number is a port of this machine."""
    return started_for(endpoint, protocol="http/protobuf", **options)


def addresses_are(monkeypatch: pytest.MonkeyPatch, *ports: int) -> None:
    """Let every name stand for these ports of this machine."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


@pytest.fixture
def receiver() -> Iterator[ScriptedHttpReceiver]:
    """A receiver that takes everything until its script says otherwise."""
    with scripted_http_receiver() as running:
        yield running


# ---------------------------------------------------------------------------------- delivery


def test_delivers(receiver: ScriptedHttpReceiver) -> None:
    """What was exported has arrived when flush says so, at the path and in the form of OTLP."""
    with started(receiver.port) as exporter:
        exporter.export(a_batch(3), in_s(5))
        assert exporter.flush(in_s(10))
        assert [1, 2, 3] == [int.from_bytes(span.span_id, "big") for span in receiver.accepted]
        assert ExporterStatistics(exported_spans=3) == exporter.statistics()
    (request,) = receiver.requests
    assert "/v1/traces" == request.path
    assert "application/x-protobuf" == request.headers["content-type"]
    assert f"127.0.0.1:{receiver.port}" == request.headers["host"]
    assert "aperf/1.2" == request.headers["user-agent"]
    assert not {"content-encoding", "authorization"} & request.headers.keys()


def test_same_bytes_as_grpc(receiver: ScriptedHttpReceiver) -> None:
    """Both ways carry the same message."""
    with scripted_receiver() as grpc_receiver:
        for exporter in (started(receiver.port), started_for(grpc_receiver.port)):
            with exporter as running:
                running.export(a_batch(3), in_s(5))
                assert running.flush(in_s(10))
        (over_http,), (over_grpc,) = receiver.requests, grpc_receiver.requests
        assert over_grpc.message == type(over_grpc.message).FromString(over_http.body)


def test_headers(receiver: ScriptedHttpReceiver) -> None:
    """The user's headers travel too, and may replace all but the content type."""
    headers = {"X-Api-Key": "secret", "User-Agent": "shop", "Content-Type": "text/html"}
    with started(receiver.port, headers=headers) as exporter:
        exporter.export(a_batch(1), in_s(5))
        assert exporter.flush(in_s(10))
    received = receiver.requests[0].headers
    assert ("secret", "shop") == (received["x-api-key"], received["user-agent"])
    assert "application/x-protobuf" == received["content-type"]


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("", "/v1/traces"),
        ("/", "/"),
        ("/otlp/v1/traces", "/otlp/v1/traces"),
        ("/otlp?tenant=a%20b", "/otlp?tenant=a%20b"),
        ("/ü", "/%C3%BC"),
    ],
)
def test_path(receiver: ScriptedHttpReceiver, path: str, target: str) -> None:
    """The endpoint is the whole URL; only one without any path gets that of OTLP."""
    with started(f"http://127.0.0.1:{receiver.port}{path}") as exporter:
        exporter.export(a_batch(1), in_s(5))
        assert exporter.flush(in_s(10))
    assert target == receiver.requests[0].path


def test_name_and_password(
    receiver: ScriptedHttpReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    """Those in the URL become a header, and are shown nowhere."""
    receiver.script += [HttpAnswer(status=401)]
    with (
        caplog.at_level(logging.DEBUG, "aperf"),
        started(f"http://me:s%40same@127.0.0.1:{receiver.port}") as exporter,
    ):
        exporter.export(a_batch(1), in_s(5))
        assert not exporter.flush(in_s(10))
        assert "s%40same" not in repr(exporter) + caplog.text
    assert "Basic bWU6c0BzYW1l" == receiver.requests[0].headers["authorization"]


def test_gzip(receiver: ScriptedHttpReceiver) -> None:
    """Compressed requests say so and are understood."""
    with started(receiver.port, compression="gzip") as exporter:
        exporter.export(a_batch(1000), in_s(5))
        assert exporter.flush(in_s(10))
    (request,) = receiver.requests
    assert 1000 == len(receiver.accepted)
    assert "gzip" == request.headers["content-encoding"]
    assert int(request.headers["content-length"]) < len(request.body) / 4


def test_connection_is_kept(receiver: ScriptedHttpReceiver) -> None:
    """Requests that follow each other share a connection, whatever the answers were."""
    receiver.script += [HttpAnswer(), HttpAnswer(status=400, body=b"no"), partly(1, "one less")]
    with started(receiver.port) as exporter:
        for _ in range(5):
            exporter.export(a_batch(2), in_s(5))
            exporter.flush(in_s(10))
    assert 5 == len(receiver.requests)
    assert 1 == len({request.peer for request in receiver.requests})


def test_kept_connection_that_was_closed(receiver: ScriptedHttpReceiver) -> None:
    """A receiver that has hung up meanwhile costs neither spans nor an attempt."""
    with started(receiver.port) as exporter:
        for _ in range(3):
            exporter.export(a_batch(2), in_s(5))
            assert exporter.flush(in_s(10))
            receiver.hang_up()
    assert 3 == len(receiver.requests) == len({request.peer for request in receiver.requests})
    assert 6 == len(receiver.accepted)


def test_answer_that_ends_the_connection(receiver: ScriptedHttpReceiver) -> None:
    """Where the receiver asks for it, the next request opens a new connection."""
    receiver.script += [HttpAnswer(headers={"Connection": "close"})] * 2
    with started(receiver.port) as exporter:
        for _ in range(3):
            exporter.export(a_batch(1), in_s(5))
            assert exporter.flush(in_s(10))
    assert 3 == len({request.peer for request in receiver.requests})


def test_large_batches(receiver: ScriptedHttpReceiver) -> None:
    """A large batch leaves in requests of at most 4096 spans, over two connections."""
    receiver.script += [HttpAnswer(delay_s=0.2)] * 6
    with started(receiver.port) as exporter:
        exporter.export(a_batch(20_000), in_s(5))
        assert exporter.flush(in_s(30))
    assert 20_000 == len(receiver.accepted)
    assert 4096 == max(len(request.spans) for request in receiver.requests)
    assert 2 == len({request.peer for request in receiver.requests})


# ---------------------------------------------------------------------------------- answers


@pytest.mark.parametrize("status", [200, 202, 204])
def test_success(receiver: ScriptedHttpReceiver, status: int) -> None:
    """Each success is one."""
    receiver.script += [HttpAnswer(status=status)]
    with started(receiver.port) as exporter:
        exporter.export(a_batch(3), in_s(5))
        assert exporter.flush(in_s(10))
        assert ExporterStatistics(exported_spans=3) == exporter.statistics()


@pytest.mark.parametrize(
    "answer",
    [
        HttpAnswer(body=b"<html>fine</html>", headers={"Content-Type": "text/html"}),
        HttpAnswer(body=b"\xff\xff\xff", headers=PROTOBUF),
        HttpAnswer(body=b"{}", headers={"Content-Type": "application/json"}),
        HttpAnswer(body=b"x" * (3 << 20)),
        HttpAnswer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly so much"),
        HttpAnswer(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n"),
        HttpAnswer(raw=b"HTTP/1.0 200\r\n\r\n"),
        HttpAnswer(raw=b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 Fine\r\n\r\n"),
    ],
    ids=["html", "garbage", "json", "endless", "cut", "bad chunks", "1.0", "continue"],
)
def test_success_with_odd_body(receiver: ScriptedHttpReceiver, answer: HttpAnswer) -> None:
    """The status says that the request was taken; what follows cannot take that back."""
    receiver.script += [answer]
    with started(receiver.port) as exporter:
        for _ in range(2):
            exporter.export(a_batch(3), in_s(5))
            assert exporter.flush(in_s(30))
        assert ExporterStatistics(exported_spans=6) == exporter.statistics()


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_retries(receiver: ScriptedHttpReceiver, status: int) -> None:
    """What the specification calls retryable is sent again until it is taken."""
    receiver.script += [HttpAnswer(status=status)] * 2
    with started(receiver.port) as exporter:
        exporter.export(a_batch(3), in_s(5))
        assert exporter.flush(in_s(10))
        assert ExporterStatistics(exported_spans=3) == exporter.statistics()
    first, *others = receiver.requests
    assert [first.body] * 2 == [request.body for request in others]


@pytest.mark.parametrize("status", [*REFUSALS, *REDIRECTS])
def test_refusals(receiver: ScriptedHttpReceiver, status: int) -> None:
    """Anything else is final: dropped, counted, and flush says so; redirects are not followed."""
    elsewhere = f"http://127.0.0.1:{receiver.port}/elsewhere"
    receiver.script += [HttpAnswer(status=status, headers={"Location": elsewhere})]
    with started(receiver.port) as exporter:
        exporter.export(a_batch(3), in_s(5))
        assert not exporter.flush(in_s(10))
        assert ExporterStatistics(dropped_spans=3, export_failures=1) == exporter.statistics()
        exporter.export(a_batch(2), in_s(5))
        assert exporter.flush(in_s(10))  # what came later was delivered
        assert 2 == exporter.statistics().exported_spans
    assert ["/v1/traces"] * 2 == [request.path for request in receiver.requests]


def test_back_off_grows(receiver: ScriptedHttpReceiver) -> None:
    """While nobody waits, each pause is longer than the one before."""
    receiver.script += [HttpAnswer(status=503)] * 3
    with started(receiver.port) as exporter:
        exporter.export(a_batch(1), in_s(5))
        wait_until(lambda: receiver.accepted)
    times = [request.time_s for request in receiver.requests]
    first, second, third = (after - before for before, after in pairwise(times))
    assert 0.1 < first < second < third


@pytest.mark.parametrize("as_date", [False, True], ids=["seconds", "date"])
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after(receiver: ScriptedHttpReceiver, status: int, as_date: bool) -> None:
    """A delay that the receiver asks for is kept, even when somebody waits."""
    # A date has whole seconds: 2 from now is between 1 and 2 away.
    text = formatdate(time.time() + 2, usegmt=True) if as_date else "1"
    receiver.script += [HttpAnswer(status=status, headers={"Retry-After": text})]
    with started(receiver.port) as exporter:
        exporter.export(a_batch(1), in_s(5))
        assert exporter.flush(in_s(10))
    first, second = receiver.requests
    assert second.time_s - first.time_s >= 0.9


@pytest.mark.parametrize(
    "text", ["", "soon", "-1", "1.5", "٣", formatdate(0, usegmt=True), "Thu, 99 Foo 2020"]
)
def test_retry_after_nothing(receiver: ScriptedHttpReceiver, text: str) -> None:
    """A delay that is none, or over, does not stop the next attempt."""
    raw = f"HTTP/1.1 503 Busy\r\nRetry-After: {text}\r\nContent-Length: 0\r\n\r\n"
    receiver.script += [HttpAnswer(raw=raw.encode())]
    with started(receiver.port) as exporter:
        exporter.export(a_batch(1), in_s(5))
        assert exporter.flush(in_s(10))
    first, second = receiver.requests
    assert second.time_s - first.time_s < 0.9


@pytest.mark.parametrize("text", ["3600", "9" * 5000, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_retry_after_too_long(receiver: ScriptedHttpReceiver, text: str) -> None:
    """Who asks for more patience than a request has gets nothing, and at once."""
    receiver.script += [HttpAnswer(status=429, headers={"Retry-After": text})]
    with started(receiver.port) as exporter:
        exporter.export(a_batch(2), in_s(5))
        assert not exporter.flush(in_s(5))
        assert ExporterStatistics(dropped_spans=2, export_failures=1) == exporter.statistics()


@pytest.mark.parametrize("unread", [False, True], ids=["read", "unread"])
def test_too_large(receiver: ScriptedHttpReceiver, unread: bool) -> None:
    """413 means "too much at once", also in the middle of the request: halves are sent, once."""
    receiver.script += [HttpAnswer(status=413, unread=unread)]
    with started(receiver.port) as exporter:
        exporter.export(a_batch(4001), in_s(5))
        assert exporter.flush(in_s(10))
        assert [2001, 2000] == [len(request.spans) for request in receiver.requests[-2:]]
        assert ExporterStatistics(exported_spans=4001) == exporter.statistics()


def test_partial_success(receiver: ScriptedHttpReceiver, caplog: pytest.LogCaptureFixture) -> None:
    """Rejected spans are counted as dropped and told, and the request is not sent again."""
    receiver.script += [partly(2, "too old")]
    with caplog.at_level(logging.DEBUG, "aperf"), started(receiver.port) as exporter:
        exporter.export(a_batch(5), in_s(5))
        assert not exporter.flush(in_s(10))
        assert ExporterStatistics(exported_spans=3, dropped_spans=2) == exporter.statistics()
    assert 1 == len(receiver.requests)
    assert "2 spans rejected: too old" in caplog.text


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (HttpAnswer(status=404), "HTTP 404 Not Found"),
        (
            HttpAnswer(
                status=400,
                headers=PROTOBUF,
                body=Status(code=3, message="bad\nspan").SerializeToString(),
            ),
            "HTTP 400 Bad Request: bad span",
        ),
        (
            HttpAnswer(
                status=401, headers={"Content-Type": "text/plain; charset=x"}, body=b"who? \x1b[0m"
            ),
            "HTTP 401 Unauthorized: who? [0m",
        ),
        (HttpAnswer(status=500, headers=PROTOBUF, body=b"\xff"), "HTTP 500 Internal Server Error"),
        (HttpAnswer(status=307), "HTTP 307 Temporary Redirect: redirects are not followed"),
        (
            HttpAnswer(raw=b"\0\0\6\4\0"),
            "the answer is not HTTP/1.1; it may be a port for gRPC",
        ),
    ],
    ids=["bare", "status", "text", "garbage", "redirect", "not HTTP"],
)
def test_warning(
    receiver: ScriptedHttpReceiver,
    caplog: pytest.LogCaptureFixture,
    answer: HttpAnswer,
    reason: str,
) -> None:
    """The line about a failure says what the receiver said, fit for a terminal."""
    receiver.script += [answer]
    with caplog.at_level(logging.DEBUG, "aperf"), started(receiver.port) as exporter:
        exporter.export(a_batch(2), in_s(5))
        assert not exporter.flush(in_s(5))
    (line,) = [record.getMessage() for record in caplog.records]
    assert f"127.0.0.1:{receiver.port} failed ({reason}); 2 spans dropped so far" in line


def test_grpc_port(caplog: pytest.LogCaptureFixture) -> None:
    """Spans for the port of gRPC are lost openly."""
    with (
        scripted_receiver() as receiver,
        caplog.at_level(logging.DEBUG, "aperf"),
        started(receiver.port, timeout_s=1) as exporter,
    ):
        exporter.export(a_batch(2), in_s(5))
        assert not exporter.flush(in_s(5))
        assert ExporterStatistics(dropped_spans=2, export_failures=1) == exporter.statistics()
    assert 1 == len(caplog.records)


# ---------------------------------------------------------------------------------- bad peers


def test_reset(receiver: ScriptedHttpReceiver) -> None:
    """A connection that is torn down is no answer: the request is sent again."""
    receiver.script += [HttpAnswer(reset=True)] * 2
    with started(receiver.port) as exporter:
        exporter.export(a_batch(3), in_s(5))
        assert exporter.flush(in_s(10))
    assert (3, 3) == (len(receiver.requests), len(receiver.accepted))


def test_receiver_that_comes_later() -> None:
    """Spans wait for a receiver that is being restarted."""
    port = refusing_port()
    with started(port) as exporter:
        exporter.export(a_batch(3), in_s(5))
        assert not exporter.flush(in_s(0.5))
        with scripted_http_receiver(port=port) as receiver:
            assert exporter.flush(in_s(9))
            assert 3 == len(receiver.accepted)


@pytest.mark.parametrize("peer", ["refusing", "black hole", "slow", "dripping"])
def test_deadlines_and_truth(peer: str) -> None:
    """Whatever the peer does: flush and shutdown end in time and say that nothing arrived."""
    dripping = HttpAnswer(raw=b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000, pause_s=0.1)
    answers = [dripping if peer == "dripping" else HttpAnswer(delay_s=3, status=500)] * 9
    with black_hole() as hole, scripted_http_receiver(*answers) as receiver:
        port = {"refusing": refusing_port(), "black hole": hole}.get(peer, receiver.port)
        with started(port) as tested:
            tested.export(a_batch(5000), in_s(5))
            for finish in (tested.flush, tested.shutdown):
                before_s = time.monotonic()
                assert not finish(in_s(0.8))
                assert time.monotonic() - before_s < 1.6
            assert (0, 5000) == tested.statistics()[:2]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_timeout_of_a_request(scheme: str) -> None:
    """A request that stays unanswered is given up after `timeout_s`, and the next one is tried."""
    with black_hole() as port, started(f"{scheme}://127.0.0.1:{port}", timeout_s=0.3) as exporter:
        exporter.export(a_batch(2), in_s(5))
        wait_until(lambda: exporter.statistics().dropped_spans == 2, 5)
        assert 1 == exporter.statistics().export_failures


def test_timeout_of_a_dripping_answer(receiver: ScriptedHttpReceiver) -> None:
    """The deadline is that of the whole answer, not of the next byte."""
    receiver.script += [HttpAnswer(raw=b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000, pause_s=0.05)]
    with started(receiver.port, timeout_s=0.5) as exporter:
        before_s = time.monotonic()
        exporter.export(a_batch(2), in_s(5))
        wait_until(lambda: exporter.statistics().dropped_spans == 2, 5)
        assert time.monotonic() - before_s < 2


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_shutdown_cancels(scheme: str) -> None:
    """A call under way is cancelled: the end does not take as long as the request could."""
    with black_hole() as port, started(f"{scheme}://127.0.0.1:{port}", timeout_s=60) as exporter:
        exporter.export(a_batch(2), in_s(5))
        assert not exporter.flush(in_s(0.3))
        delivery = exporter._delivery
        assert delivery is not None
        assert not exporter.shutdown(in_s(-1))
        wait_until(lambda: not any(thread.is_alive() for thread in delivery._threads), 5)


def test_host_with_a_dead_address(
    receiver: ScriptedHttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a host has several addresses, one that is dead leaves time for the others."""
    addresses_are(monkeypatch, refusing_port(), receiver.port)
    with started("http://collector:4318") as exporter:
        exporter.export(a_batch(2), in_s(5))
        assert exporter.flush(in_s(5))
    assert 1 == len(receiver.requests)


def test_unknown_host(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A name that nobody knows, perhaps only yet, is tried again, and told in the end."""

    def fail(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with (
        caplog.at_level(logging.DEBUG, "aperf"),
        started("http://collector:4318", timeout_s=0.5) as exporter,
    ):
        exporter.export(a_batch(2), in_s(5))
        wait_until(lambda: exporter.statistics().dropped_spans == 2, 5)
    assert "collector:4318 failed (Name or service not known)" in caplog.text


@pytest.mark.parametrize("value", ["line\r\nbreak: x", "\u20ac"])
def test_wrong_header(
    receiver: ScriptedHttpReceiver, caplog: pytest.LogCaptureFixture, value: str
) -> None:
    """A header that HTTP cannot carry is a failure like any other, and is not repeated."""
    with (
        caplog.at_level(logging.DEBUG, "aperf"),
        started(receiver.port, headers={"x": f"secret{value}"}) as exporter,
    ):
        exporter.export(a_batch(3), in_s(5))
        assert not exporter.flush(in_s(10))
        assert ExporterStatistics(dropped_spans=3, export_failures=1) == exporter.statistics()
    assert "a header cannot be sent" in caplog.text
    assert "secret" not in caplog.text


# ---------------------------------------------------------------------------------- TLS


@pytest.mark.parametrize("mutual", [False, True])
def test_tls(mutual: bool) -> None:
    """With the right certificates spans travel encrypted, the client's identity proven if asked."""
    certificate, key = (str(certificates() / f"localhost.{kind}") for kind in ("pem", "key"))
    client = {"client_key": key, "client_certificate": certificate} if mutual else {}
    with scripted_http_receiver(tls=server_tls(mutual=mutual)) as receiver:
        endpoint = f"https://localhost:{receiver.port}"
        with started(endpoint, certificate=certificate, **client) as exporter:
            for _ in range(2):
                exporter.export(a_batch(5000), in_s(5))
                assert exporter.flush(in_s(10))
    assert 10_000 == len(receiver.accepted)
    assert len({request.peer for request in receiver.requests}) <= 2


@pytest.mark.parametrize("trusted", [False, True], ids=["unknown authority", "no certificate"])
def test_tls_refused(trusted: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Whom one side does not trust gets nothing, and the line says why."""
    certificate = str(certificates() / "localhost.pem") if trusted else None
    with (
        scripted_http_receiver(tls=server_tls(mutual=trusted)) as receiver,
        caplog.at_level(logging.DEBUG, "aperf"),
        started(
            f"https://localhost:{receiver.port}", certificate=certificate, timeout_s=0.6
        ) as exporter,
    ):
        exporter.export(a_batch(2), in_s(5))
        assert not exporter.flush(in_s(5))
        assert ExporterStatistics(dropped_spans=2, export_failures=1) == exporter.statistics()
    assert not receiver.accepted
    (record,) = caplog.records
    if not trusted:
        assert "certificate not accepted: self-signed certificate" in record.getMessage()


def test_tls_checks_the_name(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A certificate for another name is not accepted."""
    certificate = str(certificates() / "localhost.pem")
    with scripted_http_receiver(tls=server_tls(mutual=False)) as receiver:
        addresses_are(monkeypatch, receiver.port)
        with (
            caplog.at_level(logging.DEBUG, "aperf"),
            started("https://collector", certificate=certificate) as exporter,
        ):
            exporter.export(a_batch(2), in_s(5))
            assert not exporter.flush(in_s(5))
    assert not receiver.accepted
    assert "certificate not accepted: Hostname mismatch" in caplog.text


@pytest.mark.parametrize("field", ["certificate", "client_key", "client_certificate"])
def test_files_that_cannot_be_used(field: str, tmp_path: Path) -> None:
    """A file that is missing or no PEM is named when the session starts."""
    files = {
        "certificate": str(certificates() / "localhost.pem"),
        "client_key": str(certificates() / "localhost.key"),
        "client_certificate": str(certificates() / "localhost.pem"),
    }
    bad = tmp_path / "bad.pem"
    bad.write_text("nonsense")
    for path, message in (("/missing.pem", rf"{field} is '/missing\.pem'"), (str(bad), str(bad))):
        options: dict[str, Any] = files | {field: path}
        exporter = OtlpExporter("https://localhost:1", protocol="http/protobuf", **options)
        with pytest.raises(ConfigurationError, match=message):
            exporter.start(SESSION)


# ---------------------------------------------------------------------------------- arguments


def test_defaults() -> None:
    """Without an endpoint HTTP goes to the port and path that OpenTelemetry's default says."""
    exporter = OtlpExporter(protocol="http/protobuf")
    assert "<OtlpExporter http://localhost:4318/v1/traces>" == repr(exporter)


def test_from_settings(receiver: ScriptedHttpReceiver) -> None:
    """The settings read from the environment decide where it goes and how."""
    settings = OtlpSettings(
        protocol="http/protobuf",
        endpoint=f"http://127.0.0.1:{receiver.port}/there",
        headers=(("tenant", "a"),),
        compression="gzip",
    )
    exporter = OtlpExporter.from_settings(settings)
    exporter.start(SESSION)
    exporter.export(a_batch(1), in_s(5))
    assert exporter.shutdown(in_s(10))
    (request,) = receiver.requests
    assert ("/there", "a") == (request.path, request.headers["tenant"])


@pytest.mark.parametrize(
    "endpoint", ["collector:4318", "unix:///run/otlp.sock", "http://", "http://a:b", "http://a..b"]
)
def test_endpoint_that_is_no_url(endpoint: str) -> None:
    """What only gRPC understands, or nobody, is refused when the session starts."""
    exporter = OtlpExporter(endpoint, protocol="http/protobuf")
    with pytest.raises(ConfigurationError, match="http://HOST:PORT or https://HOST:PORT"):
        exporter.start(SESSION)


def test_unknown_protocol() -> None:
    """A protocol that there is not is refused with those that there are."""
    protocol: Any = "http/json"
    with pytest.raises(ConfigurationError, match="'http/json'; grpc or http/protobuf is accepted"):
        OtlpExporter(protocol=protocol)


def test_reset_in_the_middle_of_the_handshake() -> None:
    """A peer that resets before there is a connection is one to be tried again."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def reset() -> None:
            peer, _ = listener.accept()
            peer.recv(1)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()

        thread = threading.Thread(target=reset)
        thread.start()
        settings = OtlpSettings(
            protocol="http/protobuf",
            endpoint=f"https://127.0.0.1:{listener.getsockname()[1]}",
            insecure=False,
        )
        client = connect(settings, "aperf/test")
        try:
            outcome = client.send(b"", 20, {})
        finally:
            client.close()
            thread.join(20)
    assert Verdict.RETRY is outcome.verdict
