from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from aperf import InstrumentationError
from aperf._events import gpu_context
from aperf._events._torch import MAX_AGE_NS
from aperf._recorder._layout import GpuOp
from tests.events.fake_torch import FakeCuda, fake_torch
from tests.events.taking import gpu_events, taking

if TYPE_CHECKING:
    from aperf._recorder import Recorder
    from tests.events.taking import Gpu

TIME = GpuOp.TIME


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    """A device that PyTorch would see."""
    cuda = FakeCuda()
    monkeypatch.setitem(sys.modules, "torch", fake_torch(cuda))
    return cuda


def times(recorder: Recorder) -> list[tuple[int, int]]:
    """Take all records out of a recorder; return the times that are told: query, device's time."""

    def told(event: Gpu) -> int:
        return int.from_bytes(event.record.payload[:8], "little", signed=True)

    events = gpu_events(recorder)
    return [(event.b, told(event)) for event in events if event.operation is TIME]


def test_dates(recorder: Recorder, cuda: FakeCuda) -> None:
    """A zone has the device's times on our clock; nothing waits for them."""
    context = gpu_context("cuda", kind="cuda")
    before_ns = time.monotonic_ns()
    with context.torch_zone("multiply"):
        pass
    after_ns = time.monotonic_ns()
    assert 1 == context.torch_collect()
    cuda.run(5.0)
    assert 1 == context.torch_collect()
    cuda.run(7.5)
    assert 0 == context.torch_collect()
    (begin, begin_ns), (end, end_ns) = times(recorder)
    assert (0, 1) == (begin, end)
    assert before_ns <= begin_ns <= after_ns  # the stream was empty, so it began at once
    assert 2_500_000 == end_ns - begin_ns


def test_later_zones_collect(recorder: Recorder, cuda: FakeCuda) -> None:
    """What the device has finished is told when a further zone ends, in ticks of the context."""
    context = gpu_context("cuda", kind="cuda", period_ns=1_000.0, device_time=0)
    with context.torch_zone("one"):
        pass
    cuda.run(1.0)
    cuda.run(2.0)
    with context.torch_zone("two"):
        pass
    (_, begin), (_, end) = times(recorder)
    assert 1_000 == end - begin
    assert 1 == context.torch_collect()


def test_busy_stream(recorder: Recorder, cuda: FakeCuda) -> None:
    """While the stream is never empty, zones are dated from the last time that it was."""
    context = gpu_context("cuda", kind="cuda")
    for name in ("one", "two"):
        with context.torch_zone(name):
            pass
    for time_ms in (10.0, 11.0, 13.0, 16.0):
        cuda.run(time_ms)
    context.torch_collect()
    first, *others = [told for _, told in times(recorder)]
    assert [1_000_000, 3_000_000, 6_000_000] == [told - first for told in others]


def test_old_anchor(recorder: Recorder, cuda: FakeCuda) -> None:
    """After a while what was dated last is what others are dated from, and none is lost."""
    context = gpu_context("cuda", kind="cuda")
    with context.torch_zone("one"):
        pass
    with context.torch_zone("two"):
        pass
    age_ms = MAX_AGE_NS / 1e6 + 1
    cuda.run(0.0)
    cuda.run(age_ms)
    with context.torch_zone("three"):
        pass
    torch_zones = context._torch
    assert torch_zones is not None
    assert torch_zones._anchor is not None
    assert age_ms == torch_zones._anchor.event.passed_ms
    for time_ms in (1.0, 2.0, 3.0, 4.0):
        cuda.run(age_ms + time_ms)
    context.torch_collect()
    first, *others = [told for _, told in times(recorder)]
    expected = [age_ms, *(age_ms + more for more in (1, 2, 3, 4))]
    assert [round(each * 1e6) for each in expected] == [told - first for told in others]


def test_failing_block(recorder: Recorder, cuda: FakeCuda) -> None:
    """A block that fails ends its zone."""
    context = gpu_context("cuda")
    with pytest.raises(KeyError), context.torch_zone("x"):
        raise KeyError
    operations = [event.operation for event in gpu_events(recorder)]
    assert [GpuOp.CONTEXT, GpuOp.BEGIN, GpuOp.END] == operations


def test_captured_graph(recorder: Recorder, cuda: FakeCuda) -> None:
    """While a graph is captured, nothing is put into the stream or asked of it."""
    cuda.capturing = True
    with gpu_context("cuda").torch_zone("x"):
        pass
    assert [] == gpu_events(recorder)
    assert [] == cuda.queue


def test_capture_begins_inside(recorder: Recorder, cuda: FakeCuda) -> None:
    """A zone in which a capture begins ends without times."""
    context = gpu_context("cuda")
    with context.torch_zone("x"):
        cuda.capturing = True
    assert 0 == context.torch_collect()
    operations = [event.operation for event in gpu_events(recorder)]
    assert [GpuOp.CONTEXT, GpuOp.BEGIN, GpuOp.END] == operations


def test_broken_device(recorder_class: type[Recorder], cuda: FakeCuda) -> None:
    """An error of the device does not come from us: the program's own next call will show it."""
    with taking(recorder_class, faults=2):
        context = gpu_context("cuda")
        with context.torch_zone("x"):
            cuda.broken = True
        with context.torch_zone("y"):
            pass


def test_no_torch(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PyTorch, or without a device, that is said."""
    monkeypatch.setitem(sys.modules, "torch", None)
    context = gpu_context("cuda")
    with pytest.raises(InstrumentationError, match="torch_zone needs PyTorch, which cannot be"):
        context.torch_zone("x")
    monkeypatch.setitem(sys.modules, "torch", fake_torch(FakeCuda(available=False)))
    with pytest.raises(InstrumentationError, match="needs a CUDA device, and PyTorch sees none"):
        context.torch_zone("x")
    assert 0 == context.torch_collect()


def test_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """While nobody takes zones, PyTorch is not even looked for."""
    monkeypatch.setitem(sys.modules, "torch", None)
    context = gpu_context("cuda")
    with context.torch_zone("x"):
        pass
    assert 0 == context.torch_collect()


def test_never_imported() -> None:
    """Nothing but a zone that is recorded imports PyTorch."""
    program = "import sys, aperf._events._torch; print('torch' in sys.modules)"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "False\n" == done.stdout
