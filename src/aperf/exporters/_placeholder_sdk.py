"""The part of the placeholder that needs OpenTelemetry's SDK, which takes long to import."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.common import trace_encoder  # noqa: F401 - used later, and slow to import
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    ParentBased,
    Sampler,
    TraceIdRatioBased,
)

from ._program_spans import open_outlets

if TYPE_CHECKING:
    from aperf.model import SessionInfo

__all__ = ("make_provider",)


class _HandOver(SpanProcessor):
    """Gives spans that have ended to all destinations that want them."""

    def on_end(self, span: ReadableSpan) -> None:
        if span.context is not None and span.context.trace_flags.sampled:
            for outlet in open_outlets():
                outlet.put(span)


def make_provider(session: SessionInfo) -> TracerProvider:
    """Return a provider whose spans go where aperf's go."""
    provider = TracerProvider(
        sampler=_sampler(session.sampler, session.sampler_arg),
        resource=Resource(dict(session.resource)),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(_HandOver())
    return provider


def _sampler(name: str, argument: str | None) -> Sampler:
    """Return the sampler of this name in ``OTEL_TRACES_SAMPLER``, which has been checked."""
    root_name = name.removeprefix("parentbased_")
    root: Sampler
    if root_name == "always_on":
        root = ALWAYS_ON
    elif root_name == "always_off":
        root = ALWAYS_OFF
    else:
        root = TraceIdRatioBased(float(argument or 1.0))
    return root if root_name == name else ParentBased(root)
