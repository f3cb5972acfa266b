"""What a server knows of a program."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._frames import FrameImage, FrameSet
    from ._gpu import GpuContext
    from ._locks import Lock
    from ._memory import Pool
    from ._messages import AppInfo, Message
    from ._plots import Plot
    from ._program import Crash, Parameter, Power, Section
    from ._rows import Row
    from ._samples import ContextSwitch, Cpu, ExternalThread, HardwareSample, Sample, Wakeup
    from ._welcome import ReceivedWelcome
    from ._zones import Zone

__all__ = ("Trace",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A picture of all that was received. Texts without an answer so far are "???".

    Attributes:
        welcome: what the client said of itself; None before it did.
        threads: by thread id.
        fibers: by fiber id.
        messages: in the order in which they were sent.
        app_info: what the program says about itself.
        plots: in the order in which they appeared.
        frame_sets: in the order in which they appeared.
        frame_images: in the order in which they were sent.
        locks: in the order in which they were announced.
        pools: memory, in the order in which the pools appeared.
        gpu: queues of devices, by context.
        samples: call stacks of running threads.
        sections: stretches of the program's life.
        categories: what categories of sections mean.
        parameters: values that the viewer may change, by number.
        sources: texts of source files by their names.
        symbols: file and line of each symbol that frames of call stacks belong to.
        cpu_load: time and percent.
        power: energy spent.
        vsyncs: time and display of each vertical synchronisation.
        context_switches: of the kernel.
        wakeups: of the kernel.
        external_threads: those that only the kernel told of.
        cpus: hardware threads.
        hardware_samples: what the processor counts.
        processes: process by thread, as far as it was told.
        crash: how the program crashed; None if it did not say.
        failures: why a real server would have stopped here, in its words.
        undiagnosed: what would have made a real server crash, hang, or show something wrong.
    """

    welcome: ReceivedWelcome | None = None
    threads: dict[int, Row] = field(default_factory=dict)
    fibers: dict[int, Row] = field(default_factory=dict)
    messages: tuple[Message, ...] = ()
    app_info: tuple[AppInfo, ...] = ()
    plots: tuple[Plot, ...] = ()
    frame_sets: tuple[FrameSet, ...] = ()
    frame_images: tuple[FrameImage, ...] = ()
    locks: tuple[Lock, ...] = ()
    pools: tuple[Pool, ...] = ()
    gpu: dict[int, GpuContext] = field(default_factory=dict)
    samples: tuple[Sample, ...] = ()
    sections: tuple[Section, ...] = ()
    categories: dict[int, str] = field(default_factory=dict)
    parameters: dict[int, Parameter] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    symbols: dict[int, tuple[str, int]] = field(default_factory=dict)
    cpu_load: tuple[tuple[int, float], ...] = ()
    power: tuple[Power, ...] = ()
    vsyncs: tuple[tuple[int, int], ...] = ()
    context_switches: tuple[ContextSwitch, ...] = ()
    wakeups: tuple[Wakeup, ...] = ()
    external_threads: dict[int, ExternalThread] = field(default_factory=dict)
    cpus: tuple[Cpu, ...] = ()
    hardware_samples: tuple[HardwareSample, ...] = ()
    processes: dict[int, int] = field(default_factory=dict)
    crash: Crash | None = None
    failures: tuple[str, ...] = ()
    undiagnosed: tuple[str, ...] = ()

    def zones(self) -> Iterator[Zone]:
        """Yield all zones of threads and fibers, row by row."""
        for rows in (self.threads, self.fibers):
            for row in rows.values():
                for zone in row.zones:
                    yield from zone.walk()

    def plot(self, name: str) -> Plot:
        """Return the plot of this name.

        Raises:
            KeyError: there is none.
        """
        for plot in self.plots:
            if plot.name == name:
                return plot
        raise KeyError(name)
