"""What a client says of itself before the first event."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, NamedTuple

__all__ = ("ON_DEMAND_SIZE", "OnDemand", "ReceivedWelcome", "decode_welcome", "welcome_size")

_HEAD: Final = struct.Struct("<dqq")
_REST: Final = struct.Struct("<QQQQqBB12sI64s1024s")
_ON_DEMAND: Final = struct.Struct("<Qq")
ON_DEMAND_SIZE: Final = _ON_DEMAND.size

#: Older versions say here how long it takes to record an event.
_NO_DELAY: Final = 75
_DELAY: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedWelcome:
    """The welcome message, as far as it matters to a reader.

    Attributes:
        begin_ns: where the time of the trace begins.
        first_frame_ns: where its first frame begins.
        epoch_s: when the program began, in seconds since 1970.
        executable_s: when the program was last changed; 0 for unknown.
        pid: its process.
        sampling_period_ns: how often call stacks are sampled; 0 for never.
        on_demand: whether it records only while a viewer is connected.
        ignores_memory_faults: whether it may free what it did not allocate.
        code_transfer: whether it sends source files.
        program: its name.
        host: what it says of its machine, in lines.
    """

    begin_ns: int
    first_frame_ns: int
    epoch_s: int
    executable_s: int
    pid: int
    sampling_period_ns: int
    on_demand: bool
    ignores_memory_faults: bool
    code_transfer: bool
    program: str
    host: str


class OnDemand(NamedTuple):
    """What follows the welcome of a client that records on demand only.

    Attributes:
        frames: how many frames of the default set are over.
        t_ns: when the connection was made.
    """

    frames: int
    t_ns: int

    @classmethod
    def decode(cls, data: bytes) -> OnDemand:
        """Decode it."""
        return cls(*_ON_DEMAND.unpack(data))


def welcome_size(version: int) -> int:
    """Return how long the message is."""
    return _HEAD.size + _REST.size + (_DELAY if version < _NO_DELAY else 0)


def decode_welcome(data: bytes, version: int) -> ReceivedWelcome:
    """Decode the message."""
    _, begin, first_frame = _HEAD.unpack_from(data)
    rest = _REST.unpack_from(data, welcome_size(version) - _REST.size)
    _, epoch, executable, pid, period, flags, _, _, _, program, host = rest
    return ReceivedWelcome(
        begin_ns=begin,
        first_frame_ns=first_frame,
        epoch_s=epoch,
        executable_s=executable,
        pid=pid,
        sampling_period_ns=period,
        on_demand=bool(flags & 1),
        ignores_memory_faults=bool(flags & 2),
        code_transfer=bool(flags & 4),
        program=_text(program),
        host=_text(host),
    )


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "replace")
