from __future__ import annotations

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import DebugInfo, RetryInfo
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from aperf.protocol.otlp import (
    PartialSuccess,
    decode_response,
    decode_retry_delay_ns,
    decode_status_message,
)
from aperf.protocol.otlp._wire import (
    FIXED32,
    FIXED64,
    LENGTH,
    VARINT,
    fixed32,
    fixed64,
    length_delimited,
    read_fields,
    tag,
    varint,
)


@given(st.integers(0, (1 << 64) - 1), st.integers(1, 1 << 28), st.binary())
def test_fields_round_trip(number: int, field: int, content: bytes) -> None:
    """What the primitives write, `read_fields` reads."""
    data = tag(field, VARINT) + varint(number) + length_delimited(field, content)
    data += fixed64(field, number) + fixed32(field, number & 0xFFFFFFFF)
    expected = [number, content, number, number & 0xFFFFFFFF]
    assert [(field, value) for value in expected] == list(read_fields(data))


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0, b"\0"), (127, b"\x7f"), (128, b"\x80\x01"), (-1, b"\xff" * 9 + b"\x01")],
)
def test_varint(number: int, expected: bytes) -> None:
    """Seven bits per byte, the lowest first; negative numbers as their two's complement."""
    assert expected == varint(number)


@pytest.mark.parametrize(
    "data",
    [b"\x08", b"\x08\x80", b"\x08" + b"\x80" * 11, b"\x0a\x05ab", b"\x09\0", b"\x0b", b"\x80"],
)
def test_bytes_that_are_no_message(data: bytes) -> None:
    """Truncated and malformed messages are refused, never misread."""
    with pytest.raises(ValueError, match="byte"):
        list(read_fields(data))


@given(st.binary(max_size=40))
def test_any_bytes(data: bytes) -> None:
    """Any bytes give fields or a ValueError, nothing else."""
    for read in (decode_response, decode_retry_delay_ns, decode_status_message):
        try:
            read(data)
        except ValueError:
            pass


def test_wire_types() -> None:
    """The wire types are those of the specification."""
    assert (0, 1, 2, 5) == (VARINT, FIXED64, LENGTH, FIXED32)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (ExportTraceServiceResponse(), None),
        (ExportTraceServiceResponse(partial_success=ExportTracePartialSuccess()), None),
        (
            ExportTraceServiceResponse(
                partial_success=ExportTracePartialSuccess(
                    rejected_spans=300, error_message="too old: ü"
                )
            ),
            PartialSuccess(300, "too old: ü"),
        ),
        (
            ExportTraceServiceResponse(
                partial_success=ExportTracePartialSuccess(error_message="deprecated")
            ),
            PartialSuccess(0, "deprecated"),
        ),
    ],
)
def test_response(message: ExportTraceServiceResponse, expected: PartialSuccess | None) -> None:
    """A response tells how many spans were rejected, and why."""
    assert expected == decode_response(message.SerializeToString())


def packed(message: RetryInfo | DebugInfo) -> Any:
    """Return a message as google.protobuf.Any."""
    result = Any()
    result.Pack(message)
    return result


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ([], None),
        ([DebugInfo(detail="here")], None),
        ([RetryInfo()], 0),
        ([RetryInfo(retry_delay=Duration(seconds=2, nanos=5))], 2_000_000_005),
        ([DebugInfo(), RetryInfo(retry_delay=Duration(nanos=7))], 7),
    ],
)
def test_retry_delay(details: list[RetryInfo | DebugInfo], expected: int | None) -> None:
    """The delay is found among the details of a google.rpc.Status, and so is its message."""
    status = Status(code=8, message="slow down", details=[packed(detail) for detail in details])
    assert expected == decode_retry_delay_ns(status.SerializeToString())
    assert "slow down" == decode_status_message(status.SerializeToString())
    assert "" == decode_status_message(b"")
