"""How metrics or logs travel as OTLP: by variables of their own, else by those of all signals."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from ._settings import OtlpSettings
from ._switch import complaint

if TYPE_CHECKING:
    from ._read import Values

__all__ = ("GENERAL", "Signal", "read_own", "read_signal", "speaks")

Signal: TypeAlias = Literal["logs", "metrics"]

#: What the variables of all signals begin with.
GENERAL: Final = "OTEL_EXPORTER_OTLP_"
_HTTP: Final = "http/protobuf"
_SPOKEN: Final = ("grpc", _HTTP)


def speaks(values: Values, signal: Signal, sources: dict[str, str], warnings: list[str]) -> bool:
    """Say whether aperf speaks the protocol that is asked for; if not, nothing is sent."""
    protocol, variable = _found(values, signal, "protocol") or ("grpc", "default")
    if protocol in _SPOKEN:
        return True
    spoken = " and ".join(_SPOKEN)
    warnings.append(f"{variable}: aperf cannot speak {protocol!r}, only {spoken}; no {signal}")
    sources[signal] = variable
    return False


def read_own(
    values: Values, signal: Signal, kind: type[Any], sources: dict[str, str]
) -> dict[str, Any]:
    """Return what is said about a signal, beside how it travels.

    Args:
        values: what the variables say.
        signal: which one.
        kind: what its settings are.
        sources: takes who decided on what.
    """
    chosen: dict[str, Any] = {}
    for field in fields(kind):
        if field.name != "otlp":
            found = values.field(f"{signal}.{field.name}")
            sources[f"{signal}.{field.name}"] = found[1] if found else "default"
            if found:
                chosen[field.name] = found[0]
    return chosen


def read_signal(
    values: Values, signal: Signal, sources: dict[str, str], warnings: list[str]
) -> OtlpSettings:
    """Put together where a signal goes as OTLP, and how.

    Args:
        values: what the variables say.
        signal: which one.
        sources: takes who decided on what.
        warnings: takes what the user is to be told.
    """
    chosen: dict[str, Any] = {}
    for field in fields(OtlpSettings):
        found = _found(values, signal, field.name)
        sources[f"{signal}.{field.name}"] = found[1] if found else "default"
        if found:
            chosen[field.name] = found[0]
    if is_http := chosen.get("protocol") == _HTTP:
        _complete(chosen, signal, sources, warnings)
    scheme = chosen.get("endpoint", OtlpSettings().endpoint).partition("://")[0].lower()
    if is_http or scheme == "https" or "insecure" not in chosen:
        chosen["insecure"] = scheme == "http"
        sources[f"{signal}.insecure"] = sources[f"{signal}.endpoint"]
    return OtlpSettings(**chosen)


def _found(values: Values, signal: Signal, field: str) -> tuple[Any, str] | None:
    """Return what is said for the signal, else for all signals, and by which variable."""
    found = values.field(f"{signal}.{field}")
    if found is not None:
        return found
    name = GENERAL + {"timeout_s": "TIMEOUT"}.get(field, field.upper())
    return None if values.get(name) is None else (values[name], name)


def _complete(
    chosen: dict[str, Any], signal: Signal, sources: dict[str, str], warnings: list[str]
) -> None:
    """Make the endpoint a whole URL; one that only gRPC understands is as good as none."""
    from urllib.parse import urlsplit  # 3 ms that only HTTP needs

    signal_path = f"/v1/{signal}"
    endpoint, source = chosen.pop("endpoint", ""), sources[f"{signal}.endpoint"]
    if endpoint and not endpoint.lower().startswith(("http://", "https://")):
        accepted = f"http://HOST:PORT or https://HOST:PORT with {_HTTP}"
        warnings.append(f"{complaint(source, endpoint, accepted)}; ignored")
        endpoint = ""
    if not endpoint:
        sources[f"{signal}.endpoint"] = "default"
        chosen["endpoint"] = f"http://localhost:4318{signal_path}"
        return
    url = urlsplit(endpoint)
    if source == f"{GENERAL}{signal.upper()}_ENDPOINT":
        path = url.path or "/"
    elif source == "argument":
        path = url.path or signal_path
    else:
        path = url.path.rstrip("/") + signal_path
    chosen["endpoint"] = url._replace(path=path).geturl()
