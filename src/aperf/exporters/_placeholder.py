"""What stands in OpenTelemetry's API while the program has no `TracerProvider`.

It is put into the variable of the API, beside the switch that lets a provider be set once: so
`set_tracer_provider` works as if it were not there. To whoever asks, it is what is there without
it, a `ProxyTracerProvider`: libraries that set a provider only where there is none still do.

Tracers outlive sessions: the API's own ones keep what they got. So those from here decide at each
span who makes it: the program's provider by now, the SDK on behalf of aperf while a session wants
spans, else nobody.

Imported only once the program has imported OpenTelemetry's API.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.util._decorator import _agnosticcontextmanager

from ._program_spans import open_outlets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.trace import Span, Tracer, TracerProvider
    from opentelemetry.util.types import Attributes

    from aperf.model import SessionInfo

__all__ = ("PLACEHOLDER", "Placeholder")

_LOG: Final = logging.getLogger("aperf")

#: Held by the API while it sets a provider.
_SETTING: Final = trace._TRACER_PROVIDER_SET_ONCE._lock

#: What a tracer does for which there is no provider.
_NOTHING: Final = trace.NoOpTracerProvider()

#: For the import of the SDK on another thread, before a fork.
_PATIENCE_S: Final = 5.0


class Placeholder(trace.ProxyTracerProvider):
    """The one of this process, in its place or not."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._session: SessionInfo | None = None
        self._providers: dict[tuple[str, str | None], TracerProvider] = {}
        self._warm_up: threading.Thread | None = None

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> Tracer:
        """Return a tracer that works as long as the program does."""
        self._begin_to_warm_up()
        return _Tracer(
            instrumenting_module_name, instrumenting_library_version, schema_url, attributes
        )

    def install(self, session: SessionInfo, *, warm_up: bool) -> None:
        """Stand in, if there is no provider.

        Args:
            session: whose sampler decides; another one's if that has installed it.
            warm_up: begin to import the SDK before anybody asks for a tracer.
        """
        with _SETTING:
            if trace._TRACER_PROVIDER is not None:
                return
            self._session = session
            trace._TRACER_PROVIDER = self
        if warm_up:
            self._begin_to_warm_up()

    def remove(self) -> None:
        """Leave the place as it was."""
        with _SETTING:
            self._vacate()

    def _vacate(self) -> None:
        if trace._TRACER_PROVIDER is self:
            trace._TRACER_PROVIDER = None

    def in_effect(self) -> TracerProvider:
        """Return who makes spans at the moment."""
        provider = trace._TRACER_PROVIDER
        if provider is not None and provider is not self:
            return provider
        return self._own() if open_outlets() else _NOTHING

    def _own(self) -> TracerProvider:
        session = self._session
        if session is None:
            return _NOTHING
        sampler = session.sampler, session.sampler_arg
        provider = self._providers.get(sampler)
        if provider is None:
            provider = self._make(session)
            with self._lock:
                provider = self._providers.setdefault(sampler, provider)
        return provider

    @staticmethod
    def _make(session: SessionInfo) -> TracerProvider:
        try:
            from ._placeholder_sdk import make_provider

            return make_provider(session)
        except Exception:
            _LOG.warning("aperf: OpenTelemetry's SDK cannot make spans", exc_info=True)
            return _NOTHING

    # The SDK takes some 50 ms to import: that is done beside the program, not in its first span.

    def _begin_to_warm_up(self) -> None:
        with self._lock:
            if self._warm_up is None and self._session is not None:
                thread = threading.Thread(
                    target=self._own, name="aperf-opentelemetry-import", daemon=True
                )
                try:
                    thread.start()
                except RuntimeError:  # too many threads, or the interpreter is about to exit
                    return
                self._warm_up = thread

    def wait_until_warm(self) -> None:
        """Wait until nothing is being imported on another thread."""
        thread = self._warm_up
        if thread is not None:
            thread.join(_PATIENCE_S)

    def forget_after_fork(self) -> None:
        """Be out of place in the child."""
        self._lock = threading.RLock()
        self._vacate()


PLACEHOLDER: Final = Placeholder()


class _Tracer(trace.Tracer):
    """Passes spans on to the tracer of whoever makes them at the moment."""

    def __init__(self, *scope: Any) -> None:
        self._scope = scope
        self._found: tuple[TracerProvider, Tracer] | None = None

    def _tracer(self) -> Tracer:
        provider = PLACEHOLDER.in_effect()
        found = self._found
        if found is None or found[0] is not provider:
            found = self._found = provider, provider.get_tracer(*self._scope)
        return found[1]

    def start_span(self, *args: Any, **kwargs: Any) -> Span:
        """Start a span."""
        return self._tracer().start_span(*args, **kwargs)

    @_agnosticcontextmanager
    def start_as_current_span(self, *args: Any, **kwargs: Any) -> Iterator[Span]:
        """Start a span and let it be current, in a block or a decorated function."""
        with self._tracer().start_as_current_span(*args, **kwargs) as span:
            yield span
