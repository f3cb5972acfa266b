"""Whether metrics are pushed as OTLP, where to and how."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from ._settings import MetricsSettings, OtlpSettings
from ._switch import complaint

if TYPE_CHECKING:
    from ._read import Values

__all__ = ("read_metrics",)

_HTTP: Final = "http/protobuf"
_SPOKEN: Final = ("grpc", _HTTP)
_PATH: Final = "/v1/metrics"
_HTTP_ENDPOINT: Final = f"http://localhost:4318{_PATH}"
_GENERAL: Final = "OTEL_EXPORTER_OTLP_"
_ENDPOINT: Final = f"{_GENERAL}METRICS_ENDPOINT"


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
    if not wanted:
        return None
    protocol, variable = _found(values, "protocol") or ("grpc", "default")
    if protocol not in _SPOKEN:
        spoken = " and ".join(_SPOKEN)
        warnings.append(f"{variable}: aperf cannot speak {protocol!r}, only {spoken}; no metrics")
        sources["metrics"] = variable
        return None
    chosen: dict[str, Any] = {}
    for field in fields(MetricsSettings):
        if field.name != "otlp":
            found = values.field(f"metrics.{field.name}")
            sources[f"metrics.{field.name}"] = found[1] if found else "default"
            if found:
                chosen[field.name] = found[0]
    return MetricsSettings(**chosen, otlp=_otlp(values, sources, warnings))


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
    if exporter and (enabled or values.get(f"{_GENERAL}ENDPOINT")):
        return True, "OTEL_METRICS_EXPORTER"
    return False, "default"


def _found(values: Values, field: str) -> tuple[Any, str] | None:
    """Return what is said for metrics, else for all signals, and by which variable."""
    found = values.field(f"metrics.{field}")
    if found is not None:
        return found
    name = _GENERAL + {"timeout_s": "TIMEOUT"}.get(field, field.upper())
    return None if values.get(name) is None else (values[name], name)


def _otlp(values: Values, sources: dict[str, str], warnings: list[str]) -> OtlpSettings:
    chosen: dict[str, Any] = {}
    for field in fields(OtlpSettings):
        found = _found(values, field.name)
        sources[f"metrics.{field.name}"] = found[1] if found else "default"
        if found:
            chosen[field.name] = found[0]
    if is_http := chosen.get("protocol") == _HTTP:
        _complete(chosen, sources, warnings)
    scheme = chosen.get("endpoint", OtlpSettings().endpoint).partition("://")[0].lower()
    if is_http or scheme == "https" or "insecure" not in chosen:
        chosen["insecure"] = scheme == "http"
        sources["metrics.insecure"] = sources["metrics.endpoint"]
    return OtlpSettings(**chosen)


def _complete(chosen: dict[str, Any], sources: dict[str, str], warnings: list[str]) -> None:
    """Make the endpoint a whole URL; one that only gRPC understands is as good as none."""
    from urllib.parse import urlsplit  # 3 ms that only HTTP needs

    endpoint, source = chosen.pop("endpoint", ""), sources["metrics.endpoint"]
    if endpoint and not endpoint.lower().startswith(("http://", "https://")):
        accepted = f"http://HOST:PORT or https://HOST:PORT with {_HTTP}"
        warnings.append(f"{complaint(source, endpoint, accepted)}; ignored")
        endpoint = ""
    if not endpoint:
        sources["metrics.endpoint"] = "default"
        chosen["endpoint"] = _HTTP_ENDPOINT
        return
    url = urlsplit(endpoint)
    if source == _ENDPOINT:
        path = url.path or "/"
    elif source == "argument":
        path = url.path or _PATH
    else:
        path = url.path.rstrip("/") + _PATH
    chosen["endpoint"] = url._replace(path=path).geturl()
