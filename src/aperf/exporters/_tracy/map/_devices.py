"""Frames, memory and devices: what the program says about them is what is drawn."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from aperf._recorder import FrameOp, GpuOp, MemoryOp

if TYPE_CHECKING:
    from aperf.model import RecordTables
    from aperf.protocol.tracy import Stream

    from ._sources import Sources
    from ._task import Happening
    from ._thread import Thread

__all__ = ("Devices",)

_MARK, _BEGIN = int(FrameOp.MARK), int(FrameOp.BEGIN)
_ALLOCATE: Final = int(MemoryOp.ALLOCATE)
_CONTEXT, _GPU_BEGIN, _GPU_END = int(GpuOp.CONTEXT), int(GpuOp.BEGIN), int(GpuOp.END)
_TIME: Final = int(GpuOp.TIME)
_CLOCK: Final = struct.Struct("<dQ")
_NUMBER: Final = struct.Struct("<Q")
_SIGNED: Final = struct.Struct("<q")


class Devices:
    """Draws FRAME, IMAGE, MEMORY and GPU records of one connection."""

    def __init__(self, stream: Stream, sources: Sources, tables: RecordTables) -> None:
        self._stream = stream
        self._strings = stream.strings
        self._sources = sources
        self._tables = tables
        self._frames = 0
        self._contexts: dict[int, int] = {}
        self._queries: set[tuple[int, int]] = set()

    def frame(self, thread: Thread, event: Happening) -> None:
        """Draw a FRAME."""
        name = self._name(event.ref)
        if event.flags == _MARK:
            self._frames += not name
            self._stream.frame_mark(event.t_ns, name)
        elif event.flags == _BEGIN:
            self._stream.frame_begin(event.t_ns, name)
        else:
            self._stream.frame_end(event.t_ns, name)

    def _name(self, ref: int) -> int:
        return self._strings.text(self._tables.name(ref)) if ref else 0

    def image(self, thread: Thread, event: Happening) -> None:
        """Draw an IMAGE, unless it is gone, or no frame has ended yet."""
        picture = self._tables.picture(event.a)
        if picture is not None and self._frames:
            width, height, blocks, flip = picture
            self._stream.frame_image(self._frames, width, height, blocks, flip)

    def memory(self, thread: Thread, event: Happening) -> None:
        """Draw a MEMORY."""
        _, t_ns, flags, ref, address, size, payload = event
        if flags == _ALLOCATE:
            (site,) = _NUMBER.unpack_from(payload) if payload else (0,)
            stack = self._sources.stack(site) if site else ()
            self._stream.mem_alloc(t_ns, thread.number, address, size, self._name(ref), stack)
        else:
            self._stream.mem_free(t_ns, thread.number, address, self._name(ref))

    def gpu(self, thread: Thread, event: Happening) -> None:
        """Draw a GPU; what belongs to a context that nobody has heard of is left out."""
        _, t_ns, operation, ref, a, b, payload = event
        context, stream = self._contexts.get(a), self._stream
        if operation == _CONTEXT:
            self._context(event)
        elif context is None:
            return
        elif operation == _GPU_BEGIN:
            (site,) = _NUMBER.unpack_from(payload)
            self._queries.add((context, b))
            stream.gpu_begin(t_ns, thread.number, b, context, self._sources.span(ref, site).id)
        elif operation == _GPU_END:
            self._queries.add((context, b))
            stream.gpu_end(t_ns, thread.number, b, context)
        elif operation == _TIME:
            if (context, b) in self._queries:
                self._queries.discard((context, b))
                stream.gpu_time(context, b, _SIGNED.unpack_from(payload)[0])
        else:
            stream.gpu_time_sync(context, t_ns, b)

    def _context(self, event: Happening) -> None:
        number = len(self._contexts)
        if event.a in self._contexts or number > 255:
            return
        self._contexts[event.a] = number
        period_ns, kind = _CLOCK.unpack_from(event.payload)
        self._stream.gpu_context(number, event.t_ns, event.b, period_ns=period_ns, kind=kind)
        self._stream.gpu_name(number, self._tables.name(event.ref))
