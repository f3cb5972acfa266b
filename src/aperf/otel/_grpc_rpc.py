"""One call, on either side: its span, its events, and what the metrics get of it."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from aperf._version import installed_version

from ._grpc_conventions import (
    CLIENT_ERRORS,
    SERVER_ERRORS,
    Semconv,
    duration_metric,
    method_attributes,
    status_attributes,
    target_attributes,
    unknown_method_attributes,
)
from ._grpc_instruments import SCOPE, Durations, InFlight
from ._grpc_others import span_of_call

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import grpc
    from opentelemetry.context import Context
    from opentelemetry.metrics import Histogram, Meter, MeterProvider, UpDownCounter
    from opentelemetry.trace import Span, Tracer, TracerProvider

__all__ = ("Rpc", "Side", "make_side")

_log = logging.getLogger("aperf")
_MOST_WORDS: Final = 1024  # details may be a whole page, and travel in the trailing metadata anyway


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What all calls of one set of interceptors share.

    Attributes:
        name: "server" or "client".
        tracer: makes the spans.
        duration: how long calls took.
        active: how many are in flight.
        unit_ns: nanoseconds in a unit of `duration`.
        semconv: which generation of names.
        target: attributes that say which server it is.
        include: whether a method is to be observed; None: every one.
        trace_id_key: of the metadata that carries the server's trace id; None: it does not travel.
    """

    name: str
    tracer: Tracer
    duration: Durations
    active: InFlight
    unit_ns: float
    semconv: Semconv
    target: Mapping[str, str | int]
    include: Callable[[str], bool] | None
    trace_id_key: str | None

    def begin(
        self, method: str | bytes, parent: Callable[[], Context], *, opens: bool = True
    ) -> Rpc | None:
        """Begin to observe a call, unless nobody wants to.

        Args:
            method: with its leading slash, as gRPC gives it.
            parent: returns the context with the parent of the span.
            opens: open the span now; False: `Rpc.open` is called as soon as its parent is known.
        """
        if contexts.get_value(contexts._SUPPRESS_INSTRUMENTATION_KEY):
            return None
        name = (method.decode() if isinstance(method, bytes) else method).removeprefix("/")
        try:
            if self.include is not None and not self.include(name):
                return None
            rpc = Rpc(self, name, parent())
            if opens:
                rpc.open()
            return rpc
        except Exception:  # of a predicate, propagator, sampler or processor: not the call's fault
            _log.warning("cannot observe a call of %s", name, exc_info=True)
            return None


def make_side(
    name: str,
    *,
    tracer_provider: TracerProvider | None,
    meter_provider: MeterProvider | None,
    include: Callable[[str], bool] | None,
    target: str | None,
    semconv: Semconv,
    trace_id_key: str | None,
) -> Side:
    """Make a side's instruments; those of providers that the program sets later will do, too."""
    version, metric = installed_version(), duration_metric(name, semconv)

    def duration(meter: Meter) -> Histogram:
        return _histogram(meter, metric.name, metric.unit, metric.boundaries)

    def active(meter: Meter) -> UpDownCounter:
        title = f"rpc.{name}.active_requests"
        return meter.create_up_down_counter(title, "{request}", "Calls in flight.")

    return Side(
        name=name,
        tracer=trace.get_tracer(SCOPE, version, tracer_provider),
        duration=Durations(duration, version, meter_provider),
        active=InFlight(active, version, meter_provider),
        unit_ns=metric.ns,
        semconv=semconv,
        target=target_attributes(target),
        include=include,
        trace_id_key=trace_id_key,
    )


def _histogram(
    meter: Meter, name: str, unit: str, boundaries: tuple[float, ...] | None
) -> Histogram:
    description = "How long calls took, from the first byte to the status."
    if boundaries is None:
        return meter.create_histogram(name, unit, description)
    try:
        return meter.create_histogram(
            name, unit, description, explicit_bucket_boundaries_advisory=boundaries
        )
    except TypeError:  # an OpenTelemetry API that takes no advice yet
        return meter.create_histogram(name, unit, description)


class Rpc:
    """A call that is being observed.

    Attributes:
        span: of the call; until it is open, and where somebody else's is, one that records nothing.
        context: what is current inside the call.
        recording: somebody keeps the span, so events are worth their while.
        streams_responses: there may be any number of them, so that their end is worth an event.
    """

    __slots__ = (
        "_attributes",
        "_begin_ns",
        "_entered",
        "_finished",
        "_method",
        "_opened",
        "_requests",
        "_responses",
        "_side",
        "_start_ns",
        "context",
        "recording",
        "span",
        "streams_responses",
    )

    def __init__(self, side: Side, method: str, context: Context) -> None:
        self._side = side
        self._attributes: dict[str, Any] = {
            **method_attributes(method, side.semconv),
            **side.target,
        }
        self._method = method
        self._begin_ns, self._start_ns = time.perf_counter_ns(), time.time_ns()
        self._entered = self._finished = self._opened = False
        self._requests = self._responses = 0
        self.streams_responses = self.recording = False
        self.span: Span = trace.INVALID_SPAN
        self.context = context

    def open(self, context: Context | None = None) -> None:
        """Open the span, which began when the call did, unless the call has one.

        Args:
            context: with the parent of the span; None: the one that is known.
        """
        self._opened = True
        side, context = self._side, self.context if context is None else context
        kind = SpanKind.SERVER if side.name == "server" else SpanKind.CLIENT
        other = span_of_call(context, kind, self._method)
        if other is None:
            self.span = side.tracer.start_span(
                self._method, context, kind, self._attributes, start_time=self._start_ns
            )
            self.context = trace.set_span_in_context(self.span, context)
        else:  # its status and its end are not ours to tell
            self.span = trace.NonRecordingSpan(other.get_span_context())
            self.context = context
        self.recording = self.span.is_recording()

    def open_late(self, context: Context) -> None:
        """Open the span where the call is under way already, and must not suffer."""
        try:
            self.open(context)
        except Exception:
            _log.warning("cannot observe a call of %s", self._method, exc_info=True)

    @property
    def trace_id(self) -> str | None:
        """The trace that the span of this call belongs to; None without a span of our own."""
        span = self.span.get_span_context()
        # Without a provider the API hands the caller's context on as if it were a span.
        ours = span.is_valid and not span.is_remote
        return trace.format_trace_id(span.trace_id) if ours else None

    def enter(self) -> None:
        """Count the call as one in flight."""
        self._side.active.add(1, self._attributes)
        self._entered = True

    def method_is_unknown(self, method: str | bytes) -> None:
        """Take back the name, which the caller has chosen freely."""
        self._attributes = {
            **unknown_method_attributes(self._side.semconv),
            **self._side.target,
        }
        original = method.decode() if isinstance(method, bytes) else method
        if not self._opened:
            self.open_late(self.context)
        self.span.update_name("grpc")
        self.span.set_attributes(self._attributes | {"rpc.method_original": original})

    def request(self) -> None:
        """Notice a message of a stream of requests."""
        self._requests += 1
        if self._requests == 1:
            self._event("rpc.request.first_message")

    def end_of_requests(self) -> None:
        """Notice that the client has said all that it wants to say."""
        self._event("rpc.request.end_of_stream", self._requests)

    def response(self) -> None:
        """Notice a message of a stream of responses."""
        self._responses += 1
        if self._responses == 1:
            self._event("rpc.response.first_message")

    def _event(self, name: str, messages: int | None = None) -> None:
        if self.recording and not self._finished:
            attributes = {} if messages is None else {"rpc.messages": messages}
            self.span.add_event(name, attributes)

    def finish(
        self,
        code: grpc.StatusCode | None,
        description: str | None = None,
        error: BaseException | None = None,
    ) -> None:
        """End the span and count the call; only the first time has an effect.

        Args:
            code: how it ended; None: by an exception, before there was a status.
            description: what the status says beside the code; None: what `error` says.
            error: the reason, if it was an exception.
        """
        if self._finished:
            return
        try:
            if not self._opened:  # it has ended before anybody could have opened another one
                self.open()
            if self.streams_responses:
                self._event("rpc.response.end_of_stream", self._responses)
            self._finished = True
            self._finish(code, description, error)
        except Exception:  # a span processor of the program's: gRPC must not suffer for it
            _log.warning("cannot end the span of a call", exc_info=True)

    def _finish(
        self, code: grpc.StatusCode | None, description: str | None, error: BaseException | None
    ) -> None:
        elapsed_ns = time.perf_counter_ns() - self._begin_ns
        side, ended = self._side, self._ended(code, error)
        if self._entered:
            side.active.add(-1, self._attributes)
        side.duration.record(elapsed_ns / side.unit_ns, self._attributes | ended)
        try:
            if self.recording:
                self.span.set_attributes(ended)
                if "error.type" in ended:
                    self._set_error(description or _words(error), error)
        finally:
            self.span.end()

    def _set_error(self, description: str | None, error: BaseException | None) -> None:
        cut = description and description[:_MOST_WORDS]
        self.span.set_status(Status(StatusCode.ERROR, cut))
        if error is not None:
            self.span.record_exception(error)

    def _ended(
        self, code: grpc.StatusCode | None, error: BaseException | None
    ) -> dict[str, str | int]:
        if code is None:
            return {"error.type": f"{type(error).__module__}.{type(error).__qualname__}"}
        ended = status_attributes(code, self._side.semconv)
        if code in (SERVER_ERRORS if self._side.name == "server" else CLIENT_ERRORS):
            ended["error.type"] = code.name
        return ended


def _words(error: BaseException | None) -> str | None:
    if error is None:
        return None
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # an exception that cannot be shown
        return type(error).__name__
