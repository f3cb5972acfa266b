"""As much of HTTP/1.1 as it takes to be scraped: one small request, one answer, and goodbye."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.metrics.export import MetricsData

    from ._prometheus import Format

__all__ = ("PATH", "answer", "refusal")

PATH: Final = "/metrics"

_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
_PLAIN: Final = "text/plain; charset=utf-8"


class _Request(NamedTuple):
    method: str
    path: str
    accept: str


def answer(head: bytes, collect: Callable[[], MetricsData]) -> bytes:
    """Return the response to a request.

    Args:
        head: its request line and headers.
        collect: returns what is to be shown.
    """
    request = _parse(head)
    if request is None:
        return refusal(400, "this is no HTTP request")
    if request.path != PATH:
        return refusal(404, f"metrics are at {PATH}", is_head=request.method == "HEAD")
    if request.method not in ("GET", "HEAD"):
        return refusal(405, "only GET and HEAD are answered", "Allow: GET, HEAD")
    from ._prometheus import exposition  # imports the SDK

    form = _negotiate(request.accept)
    try:
        body = exposition(collect(), form)
    except Exception as error:
        message = f"metrics cannot be collected: {type(error).__name__}: {error}"
        return refusal(500, message, is_head=request.method == "HEAD")
    return _response(200, form.content_type, body, "Vary: Accept", is_head=request.method == "HEAD")


def refusal(status: int, message: str, *headers: str, is_head: bool = False) -> bytes:
    """Return a response that says what is wrong."""
    return _response(status, _PLAIN, f"{message}\n", *headers, is_head=is_head)


def _response(
    status: int, content_type: str, body: str, *headers: str, is_head: bool = False
) -> bytes:
    data = body.encode()
    lines = (
        f"HTTP/1.1 {status} {_REASONS[status]}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(data)}",
        "Connection: close",
        *headers,
        "\r\n",
    )
    return "\r\n".join(lines).encode() + (b"" if is_head else data)


def _parse(head: bytes) -> _Request | None:
    first, *lines = head.decode("latin-1").split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        return None
    accepts = []
    for line in lines:
        name, _, value = line.partition(":")
        if name.lower() == "accept":
            accepts.append(value.strip())
    path = parts[1].partition("?")[0]
    if path.startswith("http://"):  # as proxies ask
        path = "/" + path.removeprefix("http://").partition("/")[2]
    return _Request(parts[0], path, ",".join(accepts))


def _negotiate(accept: str) -> Format:
    """Return OpenMetrics if the client likes it at least as well as anything else that fits."""
    from ._prometheus import OPENMETRICS, TEXT

    openmetrics = text = 0.0
    for item in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in item.split(";"))
        weight, version = _parameters(parameters)
        if kind == "application/openmetrics-text" and version in ("", "1.0.0", "0.0.1"):
            openmetrics = max(openmetrics, weight)
        elif kind in ("text/plain", "text/*", "*/*"):
            text = max(text, weight)
    return OPENMETRICS if openmetrics and openmetrics >= text else TEXT


def _parameters(parameters: list[str]) -> tuple[float, str]:
    weight, version = 1.0, ""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "q":
            try:
                weight = float(value)
            except ValueError:
                weight = 0.0
        elif name == "version":
            version = value.strip('"')
    return weight, version
