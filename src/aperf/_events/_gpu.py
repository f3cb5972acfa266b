"""Work of a device with a clock of its own: what a program hands to a GPU, and when that ran.

Theory of operation. The program begins and ends a zone where it hands work over; when the device
began and ended it is known later, and told then. In the records, a zone is two queries, the even
number its begin and the next one its end. A viewer has 65,536 of them for each context and knows by
the number alone which time belongs to what, so a pair is used again only after both of its times.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections import deque

from . import _active
from ._checks import check_choice, check_name, integer, positive
from ._gpu_zone import HIGHEST, INERT, LOWEST, GpuZone, ticks

TYPE_CHECKING = False  # typing itself takes milliseconds to import
if TYPE_CHECKING:
    from typing import Literal, TypeAlias

    from ._torch import TorchZone, TorchZones

    Kind: TypeAlias = Literal[
        "custom",
        "cuda",
        "vulkan",
        "opencl",
        "opengl",
        "metal",
        "d3d11",
        "d3d12",
        "rocm",
        "webgpu",
    ]

__all__ = ("KINDS", "GpuContext", "gpu_context")

#: What Tracy calls them.
KINDS = {
    "opengl": 1,
    "vulkan": 2,
    "opencl": 3,
    "d3d12": 4,
    "d3d11": 5,
    "metal": 6,
    "custom": 7,
    "cuda": 8,
    "rocm": 9,
    "webgpu": 10,
}
#: Pairs of queries of one context.
MAX_ZONES = 32_768
_numbers = itertools.count(1)


def gpu_context(
    name: str, *, kind: Kind = "custom", period_ns: float = 1.0, device_time: int | None = None
) -> GpuContext:
    """Return a timeline for the work of a device, or of one queue of it.

    Example::

        gpu = aperf.gpu_context("encoder", period_ns=0.5, device_time=device.clock())
        with gpu.zone("encode") as zone:
            job = device.submit(frame)
        zone.times(*await job.timestamps())

    Args:
        name: what a viewer calls it.
        kind: which interface the program uses for it.
        period_ns: how long a tick of the device's clock is.
        device_time: what that clock shows now, in ticks; None if it is the clock that
            `time.monotonic_ns()` reads.

    Raises:
        TypeError: an argument is of the wrong type.
        ConfigurationError: the name is empty, there is no such kind, or a number is out of range.
    """
    check_name("gpu_context", name)
    check_choice("gpu_context", "kind", kind, KINDS)
    period_ns = positive("gpu_context", "period_ns", period_ns)
    now_ns = time.monotonic_ns()
    if device_time is None:
        device_time = round(now_ns / period_ns)
    device_time = integer("gpu_context", "device_time", device_time, LOWEST, HIGHEST)
    return GpuContext(name, KINDS[kind], period_ns, now_ns, device_time)


class GpuContext:
    """A device's timeline; made by `gpu_context`. It may be kept while nothing is recorded.

    Attributes:
        number: what records call it.
        name: what a viewer calls it.
        kind: a value of `KINDS`.
        period_ns: how long a tick is.
        cpu_ns: when its clock was last compared with ours.
        device_time: what its clock showed then.
        dropped: zones that could not be shown, since too many others wait for their times.
    """

    __slots__ = (
        "_free",
        "_fresh",
        "_torch",
        "cpu_ns",
        "device_time",
        "dropped",
        "kind",
        "name",
        "number",
        "period_ns",
    )

    def __init__(
        self, name: str, kind: int, period_ns: float, cpu_ns: int, device_time: int
    ) -> None:
        self.number = next(_numbers)
        self.name = name
        self.kind = kind
        self.period_ns = period_ns
        self.cpu_ns = cpu_ns
        self.device_time = device_time
        self.dropped = 0
        self._fresh = iter(range(0, 2 * MAX_ZONES, 2))
        self._free: deque[int] = deque()
        self._torch: TorchZones | None = None

    def zone(self, name: str) -> GpuZone:
        """Return a block in which work is handed to the device.

        Args:
            name: what the work is.

        Raises:
            TypeError: the name is no str.
            ConfigurationError: the name is empty.
        """
        if type(name) is not str or not name:
            check_name("zone", name)
        recording = _active.recording
        if recording is None or not recording.recorder.armed:
            return INERT
        frame = sys._getframe(1)
        return GpuZone(self, recording, name, (frame.f_code, frame.f_lasti))

    def begin(self, name: str, *, begin_time: int | None = None) -> GpuZone:
        """Begin to hand work to the device, where no `with` is possible; `end` must follow.

        Args:
            name: what the work is.
            begin_time: when the device began with it, in ticks, if that is known already.

        Raises:
            TypeError: an argument is of the wrong type.
            ConfigurationError: the name is empty, or the time needs more than 64 bits.
        """
        if type(name) is not str or not name:
            check_name("begin", name)
        if begin_time is not None:
            begin_time = ticks("begin", "begin_time", begin_time)
        recording = _active.recording
        if recording is None or not recording.recorder.armed:
            return INERT
        frame = sys._getframe(1)
        zone = GpuZone(self, recording, name, (frame.f_code, frame.f_lasti)).__enter__()
        zone.times(begin_time)
        return zone

    def end(
        self, zone: GpuZone, *, begin_time: int | None = None, end_time: int | None = None
    ) -> None:
        """Say that the work of a zone has been handed over.

        Args:
            zone: what `begin` returned.
            begin_time: as in `GpuZone.times`.
            end_time: likewise.

        Raises:
            TypeError: an argument is of the wrong type.
            ConfigurationError: a time needs more than 64 bits.
        """
        zone.__exit__(None, None, None)
        zone.times(begin_time, end_time)

    def calibrate(self, cpu_ns: int, device_time: int) -> None:
        """Compare the device's clock with ours once more: two clocks never run at the same rate.

        Args:
            cpu_ns: a moment, as `time.monotonic_ns()` has it.
            device_time: what the device's clock showed at that moment, in ticks.

        Raises:
            TypeError: an argument is no int.
            ConfigurationError: one is out of range.
        """
        cpu_ns = integer("calibrate", "cpu_ns", cpu_ns, 0, HIGHEST)
        device_time = integer("calibrate", "device_time", device_time, LOWEST, HIGHEST)
        recording = _active.active()
        if recording is not None:
            recording.gpu_calibrate(self, cpu_ns, device_time)
        self.cpu_ns, self.device_time = cpu_ns, device_time

    def torch_zone(self, name: str) -> TorchZone | GpuZone:
        """Return a block whose work PyTorch hands to the current CUDA stream.

        The device's times come from CUDA events: those of zones that are over are collected when
        further zones end, and by `torch_collect`. Nothing waits for the device.

        Args:
            name: what the work is.

        Raises:
            TypeError: the name is no str.
            ConfigurationError: the name is empty.
            InstrumentationError: PyTorch cannot be imported, or sees no CUDA device. Only while
                zones are recorded: otherwise nothing is imported.
        """
        if type(name) is not str or not name:
            check_name("torch_zone", name)
        recording = _active.recording
        if recording is None or not recording.recorder.armed:
            return INERT
        from ._torch import TorchZone, TorchZones  # these import PyTorch when they are made

        if self._torch is None:
            self._torch = TorchZones(self)
        frame = sys._getframe(1)
        zone = GpuZone(self, recording, name, (frame.f_code, frame.f_lasti))
        return TorchZone(self._torch, zone, recording)

    def torch_collect(self) -> int:
        """Tell the times of the `torch_zone` blocks that the device has finished.

        Returns:
            How many it has not.
        """
        return 0 if self._torch is None else self._torch.collect()

    def at(self, cpu_ns: int) -> int:
        """Return what the device's clock shows at a time of ours, by its last comparison."""
        return self.device_time + round((cpu_ns - self.cpu_ns) / self.period_ns)

    # Threads may take and give at the same time: each of these is one step for the interpreter.

    def take_queries(self) -> int | None:
        """Return the first of two queries, None if all wait for their times."""
        query = next(self._fresh, None)
        if query is not None:
            return query
        try:
            return self._free.popleft()
        except IndexError:
            self.dropped += 1
            return None

    def give_queries(self, query: int) -> None:
        """Take back two queries that nothing in the records waits for any more."""
        self._free.append(query)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"
