"""Stands in for PyTorch: a device whose stream a test empties by hand."""

from __future__ import annotations

import types
from dataclasses import dataclass, field
from typing import Any

__all__ = ("FakeCuda", "FakeEvent", "fake_torch")


@dataclass
class FakeCuda:
    """`torch.cuda`, as far as zones need it. What is in the stream happens in `run`."""

    available: bool = True
    capturing: bool = False
    broken: bool = False
    time_ms: float = 0.0
    queue: list[FakeEvent] = field(default_factory=list)

    def is_available(self) -> bool:
        return self.available

    def is_current_stream_capturing(self) -> bool:
        return self.capturing

    def current_stream(self) -> FakeCuda:
        return self

    def query(self) -> bool:
        """Say whether the stream is empty."""
        return not self.queue

    def run(self, time_ms: float) -> None:
        """Let the device come to the next event in the stream at a time."""
        self.time_ms = time_ms
        self.queue.pop(0).passed_ms = time_ms

    def Event(self, *, enable_timing: bool) -> FakeEvent:
        assert enable_timing
        return FakeEvent(self)


class FakeEvent:
    """`torch.cuda.Event`."""

    def __init__(self, cuda: FakeCuda) -> None:
        self.cuda = cuda
        self.passed_ms: float | None = None

    def record(self) -> None:
        if self.cuda.broken:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        self.cuda.queue.append(self)

    def query(self) -> bool:
        return self.passed_ms is not None

    def elapsed_time(self, end: FakeEvent) -> float:
        assert self.passed_ms is not None
        assert end.passed_ms is not None
        return end.passed_ms - self.passed_ms


def fake_torch(cuda: FakeCuda) -> Any:
    """Return a module to be put in the place of PyTorch."""
    module: Any = types.ModuleType("torch")
    module.cuda = cuda
    return module
