"""The side that watches, for tests: it reads traces back, and fails as real viewers do."""

from __future__ import annotations

from ._frames import FrameImage, FrameSet, SubFrame
from ._gpu import GpuAnnotation, GpuCalibration, GpuContext, GpuZone
from ._locks import Lock, LockEvent
from ._memory import Allocation, Pool
from ._messages import AppInfo, Message
from ._plots import Plot, PlotConfig, Point
from ._program import Crash, Parameter, Power, Section
from ._rows import Region, Row, RowKey
from ._samples import ContextSwitch, Cpu, ExternalThread, HardwareSample, Sample, Wakeup
from ._server import Server, ServerState
from ._sources import Source
from ._stacks import Stack, StackFrame
from ._trace import Trace
from ._welcome import OnDemand, ReceivedWelcome
from ._zones import Zone

__all__ = (
    "Allocation",
    "AppInfo",
    "ContextSwitch",
    "Cpu",
    "Crash",
    "ExternalThread",
    "FrameImage",
    "FrameSet",
    "GpuAnnotation",
    "GpuCalibration",
    "GpuContext",
    "GpuZone",
    "HardwareSample",
    "Lock",
    "LockEvent",
    "Message",
    "OnDemand",
    "Parameter",
    "Plot",
    "PlotConfig",
    "Point",
    "Pool",
    "Power",
    "ReceivedWelcome",
    "Region",
    "Row",
    "RowKey",
    "Sample",
    "Section",
    "Server",
    "ServerState",
    "Source",
    "Stack",
    "StackFrame",
    "SubFrame",
    "Trace",
    "Wakeup",
    "Zone",
)
