"""What each event looks like: packed fields after the type byte, little-endian, no padding.

The encoder and the decoder are both made from this table. Names of fields that say more than they
seem to:

* `dt`: nanoseconds since the event before that uses the same clock, mostly that of the thread (see
  `_clocks`); `t`: a time of its own.
* `size_low`, `size_high`: a number of 48 bits. `blue`, `green`, `red`: a colour, 0xRRGGBB.
* `meta`: severity << 4 | source of a message. Literal messages have it in the lowest byte of their
  `text`, from version 77 on.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import Final, NamedTuple, TypeAlias

from ._versions import event_numbers

__all__ = ("SHORT", "Fields", "Layout", "layouts")

#: (name, format character of `struct`) each.
Fields: TypeAlias = tuple[tuple[str, str], ...]

#: Strings of up to this many bytes use the 8-bit form where there is one (`SingleStringData8`); the
#: 16-bit form then counts from 256.
SHORT: Final = 255


class Layout(NamedTuple):
    """One event in one version."""

    number: int  #: the type byte
    fields: Fields
    length: str  #: format of the length of the bytes that follow the fields; "": there are none

    @property
    def format(self) -> str:
        """The format for `struct`: type byte, fields and, if there is one, length."""
        return "<B" + "".join(character for _, character in self.fields) + self.length

    @property
    def size(self) -> int:
        """How many bytes the type byte and the fields have."""
        return struct.calcsize("<B" + "".join(character for _, character in self.fields))


_COLOR: Final = "blue:B green:B red:B"
_LOCK: Final = "tid:I lock:I dt:q"
_ALLOC: Final = "dt:q tid:I address:Q size_low:I size_high:H"
_FREE: Final = "dt:q tid:I address:Q"
_GPU_ZONE: Final = "dt:q tid:I query:H context:B"
_FRAME_MARK: Final = "t:q name:Q"
_HARDWARE: Final = "address:Q t:q"
_TEXT: Final = "id:Q *:H"
_LONG_TEXT: Final = "id:Q *:I"

#: Fields as "name:character"; "@" the first version that has it, "!" the first that has it no more.
#: "*" is the length of what follows. An event that is not listed has no fields.
_FIELDS: Final = {
    "Message": "t:q meta:B@77",
    "MessageColor": f"t:q {_COLOR} meta:B@77",
    "MessageAppInfo": "t:q",
    "ZoneBeginAllocSrcLoc": "dt:q",
    "CallstackSample": "tid:I@77 dt:q tid:I!77",
    "CallstackSample32": "tid:I dt:I",
    "CallstackSample16": "tid:I dt:H",
    "FrameImage": "frame:I width:H height:H flip:B",
    "ZoneBegin": "dt:q source:Q",
    "ZoneBegin32": "dt:I source:Q",
    "ZoneBegin16": "dt:H source:Q",
    "ZoneEnd": "dt:q",
    "ZoneEnd32": "dt:I",
    "ZoneEnd16": "dt:H",
    "LockWait": _LOCK,
    "LockObtain": _LOCK,
    "LockRelease": "lock:I dt:q",
    "LockSharedWait": _LOCK,
    "LockSharedObtain": _LOCK,
    "LockSharedRelease": "lock:I dt:q tid:I",
    "LockName": "lock:I",
    "MemAlloc": _ALLOC,
    "MemFree": _FREE,
    "MemDiscard": "dt:q tid:I pool:Q",
    "GpuZoneBegin": f"{_GPU_ZONE} source:Q",
    "GpuZoneBeginAllocSrcLoc": _GPU_ZONE,
    "GpuZoneEnd": _GPU_ZONE,
    "PlotDataInt": "name:Q dt:q value:q",
    "PlotDataFloat": "name:Q dt:q value:f",
    "PlotDataDouble": "name:Q dt:q value:d",
    "ContextSwitch": (
        "dt:q old_tid:I new_tid:I cpu:B reason:B state:B "
        "old_c_state:B@73 new_priority:b@73 old_priority:b@73"
    ),
    "ThreadWakeup": "dt:q tid:I cpu:B@73 adjust_reason:b@73 adjust_increment:b@73",
    "GpuTime": "dt:q query:H context:B",
    "GpuContextName": "context:B",
    "GpuAnnotationName": "note:q context:B",
    "CallstackFrameSize": "id:Q count:B",
    "SymbolInformation": "line:I symbol:Q",
    "FiberEnter": "dt:q fiber:Q tid:I group:i@68",
    "FiberLeave": "dt:q tid:I",
    "SectionEnter": "dt:q section:I category:H@82",
    "SectionLeave": "dt:q section:I",
    "SectionSetup": "category:H",
    "ThreadContext": "tid:I",
    "GpuCalibration": "gpu_time:q t:q cpu_delta:q context:B",
    "GpuTimeSync": "gpu_time:q t:q context:B",
    "CrashReport": "t:q text:Q",
    "ZoneValidation": "id:I",
    "ZoneColor": _COLOR,
    "ZoneValue": "value:Q",
    "FrameMarkMsg": _FRAME_MARK,
    "FrameMarkMsgStart": _FRAME_MARK,
    "FrameMarkMsgEnd": _FRAME_MARK,
    "FrameVsync": "t:q id:I",
    "SourceLocation": f"name:Q function:Q file:Q line:I {_COLOR}",
    "LockAnnounce": "lock:I t:q source:Q kind:B",
    "LockTerminate": "lock:I t:q",
    "LockMark": "tid:I lock:I source:Q",
    "MessageLiteral": "t:q text:Q",
    "MessageLiteralColor": f"t:q {_COLOR} text:Q",
    "GpuNewContext": "t:q gpu_time:q tid:I period:f context:B flags:B kind:B",
    "CallstackFrame": "line:I symbol:Q symbol_length:I",
    "SysTimeReport": "t:q percent:f",
    "SysPowerReport": "t:q energy:Q name:Q",
    "TidToPid": "tid:Q pid:Q",
    "HwSampleCpuCycle": _HARDWARE,
    "HwSampleInstructionRetired": _HARDWARE,
    "HwSampleCacheReference": _HARDWARE,
    "HwSampleCacheMiss": _HARDWARE,
    "HwSampleBranchRetired": _HARDWARE,
    "HwSampleBranchMiss": _HARDWARE,
    "PlotConfig": "name:Q format:B step:B fill:B color:I",
    "ParamSetup": "index:I name:Q kind:B value:i",
    "AckSourceCodeNotAvailable": "id:I",
    "CpuTopology": "package:I die:I@69 core:I thread:I",
    "SingleStringData": "*:H",
    "SecondStringData": "*:H",
    "SingleStringData8": "*:B",
    "SecondStringData8": "*:B",
    "MemNamePayload": "pool:Q",
    "ThreadGroupHint": "tid:I group:i",
    "GpuZoneAnnotation": "note:q value:d tid:I query:H context:B",
    "StringData": _TEXT,
    "ThreadName": _TEXT,
    "PlotName": _TEXT,
    "SourceLocationPayload": _TEXT,
    "CallstackPayload": _TEXT,
    "CallstackAllocPayload": _TEXT,
    "FrameName": _TEXT,
    "FrameImageData": _LONG_TEXT,
    "ExternalName": _TEXT,
    "ExternalThreadName": _TEXT,
    "SymbolCode": _LONG_TEXT,
    "SourceCode": _LONG_TEXT,
    "FiberName": _TEXT,
}

#: Parts of names that change what an event means, not how it looks.
_VARIANTS: Final = ("Callstack", "ContextSwitch", "Serial", "Named")


@cache
def layouts(version: int) -> dict[str, Layout]:
    """Return what each event looks like in a version, 63 … 82."""
    return {
        name: _layout(number, _fields_of(name), version)
        for name, number in event_numbers(version).items()
    }


def _fields_of(name: str) -> str:
    if name in _FIELDS:
        return _FIELDS[name]
    for variant in _VARIANTS:
        head, found, tail = name.rpartition(variant)
        if found and head:
            return _fields_of(head + tail)
    return ""


def _layout(number: int, text: str, version: int) -> Layout:
    fields: list[tuple[str, str]] = []
    length = ""
    for entry in text.split():
        name, _, rest = entry.partition(":")
        if name == "*":
            length = rest
        elif _exists(rest[1:], version):
            fields.append((name, rest[0]))
    return Layout(number, tuple(fields), length)


def _exists(mark: str, version: int) -> bool:
    if mark.startswith("@"):
        return version >= int(mark[1:])
    return not mark or version < int(mark[1:])
