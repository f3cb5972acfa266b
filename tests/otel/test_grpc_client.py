from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest
from opentelemetry.trace import SpanKind, StatusCode

from aperf.grpc import client_interceptors, server_interceptors
from tests.grpc_service import SERVICE, Telemetry, all_handlers, call, handler, method, run, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from opentelemetry.sdk.trace import ReadableSpan

    from tests.watched import LoopFactory

EOF = grpc.aio.EOF  # type: ignore[attr-defined]


def events(span: ReadableSpan) -> list[str]:
    """Return the names of its events."""
    return [event.name for event in span.events]


def code(telemetry: Telemetry) -> Any:
    """Return the code of the client's only span, and of the only call that was counted."""
    attributes = telemetry.the_span(SpanKind.CLIENT).attributes or {}
    assert {attributes.get("rpc.grpc.status_code"): 1} == telemetry.ended("client")
    assert 0 == telemetry.in_flight("client")
    return attributes.get("rpc.grpc.status_code")


def stub(channel: Any, arity: str, **converters: Any) -> Any:
    """Return what calls a method; typed loosely, as the stubs lack half of it."""
    return getattr(channel, arity)(method(arity), **converters)


def test_reading_and_writing(lazy_loop_factory: LoopFactory) -> None:
    """A call that is written to, half-closed and read is observed as one with iterators is."""
    telemetry = Telemetry()  # with eager tasks, gRPC's own stream_stream calls cannot be read

    async def main() -> None:
        interceptors = client_interceptors(**telemetry.providers)
        async with serving(all_handlers(), client=interceptors) as channel:
            ongoing = stub(channel, "stream_stream")()
            await ongoing.write(b"1")
            assert b"first" == await ongoing.read()
            await ongoing.write(b"2")
            await ongoing.done_writing()
            await ongoing.done_writing()
            assert [b"first", b"2", EOF] == [await ongoing.read() for _ in range(3)]
            assert grpc.StatusCode.OK is await ongoing.code()
            with pytest.raises(asyncio.InvalidStateError):
                await ongoing.write(b"3")

    run(lazy_loop_factory, main())
    assert 0 == code(telemetry)
    assert [
        "rpc.request.first_message",
        "rpc.response.first_message",
        "rpc.request.end_of_stream",
        "rpc.response.end_of_stream",
    ] == events(telemetry.the_span(SpanKind.CLIENT))


@pytest.mark.parametrize("reads", [False, True])
def test_a_stream_read_either_way(loop_factory: LoopFactory, reads: bool) -> None:
    """A stream of responses gives the same by `read` and by `async for`."""
    telemetry, got = Telemetry(), []

    async def main() -> None:
        interceptors = client_interceptors(**telemetry.providers)
        async with serving(all_handlers(), client=interceptors) as channel:
            ongoing = stub(channel, "unary_stream")(b"last")
            if reads:
                while (response := await ongoing.read()) is not EOF:
                    got.append(response)
            else:
                got.extend([response async for response in ongoing])

    run(loop_factory, main())
    assert [b"first", b"last"] == got
    assert 0 == code(telemetry)
    (first, end) = telemetry.the_span(SpanKind.CLIENT).events
    assert ("rpc.response.first_message", {"rpc.messages": 2}) == (first.name, end.attributes)


def test_an_outer_interceptor_may_read(lazy_loop_factory: LoopFactory) -> None:
    """What is in front of us gets a call like gRPC's own: it can read, and its calls stay calls."""
    telemetry, got = Telemetry(), []

    class Reads(grpc.aio.UnaryStreamClientInterceptor):  # type: ignore[type-arg]
        async def intercept_unary_stream(
            self, continuation: Any, client_call_details: Any, request: Any
        ) -> Any:
            ongoing = await continuation(client_call_details, request)
            got.append(isinstance(ongoing, grpc.aio.UnaryStreamCall))
            got.append(repr(ongoing).startswith("<"))
            got.append(await ongoing.read())
            got.append(await ongoing.read())
            got.append(await ongoing.read())
            return ongoing

    async def main() -> None:
        interceptors = [Reads(), *client_interceptors(**telemetry.providers)]
        async with serving(all_handlers(), client=interceptors) as channel:
            await stub(channel, "unary_stream")(b"last").code()

    run(lazy_loop_factory, main())
    assert [True, True, b"first", b"last", EOF] == got
    assert 0 == code(telemetry)


def test_two_ways_to_read_at_once(lazy_loop_factory: LoopFactory) -> None:
    """gRPC's complaint about reading in two ways is still made."""
    telemetry = Telemetry()

    class Mixes(grpc.aio.UnaryStreamClientInterceptor):  # type: ignore[type-arg]
        async def intercept_unary_stream(
            self, continuation: Any, client_call_details: Any, request: Any
        ) -> Any:
            ongoing = await continuation(client_call_details, request)
            await ongoing.read()
            with pytest.raises(grpc.aio.UsageError):
                aiter(ongoing)
            ongoing.cancel()
            return ongoing

    async def main() -> None:
        interceptors = [Mixes(), *client_interceptors(**telemetry.providers)]
        async with serving(all_handlers(), client=interceptors) as channel:
            await stub(channel, "unary_stream")(b"last").code()

    run(lazy_loop_factory, main())
    assert 1 == code(telemetry)


def test_an_inner_interceptor_may_answer(lazy_loop_factory: LoopFactory) -> None:
    """An answer from a cache, without a call, is a call that ended well."""
    telemetry = Telemetry()

    class Cache(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[type-arg]
        async def intercept_unary_unary(
            self, continuation: Any, client_call_details: Any, request: Any
        ) -> Any:
            return b"from the cache"

    async def main() -> None:
        interceptors = [*client_interceptors(**telemetry.providers), Cache()]
        async with serving({}, client=interceptors) as channel:
            assert b"from the cache" == await stub(channel, "unary_unary")(b"")

    run(lazy_loop_factory, main())
    assert 0 == code(telemetry)


def test_an_inner_interceptor_that_fails(lazy_loop_factory: LoopFactory) -> None:
    """An exception before there is a status is told by its class."""
    telemetry = Telemetry()

    class Broken(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[type-arg]
        async def intercept_unary_unary(
            self, continuation: Any, client_call_details: Any, request: Any
        ) -> Any:
            raise LookupError("no such thing")

    async def main() -> None:
        interceptors = [*client_interceptors(**telemetry.providers), Broken()]
        async with serving({}, client=interceptors) as channel:
            with pytest.raises(LookupError):
                await stub(channel, "unary_unary")(b"")

    run(lazy_loop_factory, main())
    assert code(telemetry) is None
    assert {"builtins.LookupError": 1} == telemetry.ended("client", "error.type")
    span = telemetry.the_span(SpanKind.CLIENT)
    assert (StatusCode.ERROR, "LookupError: no such thing") == (
        span.status.status_code,
        span.status.description,
    )


def test_an_exception_that_cannot_be_shown(lazy_loop_factory: LoopFactory) -> None:
    """The span ends although the exception will not say what it is."""
    telemetry = Telemetry()

    class Silent(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    class Broken(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[type-arg]
        async def intercept_unary_unary(
            self, continuation: Any, client_call_details: Any, request: Any
        ) -> Any:
            raise Silent

    async def main() -> None:
        interceptors = [*client_interceptors(**telemetry.providers), Broken()]
        async with serving({}, client=interceptors) as channel:
            with pytest.raises(Silent):
                await stub(channel, "unary_unary")(b"")

    run(lazy_loop_factory, main())
    assert "Silent" == telemetry.the_span(SpanKind.CLIENT).status.description


def test_a_call_that_nobody_waits_for(lazy_loop_factory: LoopFactory) -> None:
    """A call goes on without its caller; it ends with the server's answer, or with the channel."""
    telemetry = Telemetry()

    async def main() -> None:
        interceptors = client_interceptors(**telemetry.providers)
        async with serving(all_handlers(), client=interceptors) as channel:
            stub(channel, "unary_unary")(b"")
            await telemetry.until(spans=1)
            for arity in ("unary_unary", "unary_stream"):
                stub(channel, arity)(b"wait")
            while telemetry.in_flight("client") < 2:
                await asyncio.sleep(0.01)
            gc.collect()
            assert 2 == telemetry.in_flight("client")
        await telemetry.until(spans=3)

    run(lazy_loop_factory, main())
    assert {0: 1, 1: 2} == telemetry.ended("client")
    assert 0 == telemetry.in_flight("client")


def test_a_call_that_is_cancelled_before_it_begins(lazy_loop_factory: LoopFactory) -> None:
    """Nothing was sent, so there is nothing to tell."""
    telemetry = Telemetry()

    async def main() -> None:
        interceptors = client_interceptors(**telemetry.providers)
        async with serving(all_handlers(), client=interceptors) as channel:
            ongoing = stub(channel, "unary_unary")(b"wait")
            ongoing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await ongoing

    run(lazy_loop_factory, main())
    assert ([], {}, 0) == (
        telemetry.spans(),
        telemetry.ended("client"),
        telemetry.in_flight("client"),
    )


def test_nobody_is_there() -> None:
    """A server that cannot be reached is UNAVAILABLE, with gRPC's own details."""
    telemetry = Telemetry()

    async def main() -> None:
        interceptors = client_interceptors(**telemetry.providers, address="unix:/nowhere")
        async with grpc.aio.insecure_channel("unix:/nowhere", interceptors=interceptors) as channel:
            ended = await call(channel, "unary_unary")
            assert grpc.StatusCode.UNAVAILABLE is ended.code
            span = telemetry.the_span(SpanKind.CLIENT)
            assert ended.details == span.status.description
            assert "/nowhere" == (span.attributes or {})["server.address"]

    run(asyncio.new_event_loop, main())
    assert 14 == code(telemetry)


def test_the_caller_s_metadata_is_its_own(lazy_loop_factory: LoopFactory) -> None:
    """What a caller passes is sent and not changed; a context of its own is replaced by ours."""
    telemetry, received = Telemetry(), []

    async def looks(request: bytes, context: Any) -> bytes:
        received.extend(context.invocation_metadata())
        return request

    async def main() -> None:
        interceptors = client_interceptors(**telemetry.providers)
        handlers = {"unary_unary": handler("unary_unary", looks)}
        metadata = grpc.aio.Metadata(("a", "1"), ("traceparent", "stale"), ("a", "2"))
        before = list(metadata)
        async with serving(handlers, client=interceptors) as channel:
            await stub(channel, "unary_unary")(b"", metadata=metadata)
        assert before == list(metadata)

    run(lazy_loop_factory, main())
    assert ["1", "2"] == [value for key, value in received if key == "a"]
    span = telemetry.the_span(SpanKind.CLIENT).context
    (traceparent,) = (value for key, value in received if key == "traceparent")
    assert f"00-{span.trace_id:032x}-{span.span_id:016x}" == traceparent[:-3]


def test_requests_of_any_kind(lazy_loop_factory: LoopFactory) -> None:
    """Requests may come from a list, a generator, or whatever can be iterated over."""
    telemetry = Telemetry()

    async def asynchronous() -> AsyncIterator[bytes]:
        yield b"1"

    def plain() -> Iterator[bytes]:
        yield b"1"

    async def main() -> None:
        interceptors = client_interceptors(**telemetry.providers)
        async with serving(all_handlers(), client=interceptors) as channel:
            for requests in (asynchronous(), plain(), [b"1"], iter((b"1",))):
                assert b"1" == await stub(channel, "stream_unary")(requests)

    run(lazy_loop_factory, main())
    sent = ["rpc.request.first_message", "rpc.request.end_of_stream"]
    assert [sent] * 4 == [events(span) for span in telemetry.spans()]


def test_requests_that_fail(lazy_loop_factory: LoopFactory) -> None:
    """An exception of the caller's own generator cancels the call, as without us."""
    telemetry = Telemetry()

    async def fails() -> AsyncIterator[bytes]:
        yield b"1"
        raise RuntimeError("no more")

    async def main() -> None:
        interceptors = client_interceptors(**telemetry.providers)
        async with serving(all_handlers(), client=interceptors) as channel:
            ongoing = stub(channel, "stream_unary")(fails())
            with pytest.raises(asyncio.CancelledError):
                await ongoing

    run(lazy_loop_factory, main())
    assert 1 == code(telemetry)
    assert ["rpc.request.first_message"] == events(telemetry.the_span(SpanKind.CLIENT))


def test_the_server_s_trace_id() -> None:
    """Which trace the server has put the call in is on the span, if the server tells."""
    telemetry, served = Telemetry(), Telemetry()

    async def main() -> None:
        async with serving(
            all_handlers(),
            server=server_interceptors(**served.providers),
            client=client_interceptors(**telemetry.providers),
        ) as channel:
            await call(channel, "unary_unary", "abort NOT_FOUND")
            await served.until(spans=1)

    run(asyncio.new_event_loop, main())
    told = (telemetry.the_span(SpanKind.CLIENT).attributes or {})["aperf.rpc.server_trace_id"]
    assert f"{served.the_span(SpanKind.SERVER).context.trace_id:032x}" == told


def test_calls_leave_nothing_behind() -> None:
    """Interceptors keep nothing of calls that have ended, however they did."""
    telemetry = Telemetry()

    async def main() -> None:
        async with serving(
            all_handlers(),
            server=server_interceptors(**telemetry.providers),
            client=client_interceptors(**telemetry.providers),
        ) as channel:
            for word in ("", "set NOT_FOUND", "abort NOT_FOUND"):
                for arity in ("unary_unary", "stream_stream"):
                    await call(channel, arity, word)
            await telemetry.until(spans=12)

    run(asyncio.new_event_loop, main())
    gc.collect()
    kinds = ("Rpc", "ServerCall", "WatchedContext", "WatchedAsyncStream", "_StreamStreamCall")
    left = [type(one).__name__ for one in gc.get_objects() if type(one).__name__ in kinds]
    assert [] == left


def test_names() -> None:
    """Service and method are apart in the attributes and together in the name."""
    telemetry = Telemetry()

    async def main() -> None:
        interceptors = client_interceptors(**telemetry.providers, address="dns:///catalog:443")
        async with serving(all_handlers(), client=interceptors) as channel:
            await call(channel, "unary_unary")

    run(asyncio.new_event_loop, main())
    span = telemetry.the_span(SpanKind.CLIENT)
    assert f"{SERVICE}/unary_unary" == span.name
    assert {
        "rpc.system": "grpc",
        "rpc.service": SERVICE,
        "rpc.method": "unary_unary",
        "rpc.grpc.status_code": 0,
        "server.address": "catalog",
        "server.port": 443,
    } == dict(span.attributes or {})
    assert "aperf.grpc" == (span.instrumentation_scope and span.instrumentation_scope.name)
