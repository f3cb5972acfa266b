"""What a receiver answers."""

from __future__ import annotations

from typing import Final, NamedTuple

from ._wire import FieldValue, read_fields

__all__ = (
    "PartialSuccess",
    "decode_response",
    "decode_retry_delay_ns",
    "decode_status_message",
)

_RETRY_INFO: Final = b"type.googleapis.com/google.rpc.RetryInfo"


class PartialSuccess(NamedTuple):
    """A request was taken, but not all of it."""

    rejected_spans: int
    error_message: str


def decode_response(data: bytes) -> PartialSuccess | None:
    """Read an ExportTraceServiceResponse.

    Returns:
        What was rejected, or None if all was taken.

    Raises:
        ValueError: the bytes are no such message.
    """
    partial = _first(data, 1)
    if not isinstance(partial, bytes):
        return None
    rejected, message = _first(partial, 1), _first(partial, 2)
    result = PartialSuccess(
        rejected_spans=rejected if isinstance(rejected, int) else 0,
        error_message=message.decode("utf-8", "replace") if isinstance(message, bytes) else "",
    )
    return result if any(result) else None


def decode_retry_delay_ns(data: bytes) -> int | None:
    """Read how long to wait from a google.rpc.Status with a RetryInfo among its details.

    Returns:
        The delay, or None if there is no RetryInfo.

    Raises:
        ValueError: the bytes are no such message.
    """
    for field, detail in read_fields(data):
        if field == 3 and isinstance(detail, bytes) and _first(detail, 1) == _RETRY_INFO:
            info = _first(detail, 2)
            delay = _first(info, 1) if isinstance(info, bytes) else None
            return _duration_ns(delay) if isinstance(delay, bytes) else 0
    return None


def decode_status_message(data: bytes) -> str:
    """Read the message of a google.rpc.Status; empty if there is none.

    Raises:
        ValueError: the bytes are no such message.
    """
    message = _first(data, 2)
    return message.decode("utf-8", "replace") if isinstance(message, bytes) else ""


def _duration_ns(data: bytes) -> int:
    seconds, nanos = _first(data, 1), _first(data, 2)
    result = seconds * 10**9 if isinstance(seconds, int) else 0
    return result + nanos if isinstance(nanos, int) else result


def _first(message: bytes, field: int) -> FieldValue | None:
    return next((value for number, value in read_fields(message) if number == field), None)
