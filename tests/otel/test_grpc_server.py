from __future__ import annotations

import asyncio
import gc
import threading
import time
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from aperf.grpc import server_interceptors
from tests.grpc_service import SERVICE, Telemetry, call, handler, method, run, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.watched import LoopFactory

NOT_FOUND = grpc.StatusCode.NOT_FOUND


def events(telemetry: Telemetry) -> list[str]:
    """Return the names of the events of the server's only span."""
    return [event.name for event in telemetry.the_span(SpanKind.SERVER).events]


def code(telemetry: Telemetry) -> Any:
    """Return the code of the server's only span, and that of the only call that was counted."""
    attributes = telemetry.the_span(SpanKind.SERVER).attributes or {}
    assert {attributes["rpc.grpc.status_code"]: 1} == telemetry.ended("server")
    assert 0 == telemetry.in_flight("server")
    return attributes["rpc.grpc.status_code"]


def serve_once(loop_factory: LoopFactory, arity: str, behavior: Any, word: str = "x") -> Any:
    """Serve a handler once, observed; return what the client saw and what was told of it."""
    telemetry = Telemetry()
    seen: list[Any] = []

    async def main() -> None:
        interceptors = server_interceptors(**telemetry.providers)
        async with serving({arity: handler(arity, behavior)}, server=interceptors) as channel:
            seen.append(await call(channel, arity, word))
            await telemetry.until(spans=1)

    run(loop_factory, main())
    return seen[0], telemetry


def test_readers_and_writers(loop_factory: LoopFactory) -> None:
    """A handler that reads and writes through its context is observed as one with iterators is."""

    async def echo(_: Any, context: Any) -> None:
        while (request := await context.read()) is not grpc.aio.EOF:  # type: ignore[attr-defined]
            await context.write(request)

    ended, telemetry = serve_once(loop_factory, "stream_stream", echo)
    assert (b"go on", b"x") == ended.responses
    assert [
        "rpc.request.first_message",
        "rpc.response.first_message",
        "rpc.request.end_of_stream",
        "rpc.response.end_of_stream",
    ] == events(telemetry)
    assert 0 == code(telemetry)


def test_nothing_sent(loop_factory: LoopFactory) -> None:
    """A stream without messages ends well and has no first one."""

    async def silent(_: Any, context: Any) -> AsyncIterator[bytes]:
        if context is None:
            yield b""

    ended, telemetry = serve_once(loop_factory, "unary_stream", silent)
    assert () == ended.responses
    assert ["rpc.response.end_of_stream"] == events(telemetry)
    assert 0 == code(telemetry)


def test_suppressed_abort(lazy_loop_factory: LoopFactory) -> None:
    """An abort counts although the handler goes on: the client has its status already."""

    async def goes_on(request: bytes, context: Any) -> bytes:
        try:
            await context.abort(NOT_FOUND, "no such thing")
        except grpc.aio.AbortError:
            pass
        return request

    ended, telemetry = serve_once(lazy_loop_factory, "unary_unary", goes_on)
    assert (NOT_FOUND, "no such thing") == (ended.code, ended.details)
    assert NOT_FOUND.value[0] == code(telemetry)


def test_number_as_code(lazy_loop_factory: LoopFactory) -> None:
    """gRPC takes numbers for codes; so do we."""

    async def sets(request: bytes, context: Any) -> bytes:
        context.set_code(5)
        return request

    ended, telemetry = serve_once(lazy_loop_factory, "unary_unary", sets)
    assert NOT_FOUND == ended.code
    assert 5 == code(telemetry)


def test_exception(lazy_loop_factory: LoopFactory) -> None:
    """An exception is on the span, with its message as the description."""

    async def fails(request: bytes, context: Any) -> bytes:
        raise RuntimeError("out of luck")

    _, telemetry = serve_once(lazy_loop_factory, "unary_unary", fails)
    span = telemetry.the_span(SpanKind.SERVER)
    assert 2 == code(telemetry)
    assert "RuntimeError: out of luck" == span.status.description
    assert ["exception"] == events(telemetry)


def test_long_details(lazy_loop_factory: LoopFactory) -> None:
    """The client gets all of the details, the span gets the first of them."""

    async def aborts(request: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.INTERNAL, "w" * 5000)
        return request

    ended, telemetry = serve_once(lazy_loop_factory, "unary_unary", aborts)
    assert "w" * 5000 == ended.details
    assert "w" * 1024 == telemetry.the_span(SpanKind.SERVER).status.description


@pytest.mark.parametrize("converter", ["request_deserializer", "response_serializer"])
def test_messages_that_cannot_be_converted(lazy_loop_factory: LoopFactory, converter: str) -> None:
    """What fails before and behind the handler is seen, too."""
    telemetry = Telemetry()

    def fails(message: object) -> bytes:
        raise ValueError(f"cannot convert {message!r}")

    async def echo(request: bytes, context: Any) -> bytes:
        return request

    async def main() -> None:
        handlers = {"unary_unary": handler("unary_unary", echo, **{converter: fails})}
        interceptors = server_interceptors(**telemetry.providers)
        async with serving(handlers, server=interceptors) as channel:
            ended = await call(channel, "unary_unary", "x")
            assert grpc.StatusCode.UNKNOWN == ended.code
            await telemetry.until(spans=1)

    run(lazy_loop_factory, main())
    assert 2 == code(telemetry)
    assert StatusCode.ERROR is telemetry.the_span(SpanKind.SERVER).status.status_code


def test_converters_of_streams(lazy_loop_factory: LoopFactory) -> None:
    """A message that the handler can do without is no failure."""

    def picky(message: bytes) -> bytes:
        if message == b"bad":
            raise ValueError("bad")
        return message

    telemetry = Telemetry()

    async def writes(request: bytes, context: Any) -> None:
        with pytest.raises(ValueError, match="bad"):
            await context.write(b"bad")
        await context.write(b"good")

    async def main() -> None:
        handlers = {"unary_stream": handler("unary_stream", writes, response_serializer=picky)}
        interceptors = server_interceptors(**telemetry.providers)
        async with serving(handlers, server=interceptors) as channel:
            assert (b"good",) == (await call(channel, "unary_stream")).responses
            await telemetry.until(spans=1)

    run(lazy_loop_factory, main())
    assert 0 == code(telemetry)


def test_a_generator_that_is_closed_early(lazy_loop_factory: LoopFactory) -> None:
    """A client that goes away between two messages ends call and generator, with the same words."""
    telemetry, closed = Telemetry(), threading.Event()

    async def endless(_: Any, context: Any) -> AsyncIterator[bytes]:
        tracer = telemetry.providers["tracer_provider"].get_tracer("application")
        try:
            while True:
                with tracer.start_as_current_span("a message"):
                    message = b"x" * 100_000
                yield message
        finally:
            closed.set()

    async def main() -> None:
        interceptors = server_interceptors(**telemetry.providers)
        handlers = {"unary_stream": handler("unary_stream", endless)}
        async with serving(handlers, server=interceptors) as channel:
            ongoing = channel.unary_stream(method("unary_stream"), None, None)(b"")
            async for _ in ongoing:
                break
            ongoing.cancel()
            while not telemetry.spans(SpanKind.SERVER):
                await asyncio.sleep(0.01)
            gc.collect()  # gRPC has dropped the generator, and its own frames hold the exception
            while not closed.is_set():
                await asyncio.sleep(0.01)

    run(lazy_loop_factory, main())
    assert 1 == code(telemetry)
    (server,) = telemetry.spans(SpanKind.SERVER)
    messages = telemetry.spans(SpanKind.INTERNAL)
    assert {server.context.span_id} == {m.parent.span_id for m in messages if m.parent is not None}


def test_what_the_handler_opens_is_below(loop_factory: LoopFactory) -> None:
    """The span is current in the handler, in what it starts, and nowhere else."""
    telemetry, inside = Telemetry(), []

    async def looks(request: bytes, context: Any) -> bytes:
        async def child() -> None:
            inside.append(trace.get_current_span())

        inside.append(trace.get_current_span())
        await asyncio.create_task(child())
        return request

    async def main() -> None:
        interceptors = server_interceptors(**telemetry.providers)
        tracer = telemetry.providers["tracer_provider"].get_tracer("application")
        # What is current while a server starts is inherited by all of its calls.
        with tracer.start_as_current_span("start-up") as start_up:
            async with serving(
                {"unary_unary": handler("unary_unary", looks)}, server=interceptors
            ) as channel:
                await call(channel, "unary_unary")
                await telemetry.until(spans=1)
            assert start_up is trace.get_current_span()

    run(loop_factory, main())
    server = telemetry.the_span(SpanKind.SERVER)
    assert [server.context] * 2 == [span.get_span_context() for span in inside]
    assert server.parent is None


@pytest.mark.parametrize("how", ["return", "set", "abort", "raise"])
def test_handlers_in_threads(lazy_loop_factory: LoopFactory, how: str) -> None:
    """Plain functions run in gRPC's threads as without us, under their span."""
    inside: list[Any] = []

    def acts(request: bytes, context: Any) -> bytes:
        inside.append((trace.get_current_span(), threading.current_thread()))
        if how == "set":
            context.set_code(NOT_FOUND)
        elif how == "abort":
            context.abort(NOT_FOUND, "no such thing", (("why", "because"),))
        elif how == "raise":
            raise RuntimeError("failed")
        return request

    ended, telemetry = serve_once(lazy_loop_factory, "unary_unary", acts)
    span = telemetry.the_span(SpanKind.SERVER)
    found = {"return": grpc.StatusCode.OK, "raise": grpc.StatusCode.UNKNOWN}.get(how, NOT_FOUND)
    assert found is ended.code
    assert found.value[0] == code(telemetry)
    current, thread = inside[0]
    assert span.context == current.get_span_context()
    assert thread is not threading.main_thread()
    assert f"{span.context.trace_id:032x}" == dict(ended.trailing)["x-request-trace-id"]
    assert (how == "abort") == ("why" in dict(ended.trailing))


def test_generators_in_threads(lazy_loop_factory: LoopFactory) -> None:
    """A plain generator keeps what it has opened from message to message, and leaves nothing."""
    telemetry, inside, after = Telemetry(), [], []

    def two(request: bytes, context: Any) -> Iterator[bytes]:
        context.set_trailing_metadata((("mine", "1"),))
        tracer = telemetry.providers["tracer_provider"].get_tracer("application")
        with tracer.start_as_current_span("both") as span:
            yield b"1"
            inside.append(trace.get_current_span() is span)
            yield b"2"
        after.append(trace.get_current_span())

    async def main() -> None:
        interceptors = server_interceptors(**telemetry.providers)
        handlers = {"unary_stream": handler("unary_stream", two)}
        async with serving(handlers, server=interceptors) as channel:
            ended = await call(channel, "unary_stream")
            assert (b"1", b"2") == ended.responses
            assert {"mine", "x-request-trace-id"} == set(dict(ended.trailing))
            await telemetry.until(spans=2)

    run(lazy_loop_factory, main())
    span = telemetry.the_span(SpanKind.SERVER)
    assert [True] == inside
    assert [span.context] == [current.get_span_context() for current in after]
    assert 0 == code(telemetry)


def test_unknown_methods() -> None:
    """Methods that do not exist share one name, whatever a client may call them."""
    telemetry = Telemetry()

    async def main() -> None:
        async with serving({}, server=server_interceptors(**telemetry.providers)) as channel:
            for arity in ("unary_unary", "unary_stream"):
                assert grpc.StatusCode.UNIMPLEMENTED == (await call(channel, arity)).code
            await telemetry.until(spans=2)

    run(asyncio.new_event_loop, main())
    for span, name in zip(telemetry.spans(), ("unary_unary", "unary_stream"), strict=True):
        attributes = span.attributes or {}
        assert ("grpc", "_OTHER") == (span.name, attributes["rpc.method"])
        assert f"/{SERVICE}/{name}" == attributes["rpc.method_original"]
        assert StatusCode.ERROR is span.status.status_code
    assert {12: 2} == telemetry.ended("server")
    assert {"_OTHER": 2} == telemetry.ended("server", "rpc.method")
    assert 0 == telemetry.in_flight("server")


def test_refused_calls() -> None:
    """What gRPC refuses for there being too many is told as that."""
    telemetry, go = Telemetry(), asyncio.Event()

    async def waits(request: bytes, context: Any) -> bytes:
        await go.wait()
        return request

    async def main() -> None:
        interceptors = server_interceptors(**telemetry.providers)
        handlers = {"unary_unary": handler("unary_unary", waits)}
        async with serving(handlers, server=interceptors, maximum=1) as channel:
            calls = [asyncio.create_task(call(channel, "unary_unary")) for _ in range(3)]
            await telemetry.until(spans=2)
            go.set()
            codes = sorted(ended.code.value[0] for ended in await asyncio.gather(*calls))
            assert [0, 8, 8] == codes
            await telemetry.until(spans=3)

    run(asyncio.new_event_loop, main())
    assert {0: 1, 8: 2} == telemetry.ended("server")
    assert 0 == telemetry.in_flight("server")


def test_a_client_that_says_nothing(lazy_loop_factory: LoopFactory) -> None:
    """A call whose only request never comes is given up, not refused."""
    telemetry = Telemetry()

    async def echo(request: bytes, context: Any) -> bytes:
        return request

    async def main() -> None:
        interceptors = server_interceptors(**telemetry.providers)
        handlers = {"unary_unary": handler("unary_unary", echo)}
        async with serving(handlers, server=interceptors) as channel:
            silent: Any = channel.stream_unary(method("unary_unary"), None, None)
            ongoing = silent(iter(()))
            await telemetry.until(spans=1)
            ongoing.cancel()

    run(lazy_loop_factory, main())
    assert 1 == code(telemetry)


def test_a_server_that_stops() -> None:
    """Calls that a stopping server cuts off have ended, too."""
    telemetry = Telemetry()

    async def waits(request: bytes, context: Any) -> bytes:
        await asyncio.Event().wait()
        return request

    async def main() -> None:
        interceptors = server_interceptors(**telemetry.providers)
        handlers = {"unary_unary": handler("unary_unary", waits)}
        async with serving(handlers, server=interceptors) as channel:
            task = asyncio.create_task(call(channel, "unary_unary"))
            while not telemetry.in_flight("server"):
                await asyncio.sleep(0.01)
        await telemetry.until(spans=1)
        await asyncio.wait([task])

    run(asyncio.new_event_loop, main())
    assert 1 == code(telemetry)


def test_the_handler_s_metadata_is_its_own() -> None:
    """The trace id goes out beside the handler's metadata, which does not see it."""
    telemetry, seen = Telemetry(), []

    async def sends(request: bytes, context: Any) -> bytes:
        seen.append(context.trailing_metadata())
        await context.send_initial_metadata((("first", "1"),))
        context.set_trailing_metadata((("last", "1"),))
        seen.append(context.trailing_metadata())
        with pytest.raises(TypeError):
            context.set_trailing_metadata(7)
        seen.append((context.peer().partition(":")[0], context.time_remaining(), context.code()))
        return request

    async def main() -> None:
        interceptors = server_interceptors(**telemetry.providers)
        handlers = {"unary_unary": handler("unary_unary", sends)}
        async with serving(handlers, server=interceptors) as channel:
            ended = await call(channel, "unary_unary")
            assert (("first", "1"),) == ended.initial
            assert ["last", "x-request-trace-id"] == [key for key, _ in ended.trailing]

    run(asyncio.new_event_loop, main())
    assert [(), (("last", "1"),), ("ipv4", None, None)] == seen


@pytest.mark.parametrize("key", [None, "x-trace"])
def test_the_trace_id_can_be_renamed_and_left_out(key: str | None) -> None:
    """`trace_id_key` decides whether, and under which name."""
    telemetry = Telemetry()

    async def echo(request: bytes, context: Any) -> bytes:
        return request

    async def main() -> None:
        interceptors = server_interceptors(**telemetry.providers, trace_id_key=key)
        handlers = {"unary_unary": handler("unary_unary", echo)}
        async with serving(handlers, server=interceptors) as channel:
            ended = await call(channel, "unary_unary")
            assert [key] * (key is not None) == [name for name, _ in ended.trailing]

    run(asyncio.new_event_loop, main())


def test_interceptors_around_it() -> None:
    """Other interceptors, in front and behind, get what they get without us."""
    telemetry, order = Telemetry(), []

    class Other(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
        def __init__(self, name: str) -> None:
            self.name = name

        async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
            found = await continuation(handler_call_details)
            behavior = found.unary_unary

            async def around(request: bytes, context: Any) -> bytes:
                order.append(self.name)
                response: bytes = await behavior(request, context)
                order.append(self.name)
                return response

            return found._replace(unary_unary=around)  # as much code does

    async def echo(request: bytes, context: Any) -> bytes:
        return request

    async def main() -> None:
        ours = server_interceptors(**telemetry.providers)
        handlers = {"unary_unary": handler("unary_unary", echo)}
        async with serving(handlers, server=[Other("in front"), *ours, Other("behind")]) as channel:
            assert (b"x",) == (await call(channel, "unary_unary", "x")).responses
            await telemetry.until(spans=1)

    run(asyncio.new_event_loop, main())
    assert ["in front", "behind", "behind", "in front"] == order
    assert 0 == code(telemetry)


def test_an_interceptor_that_fails() -> None:
    """A call that another interceptor breaks is a failure of the server's."""
    telemetry = Telemetry()

    class Broken(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
        async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
            raise RuntimeError("broken")

    async def main() -> None:
        interceptors = [*server_interceptors(**telemetry.providers), Broken()]
        async with serving({}, server=interceptors) as channel:
            assert grpc.StatusCode.UNKNOWN == (await call(channel, "unary_unary")).code
            await telemetry.until(spans=1)

    run(asyncio.new_event_loop, main())
    assert 2 == code(telemetry)


def test_the_time_to_the_first_message() -> None:
    """The event tells when the first message went out, not when the last one did."""
    telemetry, times = Telemetry(), []

    async def slow(_: Any, context: Any) -> AsyncIterator[bytes]:
        for _ in range(3):
            await asyncio.sleep(0.03)
            yield b"x"
            times.append(time.time_ns())

    async def main() -> None:
        interceptors = server_interceptors(**telemetry.providers)
        async with serving(
            {"unary_stream": handler("unary_stream", slow)}, server=interceptors
        ) as channel:
            await call(channel, "unary_stream")
            await telemetry.until(spans=1)

    run(asyncio.new_event_loop, main())
    first, end = telemetry.the_span(SpanKind.SERVER).events
    assert first.timestamp <= times[0] < times[2] <= end.timestamp
