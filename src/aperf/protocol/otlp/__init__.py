"""OTLP traces and logs: requests written, responses read, no protobuf library involved.

Field numbers are those of opentelemetry-proto 1.5 (``opentelemetry/proto/trace/v1/trace.proto``,
``logs/v1/logs.proto`` and the services of both in ``collector``) and of
``google/rpc/status.proto``.
"""

from __future__ import annotations

from ._encoder import MAX_BYTES, MAX_SPANS, EncodedSpans, Encoder, halve, pack
from ._logs import EncodedLog, encode_log, logs_request
from ._response import (
    PartialSuccess,
    decode_response,
    decode_retry_delay_ns,
    decode_status_message,
)

__all__ = (
    "MAX_BYTES",
    "MAX_SPANS",
    "EncodedLog",
    "EncodedSpans",
    "Encoder",
    "PartialSuccess",
    "decode_response",
    "decode_retry_delay_ns",
    "decode_status_message",
    "encode_log",
    "halve",
    "logs_request",
    "pack",
)
