"""OpenTelemetry's samplers, by the name that `OTEL_TRACES_SAMPLER` gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._config import Settings

__all__ = ("sampler",)


def sampler(settings: Settings) -> Callable[[int, str], bool] | None:
    """Return what decides about a new trace by its id and name; None lets all of them through.

    Traces of aperf begin in this process, so of a parent-based sampler only what it does with roots
    matters. The SDK is imported only where it has something to decide.
    """
    root = settings.sampler.removeprefix("parentbased_")
    if root == "always_on":
        return None
    if root == "always_off":
        return lambda trace_id, name: False
    from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

    ratio = TraceIdRatioBased(float(settings.sampler_arg or 1.0))

    def sample(trace_id: int, name: str) -> bool:
        return ratio.should_sample(None, trace_id, name).decision is Decision.RECORD_AND_SAMPLE

    return sample
