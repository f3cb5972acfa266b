"""Tokens for OTLP, asked for before each request, over gRPC and HTTP alike."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from aperf._errors import ConfigurationError
from aperf.exporters.otlp import OtlpExporter
from aperf.model import ExporterStatistics
from tests.otlp_batches import a_batch, in_s, started
from tests.scripted_http_receiver import HttpAnswer, scripted_http_receiver
from tests.scripted_receiver import Answer, scripted_receiver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRET = "sesame"

pytestmark = pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])


class Provider:
    """Gives one token after the other; what is an exception is raised."""

    def __init__(self, *tokens: object) -> None:
        self._tokens = list(tokens)
        self.threads: set[str] = set()

    def __call__(self) -> Any:
        self.threads.add(threading.current_thread().name)
        token = self._tokens.pop(0)
        if isinstance(token, Exception):
            raise token
        return token


async def coroutine() -> str:
    """Return a token too late."""
    return SECRET


@contextmanager
def sending(
    protocol: str, *failures: str, **options: Any
) -> Iterator[tuple[Callable[[], bool], Callable[[], list[object]]]]:
    """Run exporter and receiver.

    Args:
        protocol: of both.
        failures: what the receiver says to the first requests: "again" or "no", with an echo of
            the token.
        **options: of the exporter.

    Yields:
        How to send a span, and how to see the ``authorization`` of the requests that arrived.
    """
    receiver: Any
    with scripted_receiver() as grpc_receiver, scripted_http_receiver() as http_receiver:
        text = f"who is {SECRET}?"
        if protocol == "grpc":
            receiver = grpc_receiver
            codes = {"again": grpc.StatusCode.UNAVAILABLE, "no": grpc.StatusCode.UNAUTHENTICATED}
            receiver.script += [Answer(code=codes[word], message=text) for word in failures]
        else:
            receiver = http_receiver
            plain = {"Content-Type": "text/plain"}
            receiver.script += [
                HttpAnswer(
                    status={"again": 503, "no": 401}[word], headers=plain, body=text.encode()
                )
                for word in failures
            ]
        with started(receiver.port, protocol=protocol, **options) as exporter:

            def send() -> bool:
                exporter.export(a_batch(1), in_s(5))
                return exporter.flush(in_s(10))

            def seen() -> list[object]:
                if protocol == "grpc":
                    return [each.metadata.get("authorization") for each in receiver.requests]
                return [each.headers.get("authorization") for each in receiver.requests]

            yield send, seen


def test_token_for_each_request(protocol: str) -> None:
    """Every request has the token of its moment, fetched by a thread that may wait for it."""
    provider = Provider("one", "two", None, "three")
    headers = {"Authorization": "Basic x", "Other": "y"}
    with sending(protocol, token_provider=provider, headers=headers) as (send, seen):
        assert all(send() for _ in range(4))
        assert ["Bearer one", "Bearer two", "Basic x", "Bearer three"] == seen()
    assert provider.threads <= {"aperf-otlp-0", "aperf-otlp-1"}


def test_retry_has_a_new_token(protocol: str) -> None:
    """Who is asked to come again may need another token by then."""
    with sending(protocol, "again", token_provider=Provider("old", "new")) as (send, seen):
        assert send()
        assert ["Bearer old", "Bearer new"] == seen()


def test_failing_provider(protocol: str, caplog: pytest.LogCaptureFixture) -> None:
    """The last token is used while the provider fails; each run of failures is one line."""
    error = RuntimeError(f"no answer to {SECRET}")
    provider = Provider(error, "one", error, error, error, "two", error)
    with (
        caplog.at_level(logging.DEBUG, "aperf"),
        sending(protocol, token_provider=provider) as (send, seen),
    ):
        assert all(send() for _ in range(7))
        assert [None, *["Bearer one"] * 4, *["Bearer two"] * 2] == seen()
    lines = [record.getMessage() for record in caplog.records]
    assert 3 == len(lines)
    assert "failed (RuntimeError); the requests go without one" in lines[0]
    assert "failed (RuntimeError); the last one is used" in lines[1]
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "bad", ["", f"{SECRET}\r\nx: y", f"{SECRET} x", f"{SECRET}\u20ac", SECRET.encode(), 5]
)
def test_token_that_is_none(protocol: str, bad: object, caplog: pytest.LogCaptureFixture) -> None:
    """What no header can carry counts as a failure of the provider, and is not repeated."""
    with (
        caplog.at_level(logging.DEBUG, "aperf"),
        sending(protocol, token_provider=Provider("good", bad)) as (send, seen),
    ):
        assert send()
        assert send()
        assert ["Bearer good", "Bearer good"] == seen()
    assert 1 == len(caplog.records)
    assert SECRET not in caplog.text


def test_token_in_an_answer(protocol: str, caplog: pytest.LogCaptureFixture) -> None:
    """A receiver that repeats the token does not bring it into the log."""
    with (
        caplog.at_level(logging.DEBUG, "aperf"),
        sending(protocol, "no", token_provider=Provider(SECRET)) as (send, _),
    ):
        assert not send()
    assert "who is ***?" in caplog.text
    assert SECRET not in caplog.text


def test_one_thread_at_a_time(protocol: str) -> None:
    """A provider need not be safe for threads."""
    entered = threading.Lock()
    overlaps: list[bool] = []

    def provider() -> str:
        overlaps.append(not entered.acquire(blocking=False))
        threading.Event().wait(0.02)
        entered.release()
        return "token"

    with scripted_receiver() as by_grpc, scripted_http_receiver() as by_http:
        port = by_grpc.port if protocol == "grpc" else by_http.port
        with started(port, protocol=protocol, token_provider=provider) as exporter:
            for _ in range(6):
                exporter.export(a_batch(1), in_s(5))
            assert exporter.flush(in_s(10))
    assert [False] * 6 == overlaps


def test_provider_that_never_answers(protocol: str) -> None:
    """Deadlines hold, and what could not be sent is counted."""
    release = threading.Event()

    def provider() -> str:
        release.wait(20)
        return "token"

    with started(1, protocol=protocol, token_provider=provider) as exporter:
        exporter.export(a_batch(3), in_s(5))
        assert not exporter.flush(in_s(0.2))
        assert not exporter.shutdown(in_s(0.2))
        assert ExporterStatistics(dropped_spans=3) == exporter.statistics()
        release.set()


@pytest.mark.parametrize("provider", [SECRET, coroutine], ids=["token", "coroutine function"])
def test_no_provider(protocol: str, provider: object) -> None:
    """A token, or what would have to be awaited, is refused, and not shown."""
    options: dict[str, Any] = {"protocol": protocol, "token_provider": provider}
    message = "token_provider is not accepted; use a function that returns the token"
    with pytest.raises(ConfigurationError, match=message) as caught:
        OtlpExporter(**options)
    assert SECRET not in str(caught.value)
