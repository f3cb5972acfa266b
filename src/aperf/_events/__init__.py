"""What a program shows in a profiler beside its spans: plots, messages, frames, memory, devices.

Only destinations that take records as they are show these. While there is none, this package is all
that a program pays for, so it loads neither asyncio nor the recorder; `activate` loads what writes.
"""

from ._active import activate, deactivate
from ._allocations import AllocationTracker, track_allocations
from ._frames import Subframe, frame_image, frame_mark, subframe
from ._gpu import GpuContext, gpu_context
from ._gpu_zone import GpuZone
from ._memory import MemoryPool, memory_pool
from ._message import message
from ._plot import plot
from ._sampler import StackSampler, sample_stacks

__all__ = (
    "AllocationTracker",
    "GpuContext",
    "GpuZone",
    "MemoryPool",
    "StackSampler",
    "Subframe",
    "activate",
    "deactivate",
    "frame_image",
    "frame_mark",
    "gpu_context",
    "memory_pool",
    "message",
    "plot",
    "sample_stacks",
    "subframe",
    "track_allocations",
)
