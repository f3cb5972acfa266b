"""Whether anything leaves as OTLP, where to and how, by the rules of OpenTelemetry's specification.

https://opentelemetry.io/docs/specs/otel/protocol/exporter/
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final, cast

from aperf._errors import ConfigurationError

from ._settings import OtlpSettings
from ._switch import complaint

if TYPE_CHECKING:
    from ._read import Values

__all__ = ("read_otlp",)

_HTTP: Final = "http/protobuf"
_SPOKEN: Final = ("grpc", _HTTP)
_PATH: Final = "/v1/traces"
_HTTP_ENDPOINT: Final = f"http://localhost:4318{_PATH}"
_HTTP_ENDPOINTS: Final = f"http://HOST:PORT or https://HOST:PORT with {_HTTP}"
_FOR_TRACES: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"


def read_otlp(values: Values, sources: dict[str, str], warnings: list[str]) -> OtlpSettings | None:
    """Put together how to reach the receiver.

    Args:
        values: what is said about it.
        sources: takes who decided on what.
        warnings: takes what the user is to be told.

    Returns:
        None if nothing is to leave as OTLP.
    """
    protocol, variable = values.field("otlp.protocol") or ("grpc", "default")
    if protocol == _HTTP:
        _drop_targets(values, warnings)
    wanted, sources["otlp"] = _is_wanted(values)
    if wanted and protocol not in _SPOKEN:
        spoken = " and ".join(_SPOKEN)
        warnings.append(f"{variable}: aperf cannot speak {protocol!r}, only {spoken}; no OTLP")
        wanted, sources["otlp"] = False, variable
    return _settings(values, sources) if wanted else None


def _drop_targets(values: Values, warnings: list[str]) -> None:
    """Forget endpoints that only gRPC understands, and refuse one that the caller gives."""
    given = values.arguments.get("otlp.endpoint")
    if given and not given.lower().startswith(("http://", "https://")):
        raise ConfigurationError(complaint("otlp.endpoint", given, _HTTP_ENDPOINTS))
    for name in (_FOR_TRACES, "OTEL_EXPORTER_OTLP_ENDPOINT"):
        endpoint = cast("str", values.get(name, ""))
        if endpoint and not endpoint.lower().startswith(("http://", "https://")):
            warnings.append(f"{complaint(name, endpoint, _HTTP_ENDPOINTS)}; ignored")
            del values[name]


def _is_wanted(values: Values) -> tuple[bool, str]:
    """Say whether anybody asks for OTLP, and who decides."""
    enabled, endpoint = values.get("OTEL_SDK_ENABLED"), values.field("otlp.endpoint")
    if (decided := values.arguments.get("otlp")) is not None:
        return bool(decided), "argument"
    if "otlp.endpoint" in values.arguments:
        return True, "argument"
    if values.get("OTEL_SDK_DISABLED"):
        return False, "OTEL_SDK_DISABLED"
    if values.file.get("otlp") is False:
        return False, values.file_source
    if enabled is False:
        return False, "OTEL_SDK_ENABLED"
    if not enabled and values.file.get("otlp"):
        return True, values.file_source
    if not enabled and not endpoint:
        return False, "default"
    if values.get("OTEL_TRACES_EXPORTER") is False:
        return False, "OTEL_TRACES_EXPORTER"
    return True, "OTEL_SDK_ENABLED" if enabled or not endpoint else endpoint[1]


def _settings(values: Values, sources: dict[str, str]) -> OtlpSettings:
    chosen: dict[str, Any] = {}
    for field in fields(OtlpSettings):
        found = values.field(f"otlp.{field.name}")
        sources[f"otlp.{field.name}"] = found[1] if found else "default"
        if found:
            chosen[field.name] = found[0]
    if is_http := chosen.get("protocol") == _HTTP:
        endpoint = chosen.get("endpoint", _HTTP_ENDPOINT)
        chosen["endpoint"] = _with_path(endpoint, sources["otlp.endpoint"])
    scheme = chosen.get("endpoint", OtlpSettings().endpoint).partition("://")[0].lower()
    if is_http or scheme == "https" or "insecure" not in chosen:
        # The scheme decides, as in OpenTelemetry's Python SDK: no scheme means TLS.
        chosen["insecure"] = scheme == "http"
        sources["otlp.insecure"] = sources["otlp.endpoint"]
    return OtlpSettings(**chosen)


def _with_path(endpoint: str, source: str) -> str:
    """Return the whole URL for traces.

    That of the variable for traces is whole already. That of all signals is a base, to which each
    signal adds its path. One that the caller or a file gives may be either: what has a path is
    whole.
    """
    from urllib.parse import urlsplit  # 3 ms that only HTTP needs

    url = urlsplit(endpoint)
    if source == _FOR_TRACES:
        path = url.path or "/"
    elif source == "OTEL_EXPORTER_OTLP_ENDPOINT":
        path = url.path.rstrip("/") + _PATH
    else:
        path = url.path or _PATH
    return url._replace(path=path).geturl()
