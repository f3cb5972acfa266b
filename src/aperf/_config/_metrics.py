"""Whether metrics are pushed as OTLP, where to and how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ._settings import MetricsSettings
from ._signal import GENERAL, read_own, read_signal, speaks

if TYPE_CHECKING:
    from ._read import Values

__all__ = ("read_metrics",)

_ENDPOINT: Final = f"{GENERAL}METRICS_ENDPOINT"


def read_metrics(
    values: Values, sources: dict[str, str], warnings: list[str]
) -> MetricsSettings | None:
    """Put together how metrics are pushed.

    Args:
        values: what the variables say.
        sources: takes who decided on what.
        warnings: takes what the user is to be told.

    Returns:
        None if they are not.
    """
    wanted, sources["metrics"] = _is_wanted(values)
    if not wanted or not speaks(values, "metrics", sources, warnings):
        return None
    own = read_own(values, "metrics", MetricsSettings, sources)
    return MetricsSettings(**own, otlp=read_signal(values, "metrics", sources, warnings))


def _is_wanted(values: Values) -> tuple[bool, str]:
    """Say whether anybody asks for it, and who decides.

    The endpoint of all signals is not enough: many that are set take traces only.
    """
    exporter, enabled = values.get("OTEL_METRICS_EXPORTER"), values.get("OTEL_SDK_ENABLED")
    if (decided := values.arguments.get("metrics")) is not None:
        return bool(decided), "argument"
    if "metrics.endpoint" in values.arguments:
        return True, "argument"
    if values.get("OTEL_SDK_DISABLED"):
        return False, "OTEL_SDK_DISABLED"
    if enabled is False:
        return False, "OTEL_SDK_ENABLED"
    if exporter is False:
        return False, "OTEL_METRICS_EXPORTER"
    if values.get(_ENDPOINT):
        return True, _ENDPOINT
    if exporter and (enabled or values.get(f"{GENERAL}ENDPOINT")):
        return True, "OTEL_METRICS_EXPORTER"
    return False, "default"
