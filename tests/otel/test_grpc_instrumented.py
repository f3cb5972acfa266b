"""aperf's interceptors where `opentelemetry-instrumentation-grpc` observes the same calls."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from opentelemetry.instrumentation.grpc import (
    aio_client_interceptors,
    aio_server_interceptor,
    filters,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, SamplingResult
from opentelemetry.trace import SpanKind, format_trace_id

from aperf.grpc import client_interceptors, server_interceptors
from tests import instrumented
from tests.grpc_service import ARITIES, SERVICE, Telemetry, all_handlers, call, run, serving
from tests.instrumented_runs import Runs
from tests.span_trees import outline, trees_of

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from tests.watched import LoopFactory

THEIRS = "opentelemetry.instrumentation.grpc"


def both_servers(telemetry: Telemetry, **options: Any) -> list[Any]:
    """Return interceptors in the order in which the instrumentation puts them."""
    provider = telemetry.providers["tracer_provider"]
    theirs: Any = aio_server_interceptor(provider, **options)  # type: ignore[no-untyped-call]
    return [theirs, *server_interceptors(**telemetry.providers)]


def both_clients(telemetry: Telemetry, **options: Any) -> list[Any]:
    """Return the same for a client."""
    provider = telemetry.providers["tracer_provider"]
    theirs: Any = aio_client_interceptors(provider, **options)  # type: ignore[no-untyped-call]
    return [*theirs, *client_interceptors(**telemetry.providers)]


@pytest.mark.parametrize("arity", ARITIES)
@pytest.mark.parametrize("word", ["", "abort"])
def test_one_span_on_each_side(lazy_loop_factory: LoopFactory, arity: str, word: str) -> None:
    """It is the instrumentation's, as it is without aperf; aperf counts the call."""

    async def main(telemetry: Telemetry, server: list[Any], client: list[Any]) -> None:
        async with serving(all_handlers(), server=server, client=client) as channel:
            ended = await call(channel, arity, word)
            await telemetry.until(spans=2)
            trace_id = dict(ended.trailing).get("x-request-trace-id")
            told = format_trace_id(telemetry.the_span(SpanKind.SERVER).context.trace_id)
            assert trace_id == (told if len(server) > 1 else None)

    without, both = Telemetry(), Telemetry()
    alone = both_servers(without)[:1], both_clients(without)[:4]
    run(lazy_loop_factory, main(without, *alone))
    run(lazy_loop_factory, main(both, both_servers(both), both_clients(both)))
    expected = trees_of(without.spans())
    assert expected == trees_of(both.spans())
    assert [THEIRS] * 2 == [tree.scope for root in expected for tree in root.walk()]
    assert 1 == sum(both.ended("server").values()) == sum(both.ended("client").values())
    assert 0 == both.in_flight("server") == both.in_flight("client")


def test_calls_that_it_leaves_out(lazy_loop_factory: LoopFactory) -> None:
    """These have aperf's spans, with the right parents, whoever is there beside it."""
    telemetry = Telemetry()
    left_out = filters.negate(filters.method_name("unary_unary"))

    async def main() -> None:
        async with serving(
            all_handlers(),
            server=both_servers(telemetry, filter_=left_out),
            client=both_clients(telemetry, filter_=left_out),
        ) as channel:
            await call(channel, "unary_unary")
            await call(channel, "stream_unary")
            await telemetry.until(spans=4)

    run(lazy_loop_factory, main())
    expected = (
        f"CLIENT /{SERVICE}/stream_unary\n  SERVER /{SERVICE}/stream_unary\n"
        f"CLIENT {SERVICE}/unary_unary\n  SERVER {SERVICE}/unary_unary\n"
    )
    assert expected == outline(trees_of(telemetry.spans()))


def test_calls_that_it_does_not_see() -> None:
    """A method that does not exist has a span of aperf's, from the arrival of the call."""
    telemetry = Telemetry()

    async def main() -> None:
        async with serving({}, server=both_servers(telemetry)) as channel:
            assert grpc.StatusCode.UNIMPLEMENTED is (await call(channel, "unary_unary")).code
            await telemetry.until(spans=1)

    run(asyncio.new_event_loop, main())
    assert "grpc" == telemetry.the_span(SpanKind.SERVER).name
    assert {12: 1} == telemetry.ended("server")


class OneSide(Sampler):
    """Drops what the instrumentation begins, and would keep what aperf begins."""

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        *args: Any,
        **options: Any,
    ) -> SamplingResult:
        return SamplingResult(Decision.DROP if name.startswith("/") else Decision.RECORD_AND_SAMPLE)

    def get_description(self) -> str:
        return "OneSide"


@pytest.mark.parametrize("arity", ARITIES)
def test_what_it_does_not_sample_stays_so(lazy_loop_factory: LoopFactory, arity: str) -> None:
    """The trace that is not kept is not begun anew by aperf, on either side."""
    telemetry = Telemetry()
    provider = TracerProvider(sampler=ParentBased(OneSide()), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(telemetry.exporter))
    telemetry.providers["tracer_provider"] = provider

    async def main(client: list[Any]) -> None:
        server = both_servers(telemetry)
        async with serving(all_handlers(), server=server, client=client) as channel:
            await call(channel, arity)
            while not telemetry.ended("server") or telemetry.in_flight("server"):
                await asyncio.sleep(0.002)

    run(lazy_loop_factory, main([]))
    run(lazy_loop_factory, main(both_clients(telemetry)))
    assert [] == telemetry.spans()
    assert {0: 2} == telemetry.ended("server")
    assert {0: 1} == telemetry.ended("client")


def test_a_call_within_a_call(lazy_loop_factory: LoopFactory) -> None:
    """The span of another call is no reason to leave out one's own."""
    telemetry = Telemetry()

    class FetchesFirst(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[type-arg]
        """Calls another method by a channel that the instrumentation does not know."""

        def __init__(self, channel: grpc.aio.Channel) -> None:
            self._channel = channel

        async def intercept_unary_unary(
            self, continuation: Any, client_call_details: Any, request: Any
        ) -> Any:
            await call(self._channel, "stream_unary")
            return await continuation(client_call_details, request)

    async def main() -> None:
        ours = client_interceptors(**telemetry.providers)
        async with serving(all_handlers(), client=ours) as tokens:
            client = [*both_clients(telemetry), FetchesFirst(tokens)]
            async with serving(all_handlers(), client=client) as channel:
                await call(channel, "unary_unary")
                await telemetry.until(spans=2)

    run(lazy_loop_factory, main())
    expected = f"CLIENT /{SERVICE}/unary_unary\n  CLIENT {SERVICE}/stream_unary\n"
    assert expected == outline(trees_of(telemetry.spans()))


def test_the_instrumentors(monkeypatch: pytest.MonkeyPatch, lazy_loop_factory: LoopFactory) -> None:
    """A service that has aperf's interceptors and is instrumented as well tells nothing twice."""
    runs = Runs(monkeypatch, lazy_loop_factory)
    without = runs.run(instrumented.program, "session")
    interceptors = server_interceptors(), client_interceptors()
    told = runs.run(partial(instrumented.program, interceptors), "session")
    assert outline(without.trees) == outline(told.trees)
    assert without.trees == told.trees
