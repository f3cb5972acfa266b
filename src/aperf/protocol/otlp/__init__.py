"""OTLP traces: requests written from packed rows, responses read, no protobuf library involved.

Field numbers are those of opentelemetry-proto 1.5 (``opentelemetry/proto/trace/v1/trace.proto`` and
``collector/trace/v1/trace_service.proto``) and of ``google/rpc/status.proto``.
"""

from __future__ import annotations

from ._encoder import MAX_BYTES, MAX_SPANS, EncodedSpans, Encoder, halve, pack
from ._response import (
    PartialSuccess,
    decode_response,
    decode_retry_delay_ns,
    decode_status_message,
)

__all__ = (
    "MAX_BYTES",
    "MAX_SPANS",
    "EncodedSpans",
    "Encoder",
    "PartialSuccess",
    "decode_response",
    "decode_retry_delay_ns",
    "decode_status_message",
    "halve",
    "pack",
)
