from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import grpc
import pytest
from opentelemetry.trace import SpanKind, StatusCode

from aperf.grpc import client_interceptors, server_interceptors
from aperf.otel._grpc_conventions import SERVER_ERRORS
from tests.grpc_service import (
    ARITIES,
    SERVICE,
    Telemetry,
    all_handlers,
    call,
    method,
    run,
    serving,
    waiting,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan

    from tests.grpc_service import Ended
    from tests.watched import LoopFactory

OK = grpc.StatusCode.OK
FAILURES = [code for code in grpc.StatusCode if code is not OK]
#: What the handler is asked to do, by what comes of it.
ENDINGS = {
    "success": {"": OK},
    "code set": {f"set {code.name}": code for code in FAILURES},
    "abort": {f"abort {code.name}": code for code in FAILURES},
    "raise": {
        f"raise {code.name}": grpc.StatusCode.UNKNOWN if code is OK else code
        for code in grpc.StatusCode
    },
}


@pytest.fixture(autouse=True)
def no_context_is_confused(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """OpenTelemetry never complains that a token is of another context."""
    caplog.set_level(logging.WARNING)
    yield
    assert not [record for record in caplog.records if "opentelemetry" in record.name]
    assert not [record for record in caplog.records if "aperf" in record.name]


def without_trace_id(ended: Ended) -> Ended:
    """Leave out the one thing that is added."""
    trailing = tuple(pair for pair in ended.trailing if pair[0] != "x-request-trace-id")
    return ended._replace(trailing=trailing)


def told(span: ReadableSpan) -> tuple[object, object, bool]:
    """Return code, kind of error and whether the span is in error."""
    attributes = span.attributes or {}
    code, error = attributes.get("rpc.grpc.status_code"), attributes.get("error.type")
    return code, error, span.status.status_code is StatusCode.ERROR


def expected(code: grpc.StatusCode, errors: object) -> tuple[object, object, bool]:
    """Return the same, of a code that is an error or not."""
    error = code is not OK and (errors is None or code in SERVER_ERRORS)
    return code.value[0], code.name if error else None, error


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("arity", ARITIES)
def test_every_ending(loop_factory: LoopFactory, arity: str, ending: str) -> None:
    """Clients see what they see without us; code, error and count are right on both sides."""
    telemetry, words = Telemetry(), ENDINGS[ending]

    async def main() -> None:
        async with serving(all_handlers()) as channel:
            plain = [await call(channel, arity, word) for word in words]
        async with serving(
            all_handlers(),
            server=server_interceptors(**telemetry.providers),
            client=client_interceptors(**telemetry.providers),
        ) as channel:
            observed = [await call(channel, arity, word) for word in words]
            await telemetry.until(spans=2 * len(words))
        assert plain == [without_trace_id(ended) for ended in observed]
        assert list(words.values()) == [ended.code for ended in observed]
        trace_ids = [dict(ended.trailing)["x-request-trace-id"] for ended in observed]
        assert trace_ids == [f"{s.context.trace_id:032x}" for s in telemetry.spans(SpanKind.SERVER)]

    run(loop_factory, main())
    codes = list(words.values())
    servers, clients = (telemetry.spans(kind) for kind in (SpanKind.SERVER, SpanKind.CLIENT))
    assert [expected(code, SERVER_ERRORS) for code in codes] == [told(span) for span in servers]
    assert [expected(code, None) for code in codes] == [told(span) for span in clients]
    counts = {code.value[0]: codes.count(code) for code in codes}
    assert {"server": counts, "client": counts} == {
        side: telemetry.ended(side) for side in ("server", "client")
    }
    assert (0, 0) == (telemetry.in_flight("server"), telemetry.in_flight("client"))
    for server, client in zip(servers, clients, strict=True):
        assert f"{SERVICE}/{arity}" == server.name == client.name
        assert server.parent is not None
        assert client.context.span_id == server.parent.span_id


@pytest.mark.parametrize("arity", ARITIES)
def test_deadline(loop_factory: LoopFactory, arity: str) -> None:
    """A call that takes too long ends once, as such, on both sides."""
    telemetry = Telemetry()

    async def main() -> None:
        async with serving(
            all_handlers(),
            server=server_interceptors(**telemetry.providers),
            client=client_interceptors(**telemetry.providers),
        ) as channel:
            ended = await call(channel, arity, "wait", timeout=0.2)
            assert grpc.StatusCode.DEADLINE_EXCEEDED == ended.code
            await telemetry.until(spans=2)

    run(loop_factory, main())
    late = expected(grpc.StatusCode.DEADLINE_EXCEEDED, None)
    spans = {span.kind.name: told(span) for span in telemetry.spans()}
    assert late == spans["CLIENT"]
    assert {4: 1} == telemetry.ended("client")
    # The client's deadline may pass a moment earlier; then the server sees that the client is gone.
    gone = grpc.StatusCode.CANCELLED.value[0]
    assert (spans["SERVER"], telemetry.ended("server")) in (
        (late, {4: 1}),
        ((gone, None, False), {gone: 1}),
    )
    assert (0, 0) == (telemetry.in_flight("server"), telemetry.in_flight("client"))


@pytest.mark.parametrize("arity", ARITIES)
def test_cancellation_of_the_call(loop_factory: LoopFactory, arity: str) -> None:
    """A call that the client cancels ends once, on both sides; it is no error of the server's."""
    telemetry = Telemetry()

    async def main() -> None:
        async with serving(
            all_handlers(),
            server=server_interceptors(**telemetry.providers),
            client=client_interceptors(**telemetry.providers),
        ) as channel:
            stream = arity.startswith("stream")
            ongoing = getattr(channel, arity)(method(arity))(iter([b"wait"]) if stream else b"wait")
            while telemetry.in_flight("server") == 0:
                await asyncio.sleep(0.01)
            assert (1, 1) == (telemetry.in_flight("server"), telemetry.in_flight("client"))
            assert ongoing.cancel()
            assert not ongoing.cancel()
            assert grpc.StatusCode.CANCELLED == await ongoing.code()
            await telemetry.until(spans=2)

    run(loop_factory, main())
    cancelled = grpc.StatusCode.CANCELLED
    assert expected(cancelled, None) == told(telemetry.the_span(SpanKind.CLIENT))
    assert expected(cancelled, SERVER_ERRORS) == told(telemetry.the_span(SpanKind.SERVER))
    assert {1: 1} == telemetry.ended("server") == telemetry.ended("client")
    assert (0, 0) == (telemetry.in_flight("server"), telemetry.in_flight("client"))


@pytest.mark.parametrize("arity", ARITIES)
def test_cancellation_of_the_task(lazy_loop_factory: LoopFactory, arity: str) -> None:
    """A task that is cancelled while it waits for an answer takes the call with it."""
    telemetry = Telemetry()

    async def main() -> None:
        async with serving(
            all_handlers(),
            server=server_interceptors(**telemetry.providers),
            client=client_interceptors(**telemetry.providers),
        ) as channel:
            before = len(waiting)
            task = asyncio.create_task(call(channel, arity, "wait"))
            while len(waiting) == before:  # then it has sent all of it
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await telemetry.until(spans=2)

    run(lazy_loop_factory, main())
    assert {1: 1} == telemetry.ended("server") == telemetry.ended("client")
    assert (0, 0) == (telemetry.in_flight("server"), telemetry.in_flight("client"))


def test_events() -> None:
    """Streams tell of their first message and of their end, on both sides."""
    telemetry = Telemetry()

    async def main() -> None:
        async with serving(
            all_handlers(),
            server=server_interceptors(**telemetry.providers),
            client=client_interceptors(**telemetry.providers),
        ) as channel:
            for arity in ARITIES:
                await call(channel, arity, "")
            await telemetry.until(spans=8)

    run(asyncio.new_event_loop, main())

    def events(span: ReadableSpan) -> list[tuple[str, object]]:
        return sorted(
            (event.name, (event.attributes or {}).get("rpc.messages")) for event in span.events
        )

    requests = [("rpc.request.end_of_stream", 2), ("rpc.request.first_message", None)]
    for kind in (SpanKind.SERVER, SpanKind.CLIENT):
        unary, responses, stream, both = telemetry.spans(kind)
        assert [] == events(unary)
        assert requests == events(stream)
        for span, messages, more in ((responses, 2, []), (both, 3, requests)):
            first, end = "rpc.response.first_message", "rpc.response.end_of_stream"
            assert [*more, (end, messages), (first, None)] == events(span)
