"""Frames, memory and devices: what the program says about them is what is drawn."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from aperf._recorder import FrameOp, GpuOp, MemoryOp

if TYPE_CHECKING:
    from aperf.model import RecordTables
    from aperf.protocol.tracy import Stream, Strings

    from ._sources import Sources

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

    def __init__(
        self, stream: Stream, strings: Strings, sources: Sources, tables: RecordTables
    ) -> None:
        self._stream = stream
        self._strings = strings
        self._sources = sources
        self._tables = tables
        self._frames = 0
        self._contexts: dict[int, int] = {}
        self._queries: set[tuple[int, int]] = set()

    def frame(self, t_ns: int, flags: int, ref: int) -> None:
        """Draw a FRAME."""
        name = self._strings.text(self._tables.name(ref)) if ref else 0
        if flags == _MARK:
            self._frames += not ref
            self._stream.frame_mark(t_ns, name)
        elif flags == _BEGIN:
            self._stream.frame_begin(t_ns, name)
        else:
            self._stream.frame_end(t_ns, name)

    def image(self, number: int) -> None:
        """Draw an IMAGE, unless it is gone, or no frame has ended yet."""
        picture = self._tables.picture(number)
        if picture is not None and self._frames:
            width, height, blocks, flip = picture
            self._stream.frame_image(self._frames, width, height, blocks, flip)

    def memory(
        self, thread: int, t_ns: int, flags: int, ref: int, a: int, b: int, payload: bytes
    ) -> None:
        """Draw a MEMORY."""
        pool = self._strings.text(self._tables.name(ref)) if ref else 0
        if flags == _ALLOCATE:
            (site,) = _NUMBER.unpack_from(payload) if payload else (0,)
            stack = self._sources.stack(site) if site else ()
            self._stream.mem_alloc(t_ns, thread, a, b, pool, stack)
        else:
            self._stream.mem_free(t_ns, thread, a, pool)

    def gpu(
        self, thread: int, t_ns: int, flags: int, ref: int, a: int, b: int, payload: bytes
    ) -> None:
        """Draw a GPU; what belongs to a context that nobody has heard of is left out."""
        stream = self._stream
        if flags == _CONTEXT:
            self._context(t_ns, ref, a, b, payload)
            return
        context = self._contexts.get(a)
        if context is None:
            return
        if flags == _GPU_BEGIN:
            (site,) = _NUMBER.unpack_from(payload)
            self._queries.add((context, b))
            stream.gpu_begin(t_ns, thread, b, context, self._sources.span(ref, site).id)
        elif flags == _GPU_END:
            self._queries.add((context, b))
            stream.gpu_end(t_ns, thread, b, context)
        elif flags == _TIME:
            if (context, b) in self._queries:
                self._queries.discard((context, b))
                stream.gpu_time(context, b, _SIGNED.unpack_from(payload)[0])
        else:
            stream.gpu_time_sync(context, t_ns, b)

    def _context(self, t_ns: int, ref: int, a: int, b: int, payload: bytes) -> None:
        number = self._contexts.get(a, len(self._contexts))
        if a in self._contexts or number > 255:
            return
        self._contexts[a] = number
        period_ns, kind = _CLOCK.unpack_from(payload)
        self._stream.gpu_context(number, t_ns, b, period_ns=period_ns, kind=kind)
        self._stream.gpu_name(number, self._tables.name(ref))
