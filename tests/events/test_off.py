from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import aperf._events
from aperf._events import (
    activate,
    deactivate,
    frame_image,
    frame_mark,
    gpu_context,
    memory_pool,
    message,
    plot,
    subframe,
)
from aperf._recorder import Cold, Recorder
from tests.records import decode

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

pool = memory_pool("arena")
gpu = gpu_context("encoder")


def block(begin: Callable[[], Any]) -> Callable[[], None]:
    """Return a function that runs a block."""

    def function() -> None:
        with begin():
            pass

    return function


#: What a program calls often, and which Python functions that runs in all.
CALLS: list[tuple[Callable[[], object], list[str]]] = [
    (lambda: plot("load", 1.5), ["plot"]),
    (lambda: plot("load", 1, format="memory"), ["plot"]),
    (lambda: message("hello", severity="error"), ["message"]),
    (lambda: frame_mark(), ["frame_mark"]),
    (lambda: frame_mark("audio"), ["frame_mark"]),
    (lambda: frame_image(bytes(64), width=4, height=4), ["frame_image", "measured"]),
    (lambda: pool.alloc(1, 2), ["MemoryPool.alloc"]),
    (lambda: pool.free(1), ["MemoryPool.free"]),
]
BLOCKS: list[tuple[Callable[[], Any], str]] = [
    (lambda: subframe("audio"), "subframe"),
    (lambda: gpu.zone("encode"), "GpuContext.zone"),
    (lambda: gpu.torch_zone("encode"), "GpuContext.torch_zone"),
]


def calls_made_by(function: Callable[[], object]) -> list[str]:
    """Return the names of the Python functions that a call runs, itself left out."""

    def profile(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            names.append(frame.f_code.co_qualname)

    names: list[str] = []
    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(before)
    return names[1:]


@pytest.mark.parametrize(("call", "expected"), CALLS)
def test_calls_cost_one_function(call: Callable[[], object], expected: list[str]) -> None:
    """While nobody takes events, a call runs no function but its own."""
    assert expected == calls_made_by(call)


@pytest.mark.parametrize(("begin", "name"), BLOCKS)
def test_blocks_cost_three_functions(begin: Callable[[], Any], name: str) -> None:
    """A block runs its own and two that do nothing."""
    found = [each for each in calls_made_by(block(begin)) if "lambda" not in each]
    assert name == found[0]
    assert ["__enter__", "__exit__"] == [each.rpartition(".")[2] for each in found[1:]]


@pytest.mark.parametrize("begin", [begin for begin, _ in BLOCKS])
def test_blocks_let_exceptions_pass(begin: Callable[[], Any]) -> None:
    """What does nothing swallows nothing."""
    with pytest.raises(KeyError), begin():
        raise KeyError


def all_calls() -> None:
    """Call everything."""
    for call, _ in CALLS:
        call()
    for begin, _ in BLOCKS[:2]:
        with begin():
            pass
    gpu.end(gpu.begin("x", begin_time=1), end_time=2)
    gpu.calibrate(1, 2)


def test_disarmed() -> None:
    """A recorder that is not armed, or not active any more, gets nothing."""
    recorder = Recorder(Cold())
    activate(recorder)
    try:
        all_calls()
    finally:
        deactivate()
    recorder.armed = True
    all_calls()
    assert [] == decode(recorder)
    assert 0 == recorder.cold.pictures.dropped


def test_faults_are_counted() -> None:
    """A fault of our own reaches nobody, and after too many of them nothing is recorded."""
    recorder = Recorder(Cold())
    recorder.armed = True
    recorder.cold.names = None  # type: ignore[assignment]
    activate(recorder)
    try:
        for _ in range(3):
            all_calls()
    finally:
        deactivate()
    assert recorder.internal_errors
    assert not recorder.armed


def test_imports_little() -> None:
    """Showing something does not load what only recording needs."""
    program = (
        "import sys\n"
        "from aperf._events import *\n"
        "plot('x', 1); message('x'); frame_mark(); memory_pool('x').alloc(1, 1)\n"
        "frame_image(bytes(48), width=4, height=4)\n"
        "with subframe('x'), gpu_context('x').zone('x'): pass\n"
        "with sample_stacks(), track_allocations(): pass\n"
        "heavy = 'asyncio', 'opentelemetry', 'threading', 'typing', 'logging', 'tracemalloc',"
        " 'aperf._recorder'\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    source = aperf._events.__file__.rpartition("/aperf/")[0]
    command = [sys.executable, "-S", "-c", program]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"PYTHONPATH": source}
    )
    assert ("[]\n", "") == (done.stdout, done.stderr)
