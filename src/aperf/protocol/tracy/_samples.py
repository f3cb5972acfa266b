"""What runs on the processors: samples of call stacks, context switches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ._forms import Forms
from ._records import call_stack
from ._rows import Rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._strings import Strings

__all__ = ("HardwareEvent", "Samples")

HardwareEvent: TypeAlias = Literal[
    "CpuCycle", "InstructionRetired", "CacheReference", "CacheMiss", "BranchRetired", "BranchMiss"
]

#: The version in which processors got a die.
_DIES_SINCE: Final = 69
#: The version in which samples name their thread before their time.
_SWAPPED_SINCE: Final = 77
#: The version in which switches and wake-ups got more fields.
_PRIORITIES_SINCE: Final = 73


class Samples(Rows):
    """Events of processors, which have a clock of their own."""

    def __init__(self, version: int, strings: Strings, *, strict: bool = False) -> None:
        super().__init__(version, strings, strict=strict)
        self._sample_forms = Forms(version)
        self._processor_ns = 0
        self._processor_threads: set[int] = set()

    def sample(self, t_ns: int, tid: int, stack: Sequence[int]) -> None:
        """Add a statistical sample of a thread's call stack.

        Args:
            t_ns: when.
            tid: the thread.
            stack: innermost first, from `Strings.frame`.

        Raises:
            LocalProtocolError: the stack is empty (strict).
        """
        if not stack:
            self._misuse(f"sample of thread {tid}", "at least one frame")
            return
        if not self._know(tid):
            return
        before = call_stack(self.version, stack)
        form, dt_ns = self._sample_forms.narrow(t_ns - self._processor_ns)
        values = (tid, dt_ns) if self.version >= _SWAPPED_SINCE else (dt_ns, tid)
        if self._put("CallstackSample" + form, *values, before=before):
            self._processor_ns = t_ns

    def context_switch(
        self, t_ns: int, old_tid: int, new_tid: int, cpu: int, reason: int = 0, state: int = 0
    ) -> None:
        """A processor goes from one thread to another.

        Args:
            t_ns: when.
            old_tid: the thread that ran; 0 for none.
            new_tid: the thread that runs from now on; 0 for none.
            cpu: the processor.
            reason: why, as the operating system numbers it.
            state: of the old thread, as the operating system numbers it.
        """
        more = (0, 0, 0) if self.version >= _PRIORITIES_SINCE else ()
        dt_ns = t_ns - self._processor_ns
        if self._put("ContextSwitch", dt_ns, old_tid, new_tid, cpu, reason, state, *more):
            self._processor_ns = t_ns

    def thread_wakeup(self, t_ns: int, tid: int, cpu: int = 0) -> None:
        """A thread becomes ready to run, on a processor."""
        more = (cpu, 0, 0) if self.version >= _PRIORITIES_SINCE else ()
        if self._put("ThreadWakeup", t_ns - self._processor_ns, tid, *more):
            self._processor_ns = t_ns

    def thread_process(self, tid: int, pid: int) -> None:
        """Say which process a thread belongs to."""
        self._put("TidToPid", tid, pid)

    def cpu_topology(self, package: int, die: int, core: int, thread: int) -> None:
        """Say where a processor's thread is.

        Raises:
            LocalProtocolError: it was said already (strict).
        """
        if thread in self._processor_threads:
            self._misuse(f"place of processor thread {thread}", "that it is told once")
            return
        dies = (die,) if self.version >= _DIES_SINCE else ()
        if self._put("CpuTopology", package, *dies, core, thread):
            self._processor_threads.add(thread)

    def hardware_sample(self, t_ns: int, event: HardwareEvent, address: int) -> None:
        """A counter of the processor overflowed at an address."""
        self._put(f"HwSample{event}", address, t_ns)
