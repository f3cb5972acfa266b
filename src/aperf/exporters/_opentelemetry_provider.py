"""The application's own OpenTelemetry: is there one, and whom does it sample?"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.trace import TracerProvider

__all__ = ("Sampler", "application_provider", "follow_application", "sampler_of", "sdk_provider")

#: Decides about a new trace by its id and name.
Sampler: TypeAlias = "Callable[[int, str], bool]"

_LOG: Final = logging.getLogger("aperf")


def application_provider() -> TracerProvider | None:
    """Return the provider that the application has set, None while it has set none of the SDK's.

    Nothing is imported, made or set: `get_tracer_provider` would do that where a variable names a
    provider, and an application without the API has no provider either.
    """
    api: Any = sys.modules.get("opentelemetry.trace")
    return sdk_provider(getattr(api, "_TRACER_PROVIDER", None))


def sdk_provider(provider: object) -> TracerProvider | None:
    """Return the SDK's provider that this one is or wraps, None if there is none, or it is off."""
    sdk: Any = sys.modules.get("opentelemetry.sdk.trace")
    kind = getattr(sdk, "TracerProvider", None)  # another thread may be importing it right now
    if provider is None or kind is None:
        return None
    if not isinstance(provider, kind):
        provider = getattr(provider, "provider", None)  # Logfire sets a wrapper
    # OTEL_SDK_DISABLED: then its tracers do nothing.
    is_on = isinstance(provider, kind) and not getattr(provider, "_disabled", False)
    return provider if is_on else None


def sampler_of(provider: TracerProvider) -> Sampler:
    """Return what decides as the provider's sampler does.

    It is asked once for each trace. Attributes and trace state that it would add are not taken. One
    that raises lets nothing through: in the SDK it would keep spans from being made, too.
    """
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.sampling import Decision
    from opentelemetry.trace import SpanKind

    nowhere, told = Context(), False

    def sample(trace_id: int, name: str) -> bool:
        nonlocal told
        try:
            # Positionally, since samplers of the application's may call their parameters otherwise.
            result = provider.sampler.should_sample(
                nowhere, trace_id, name, SpanKind.INTERNAL, {}, ()
            )
            return result.decision is Decision.RECORD_AND_SAMPLE
        except Exception as error:
            if not told:
                _LOG.warning(
                    "aperf: the application's sampler failed, traces are missing: %r", error
                )
            told = True
            return False

    return sample


def follow_application(otherwise: Sampler | None) -> Sampler:
    """Return what decides as the application's sampler does, as soon as there is one.

    Args:
        otherwise: what decides until then; None lets all traces through.
    """
    provider: TracerProvider | None = None
    decide = otherwise

    def sample(trace_id: int, name: str) -> bool:
        nonlocal provider, decide
        if provider is None and (provider := application_provider()) is not None:
            decide = sampler_of(provider)
        return decide is None or decide(trace_id, name)

    return sample
