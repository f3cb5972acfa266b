"""OpenTelemetry's samplers, by the name that `OTEL_TRACES_SAMPLER` gives them.

A trace is decided about once: where its id is handed out on the loop, else on the exporter thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._config import Settings

__all__ = ("Decisions", "sampler")

#: Decisions of the loop's side that are kept for the exporter thread.
_KEPT: Final = 4_096


class Decisions:
    """Decides about traces, the same for whoever asks.

    Args:
        sample: decides by the trace's id and the name of its first span.
    """

    def __init__(self, sample: Callable[[int, str], bool]) -> None:
        self._sample = sample
        self._early: dict[int, bool] = {}

    def early(self, trace_id: int, name: str) -> bool:
        """Decide on the loop, and remember it: what is asked for later must agree."""
        decision = self._early.get(trace_id)
        if decision is None:
            decision = self._early[trace_id] = self._sample(trace_id, name)
            while len(self._early) > _KEPT:
                self._early.pop(next(iter(self._early)), None)
        return decision

    def decide(self, trace_id: int, name: str) -> bool:
        """Decide on the exporter thread, which asks once for each trace."""
        decision = self._early.get(trace_id)
        return self._sample(trace_id, name) if decision is None else decision


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
