"""From the environment, the configuration file and the caller's arguments to `Settings`.

First every variable is read on its own, so that all bad values are known at once; then each field
takes the first variable of the table that says something. What the caller gives beats them all. A
configuration file takes the place of OpenTelemetry's own variables.
"""

from __future__ import annotations

import os
from dataclasses import fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from aperf._errors import ConfigurationError

from ._kinds import URL, Kind, PartlyAccepted
from ._logs import read_logs
from ._metrics import read_metrics
from ._otlp import read_otlp
from ._service import script_name
from ._settings import LimitSettings, LogsSettings, MetricsSettings, OtlpSettings, Settings
from ._switch import complaint
from ._variables import VARIABLES, Variable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = (
    "Reading",
    "Values",
    "read_arguments",
    "read_settings",
    "read_settings_with_warnings",
    "refusal",
)


_GROUPS = {"limits": LimitSettings, "logs": LogsSettings, "metrics": MetricsSettings}
_SIGNALS: tuple[tuple[str, type[Any], Callable[..., Any]], ...] = (
    ("otlp", OtlpSettings, read_otlp),
    ("metrics", MetricsSettings, read_metrics),
    ("logs", LogsSettings, read_logs),
)
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
    problems = [
        complaint(name, value, accepted)
        for name, value in given.items()
        if (accepted := refusal(name, value))
    ]
    if isinstance(given.get("otlp"), str):
        given["otlp.endpoint"] = given.pop("otlp")
    return read_arguments(given, environ, problems)


def read_arguments(
    arguments: Mapping[str, Any],
    environ: Mapping[str, str] | None = None,
    problems: Sequence[str] = (),
) -> Reading:
    """Read the configuration for a caller whose arguments are checked already.

    Args:
        arguments: what the caller decides, by `Variable.field`; for "otlp", "metrics" and "logs"
            the whole settings, or whether there is any.
        environ: the variables; those of the process by default.
        problems: what was wrong with the arguments.

    Raises:
        ConfigurationError: one line for each bad value.
    """
    environ = os.environ if environ is None else environ
    values, warnings, bad = _parse(environ, arguments)
    if problems := [*bad, *problems]:
        raise ConfigurationError("\n".join(problems))
    _read_file(values, environ, warnings)
    return _fold(values, warnings)


class Values(dict[str, object]):
    """What is said by those who have a say; of the variables what is good, by their names.

    Attributes:
        arguments: what the caller says, by field.
        file: what the configuration file says, by field.
        file_source: who names that file.
    """

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        super().__init__()
        self.arguments = arguments
        self.file: Mapping[str, object] = {}
        self.file_source = ""

    def field(self, field: str) -> tuple[object, str] | None:
        """Return the value of a field and who decides on it."""
        if field in self.arguments:
            return self.arguments[field], "argument"
        for variable in VARIABLES:
            if variable.field == field and self.get(variable.name) is not None:
                return self[variable.name], variable.name
        if field in self.file:
            return self.file[field], self.file_source
        return None


def _parse(
    environ: Mapping[str, str], arguments: Mapping[str, Any]
) -> tuple[Values, list[str], list[str]]:
    values, warnings, problems = Values(arguments), [], []
    for variable in VARIABLES:
        text = environ.get(variable.name, "").strip()
        if not text:  # empty is unset
            continue
        try:
            values[variable.name] = variable.kind.parse(text)
        except PartlyAccepted as partly:
            values[variable.name] = partly.rest
            warnings.append(f"{_complain(variable, partly.refused)}; ignored")
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


def _read_file(values: Values, environ: Mapping[str, str], warnings: list[str]) -> None:
    """Put the configuration file, if there is one, in the place of OpenTelemetry's variables."""
    found = values.field("config_file")
    if found is None:
        return
    from ._declarative import read_file

    declared = read_file(str(found[0]), environ)
    warnings[:] = declared.warnings
    for variable in VARIABLES:
        if variable.is_opentelemetry and variable.field != "config_file":
            values.pop(variable.name, None)
    values.file, values.file_source = declared.values, found[1]


def refusal(name: str, value: object) -> str:
    """Return what the value of a field of `Settings` should be, or "" if it is that."""
    if name == "otlp":
        # Without a scheme it would depend on the SDK's reading what is meant.
        good = isinstance(value, OtlpSettings) or (isinstance(value, str) and _reads(URL, value))
        return "" if good else URL.accepts
    if group := _GROUPS.get(name):
        return "" if isinstance(value, group) else group.__name__
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


def _fold(values: Values, warnings: list[str]) -> Reading:
    chosen: dict[str, Any] = {"service_name": script_name()}
    sources = dict.fromkeys(_FIELDS, "default")
    for name in _FIELDS.keys() - {"otlp", *_GROUPS}:
        if found := values.field(name):
            chosen[name], sources[name] = found
    chosen["limits"] = values.arguments.get("limits") or _limits(values, sources)
    given, results = values.arguments, dict[str, Any]()
    for name, kind, read in _SIGNALS:
        results[name] = given.get(name)
        if isinstance(results[name], kind):
            sources[name] = "argument"
        else:
            results[name] = read(values, sources, warnings)
    settings = Settings(**chosen, **results, sources=MappingProxyType(sources))
    return Reading(settings, tuple(warnings))


def _limits(values: Values, sources: dict[str, str]) -> LimitSettings:
    chosen: dict[str, Any] = {}
    for field in fields(LimitSettings):
        found = values.field(f"limits.{field.name}")
        sources[f"limits.{field.name}"] = found[1] if found else "default"
        if found:
            chosen[field.name] = found[0]
    return LimitSettings(**chosen)
