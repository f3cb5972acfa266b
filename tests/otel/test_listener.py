from __future__ import annotations

import asyncio
import os
import socket
import time
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.metrics.export import MetricsData
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from aperf._config import MetricsSettings, OtlpSettings
from aperf._errors import AperfError, ConfigurationError
from aperf.otel import MetricsExporter, MetricsListener
from aperf.otel._listener_address import Address, parse_address
from aperf.otel._listener_http import answer
from tests.metered import a_bit_of_everything, metered_session
from tests.scripted_receiver import wait_until
from tests.watched import run_plain

if TYPE_CHECKING:
    from collections.abc import Mapping

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TEXT = "text/plain; version=0.0.4; charset=utf-8"
#: What Prometheus 2 sends.
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


class Answer:
    """What a client got."""

    def __init__(
        self, port: int, method: str = "GET", path: str = "/metrics", accept: str | None = None
    ) -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=20)
        headers = {} if accept is None else {"Accept": accept}
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        self.status = response.status
        self.headers: Mapping[str, str] = dict(response.getheaders())
        self.text = response.read().decode()
        connection.close()

    @property
    def families(self) -> dict[str, Any]:
        """The metric families by name."""
        parse: Any = (
            parse_openmetrics if OPENMETRICS == self.headers["Content-Type"] else parse_text
        )
        return {family.name: family for family in parse(self.text)}


async def ask(port: int, **request: Any) -> Answer:
    """Ask without blocking the loop that is watched."""
    return await asyncio.to_thread(Answer, port, **request)


def nothing() -> MetricsData:
    """Collect nothing."""
    return MetricsData([])


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, TEXT), ("*/*", TEXT), ("text/plain", TEXT), ("application/json", TEXT),
        ("application/openmetrics-text", OPENMETRICS), (PROMETHEUS, OPENMETRICS),
        ("application/openmetrics-text;version=1.0.0;q=0.2,text/plain;q=0.9", TEXT),
        ("application/openmetrics-text;version=2.0.0", TEXT),
        ("application/openmetrics-text;q=nonsense", TEXT),
    ],
)  # fmt: skip
def test_a_scrape_shows_what_happened(accept: str | None, content_type: str) -> None:
    """Both formats are read back by Prometheus' parsers, with histograms, in the asked one."""

    async def main() -> Answer:
        exporter = MetricsExporter(application=False)
        async with metered_session(exporter) as session:
            listener = await exporter.listen("127.0.0.1:0")
            await ask(listener.port)  # from here on steps are counted too
            await a_bit_of_everything()
            assert await session.flush()
            return await ask(listener.port, accept=accept)

    answer = run_plain(main())
    assert (200, content_type) == (answer.status, answer.headers["Content-Type"])
    families = answer.families
    delay = families["asyncio_eventloop_delay_seconds"]
    samples = {s.name + s.labels.get("le", ""): s.value for s in delay.samples}
    assert "histogram" == delay.type
    assert 0 < samples["asyncio_eventloop_delay_seconds_bucket+Inf"]
    assert samples["asyncio_eventloop_delay_seconds_bucket+Inf"] == sum(
        s.value for s in delay.samples if s.name.endswith("_count")
    )
    created = families["asyncio_task_created"]
    assert "asyncio_task_created_total" == created.samples[0].name
    assert created.samples[0].value >= 6
    (memory,) = families["process_memory_usage_bytes"].samples
    assert memory.value > 1 << 20
    kinds = {s.labels["asyncio_wait_kind"] for s in families["asyncio_task_waits"].samples}
    assert "sleep" in kinds
    assert content_type != OPENMETRICS or answer.text.endswith("# EOF\n")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/metrics", 200), ("GET", "/metrics?name=x", 200), ("HEAD", "/metrics", 200),
        ("GET", "/", 404), ("HEAD", "/", 404), ("GET", "/metrics/", 404),
        ("POST", "/metrics", 405), ("DELETE", "/metrics", 405),
    ],
)  # fmt: skip
def test_requests_are_answered_as_http_asks(method: str, path: str, status: int) -> None:
    """Other paths are not found, other methods not allowed, and HEAD has no body."""

    async def main() -> Answer:
        async with MetricsListener(Address("127.0.0.1", 0), nothing) as listener:
            listener.begin()
            await listener.listening()
            return await ask(listener.port, method=method, path=path)

    answer = run_plain(main())
    assert status == answer.status
    assert (method == "HEAD") == (answer.text == "")
    assert int(answer.headers["Content-Length"]) > 0
    assert "close" == answer.headers["Connection"]
    assert (status == 405) == ("GET, HEAD" == answer.headers.get("Allow"))


def test_a_failing_collection_is_told() -> None:
    """Whoever scrapes learns that it failed, and why."""

    def fail() -> MetricsData:
        raise ValueError("as it should")

    head, _, body = answer(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", fail).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b"metrics cannot be collected: ValueError: as it should\n" == body


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /metrics SPDY/1\r\n\r\n", b"400"),
        (b"GET /metrics", b"400"),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", b"431"),
        (b"GET http://host/metrics HTTP/1.1\r\n\r\n", b"200"),
        (b"\xff\xfe\r\n\r\n", b"400"),
        (b"", b""),
    ],
)
def test_bad_requests_end_with_a_word(request_bytes: bytes, status: bytes) -> None:
    """What is no request, or far too long, is refused; the listener goes on."""

    async def main() -> bytes:
        async with MetricsListener(Address("127.0.0.1", 0), nothing) as listener:
            listener.begin()
            await listener.listening()
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            writer.write(request_bytes)
            writer.write_eof()
            response = await reader.read()
            writer.close()
            assert 200 == (await ask(listener.port)).status
            return response

    assert status == run_plain(main())[len(b"HTTP/1.1 ") :][:3]


def test_who_says_nothing_is_told_to_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection without a request does not stay open."""
    monkeypatch.setattr("aperf.otel._listener_server.TIMEOUT_S", 0.1)

    async def main() -> bytes:
        async with MetricsListener(Address("127.0.0.1", 0), nothing) as listener:
            listener.begin()
            await listener.listening()
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            response = await reader.read()
            writer.close()
            return response

    assert run_plain(main()).startswith(b"HTTP/1.1 408 ")


def test_too_many_connections_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit, connections are told to come back; those before are still served."""
    monkeypatch.setattr("aperf.otel._listener_server.MAX_CONNECTIONS", 1)

    async def main() -> tuple[int, bytes]:
        async with MetricsListener(Address("127.0.0.1", 0), nothing) as listener:
            listener.begin()
            await listener.listening()
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            writer.write(b"GET /metrics HTTP/1.1\r\n")
            await writer.drain()
            second = await ask(listener.port)
            writer.write(b"\r\n")
            first = await reader.read()
            writer.close()
            return second.status, first

    status, first = run_plain(main())
    assert 503 == status
    assert first.startswith(b"HTTP/1.1 200 ")


def test_a_stopped_listener_leaves_its_port() -> None:
    """After `stop` nobody listens, and the same port can be taken again at once."""

    async def main() -> None:
        exporter = MetricsExporter(application=False)
        async with metered_session(exporter):
            first = await exporter.listen("127.0.0.1:0")
            address = f"127.0.0.1:{first.port}"
            assert f"http://{address}/metrics" == first.url
            await first.stop()
            await first.stop()
            assert not first.is_listening
            with pytest.raises(ConnectionRefusedError):
                await ask(first.port)
            async with await exporter.listen(address) as second:
                assert 200 == (await ask(second.port)).status
            assert not second.is_listening

    run_plain(main())


def test_a_busy_port_is_an_error_with_a_word() -> None:
    """A port that somebody else has is a ConfigurationError, which names it."""

    async def main() -> None:
        exporter = MetricsExporter(application=False)
        async with metered_session(exporter):
            with socket.create_server(("127.0.0.1", 0)) as taken:
                address = f"127.0.0.1:{taken.getsockname()[1]}"
                with pytest.raises(ConfigurationError, match=f"cannot listen on {address}: "):
                    await exporter.listen(address)

    run_plain(main())


def test_the_listener_of_the_environment_begins_with_the_session() -> None:
    """It is there from the start, is what `listen` returns, and ends with the session."""

    async def main() -> MetricsListener:
        exporter = MetricsExporter(listen="127.0.0.1:0", application=False)
        async with metered_session(exporter):
            listener = await exporter.listen()
            assert listener is await exporter.listen()
            assert 200 == (await ask(listener.port)).status
        return listener

    assert not run_plain(main()).is_listening


def test_a_listener_that_cannot_begin_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """A bad or busy address of the environment is a line on stderr, and the session goes on."""

    async def main(address: str) -> None:
        async with metered_session(MetricsExporter(listen=address, application=False)):
            await a_bit_of_everything()

    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = f"127.0.0.1:{taken.getsockname()[1]}"
        run_plain(main(busy))
        run_plain(main("nowhere"))
    error = capsys.readouterr().err
    assert f"aperf: the metrics listener cannot listen on {busy}: " in error
    assert "aperf: metrics listen address is 'nowhere'; HOST:PORT, " in error


def test_without_an_address_there_is_no_listener() -> None:
    """Neither argument nor variable: the error says what to do."""

    async def main() -> None:
        exporter = MetricsExporter(application=False)
        async with metered_session(exporter):
            with pytest.raises(ConfigurationError, match="METRICS_LISTEN_ADDRESS"):
                await exporter.listen()

    run_plain(main())


def test_a_session_that_is_over_listens_nowhere() -> None:
    """Its listeners answer, and are off."""

    async def main() -> MetricsListener:
        exporter = MetricsExporter(application=False)
        async with metered_session(exporter):
            pass
        listener = await exporter.listen(":0")
        await listener.stop()
        return listener

    listener = run_plain(main())
    assert (0, "", False) == (listener.port, listener.url, listener.is_listening)
    assert "<aperf metrics listener, off>" == repr(listener)


def test_a_blocked_loop_can_still_be_scraped() -> None:
    """The listener answers while a step of the program takes long."""

    async def main() -> tuple[int, float]:
        exporter = MetricsExporter(application=False)
        async with metered_session(exporter):
            listener = await exporter.listen("127.0.0.1:0")
            scrape = asyncio.create_task(ask(listener.port))
            await asyncio.sleep(0)
            begin_s = time.monotonic()
            answered = Answer(listener.port)  # blocks this loop until it is answered
            await scrape
            return answered.status, time.monotonic() - begin_s

    status, took_s = run_plain(main())
    assert 200 == status
    assert took_s < 10


def test_a_forked_child_does_not_listen() -> None:
    """The child has neither the listener nor its port."""

    async def main() -> int:
        exporter = MetricsExporter(application=False)
        async with metered_session(exporter):
            listener = await exporter.listen("127.0.0.1:0")
            child = os.fork()
            if child == 0:
                os._exit(10 if listener.is_listening or listener.url else 0)
            status = await asyncio.to_thread(os.waitpid, child, 0)
            assert 200 == (await ask(listener.port)).status
            return os.waitstatus_to_exitcode(status[1])

    assert 0 == run_plain(main())


def test_all_interfaces_are_shown_as_this_host() -> None:
    """`:0` listens on all interfaces, and its url works here."""

    async def main() -> None:
        async with MetricsListener(parse_address(":0"), nothing) as listener:
            listener.begin()
            await listener.listening()
            assert f"http://127.0.0.1:{listener.port}/metrics" == listener.url
            assert 200 == (await ask(listener.port)).status

    run_plain(main())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (":9091", Address("", 9091)), (":0", Address("", 0)), ("[::1]:9091", Address("::1", 9091)),
        ("localhost:9091", Address("localhost", 9091)), (" 1.2.3.4:5 ", Address("1.2.3.4", 5)),
    ],
)  # fmt: skip
def test_addresses(text: str, expected: Address) -> None:
    """All usual forms are accepted, and written as they were."""
    assert expected == parse_address(text)
    assert text.strip() == str(expected)


@pytest.mark.parametrize(
    "text", ["", "9091", "host", ":http", "::1:9091", ":65536", ":-1", "a b:1", "[::1]", ":"]
)
def test_what_is_no_address(text: str) -> None:
    """Everything else is refused, with the value and what is accepted."""
    with pytest.raises(ConfigurationError) as error:
        parse_address(text)
    assert repr(text) in str(error.value)
    assert ":PORT" in str(error.value)


def test_a_number_is_no_address() -> None:
    """A port alone may be meant, but is not said as one."""
    port: Any = 9091
    with pytest.raises(ConfigurationError, match="is 9091; HOST:PORT"):
        parse_address(port)


def test_a_scrape_before_the_session_fails() -> None:
    """Without a session there is nothing to show, and that is an error."""
    with pytest.raises(AperfError, match="no session is open"):
        MetricsExporter()._scrape()


def test_a_bad_receiver_keeps_no_listener_from_serving(capsys: pytest.CaptureFixture[str]) -> None:
    """Of the two ways out, each begins whatever becomes of the other."""
    push = MetricsSettings(otlp=OtlpSettings(endpoint="ftp://x", protocol="http/protobuf"))

    async def main() -> int:
        exporter = MetricsExporter(push, "127.0.0.1:0", application=False)
        async with metered_session(exporter):
            return (await ask((await exporter.listen()).port)).status

    assert 200 == run_plain(main())
    assert "aperf: OTLP endpoint is 'ftp://x" in capsys.readouterr().err


def test_an_exporter_can_serve_a_second_session() -> None:
    """What ended with one session begins anew with the next."""
    exporter = MetricsExporter(listen="127.0.0.1:0", application=False)

    async def main() -> int:
        async with metered_session(exporter):
            return (await ask((await exporter.listen()).port)).status

    assert [200, 200] == [run_plain(main()), run_plain(main())]


def test_threads_end_with_their_listeners() -> None:
    """However many listeners there were, no thread of theirs stays."""

    async def main() -> list[MetricsListener]:
        exporter = MetricsExporter(application=False)
        async with metered_session(exporter):
            return [await exporter.listen("127.0.0.1:0") for _ in range(3)]

    listeners = run_plain(main())
    wait_until(lambda: not any(listener.is_listening for listener in listeners))
