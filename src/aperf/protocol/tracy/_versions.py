"""The versions of the protocol: which events and queries there are, and their numbers.

There is no negotiation: the viewer says which version it speaks, and the client speaks it or
declines. From one version to the next events were only ever inserted, never moved or removed, so
one list with the version of each newcomer gives every numbering.
"""

from __future__ import annotations

import enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("RELEASES", "VERSIONS", "QueryKind", "event_numbers", "query_numbers")

#: The viewers that speak each version that we do. Those in between were never released.
RELEASES: Final[Mapping[int, str]] = MappingProxyType(
    {
        63: "0.9",
        64: "0.10",
        65: "0.10 (development, early 2024)",
        66: "0.11.0",
        69: "0.11.1",
        72: "0.11 (development, early 2025)",
        74: "0.12",
        76: "0.13",
        82: "0.14",
    }
)

VERSIONS: Final = tuple(RELEASES)

_FIRST_VERSION: Final = VERSIONS[0]

#: In order. "@" is followed by the version that brought the event.
_EVENTS: Final = """
    ZoneText ZoneName
    Message MessageColor MessageCallstack MessageColorCallstack MessageAppInfo
    ZoneBeginAllocSrcLoc ZoneBeginAllocSrcLocCallstack
    CallstackSerial Callstack CallstackAlloc
    CallstackSample CallstackSample32@78 CallstackSample16@78
    CallstackSampleContextSwitch CallstackSampleContextSwitch32@78 CallstackSampleContextSwitch16@78
    FrameImage
    ZoneBegin ZoneBegin32@78 ZoneBegin16@78
    ZoneBeginCallstack ZoneBeginCallstack32@78 ZoneBeginCallstack16@78
    ZoneEnd ZoneEnd32@78 ZoneEnd16@78
    LockWait LockObtain LockRelease LockSharedWait LockSharedObtain LockSharedRelease LockName
    MemAlloc MemAllocNamed MemFree MemFreeNamed
    MemAllocCallstack MemAllocCallstackNamed MemFreeCallstack MemFreeCallstackNamed
    MemDiscard@72 MemDiscardCallstack@72
    GpuZoneBegin GpuZoneBeginCallstack GpuZoneBeginAllocSrcLoc GpuZoneBeginAllocSrcLocCallstack
    GpuZoneEnd
    GpuZoneBeginSerial GpuZoneBeginCallstackSerial
    GpuZoneBeginAllocSrcLocSerial GpuZoneBeginAllocSrcLocCallstackSerial
    GpuZoneEndSerial
    PlotDataInt PlotDataFloat PlotDataDouble
    ContextSwitch ThreadWakeup
    GpuTime GpuContextName GpuAnnotationName@76
    CallstackFrameSize SymbolInformation
    ExternalNameMetadata SymbolCodeMetadata SourceCodeMetadata
    FiberEnter FiberLeave
    SectionEnter@81 SectionLeave@81 SectionSetup@82
    Terminate KeepAlive ThreadContext
    GpuCalibration GpuTimeSync@65
    Crash CrashReport
    ZoneValidation ZoneColor ZoneValue
    FrameMarkMsg FrameMarkMsgStart FrameMarkMsgEnd FrameVsync
    SourceLocation
    LockAnnounce LockTerminate LockMark
    MessageLiteral MessageLiteralColor MessageLiteralCallstack MessageLiteralColorCallstack
    GpuNewContext
    CallstackFrame
    SysTimeReport SysPowerReport@64
    TidToPid
    HwSampleCpuCycle HwSampleInstructionRetired HwSampleCacheReference
    HwSampleCacheMiss HwSampleBranchRetired HwSampleBranchMiss
    PlotConfig ParamSetup
    AckServerQueryNoop AckSourceCodeNotAvailable AckSymbolCodeNotAvailable
    CpuTopology
    SingleStringData SecondStringData SingleStringData8@80 SecondStringData8@80
    MemNamePayload
    ThreadGroupHint@67
    GpuZoneAnnotation@76
    StringData ThreadName PlotName
    SourceLocationPayload CallstackPayload CallstackAllocPayload
    FrameName FrameImageData
    ExternalName ExternalThreadName
    SymbolCode SourceCode
    FiberName
""".split()  # noqa: SIM905 – a list with quotes around each name hides the order


class QueryKind(enum.Enum):
    """What a viewer asks or tells its client."""

    TERMINATE = enum.auto()
    STRING = enum.auto()
    THREAD_STRING = enum.auto()
    SOURCE_LOCATION = enum.auto()
    PLOT_NAME = enum.auto()
    FRAME_NAME = enum.auto()
    PARAMETER = enum.auto()
    FIBER_NAME = enum.auto()
    EXTERNAL_NAME = enum.auto()
    DISCONNECT = enum.auto()
    CALLSTACK_FRAME = enum.auto()
    SYMBOL = enum.auto()
    SYMBOL_CODE = enum.auto()
    SOURCE_CODE = enum.auto()
    DATA_TRANSFER = enum.auto()
    DATA_TRANSFER_PART = enum.auto()


#: Version 66 put what goes first in the viewer's queue before the rest.
_REORDERED: Final = 66
_OLD_NUMBERS: Final = {
    QueryKind.DISCONNECT: 8,
    QueryKind.CALLSTACK_FRAME: 9,
    QueryKind.EXTERNAL_NAME: 10,
}


def event_numbers(version: int) -> dict[str, int]:
    """Return the type byte of each event that there is in a version, 63 … 82."""
    names = (entry.partition("@") for entry in _EVENTS)
    existing = [name for name, _, since in names if int(since or _FIRST_VERSION) <= version]
    return {name: number for number, name in enumerate(existing)}


def query_numbers(version: int) -> dict[QueryKind, int]:
    """Return the type byte of each query in a version, 63 … 82."""
    numbers = {kind: number for number, kind in enumerate(QueryKind)}
    return numbers if version >= _REORDERED else numbers | _OLD_NUMBERS
