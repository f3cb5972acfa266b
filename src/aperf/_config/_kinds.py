"""How the text of a variable becomes a value, and what to say when it cannot."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from ._switch import BOOLEANS, BOOLEANS_TEXT

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = (
    "ADDRESS",
    "AWAITS",
    "BOOLEAN",
    "ENDPOINT",
    "FILTER",
    "HEADERS",
    "HEADER_NAME",
    "HEADER_VALUE",
    "LISTEN_ADDRESS",
    "LOGS_EXPORTER",
    "METRICS_EXPORTER",
    "OTEL_BOOLEAN",
    "PAIRS",
    "PROTOCOL",
    "RATIO",
    "SERVICE_NAME",
    "TEXT",
    "TRACES_EXPORTER",
    "URL",
    "Kind",
    "PartlyAccepted",
    "choice",
    "number",
    "parse_address",
    "parse_pairs",
    "whole",
)

_MOST_NS = 2**62  # the native core counts in 64 bits; nobody lives to see this happen


class Kind(NamedTuple):
    """One way to read a text."""

    accepts: str  #: ends the sentence "use ..."
    parse: Callable[[str], object]  #: raises ValueError or KeyError for anything else
    secret: bool = False  #: whether the text must not be shown


class PartlyAccepted(ValueError):
    """Raised when something in a text is not accepted, and the rest is good without it.

    Attributes:
        rest: what the rest stands for, None if nothing is left.
        refused: what is not accepted.
    """

    def __init__(self, rest: object, refused: str) -> None:
        super().__init__(refused)
        self.rest = rest
        self.refused = refused


def choice(*words: str) -> Kind:
    """Accept one of these words, in any case."""

    def parse(text: str) -> str:
        return words[words.index(text.lower())]

    return Kind(f"{', '.join(words[:-1])} or {words[-1]}", parse)


def whole(least: int, most: int, *, scale: int = 1) -> Kind:
    """Accept a whole number of units that are `scale` of ours."""

    def parse(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise ValueError(text)
        return value * scale

    return Kind(f"a whole number from {least} to {most}", parse)


def number(
    least: float = 0, most: float = sys.float_info.max, *, exclusive: bool = False, ns: int = 0
) -> Kind:
    """Accept a finite number; with `ns`, of units that are so many nanoseconds long."""

    def parse(text: str) -> float:
        value = float(text)
        too_small = value <= least if exclusive else value < least
        if too_small or not value <= most or not value * ns < _MOST_NS:
            raise ValueError(text)
        return round(value * ns) if ns else value

    if exclusive:
        return Kind(f"a number above {least:g}", parse)
    return Kind(
        f"a number from {least:g} {'up' if most == sys.float_info.max else f'to {most:g}'}", parse
    )


def parse_pairs(text: str) -> tuple[tuple[str, str], ...]:
    """Read OpenTelemetry's ``key=value,key=value``, percent-encoded; the last of equal keys wins.

    A value with a space in it cannot be percent-encoded and is taken as it is, as the SDK does.

    Raises:
        ValueError: an item is not a pair.
    """
    pairs = {}
    for item in filter(None, map(str.strip, text.split(","))):
        key, equals, value = item.partition("=")
        key, value = _unquote(key.strip()), value.strip()
        if not equals or not key:
            raise ValueError(item)
        pairs[key] = value if " " in value else _unquote(value)
    return tuple(pairs.items())


def _unquote(text: str) -> str:
    if "%" not in text:
        return text
    from urllib.parse import unquote  # 3 ms that hardly anybody needs

    return unquote(text, errors="strict")


def _address(text: str) -> str:
    import ipaddress  # rarely needed

    if text != "localhost":
        ipaddress.ip_address(text)
    return text


def _awaits(text: str) -> str:
    if text.lower() == "all" and sys.version_info < (3, 12):
        raise ValueError(text)  # it takes sys.monitoring
    return str(choice("suspended", "all").parse(text))


def _endpoint(text: str) -> str:
    scheme, separator, rest = text.partition("://")
    if any(map(str.isspace, text)):
        raise ValueError(text)
    if separator and scheme.lower() not in {"http", "https"}:
        if scheme.lower() in {"dns", "unix", "ipv4", "ipv6"}:  # gRPC's own
            return text
        raise ValueError(text)
    authority = (rest if separator else text).partition("/")[0].rpartition("@")[2]
    host, colon, port = authority.rpartition(":")
    if colon and not authority.endswith("]"):  # not the end of an IPv6 address
        if not 1 <= int(port) <= 65535:
            raise ValueError(text)
        authority = host
    if not authority:
        raise ValueError(text)
    return text


def _url(text: str) -> str:
    if not text.lower().startswith(("http://", "https://")):
        raise ValueError(text)
    return _endpoint(text)


def _header_name(text: str) -> str:
    letters = text.replace("-", "").replace("_", "").replace(".", "")
    if not (letters.isalnum() and text.isascii()):
        raise ValueError(text)
    return text.lower()


def _header_value(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        raise ValueError(text)
    return text


def _headers(text: str) -> tuple[tuple[str, str], ...]:
    """Read pairs that can travel as gRPC metadata."""
    return tuple((_header_name(key), _header_value(value)) for key, value in parse_pairs(text))


def _filter(text: str) -> str:
    """Check a filter; it stays a text, which is what settings are compared and shown by."""
    from ._filter import parse_filter

    parsed = parse_filter(text)
    if parsed.refused:
        raise PartlyAccepted(parsed.accepted or None, ",".join(parsed.refused))
    return text


def _service_name(text: str) -> str | None:
    """Return the service's name if these resource attributes have one."""
    return dict(parse_pairs(text)).get("service.name") or None


def parse_address(text: str) -> tuple[str, int]:
    """Read ``HOST:PORT``, ``[IPv6]:PORT`` or ``:PORT``.

    Raises:
        ValueError: it is none of them.
    """
    host, _, port = text.strip().rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if bracketed else host
    good = port.isascii() and port.isdecimal() and int(port) <= 65535 and ":" in text
    if not good or (":" in bare) != bracketed or any(map(str.isspace, bare)):
        raise ValueError(text)
    return bare, int(port)


def _listen_address(text: str) -> str:
    parse_address(text)
    return text


def _exporters(*known: str) -> Callable[[str], bool]:
    """Return what says whether OTLP is among the exporters, of which one at least is known here.

    Others may stand beside it: the program's own SDK may know them.
    """

    def parse(text: str) -> bool:
        names = {name.strip().lower() for name in text.split(",")}
        if not names & {"otlp", "none", *known}:
            raise ValueError(text)
        return "otlp" in names

    return parse


TEXT = Kind("a text", str)
BOOLEAN = Kind(BOOLEANS_TEXT, lambda text: BOOLEANS[text.lower()])
#: The specification knows two words, and the SDK in the same process reads no others.
OTEL_BOOLEAN = Kind("true or false", lambda text: {"true": True, "false": False}[text.lower()])
ADDRESS = Kind("an IP address such as 127.0.0.1, 0.0.0.0 or ::1, or localhost", _address)
AWAITS = Kind("suspended or all (all needs Python 3.12)", _awaits)
ENDPOINT = Kind("http://HOST:PORT or https://HOST:PORT", _endpoint)
URL = Kind(ENDPOINT.accepts, _url)
HEADERS = Kind("key=value,key=value, percent-encoded", _headers, secret=True)
HEADER_NAME = Kind("letters, digits, dots and dashes", _header_name)
HEADER_VALUE = Kind("printable ASCII", _header_value, secret=True)
FILTER = Kind("directives like info,NAME=debug,[SPAN{FIELD=VALUE}]=off", _filter)
PAIRS = Kind("key=value,key=value, percent-encoded", parse_pairs)
LISTEN_ADDRESS = Kind(
    "HOST:PORT, [IPv6]:PORT or :PORT for all interfaces (port 0: any free one)", _listen_address
)
LOGS_EXPORTER = Kind("otlp, console or none", _exporters("console"))
METRICS_EXPORTER = Kind("otlp, prometheus, console or none", _exporters("prometheus", "console"))
SERVICE_NAME = Kind("key=value,key=value, percent-encoded", _service_name)
PROTOCOL = choice("grpc", "http/protobuf", "http/json")
RATIO = Kind(number(0, 1).accepts, lambda text: (number(0, 1).parse(text), text)[1])
TRACES_EXPORTER = Kind("otlp or none", _exporters())
