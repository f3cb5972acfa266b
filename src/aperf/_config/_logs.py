"""Whether log records leave as OTLP, where to and how."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from ._settings import LogsSettings
from ._signal import GENERAL, read_own, read_signal, speaks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._read import Values

__all__ = ("may_export_logs", "read_logs")

_ENABLED: Final = f"{GENERAL}LOGS_ENABLED"
_EXPORTER: Final = "OTEL_LOGS_EXPORTER"
#: What counts for attributes of anything, where nothing is said about those of log records.
_LIMITS: Final = {
    "attributes": "OTEL_ATTRIBUTE_COUNT_LIMIT",
    "attribute_length": "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
}


def may_export_logs(environ: Mapping[str, str] | None = None) -> bool:
    """Say whether a variable asks for it, without reading the others.

    Args:
        environ: the variables; those of the process by default.
    """
    variables = os.environ if environ is None else environ
    return any(variables.get(name, "").strip() for name in (_ENABLED, _EXPORTER))


def read_logs(values: Values, sources: dict[str, str], warnings: list[str]) -> LogsSettings | None:
    """Put together how log records leave.

    Args:
        values: what the variables say.
        sources: takes who decided on what.
        warnings: takes what the user is to be told.

    Returns:
        None if they do not.
    """
    wanted, sources["logs"] = _is_wanted(values)
    if not wanted or not speaks(values, "logs", sources, warnings):
        return None
    own = read_own(values, "logs", LogsSettings, sources)
    for field, variable in _LIMITS.items():
        if field not in own and values.get(variable) is not None:
            own[field], sources[f"logs.{field}"] = values[variable], variable
    return LogsSettings(**own, otlp=read_signal(values, "logs", sources, warnings))


def _is_wanted(values: Values) -> tuple[bool, str]:
    """Say whether anybody asks for it, and who decides.

    No endpoint is enough: log records may hold what is not to leave the machine.
    """
    exporter, enabled = values.get(_EXPORTER), values.get("OTEL_SDK_ENABLED")
    if (decided := values.arguments.get("logs")) is not None:
        return bool(decided), "argument"
    if values.get("OTEL_SDK_DISABLED"):
        return False, "OTEL_SDK_DISABLED"
    if enabled is False:
        return False, "OTEL_SDK_ENABLED"
    if exporter is False:
        return False, _EXPORTER
    if (asked := values.get(_ENABLED)) is not None:
        return bool(asked), _ENABLED
    if exporter and (enabled or values.field("logs.endpoint") or values.get(f"{GENERAL}ENDPOINT")):
        return True, _EXPORTER
    return False, "default"
