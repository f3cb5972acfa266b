"""The switches that are read before anything else is loaded.

Imports nothing but ``os``: this is all of the configuration that a program pays for while aperf
is off.
"""

from __future__ import annotations

import os

from aperf._errors import ConfigurationError

TYPE_CHECKING = False  # typing itself takes milliseconds to import
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = (
    "BOOLEANS",
    "BOOLEANS_TEXT",
    "complaint",
    "names_tracer_provider",
    "pure_python",
    "telemetry_enabled",
)

#: How a switch may be written, in any case.
BOOLEANS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}
BOOLEANS_TEXT = "true or false (also 1/0, yes/no, on/off)"


def complaint(name: str, value: object, accepted: str) -> str:
    """Return the one line about a bad value: who says what, and what would be right."""
    return f"{name}: {value!r} is not accepted; use {accepted}"


def telemetry_enabled(environ: Mapping[str, str] | None = None) -> bool:
    """Say whether the tracker is to be on, without reading anything else.

    ``TELEMETRY_ENABLED`` asks for it, and so does ``TRACY_ENABLED`` on its own.

    Args:
        environ: the variables; those of the process by default.

    Raises:
        ConfigurationError: one of them is set to something that is neither yes nor no.
    """
    variables = os.environ if environ is None else environ
    names = ("TELEMETRY_ENABLED", "TRACY_ENABLED")
    answers = [_is_on(variables, name) for name in names]  # all of them: each may be bad
    return any(answers)


def _is_on(variables: Mapping[str, str], name: str) -> bool:
    value = variables.get(name, "").strip()
    if not value:
        return False
    enabled = BOOLEANS.get(value.lower())
    if enabled is None:
        raise ConfigurationError(complaint(name, value, BOOLEANS_TEXT))
    return enabled


def pure_python(environ: Mapping[str, str] | None = None) -> bool:
    """Say whether ``APERF_PURE_PYTHON`` forces the Python twin of the native core.

    The answer is needed at import, where raising would fail the user's program: a bad value counts
    as unset here, and `read_settings` complains about it.
    """
    value = (os.environ if environ is None else environ).get("APERF_PURE_PYTHON", "").strip()
    return BOOLEANS.get(value.lower(), False)


def names_tracer_provider(environ: Mapping[str, str] | None = None) -> bool:
    """Say whether OpenTelemetry is told what tracer provider it has, be it one that does nothing.

    Args:
        environ: the variables; those of the process by default.
    """
    variables = os.environ if environ is None else environ
    is_off = variables.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return is_off or "OTEL_PYTHON_TRACER_PROVIDER" in variables
