"""Samples, and what concerns the whole program and its machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aperf.protocol.tracy._server import (
    ContextSwitch,
    Cpu,
    Crash,
    ExternalThread,
    HardwareSample,
    Parameter,
    Power,
    Sample,
    Section,
    Wakeup,
)
from tests.tracy_cases.basics import MAIN, STACK, stack, symbols, thread

if TYPE_CHECKING:
    from aperf.protocol.tracy import Stream, Strings
    from tests.tracy_cases.basics import Case

__all__ = ("CASES",)


def samples(stream: Stream, strings: Strings) -> dict[str, Any]:
    """Call stacks of running threads, at times that go forward and back."""
    frames = stack(strings)
    at = (0, 65_535, 131_071, 1 << 33, 5, 1 << 40)
    for t_ns in at:
        stream.sample(t_ns, MAIN, frames)
    return {
        "samples": tuple(Sample(t_ns, MAIN, STACK) for t_ns in at),
        "threads": {MAIN: thread()},
        "symbols": symbols(strings),
    }


def processors(stream: Stream, strings: Strings) -> dict[str, Any]:
    """What the kernel and the processors tell."""
    stream.context_switch(10, 0, 21, 1, 2, 3)
    stream.context_switch(8, 21, 0, 1)
    stream.thread_wakeup(9, 21, 3)
    stream.thread_process(21, 600)
    stream.cpu_topology(1, 2, 3, 4)
    counted = (
        "CpuCycle", "InstructionRetired", "CacheReference", "CacheMiss", "BranchRetired",
        "BranchMiss",
    )  # fmt: skip
    for number, event in enumerate(counted):
        stream.hardware_sample(number, event, 1 << 40)  # type: ignore[arg-type]
    kinds = ("cycle", "instruction", "cache reference", "cache miss", "branch", "branch miss")
    return {
        "context_switches": (ContextSwitch(10, 0, 21, 1, 2, 3), ContextSwitch(8, 21, 0, 1)),
        "wakeups": (Wakeup(9, 21),),
        "processes": {21: 600},
        "cpus": (Cpu(1, 3, 4, 2 if stream.version >= 69 else 0),),
        "hardware_samples": tuple(
            HardwareSample(kind, number, 1 << 40) for number, kind in enumerate(kinds)
        ),
        "external_threads": {21: ExternalThread("tests", "thread 21")},
    }


def sections(stream: Stream, strings: Strings) -> dict[str, Any]:
    """Stretches of the program's life, in the versions that show them."""
    stream.section_setup(4, "phases")
    stream.section_enter(10, 1, "start", 4)
    stream.section_enter(20, 2, "work")
    stream.section_leave(30, 1)
    if stream.version < 81:
        return {}
    started = Section(1, "start", 4, 10, 30)
    return {"categories": {4: "phases"}, "sections": (started, Section(2, "work", 0, 20))}


def machine(stream: Stream, strings: Strings) -> dict[str, Any]:
    """The load of the processors, power, parameters."""
    name = strings.text("package 0")
    stream.sys_time(5, 12.5)
    stream.sys_power(6, 1 << 50, name)
    stream.param_setup(1, strings.text("level"), "int", -5)
    stream.param_setup(2, strings.text("fast"), "bool", 1)
    stream.param_setup(3, strings.text("now"), "trigger", 0)
    parameters = {1: Parameter("level", 0, -5), 2: Parameter("fast", 1, 1)}
    if stream.version >= 82:
        parameters[3] = Parameter("now", 2, 0)
    power = (Power(6, "package 0", 1 << 50),) if stream.version >= 64 else ()
    return {"cpu_load": ((5, 12.5),), "power": power, "parameters": parameters}


def crash(stream: Stream, strings: Strings) -> dict[str, Any]:
    """How the program crashed."""
    stream.crash(9, strings.text("out of luck"))
    return {"crash": Crash(9, "out of luck")}


CASES: Final[tuple[Case, ...]] = (
    samples,
    processors,
    sections,
    machine,
    crash,
)
