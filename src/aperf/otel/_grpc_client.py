"""The client's interceptors: a span from the call to its status, whoever waits for it or not.

grpc.aio runs the interceptors of a call in a task of their own, and returns to the program long
before the call ends. So the span is not tied to any coroutine: the call itself says when it has
ended, in a callback that comes once, be it by a status, by a cancellation or by the garbage
collector. The context of that task is left as it is; what belongs to the call is given by argument.
"""

# ruff: noqa: ANN401 - messages are the program's, and gRPC's own classes are native

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING, Any, Final

import grpc
import grpc.aio
from opentelemetry import context as contexts
from opentelemetry import propagate

from ._grpc_streams import WatchedAsyncStream, watched_stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine

    from ._grpc_rpc import Rpc, Side

    Continuation = Callable[[Any, Any], Awaitable[Any]]

__all__ = (
    "StreamStreamInterceptor",
    "StreamUnaryInterceptor",
    "UnaryStreamInterceptor",
    "UnaryUnaryInterceptor",
)

_log = logging.getLogger("aperf")

# What HTTP/2 metadata may hold; gRPC refuses a call with anything else in it.
_EOF: Final = getattr(grpc.aio, "EOF")  # noqa: B009 - the stubs do not know it
_KEY: Final = re.compile(r"[0-9a-z_.-]+")
_VALUE: Final = re.compile(r"[ -~]*")


# grpc.aio looks for the first kind that an interceptor is of, and ignores the others.
class UnaryUnaryInterceptor(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[type-arg] # generic in the stubs alone
    """Observes calls with one request and one response."""

    def __init__(self, side: Side) -> None:
        self._side = side

    async def intercept_unary_unary(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        """Observe a call."""
        return await _intercept(self._side, continuation, client_call_details, request)


class UnaryStreamInterceptor(grpc.aio.UnaryStreamClientInterceptor):  # type: ignore[type-arg] # generic in the stubs alone
    """Observes calls with one request and a stream of responses."""

    def __init__(self, side: Side) -> None:
        self._side = side

    async def intercept_unary_stream(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        """Observe a call."""
        return await _intercept(
            self._side, continuation, client_call_details, request, responses=_UnaryStreamCall
        )


class StreamUnaryInterceptor(grpc.aio.StreamUnaryClientInterceptor):  # type: ignore[type-arg] # generic in the stubs alone
    """Observes calls with a stream of requests and one response."""

    def __init__(self, side: Side) -> None:
        self._side = side

    async def intercept_stream_unary(
        self, continuation: Any, client_call_details: Any, request_iterator: Any
    ) -> Any:
        """Observe a call."""
        return await _intercept(
            self._side, continuation, client_call_details, request_iterator, streams_requests=True
        )


class StreamStreamInterceptor(grpc.aio.StreamStreamClientInterceptor):  # type: ignore[type-arg] # generic in the stubs alone
    """Observes calls with streams in both directions."""

    def __init__(self, side: Side) -> None:
        self._side = side

    async def intercept_stream_stream(
        self, continuation: Any, client_call_details: Any, request_iterator: Any
    ) -> Any:
        """Observe a call."""
        return await _intercept(
            self._side,
            continuation,
            client_call_details,
            request_iterator,
            streams_requests=True,
            responses=_StreamStreamCall,
        )


async def _intercept(
    side: Side,
    continuation: Continuation,
    details: Any,
    request: Any,
    *,
    streams_requests: bool = False,
    responses: type[_StreamingCall] | None = None,
) -> Any:
    rpc = side.begin(details.method, contexts.get_current)
    if rpc is None:
        return await continuation(details, request)
    rpc.enter()
    rpc.streams_responses = responses is not None
    if streams_requests and rpc.recording:
        request = watched_stream(request, rpc.request, rpc.end_of_requests)
    try:
        call = await continuation(_with_context(details, rpc), request)
    except BaseException as error:
        _fail(rpc, error)
        raise
    if call.done():  # an interceptor behind ours has answered: such calls take no callbacks
        _finish(rpc, side, call)
    else:
        call.add_done_callback(lambda ended: _finish(rpc, side, ended))
    if responses is not None and rpc.recording:
        return responses(call, rpc)
    return call


def _with_context(details: Any, rpc: Rpc) -> Any:
    """Return the details of a call with the context in its metadata, which are not the caller's."""
    carrier: dict[str, str] = {}
    try:
        propagate.inject(carrier, rpc.context)
    except Exception:  # of a propagator of the program's: the call goes out without a context
        _log.warning("cannot send the context of a call", exc_info=True)
    if not carrier:
        return details
    metadata = grpc.aio.Metadata(*(details.metadata or ()))
    for name, value in carrier.items():
        key = name.lower()
        if _KEY.fullmatch(key) and _VALUE.fullmatch(value):
            metadata.delete_all(key) if key in metadata else None
            metadata.add(key, value)
    return grpc.aio.ClientCallDetails(
        details.method,
        details.timeout,
        metadata,
        details.credentials,
        details.wait_for_ready,
    )


def _fail(rpc: Rpc, error: BaseException) -> None:
    """End a call that has not come into being."""
    if isinstance(error, asyncio.CancelledError):
        rpc.finish(grpc.StatusCode.CANCELLED)
    elif isinstance(error, grpc.aio.AioRpcError):
        rpc.finish(error.code(), error.details())
    else:
        rpc.finish(None, error=error)


def _finish(rpc: Rpc, side: Side, call: Any) -> None:
    if rpc.recording and side.trace_id_key is not None:
        for metadata in (_at_once(call.initial_metadata()), _at_once(call.trailing_metadata())):
            if metadata and side.trace_id_key in metadata:
                rpc.span.set_attribute("aperf.rpc.server_trace_id", metadata[side.trace_id_key])
    rpc.finish(_at_once(call.code()), _at_once(call.details()))


def _at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Return the result of a coroutine that waits for nothing, as none of an ended call does."""
    try:
        coroutine.send(None)
    except StopIteration as stopped:
        return stopped.value
    coroutine.close()
    return None


class _StreamingCall:
    """A call that tells of the responses that are read. Everything else goes to the call."""

    __slots__ = ("_call", "_responses", "_rpc")

    def __init__(self, call: Any, rpc: Rpc) -> None:
        self._call = call
        self._rpc = rpc
        self._responses: WatchedAsyncStream | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def __repr__(self) -> str:
        return repr(self._call)

    def __aiter__(self) -> AsyncIterator[Any]:
        responses = aiter(self._call)  # each time: gRPC complains of two ways to read
        if self._responses is None:
            self._responses = WatchedAsyncStream(responses, self._rpc.response, _nothing)
        return aiter(self._responses)

    async def read(self) -> Any:
        message = await self._call.read()
        if message is not _EOF:
            self._rpc.response()
        return message


class _UnaryStreamCall(_StreamingCall):
    """With one request."""

    __slots__ = ()


class _StreamStreamCall(_StreamingCall):
    """With a stream of requests."""

    __slots__ = ()


# grpc.aio asks with isinstance whether it has got a call or something to iterate over; the base
# classes themselves would answer for the methods that are to go to the call.
grpc.aio.UnaryStreamCall.register(_UnaryStreamCall)  # type: ignore[attr-defined] # ABCs, which the
grpc.aio.StreamStreamCall.register(_StreamStreamCall)  # type: ignore[attr-defined] # stubs hide


def _nothing() -> None:
    """Take no notice: the end of the responses is the end of the call, which has its own word."""
