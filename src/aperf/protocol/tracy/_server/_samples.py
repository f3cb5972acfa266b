"""What samplers and the kernel saw: call stacks, context switches, processors."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from aperf.protocol.tracy._versions import QueryKind

if TYPE_CHECKING:
    from ._context import Context, Handlers
    from ._rows import Rows
    from ._stacks import SentStack, Stack, Stacks

__all__ = (
    "ContextSwitch",
    "Cpu",
    "ExternalThread",
    "HardwareSample",
    "Sample",
    "Samples",
    "Wakeup",
)

_HARDWARE: Final = {
    "HwSampleCpuCycle": "cycle",
    "HwSampleInstructionRetired": "instruction",
    "HwSampleCacheReference": "cache reference",
    "HwSampleCacheMiss": "cache miss",
    "HwSampleBranchRetired": "branch",
    "HwSampleBranchMiss": "branch miss",
}


class Sample(NamedTuple):
    """What a thread was doing; `at_switch`: when the kernel switched to or from it."""

    t_ns: int
    tid: int
    stack: Stack
    at_switch: bool = False


class ContextSwitch(NamedTuple):
    """A processor turned from one thread to another; thread 0 is none."""

    t_ns: int
    old_tid: int
    new_tid: int
    cpu: int
    reason: int = 0
    state: int = 0


class Wakeup(NamedTuple):
    """A thread became able to run."""

    t_ns: int
    tid: int


class Cpu(NamedTuple):
    """Where a hardware thread is; `die` is 0 in versions that do not send it."""

    package: int
    core: int
    thread: int
    die: int = 0


class HardwareSample(NamedTuple):
    """Something that the processor counts happened at an address."""

    kind: str
    t_ns: int
    address: int


class ExternalThread(NamedTuple):
    """A thread that only the kernel told of."""

    process: str
    thread: str


class Samples:
    """The events of samplers."""

    def __init__(self, context: Context, rows: Rows, stacks: Stacks) -> None:
        self._context = context
        self._rows = rows
        self._stacks = stacks
        self._samples: list[tuple[int, int, SentStack, bool]] = []
        self._external: list[int] = []
        self.switches: list[ContextSwitch] = []
        self.wakeups: list[Wakeup] = []
        self.cpus: list[Cpu] = []
        self.hardware: list[HardwareSample] = []
        self.processes: dict[int, int] = {}
        self.handlers: Handlers = {
            "CallstackSample": self._sample,
            "CallstackSampleContextSwitch": partial(self._sample, at_switch=True),
            "ContextSwitch": self._switch,
            "ThreadWakeup": self._wake,
            "CpuTopology": self._cpu,
            "TidToPid": self._process,
            **{event: partial(self._count, kind) for event, kind in _HARDWARE.items()},
        }

    def picture(self) -> tuple[Sample, ...]:
        """Return the samples in the order in which they were sent."""
        return tuple(
            Sample(t_ns, tid, self._stacks.get(stack), at_switch)
            for t_ns, tid, stack, at_switch in self._samples
        )

    def external(self) -> dict[int, ExternalThread]:
        """Return the threads that only context switches told of."""
        texts = self._context.texts
        return {
            tid: ExternalThread(
                texts.get(QueryKind.EXTERNAL_NAME, tid), texts.external_threads.get(tid, "")
            )
            for tid in self._external
        }

    def _sample(self, *, tid: int, dt: int, at_switch: bool = False) -> None:
        t_ns = self._context.switch_clock.advance(dt)
        self._rows.see_thread(tid)
        self._samples.append((t_ns, tid, self._stacks.ids.take(), at_switch))

    def _switch(
        self, *, dt: int, old_tid: int, new_tid: int, cpu: int, reason: int, state: int, **_: int
    ) -> None:
        t_ns = self._context.switch_clock.advance(dt)
        self.switches.append(ContextSwitch(t_ns, old_tid, new_tid, cpu, reason, state))
        if new_tid and new_tid not in self._external:
            self._external.append(new_tid)
            self._context.texts.ask(QueryKind.EXTERNAL_NAME, new_tid)

    def _wake(self, *, dt: int, tid: int, **_: int) -> None:
        self.wakeups.append(Wakeup(self._context.switch_clock.advance(dt), tid))

    def _cpu(self, *, package: int, core: int, thread: int, die: int = 0) -> None:
        self.cpus.append(Cpu(package, core, thread, die))

    def _process(self, *, tid: int, pid: int) -> None:
        self.processes[tid] = pid

    def _count(self, kind: str, *, address: int, t: int) -> None:
        self.hardware.append(HardwareSample(kind, t, address))
