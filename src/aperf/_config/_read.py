"""From the environment and the caller's arguments to `Settings`.

First every variable is read on its own, so that all bad values are known at once; then each field
takes the first variable of the table that says something. What the caller gives beats them all.
"""

from __future__ import annotations

import os
from dataclasses import fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from aperf._errors import ConfigurationError

from ._kinds import ENDPOINT, Kind
from ._metrics import read_metrics
from ._otlp import read_otlp
from ._service import script_name
from ._settings import MetricsSettings, OtlpSettings, Settings
from ._switch import complaint
from ._variables import VARIABLES, Variable

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("Reading", "Values", "read_settings", "read_settings_with_warnings", "refusal")


_FIELDS = {field.name: field for field in fields(Settings) if field.name != "sources"}


class Reading(NamedTuple):
    """Settings, and what to tell the user about them: one line for each warning."""

    settings: Settings
    warnings: tuple[str, ...]


def read_settings(environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Read the configuration.

    Args:
        environ: the variables; those of the process by default.
        **overrides: fields of `Settings` that the caller decides; None leaves the decision to the
            environment. ``otlp`` may also be a URL: OTLP goes there, and the environment says how.

    Raises:
        ConfigurationError: one line for each bad value, with variable, value and what is accepted.
        TypeError: there is no such field.
    """
    return read_settings_with_warnings(environ, **overrides).settings


def read_settings_with_warnings(
    environ: Mapping[str, str] | None = None, **overrides: Any
) -> Reading:
    """Do what `read_settings` does, and return the warnings too; nothing is logged."""
    if unknown := overrides.keys() - _FIELDS.keys():
        raise TypeError(f"no such setting: {', '.join(sorted(unknown))}")
    given = {name: value for name, value in overrides.items() if value is not None}
    values, warnings, problems = _parse(os.environ if environ is None else environ)
    problems += [
        complaint(name, value, accepted)
        for name, value in given.items()
        if (accepted := refusal(name, value))
    ]
    if problems:
        raise ConfigurationError("\n".join(problems))
    return _fold(values, given, warnings)


class Values(dict[str, object]):
    """What the variables say that are set to something good."""

    def field(self, field: str) -> tuple[object, str] | None:
        """Return the value and the variable that decide on a field."""
        for variable in VARIABLES:
            if variable.field == field and self.get(variable.name) is not None:
                return self[variable.name], variable.name
        return None


def _parse(environ: Mapping[str, str]) -> tuple[Values, list[str], list[str]]:
    values, warnings, problems = Values(), [], []
    for variable in VARIABLES:
        text = environ.get(variable.name, "").strip()
        if not text:  # empty is unset
            continue
        try:
            values[variable.name] = variable.kind.parse(text)
        except (LookupError, ValueError):
            line = _complain(variable, text)
            if variable.forgiving:
                warnings.append(f"{line}; ignored")
            else:
                problems.append(line)
    return values, warnings, problems


def _complain(variable: Variable, text: str) -> str:
    if variable.kind.secret:
        accepts = variable.kind.accepts
        return f"{variable.name}: its value (a secret) is not accepted; use {accepts}"
    return complaint(variable.name, text, variable.kind.accepts)


def refusal(name: str, value: object) -> str:
    """Return what the value of a field of `Settings` should be, or "" if it is that."""
    if name == "otlp":
        good = isinstance(value, OtlpSettings) or _is_url(value)
        return "" if good else ENDPOINT.accepts
    if name == "metrics":
        return "" if isinstance(value, MetricsSettings) else "MetricsSettings"
    default = _FIELDS[name].default
    if isinstance(default, bool):
        return "" if isinstance(value, bool) else "True or False"
    if isinstance(default, int):
        good = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        return "" if good else "a whole number from 0 up"
    kind = next(variable.kind for variable in VARIABLES if variable.field == name)
    return "" if isinstance(value, str) and value and _reads(kind, value) else kind.accepts


def _reads(kind: Kind, text: str) -> bool:
    try:
        return kind.parse(text) == text
    except (LookupError, ValueError):
        return False


def _is_url(value: object) -> bool:
    """Say whether this is a full URL: without a scheme it would depend on the SDK's reading."""
    is_url = isinstance(value, str) and value.startswith(("http://", "https://"))
    return is_url and _reads(ENDPOINT, str(value))


def _fold(values: Values, given: Mapping[str, Any], warnings: list[str]) -> Reading:
    chosen: dict[str, Any] = {"service_name": script_name()}
    sources = dict.fromkeys(_FIELDS, "default")
    for name in _FIELDS.keys() - {"metrics", "otlp"}:
        if name in given:
            chosen[name], sources[name] = given[name], "argument"
        elif found := values.field(name):
            chosen[name], sources[name] = found
    otlp = given.get("otlp")
    if isinstance(otlp, OtlpSettings):
        sources["otlp"] = "argument"
    else:
        otlp = read_otlp(values, otlp, sources, warnings)
    metrics = given.get("metrics")
    if metrics is None:
        metrics = read_metrics(values, sources, warnings)
    else:
        sources["metrics"] = "argument"
    settings = Settings(**chosen, otlp=otlp, metrics=metrics, sources=MappingProxyType(sources))
    return Reading(settings, tuple(warnings))
