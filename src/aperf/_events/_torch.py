"""Zones of CUDA work that PyTorch hands over, dated by CUDA events.

Theory of operation. One event is put into the stream before the work and one behind it; the device
notes when it came by. What can be asked is the time between two events, so one of them serves as an
anchor whose time on our clock is known. An event that is put into an empty stream is passed at
once: there anchors are cast, and nothing has to wait. Where the stream is never empty, the end of a
zone becomes the next anchor, since an answer has no more than 24 significant bits.
"""

from __future__ import annotations

import time
from collections import deque
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aperf._errors import InstrumentationError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from ._gpu import GpuContext
    from ._gpu_zone import GpuZone
    from ._recording import Recording

__all__ = ("TorchZone", "TorchZones")

#: An anchor is not used for longer: by then answers are good to a quarter of a microsecond.
MAX_AGE_NS: Final = 4_000_000_000


class _Anchor(NamedTuple):
    event: Any  #: a torch.cuda.Event
    cpu_ns: int  #: when the device passed it


class TorchZones:
    """The zones of one context, that is of one device.

    Args:
        context: where they are shown.

    Raises:
        InstrumentationError: PyTorch cannot be imported, or sees no CUDA device.
    """

    def __init__(self, context: GpuContext) -> None:
        try:
            self._cuda: Any = import_module("torch").cuda
        except ImportError as error:
            raise InstrumentationError(
                f"torch_zone needs PyTorch, which cannot be imported: {error}"
            ) from error
        if not self._cuda.is_available():
            raise InstrumentationError("torch_zone needs a CUDA device, and PyTorch sees none")
        self._context = context
        self._anchor: _Anchor | None = None
        self._pending: deque[TorchZone] = deque()

    def mark(self) -> object:
        """Put an event into the stream; None while a graph is captured, which it would disturb."""
        if self._cuda.is_current_stream_capturing():
            return None
        event = self._cuda.Event(enable_timing=True)
        event.record()
        return event

    def begin(self) -> _Begin | None:
        """Put an event before some work; None where that is not possible."""
        if self._cuda.is_current_stream_capturing():
            return None
        is_empty, now_ns = self._cuda.current_stream().query(), time.monotonic_ns()
        event = self.mark()
        if is_empty or self._anchor is None:
            self._anchor = _Anchor(event, now_ns)
        return _Begin(event, self._anchor)

    def await_end(self, zone: TorchZone) -> None:
        """Date a zone as soon as the device is through with it."""
        self._pending.append(zone)
        self.collect()

    def collect(self) -> int:
        """Date the zones that the device has finished; return how many it has not."""
        while self._pending:
            try:
                zone = self._pending.popleft()
            except IndexError:
                break  # another thread was faster
            if not zone.is_over():
                self._pending.appendleft(zone)
                break
            self._renew(zone.date(self._context))
        return len(self._pending)

    def _renew(self, latest: _Anchor) -> None:
        if self._anchor is not None and latest.cpu_ns - self._anchor.cpu_ns > MAX_AGE_NS:
            self._anchor = latest


class _Begin(NamedTuple):
    event: Any  #: before the work
    anchor: _Anchor  #: that dates it


class TorchZone:
    """Work that PyTorch hands to a device; made by `GpuContext.torch_zone`.

    A fault of ours or of PyTorch's is counted; what the block does is not disturbed by it.
    """

    __slots__ = ("_begin", "_end", "_recording", "_zone", "_zones")

    def __init__(self, zones: TorchZones, zone: GpuZone, recording: Recording) -> None:
        self._zones = zones
        self._zone = zone
        self._recording = recording
        self._begin: _Begin | None = None
        self._end: Any = None

    def __enter__(self) -> Self:
        try:
            self._begin = self._zones.begin()
            if self._begin is not None:
                self._zone.__enter__()
        except Exception:
            self._recording.recorder.fault()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._begin is None:
            return
        self._zone.__exit__(None, None, None)
        try:
            self._end = self._zones.mark()
            if self._end is not None:
                self._zones.await_end(self)
        except Exception:
            self._recording.recorder.fault()

    def is_over(self) -> bool:
        """Say whether the device is through with it."""
        return bool(self._end.query())

    def date(self, context: GpuContext) -> _Anchor:
        """Tell when it ran; return its end as an anchor for later ones."""
        assert self._begin is not None
        event, cpu_ns = self._begin.anchor
        begin_ns, end_ns = (
            cpu_ns + round(event.elapsed_time(mark) * 1e6)
            for mark in (self._begin.event, self._end)
        )
        self._zone.times(context.at(begin_ns), context.at(end_ns))
        return _Anchor(self._end, end_ns)
