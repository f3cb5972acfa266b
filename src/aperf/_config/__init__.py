"""What the environment and the caller ask for: the only reader of ``os.environ``.

A program that never turns aperf on pays for `telemetry_enabled` alone; everything else, with the
dataclasses behind it, is loaded when it is first asked for.
"""

from __future__ import annotations

from ._switch import complaint, names_tracer_provider, pure_python, telemetry_enabled

TYPE_CHECKING = False  # typing itself takes milliseconds to import
if TYPE_CHECKING:
    from ._directives import Level
    from ._filter import Filter
    from ._filter_pair import FilterPair
    from ._kinds import ENDPOINT, Kind
    from ._logs import may_export_logs
    from ._modules import ModuleNames
    from ._read import Reading, read_settings, read_settings_with_warnings, refusal
    from ._service import resource_attributes, script_name
    from ._settings import LimitSettings, LogsSettings, MetricsSettings, OtlpSettings, Settings
    from ._variables import VARIABLES, Variable

__all__ = (
    "ENDPOINT",
    "VARIABLES",
    "Filter",
    "FilterPair",
    "Kind",
    "Level",
    "LimitSettings",
    "LogsSettings",
    "MetricsSettings",
    "ModuleNames",
    "OtlpSettings",
    "Reading",
    "Settings",
    "Variable",
    "complaint",
    "may_export_logs",
    "names_tracer_provider",
    "pure_python",
    "read_settings",
    "read_settings_with_warnings",
    "refusal",
    "resource_attributes",
    "script_name",
    "telemetry_enabled",
)

_HOME = {
    "ENDPOINT": "_kinds",
    "Filter": "_filter",
    "FilterPair": "_filter_pair",
    "Kind": "_kinds",
    "Level": "_directives",
    "LimitSettings": "_settings",
    "LogsSettings": "_settings",
    "MetricsSettings": "_settings",
    "ModuleNames": "_modules",
    "OtlpSettings": "_settings",
    "Reading": "_read",
    "Settings": "_settings",
    "VARIABLES": "_variables",
    "Variable": "_variables",
    "may_export_logs": "_logs",
    "read_settings": "_read",
    "read_settings_with_warnings": "_read",
    "refusal": "_read",
    "resource_attributes": "_service",
    "script_name": "_service",
}


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value
