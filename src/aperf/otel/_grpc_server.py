"""The server's interceptor: a span from the arrival of a call until its status is sent.

grpc.aio runs each call in a task of its own: interceptors, reading of the request, handler, and
what is sent. So the end of that task is the end of the call, once, however it comes about: also if
the client goes away while a generator waits for its next turn, or before the handler was reached.
The context of the task is the call's own, too. The span is put there once and stays: no token is
kept, and nothing is undone in a context that is not ours.
"""

# ruff: noqa: ANN401 - messages are the program's, and gRPC's own classes are native

from __future__ import annotations

import asyncio
import inspect
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import grpc
import grpc.aio
from opentelemetry import context as contexts
from opentelemetry import propagate, trace

from ._grpc_conventions import peer_attributes
from ._grpc_others import context_of_handler, may_open_later
from ._grpc_server_context import SyncContext, WatchedContext
from ._grpc_streams import watched_stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator

    from opentelemetry.context import Context
    from opentelemetry.trace import Span

    from ._grpc_rpc import Rpc, Side

__all__ = ("ServerInterceptor",)

_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


class ServerInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg] # generic in the stubs alone
    """Observes what a server does for its clients."""

    def __init__(self, side: Side) -> None:
        self._side = side

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Observe a call."""
        call = self._begin(handler_call_details)
        if call is None:
            return await continuation(handler_call_details)
        try:
            handler = await continuation(handler_call_details)
        except BaseException as error:
            call.failure = error
            raise
        if handler is None:
            call.has_no_handler(handler_call_details.method)
            return None
        return WatchedHandler(_watched_handler(handler, call), call)

    def _begin(self, details: grpc.HandlerCallDetails) -> ServerCall | None:
        task = asyncio.current_task()
        waits = may_open_later()
        rpc = self._side.begin(details.method, partial(_sent_context, details), opens=not waits)
        if task is None or rpc is None:
            return None
        call = ServerCall(rpc, self._side.trace_id_key)
        if waits:
            call.wait()
        else:
            contexts.attach(rpc.context)
        task.add_done_callback(call.ended)
        return call


def _sent_context(details: grpc.HandlerCallDetails) -> Context:
    """Return the client's context. What was current when the server started is no parent."""
    carrier: dict[str, list[str]] = {}
    for key, value in details.invocation_metadata or ():
        if isinstance(value, str):
            carrier.setdefault(key, []).append(value)
    nobody = trace.set_span_in_context(trace.INVALID_SPAN)
    return propagate.extract(carrier, nobody)


class ServerCall:
    """A call that is served.

    Attributes:
        rpc: what is told about it.
        failure: the exception that will end it, as far as one knows.
        dispatched: somebody has looked at the handler, so there were not too many calls at a time.
    """

    __slots__ = ("_before", "_context", "_trace_id_key", "_unknown", "dispatched", "failure", "rpc")

    def __init__(self, rpc: Rpc, trace_id_key: str | None) -> None:
        self.rpc = rpc
        self.failure: BaseException | None = None
        self.dispatched = False
        self._before: Span | None = None
        self._context: Any = None
        self._unknown = False
        self._trace_id_key = trace_id_key

    def wait(self) -> None:
        """Leave it until the handler begins to open a span: somebody else may, too."""
        self._before = trace.get_current_span()

    def _open(self) -> None:
        if self._before is None:
            return
        self.rpc.open_late(context_of_handler(self.rpc.context, self._before))
        self._before = None

    def has_no_handler(self, method: str) -> None:
        """Notice that there is no such method."""
        self._unknown = True
        self.rpc.method_is_unknown(method)

    def entered(self, context: Any) -> Any:
        """Notice that the handler begins, and return the context that it gets."""
        if self._before is not None:
            self._open()
            contexts.attach(self.rpc.context)
        self._see_peer(context)
        self._context = context
        extra = self._extra_metadata()
        return WatchedContext(context, self.rpc, extra) if extra or self.rpc.recording else context

    def entered_sync(self, context: Any) -> Any:
        """Do the same for a handler that runs in a thread."""
        self._open()
        self._see_peer(context)
        self._context = SyncContext(context, self._extra_metadata())
        return self._context

    def requests(self, stream: Any) -> Any:
        """Return the stream of requests that the handler gets."""
        if not self.rpc.recording:
            return stream
        return watched_stream(stream, self.rpc.request, self.rpc.end_of_requests)

    def _see_peer(self, context: Any) -> None:
        if self.rpc.recording:
            self.rpc.span.set_attributes(peer_attributes(context.peer()))

    def _extra_metadata(self) -> tuple[tuple[str, str], ...]:
        trace_id = self.rpc.trace_id
        if self._trace_id_key is None or trace_id is None:
            return ()
        return ((self._trace_id_key, trace_id),)

    def ended(self, task: asyncio.Task[Any]) -> None:
        """Notice the end of the call's task."""
        code, failure = self._status(task), self.failure
        if isinstance(failure, grpc.aio.AbortError | asyncio.CancelledError | GeneratorExit):
            failure = None
        details = self._context.details() if hasattr(self._context, "details") else ""
        self._context = self.failure = None  # the traceback holds the handler's frames
        self.rpc.finish(code, details, failure)

    def _status(self, task: asyncio.Task[Any]) -> grpc.StatusCode:
        if self._unknown:
            return grpc.StatusCode.UNIMPLEMENTED
        if self._cancelled(task):
            remaining_s = None if self._context is None else self._context.time_remaining()
            expired = remaining_s is not None and remaining_s <= 0
            return grpc.StatusCode.DEADLINE_EXCEEDED if expired else grpc.StatusCode.CANCELLED
        code = self._code_set()
        if self.failure is not None and code is grpc.StatusCode.OK:
            return grpc.StatusCode.UNKNOWN
        if self._context is None and self.failure is None:
            # Either the client went away before it had said what it wants, or it was refused.
            dispatched = self.dispatched
            return grpc.StatusCode.CANCELLED if dispatched else grpc.StatusCode.RESOURCE_EXHAUSTED
        return code

    def _cancelled(self, task: asyncio.Task[Any]) -> bool:
        if hasattr(self._context, "done"):
            return not self._context.done()  # no status has been sent
        return task.cancelling() > 0 or isinstance(self.failure, asyncio.CancelledError)

    def _code_set(self) -> grpc.StatusCode:
        context = self._context
        if context is None:
            return grpc.StatusCode.OK
        code = context.code_set if isinstance(context, SyncContext) else context.code()
        if isinstance(code, int):
            return _CODES.get(code, grpc.StatusCode.UNKNOWN)
        return code or grpc.StatusCode.OK


class WatchedHandler(grpc.RpcMethodHandler):  # type: ignore[type-arg] # generic in the stubs alone
    """A handler that tells when somebody looks at it, which gRPC does once it takes the call on."""

    def __init__(self, handler: Any, call: ServerCall) -> None:
        self._handler = handler
        self._call = call

    def __getattr__(self, name: str) -> Any:
        self._call.dispatched = True
        return getattr(self._handler, name)


#: gRPC's own makers of handlers, by whether requests and responses are streams.
_KINDS: Final[dict[tuple[bool, bool], tuple[str, Callable[..., Any]]]] = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}


def _watched_handler(handler: Any, call: ServerCall) -> Any:
    """Return a handler of the same kind that tells of what happens in it."""
    requests, responses = bool(handler.request_streaming), bool(handler.response_streaming)
    name, make = _KINDS[requests, responses]
    call.rpc.streams_responses = responses
    call.rpc.enter()
    return make(
        _watched(getattr(handler, name), call, requests, responses),
        _noting(handler.request_deserializer, call),
        _noting(handler.response_serializer, call),
    )


def _noting(function: Callable[[Any], Any] | None, call: ServerCall) -> Any:
    """Notice messages that cannot be read or written: that fails outside of the handler."""
    if function is None:
        return None

    def convert(message: Any) -> Any:
        try:
            return function(message)
        except BaseException as error:
            call.failure = error
            raise

    return convert


def _watched(behavior: Any, call: ServerCall, requests: bool, responses: bool) -> Any:
    """Wrap a handler by one that gRPC takes for the same kind of function."""
    if inspect.iscoroutinefunction(behavior):
        return _coroutine(behavior, call, requests)
    if responses and inspect.isasyncgenfunction(behavior):
        return _async_generator(behavior, call, requests)
    return (_generator if responses else _function)(behavior, call, requests)


def _coroutine(behavior: Any, call: ServerCall, requests: bool) -> Any:
    async def handle(request: Any, context: Any) -> Any:
        context = call.entered(context)
        try:
            response = await behavior(call.requests(request) if requests else request, context)
        except BaseException as error:
            call.failure = error
            raise
        call.failure = None  # what failed on the way, the handler has coped with
        return response

    return handle


def _async_generator(behavior: Any, call: ServerCall, requests: bool) -> Any:
    async def handle(request: Any, context: Any) -> AsyncIterator[Any]:
        context = call.entered(context)
        responses = behavior(call.requests(request) if requests else request, context)
        try:
            async for response in responses:
                yield response
                call.rpc.response()  # it has been sent, or we were not woken
        except BaseException as error:
            call.failure = error
            raise
        finally:
            await responses.aclose()  # where we are closed, and by the same task

    return handle


def _function(behavior: Any, call: ServerCall, requests: bool) -> Any:
    def handle(request: Any, context: Any) -> Any:
        context = call.entered_sync(context)
        token = contexts.attach(call.rpc.context)  # gRPC's threads know nothing of the call
        try:
            return behavior(call.requests(request) if requests else request, context)
        except BaseException as error:
            call.failure = error
            raise
        finally:
            contexts.detach(token)

    return handle


def _generator(behavior: Any, call: ServerCall, requests: bool) -> Any:
    def handle(request: Any, context: Any) -> Iterator[Any]:
        context = call.entered_sync(context)
        try:
            responses = behavior(call.requests(request) if requests else request, context)
        except BaseException as error:
            call.failure = error
            raise
        return _steps(responses, call)

    return handle


def _steps(responses: Iterable[Any], call: ServerCall) -> Iterator[Any]:
    """Run each step of a generator in its own context; none is left behind between two."""
    iterator, inside = iter(responses), call.rpc.context
    while True:
        token = contexts.attach(inside)
        try:
            response = next(iterator)
        except StopIteration:
            return
        except BaseException as error:
            call.failure = error
            raise
        finally:
            inside = contexts.get_current()
            contexts.detach(token)
        yield response
        call.rpc.response()
