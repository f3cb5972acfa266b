"""Puts a trace together, event by event."""

from __future__ import annotations

from collections import ChainMap
from typing import TYPE_CHECKING

from aperf.protocol.tracy._errors import RemoteProtocolError

from ._context import Context, Handlers
from ._decoder import Decoder
from ._faults import InstrumentationFailure, Undiagnosed
from ._frames import Frames
from ._gpu import Gpu
from ._locks import Locks
from ._memory import Memory
from ._messages import Messages
from ._plots import Plots
from ._program import Program
from ._rows import Rows
from ._samples import Samples
from ._stacks import Stacks
from ._trace import Trace
from ._zones import Zones

if TYPE_CHECKING:
    from ._questions import Questions
    from ._stacks import SentStack
    from ._welcome import OnDemand, ReceivedWelcome

__all__ = ("Reader",)


class Reader:
    """Reads the blocks of one connection."""

    def __init__(
        self,
        version: int,
        welcome: ReceivedWelcome,
        on_demand: OnDemand | None,
        questions: Questions,
    ) -> None:
        self._decoder = Decoder(version)
        self._context = context = Context(version, welcome, questions)
        self._failures: list[str] = []
        self._undiagnosed: list[str] = []
        self._stacks = Stacks(context)
        self._rows = Rows(context)
        self._zones = Zones(context, self._rows)
        self._messages = Messages(context, self._rows)
        self._plots = Plots(context)
        self._frames = Frames(context, on_demand)
        self._locks = Locks(context, self._rows)
        self._memory = Memory(context, self._rows)
        self._gpu = Gpu(context, self._rows, self._memory)
        self._samples = Samples(context, self._rows, self._stacks)
        self._program = Program(context)
        self._handlers = self._all_handlers()

    @property
    def failed(self) -> bool:
        """Whether a real server would have stopped."""
        return bool(self._failures)

    @property
    def is_complete(self) -> bool:
        """Whether the client has ended the trace, and nothing is open."""
        program = self._program
        return program.terminates and (program.crashed or not self._rows.any_open)

    def read(self, block: bytes) -> None:
        """Take the events of a block, up to the first that makes a real server stop.

        Raises:
            RemoteProtocolError: the block holds something else than events.
        """
        for record in self._decoder.records(block):
            handler = self._handlers.get(record.name)
            if handler is None:
                raise RemoteProtocolError(f"{record.name}: is never sent")
            try:
                handler(**record.fields)
            except Undiagnosed as fault:
                self._undiagnosed.append(str(fault))
            except InstrumentationFailure as failure:
                self._failures.append(str(failure))
                return

    def picture(self) -> Trace:
        """Return what is known so far."""
        stacks, samples, program = self._stacks, self._samples, self._program
        return Trace(
            welcome=self._context.welcome,
            threads=self._rows.picture("thread", stacks),
            fibers=self._rows.picture("fiber", stacks),
            messages=self._messages.picture(stacks),
            app_info=self._messages.app_info(),
            plots=self._plots.picture(),
            frame_sets=self._frames.picture(),
            frame_images=self._frames.images(),
            locks=self._locks.picture(),
            pools=self._memory.picture(stacks),
            gpu=self._gpu.picture(stacks),
            samples=samples.picture(),
            sections=program.sections,
            categories=dict(program.categories),
            parameters=program.parameters,
            sources=self._context.files.picture(),
            symbols=stacks.symbols(),
            cpu_load=tuple(program.load),
            power=program.power,
            vsyncs=tuple(program.vsyncs),
            context_switches=tuple(samples.switches),
            wakeups=tuple(samples.wakeups),
            external_threads=samples.external(),
            cpus=tuple(samples.cpus),
            hardware_samples=tuple(samples.hardware),
            processes=dict(samples.processes),
            crash=program.crash,
            failures=tuple(self._failures),
            undiagnosed=tuple(self._undiagnosed),
        )

    def _all_handlers(self) -> Handlers:
        context = self._context
        parts = (
            context,
            context.texts,
            context.sources,
            context.files,
            self._stacks,
            self._rows,
            self._zones,
            self._messages,
            self._plots,
            self._frames,
            self._locks,
            self._memory,
            self._gpu,
            self._samples,
            self._program,
        )
        own: Handlers = {
            "Callstack": lambda: self._rows.next_stack.put(self._stacks.ids.take()),
            "CallstackAlloc": lambda: self._rows.next_stack.put(self._stacks.inline.take()),
            "CallstackSerial": lambda: self._memory.next_stack.put(self._serial_stack()),
        }
        return dict(ChainMap(own, *(part.handlers for part in parts)))

    def _serial_stack(self) -> SentStack:
        """Return whichever kind of stack was sent."""
        stacks = self._stacks
        return stacks.inline.take() if stacks.inline else stacks.ids.take()
