"""What `opentelemetry-instrument` loads: a session for the whole life of the program.

Nothing in aperf imports this module. It needs the package `opentelemetry-instrumentation`, which is
there if it is loaded.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from opentelemetry.instrumentation import instrumentor

from . import _client
from ._config import read_settings_with_warnings
from ._errors import ConfigurationError
from ._stderr import tell

if TYPE_CHECKING:
    from collections.abc import Collection

    from ._config import Settings
    from ._session import Session

__all__ = ("AperfInstrumentor",)


# The file of the base class has opted out of being checked.
class AperfInstrumentor(instrumentor.BaseInstrumentor):  # type: ignore[misc, name-defined]
    """Watches every loop of the program.

    ``TELEMETRY_ENABLED`` need not be set, but false wins. The program did not ask for a summary: it
    is printed only where ``APERF_SUMMARY`` or ``TELEMETRY_ENABLED`` says so.
    """

    _session: Session | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return the packages that are instrumented: asyncio is none."""
        return ()

    def _instrument(self, **options: Any) -> None:
        """Begin the session of the process, which `aperf.instrument_loop` joins.

        Args:
            **options: fields of `Settings`, from OpenTelemetry's configuration file.
        """
        try:
            settings, warnings = read_settings_with_warnings(**options)
        except ConfigurationError as error:
            # Raising would end the instrumentation of everything else.
            tell(*str(error).splitlines(), "telemetry stays off")
            return
        tell(*warnings)
        self._session = _client.begin({"loops": "all", "settings": _for_program(settings)})

    def _uninstrument(self, **options: Any) -> None:
        """End the session."""
        if self._session is not None:
            self._session.__exit__()
            self._session = None


def _for_program(settings: Settings) -> Settings:
    is_asked_for = settings.sources["enabled"] != "default"
    if settings.sources["summary"] == "default" and not is_asked_for:
        settings = replace(settings, summary="none")
    return settings if is_asked_for else replace(settings, enabled=True)
