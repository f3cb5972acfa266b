"""``aperf config``: every setting, its value and who says so."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from aperf._config import VARIABLES, read_settings_with_warnings

from ._table import print_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aperf._config import Reading, Settings

__all__ = ("print_settings", "print_warnings", "public_endpoint", "settings_to_dict", "show")

#: How a value is shown that is kept in the smallest unit: (how many of it, the unit), by field.
_UNITS = {
    "await_min_ns": (10**3, "µs"),
    "stack_min_ns": (10**6, "ms"),
    "segment_ns": (10**9, "s"),
    "ring_bytes": (1 << 20, "MiB"),
    "export_interval_ns": (10**6, "ms"),
    "shutdown_timeout_ns": (10**9, "s"),
    "tracy_history_ns": (10**9, "s"),
    "tracy_history_bytes": (1 << 20, "MiB"),
    "otlp.timeout_s": (1, "s"),
    "logs.timeout_s": (1, "s"),
    "logs.delay_ns": (10**6, "ms"),
    "metrics.timeout_s": (1, "s"),
    "metrics.interval_ns": (10**9, "s"),
}
_OTLP_VARIABLES = "OTEL_EXPORTER_OTLP_"
_SIGNALS = ("otlp", "metrics", "logs")
#: Settings of their own, and how the column is called that says where they come from.
_GROUPS = {
    "limits": "source",
    **dict.fromkeys(_SIGNALS, f"source ({_OTLP_VARIABLES}…)"),
}


class _Setting(NamedTuple):
    """One line of the table."""

    field: str
    value: object
    source: str
    variables: tuple[str, ...]


def show(*, as_json: bool) -> int:
    """Print the effective configuration and return the exit code.

    Raises:
        ConfigurationError: a variable has a bad value.
    """
    reading = read_settings_with_warnings()
    print_warnings(reading)
    if as_json:
        print(json.dumps(settings_to_dict(reading), indent=2))
    else:
        print_settings(reading.settings)
    return 0


def print_warnings(reading: Reading) -> None:
    """Print what is to be said about the environment on stderr."""
    for line in reading.warnings:
        print(f"aperf: {line}", file=sys.stderr)


def settings_to_dict(reading: Reading) -> dict[str, Any]:
    """Return the configuration as JSON-ready values (docs/reference/command-line.md)."""
    return {
        "version": 1,
        "settings": {
            setting.field: {
                "value": setting.value,
                "source": setting.source,
                "variables": setting.variables,
            }
            for setting in _settings(reading.settings)
        },
        "warnings": reading.warnings,
    }


def print_settings(settings: Settings) -> None:
    """Print the configuration for people: what is set, and the variable that would set the rest."""
    rows = [(_label(setting), _text(setting), _origin(setting)) for setting in _settings(settings)]
    print_table(("setting", "value", "source"), [row for row in rows if "." not in row[0]])
    for group, source in _GROUPS.items():
        part = f"{group}."
        if found := [(row[0][len(part) :], *row[1:]) for row in rows if row[0].startswith(part)]:
            print()
            print_table((group, "value", source), found)


def public_endpoint(endpoint: str) -> str:
    """Return an endpoint without the password that it may contain."""
    scheme, separator, rest = endpoint.rpartition("://")
    user, at, host = rest.rpartition("@")
    return f"{scheme}{separator}{user.partition(':')[0]}:***@{host}" if at else endpoint


def _settings(settings: Settings) -> Iterator[_Setting]:
    for field in dict.fromkeys(variable.field for variable in VARIABLES):
        group, dot, part = field.partition(".")
        value = getattr(settings, group)
        if dot and value is None:
            continue
        if dot:
            # What says how metrics and logs travel stands one level deeper.
            owner = value if hasattr(value, part) else value.otlp
            value = _public(owner, part)
        elif field in _SIGNALS:
            value = value is not None
        source = settings.sources[field]
        if (field, source) == ("service_name", "default"):
            value = None  # the name of the program, which is not known here
        names = tuple(variable.name for variable in VARIABLES if variable.field == field)
        yield _Setting(field, value, source, names)


def _public(group: object, field: str) -> object:
    """Return a value of a group of settings, without secrets."""
    value = getattr(group, field)
    if field == "headers":
        return dict.fromkeys((key for key, _ in value), "***")
    return public_endpoint(value) if field == "endpoint" else value


def _label(setting: _Setting) -> str:
    """Return the name of a field without its unit, which stands beside the value."""
    return setting.field.rpartition("_")[0] if setting.field in _UNITS else setting.field


def _text(setting: _Setting) -> str:
    field, value, *_ = setting
    if field == "service_name" and value is None:
        return "name of the program"
    if field == "summary_file" and value is None:
        return "stderr"
    if field in _UNITS and isinstance(value, int | float):
        size, unit = _UNITS[field]
        return f"{value / size:g} {unit}"
    if isinstance(value, bool):
        on = "on" if field in _SIGNALS else "true"
        return on if value else {"on": "off", "true": "false"}[on]
    if isinstance(value, dict):
        return ", ".join(f"{key}=***" for key in value) or "-"
    return "-" if value is None else str(value)


def _origin(setting: _Setting) -> str:
    """Say who decided; for a default, also the variable that could."""
    per_signal = "." in setting.field
    name = setting.variables[-1] if per_signal else setting.variables[0]
    if setting.field == "otlp":
        name = "OTEL_SDK_ENABLED"
    elif setting.field in _SIGNALS:
        name = f"OTEL_{setting.field.upper()}_EXPORTER"
    origin = f"default ({name})" if setting.source == "default" else setting.source
    return origin.replace(_OTLP_VARIABLES, "…") if per_signal else origin
