"""The first thing a viewer hears: what program this is, and when its time began."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from ._texts import cut

__all__ = ("Welcome", "encode_welcome")

#: Up to this version the message had the cost of an event.
_DELAY_UNTIL: Final = 74
_HEAD: Final = struct.Struct("<dqq")
_DELAY: Final = struct.Struct("<Q")
_REST: Final = struct.Struct("<QQQQqBB12sI64s1024s")
_ON_DEMAND_PAYLOAD: Final = struct.Struct("<QQ")

_ON_DEMAND: Final = 1
_CODE_TRANSFER: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """What a viewer shows of the program, and how it reads times.

    Attributes:
        begin_ns: the origin of time, at or before the oldest event of the connection.
        epoch_s: wall time of the program's start, in seconds since 1970.
        pid: of the process.
        program: its name; 63 bytes of it are sent.
        host: lines about the machine; 1,023 bytes are sent.
        now_ns: becomes a boundary of the default set of frames; at or before its first mark.
            Not before `begin_ns`.
        executable_s: when the program was last changed, in seconds since 1970; 0 for unknown.
        sampling_period_ns: between samples of call stacks; 0 if there are none.
        code_transfer: whether the viewer may ask for sources.
    """

    begin_ns: int
    epoch_s: int
    pid: int
    program: str
    host: str = ""
    now_ns: int | None = None
    executable_s: int = 0
    sampling_period_ns: int = 0
    code_transfer: bool = False


def encode_welcome(version: int, welcome: Welcome) -> bytes:
    """Return the message and what follows it for a client that is profiled on demand."""
    begin_ns = welcome.begin_ns
    flags = _ON_DEMAND | _CODE_TRANSFER * welcome.code_transfer
    rest = _REST.pack(
        1,  # resolution of the clock, in ns
        welcome.epoch_s,
        welcome.executable_s,
        welcome.pid,
        welcome.sampling_period_ns,
        flags,
        0,  # of an unknown processor: a viewer must not disassemble anything
        b"",
        0,
        cut(welcome.program, 63),
        cut(welcome.host, 1023),
    )
    delay = _DELAY.pack(0) if version <= _DELAY_UNTIL else b""
    now_ns = begin_ns if welcome.now_ns is None else welcome.now_ns
    return _HEAD.pack(1.0, begin_ns, begin_ns) + delay + rest + _ON_DEMAND_PAYLOAD.pack(0, now_ns)
