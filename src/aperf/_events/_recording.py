"""Writes events into the ring. Loaded only once somebody takes them.

Nothing here raises: a fault of our own is counted, and the program goes on without the event.
"""

from __future__ import annotations

import math
import struct
from threading import get_ident
from typing import TYPE_CHECKING, Concatenate, Final, ParamSpec

from aperf._recorder._layout import (
    MAX_PAYLOAD,
    MAX_TEXT,
    FrameOp,
    GpuOp,
    Kind,
    MemoryOp,
    MessageFlag,
    PlotFlag,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

    from aperf._recorder import Recorder

    from ._gpu import GpuContext
    from ._images import Image

__all__ = ("Recording",)

P = ParamSpec("P")

#: Messages are cut here, in bytes of UTF-8.
MAX_MESSAGE: Final = 4_096

_FORMATS: Final = {
    "number": 0,
    "memory": PlotFlag.MEMORY.value,
    "percentage": PlotFlag.PERCENTAGE.value,
}
_INTEGERS: Final = 1 << 63
_MASK: Final = (1 << 64) - 1
_DOUBLE: Final = struct.Struct("<d")
_NUMBER: Final = struct.Struct("<Q")
_SIGNED: Final = struct.Struct("<q")
_CONTEXT: Final = struct.Struct("<dQ")


def _guarded(
    method: Callable[Concatenate[Recording, P], bool],
) -> Callable[Concatenate[Recording, P], bool]:
    """Count the exceptions of a method instead of letting them pass into the program."""

    def guarded(self: Recording, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        try:
            return method(self, *args, **kwargs)
        except Exception:
            self.recorder.fault()
            return False

    return guarded


class Recording:
    """Events of one recorder. Each method says whether its event was written.

    Args:
        recorder: where to write.
    """

    __slots__ = ("_announced", "recorder")

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        #: contexts that have been announced, by number and thread
        self._announced: set[tuple[int, int]] = set()

    def _name(self, name: str | None) -> int:
        """Return the number of a name, 0 for none or when there are too many names."""
        return 0 if name is None else self.recorder.cold.names.intern(name[:MAX_TEXT])

    def _site(self, place: tuple[CodeType, int] | None) -> int:
        return 0 if place is None else self.recorder.intern((place,))

    # ---------------------------------------------------------------------------- plots, messages

    @_guarded
    def plot(self, name: str, value: float, format: str) -> bool:
        """Write a value.

        Args:
            name: of the plot.
            value: an int or float; nan and infinities are left out.
            format: a key of `_FORMATS`.
        """
        flags, number = _FORMATS[format], self._name(name)
        if isinstance(value, int) and -_INTEGERS <= value < _INTEGERS:
            bits = value & _MASK
        else:
            flags |= PlotFlag.FLOAT.value
            value = _as_float(value)
            if not math.isfinite(value):
                return False
            bits = int.from_bytes(_DOUBLE.pack(value), "little")
        return number != 0 and self.recorder.put(Kind.PLOT, flags, number, bits, 0)

    @_guarded
    def message(self, text: str, severity: int, color: int | None, t_ns: int = -1) -> bool:
        """Write a message, in as many records as it takes, all of the same time.

        Args:
            text: of any length.
            severity: 0 to 5.
            color: 0xRRGGBB or None.
            t_ns: when, now if negative.
        """
        recorder = self.recorder
        data, task = _utf8(text), recorder.current()
        t_ns = recorder.now_ns() if t_ns < 0 else t_ns
        flags = severity if color is None else severity | MessageFlag.COLORED.value
        for start in range(0, len(data) or 1, MAX_PAYLOAD):
            piece = data[start : start + MAX_PAYLOAD]
            more = MessageFlag.MORE.value if start + MAX_PAYLOAD < len(data) else 0
            if not recorder.put(Kind.MESSAGE, flags | more, 0, task, color or 0, piece, t_ns):
                return False
        return True

    # ------------------------------------------------------------------------------------- frames

    def frame_mark(self, name: str | None) -> bool:
        """Write the end of a frame of a set, None for the default one."""
        return self._frame(name, FrameOp.MARK)

    def frame_begin(self, name: str) -> bool:
        """Write the begin of a frame."""
        return self._frame(name, FrameOp.BEGIN)

    def frame_end(self, name: str) -> bool:
        """Write the end of a frame that has a begin."""
        return self._frame(name, FrameOp.END)

    @_guarded
    def _frame(self, name: str | None, operation: FrameOp) -> bool:
        number = self._name(name)
        if name is not None and not number:
            return False  # it would be taken for the default set
        return self.recorder.put(Kind.FRAME, operation, number, 0, 0)

    @_guarded
    def frame_image(self, image: Image, flip: bool) -> bool:
        """Keep a picture and write its number.

        Args:
            image: as `measured` returned it.
            flip: whether its first row is the lowest one.
        """
        pictures = self.recorder.cold.pictures
        if not pictures.is_due(self.recorder.now_ns()):
            return False
        view, width, height, channels = image
        number = pictures.add(view.tobytes(), width, height, channels, flip)
        return self.recorder.put(Kind.IMAGE, 0, 0, number, 0)

    # ------------------------------------------------------------------------------------- memory

    @_guarded
    def allocate(self, pool: str, address: int, size: int, place: tuple[CodeType, int]) -> bool:
        """Write that memory is in use.

        Args:
            pool: name of the pool.
            address: of the memory.
            size: in bytes.
            place: code and offset where the program says so.
        """
        site = _NUMBER.pack(self._site(place))
        return self._memory(pool, MemoryOp.ALLOCATE, address, size, site)

    @_guarded
    def free(self, pool: str, address: int) -> bool:
        """Write that memory is not in use any more."""
        return self._memory(pool, MemoryOp.FREE, address, 0)

    def _memory(
        self, pool: str, operation: MemoryOp, address: int, size: int, rest: bytes = b""
    ) -> bool:
        number = self._name(pool)
        if not number:
            return False  # it would be taken for the memory of no pool
        return self.recorder.put(Kind.MEMORY, operation, number, address, size, rest)

    # ------------------------------------------------------------------------------------ devices

    @_guarded
    def gpu_begin(
        self, context: GpuContext, query: int, name: str, place: tuple[CodeType, int] | None
    ) -> bool:
        """Write that a zone begins.

        Args:
            context: the device's.
            query: number of the query for its begin.
            name: what the work is.
            place: code and offset where the program says so.
        """
        site = _NUMBER.pack(self._site(place))
        return self._announce(context) and self.recorder.put(
            Kind.GPU, GpuOp.BEGIN, self._name(name), context.number, query, site
        )

    @_guarded
    def gpu_end(self, context: GpuContext, query: int) -> bool:
        """Write that a zone ends, with the number of the query for its end."""
        return self._announce(context) and self.recorder.put(
            Kind.GPU, GpuOp.END, 0, context.number, query
        )

    @_guarded
    def gpu_time(self, context: GpuContext, query: int, device_time: int) -> bool:
        """Write the device's time for a query that is in the records."""
        return self._announce(context) and self.recorder.put(
            Kind.GPU, GpuOp.TIME, 0, context.number, query, _SIGNED.pack(device_time)
        )

    @_guarded
    def gpu_calibrate(self, context: GpuContext, cpu_ns: int, device_time: int) -> bool:
        """Write that two clocks were compared, at a time of ours."""
        return self._announce(context) and self.recorder.put(
            Kind.GPU, GpuOp.CALIBRATE, 0, context.number, device_time & _MASK, b"", cpu_ns
        )

    def _announce(self, context: GpuContext) -> bool:
        """Write what a context is before this thread writes anything else of it.

        Once for each thread: rings are read one after the other, so what one thread announced may
        be read after what another one goes on to write.
        """
        key = context.number, get_ident()
        if key in self._announced:
            return True
        if not self.recorder.put(
            Kind.GPU,
            GpuOp.CONTEXT,
            self._name(context.name),
            context.number,
            context.device_time & _MASK,
            _CONTEXT.pack(context.period_ns, context.kind),
            context.cpu_ns,
        ):
            return False
        self._announced.add(key)
        return True


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _utf8(text: str) -> bytes:
    """Return text in UTF-8, cut to `MAX_MESSAGE` bytes between two characters."""
    data = text[:MAX_MESSAGE].encode("utf-8", "replace")
    if len(data) <= MAX_MESSAGE:
        return data
    return data[:MAX_MESSAGE].decode("utf-8", "ignore").encode()
