"""Log records to requests (opentelemetry/proto/logs/v1/logs.proto)."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from ._values import any_value, attribute, attributes
from ._wire import VARINT, fixed32, fixed64, length_delimited, tag, text, varint

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aperf.model import Attributes

__all__ = ("EncodedLog", "encode_log", "logs_request")

# ExportLogsServiceRequest > ResourceLogs > ScopeLogs > LogRecord
_RESOURCE_LOGS: Final = 1
_RESOURCE: Final = 1
_SCOPE_LOGS: Final = 2
_SCOPE: Final = 1
_LOG_RECORDS: Final = 2
_SCHEMA_URL: Final = 3
_NAME: Final = 1

_TIME, _SEVERITY_NUMBER, _SEVERITY_TEXT, _BODY, _ATTRIBUTES, _DROPPED = 1, 2, 3, 5, 6, 7
_FLAGS, _TRACE_ID, _SPAN_ID, _OBSERVED_TIME = 8, 9, 10, 11

#: Attributes whose values many records have in common.
_SHARED: Final = frozenset(
    (
        "code.file.path",
        "code.line.number",
        "code.function.name",
        "thread.id",
        "thread.name",
        "asyncio.task.name",
    )
)


class EncodedLog(NamedTuple):
    """A log record, ready to be put into a request."""

    scope: str  #: name of the logger
    data: bytes


def encode_log(
    *,
    scope: str,
    time_ns: int,
    observed_ns: int,
    severity_number: int,
    severity_text: str,
    body: object,
    pairs: Iterable[tuple[str, object]],
    dropped: int,
    trace_id: int,
    span_id: int,
    flags: int,
) -> EncodedLog:
    """Encode a log record.

    Args:
        scope: name of the logger.
        time_ns: when it was made, in ns since 1970.
        observed_ns: when it was seen.
        severity_number: as OpenTelemetry counts, 0 where that is not known.
        severity_text: as the program calls it.
        body: the message, or what the program logs in its place.
        pairs: its attributes.
        dropped: how many attributes are left out.
        trace_id: of the span in which it was made, 0 for none.
        span_id: of that span, 0 for none.
        flags: of that span.
    """
    parts = [
        fixed64(_TIME, time_ns),
        fixed64(_OBSERVED_TIME, observed_ns),
        _severity(severity_number, severity_text),
        length_delimited(_BODY, any_value(body)),
    ]
    for key, value in pairs:
        is_shared = key in _SHARED and isinstance(value, str | int)
        parts.append((_shared if is_shared else _attribute)(key, value))
    if dropped:
        parts.append(tag(_DROPPED, VARINT) + varint(dropped))
    if trace_id:
        parts.append(length_delimited(_TRACE_ID, trace_id.to_bytes(16, "big")))
    if trace_id and span_id:
        parts.append(length_delimited(_SPAN_ID, span_id.to_bytes(8, "big")))
        parts.append(fixed32(_FLAGS, flags))
    return EncodedLog(scope, length_delimited(_LOG_RECORDS, b"".join(parts)))


@lru_cache(maxsize=256)
def _severity(number: int, name: str) -> bytes:
    encoded = tag(_SEVERITY_NUMBER, VARINT) + varint(number)
    return encoded + length_delimited(_SEVERITY_TEXT, text(name))


def _attribute(key: str, value: object) -> bytes:
    return attribute(_ATTRIBUTES, key, value)


@lru_cache(maxsize=4096, typed=True)
def _shared(key: str, value: str | int) -> bytes:
    return _attribute(key, value)


def logs_request(resource: Attributes, schema_url: str, records: Sequence[EncodedLog]) -> bytes:
    """Return one ExportLogsServiceRequest with all these records, by their loggers.

    Args:
        resource: attributes of the process.
        schema_url: which version of the semantic conventions the attributes follow.
        records: in the order in which they were made.
    """
    by_scope: dict[str, list[bytes]] = {}
    for record in records:
        by_scope.setdefault(record.scope, []).append(record.data)
    url = length_delimited(_SCHEMA_URL, text(schema_url))
    content = [length_delimited(_RESOURCE, attributes(1, resource))]
    for scope, encoded in by_scope.items():
        head = length_delimited(_SCOPE, length_delimited(_NAME, text(scope)))
        content.append(length_delimited(_SCOPE_LOGS, b"".join((head, *encoded, url))))
    return length_delimited(_RESOURCE_LOGS, b"".join((*content, url)))
