"""Devices: zones whose times come later, and in the device's own clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ._serial import Serial

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._strings import Strings

__all__ = ("Gpu",)

_CALIBRATED: Final = 1
#: Queries have 16 bits.
_QUERIES: Final = 1 << 16


class _Context:
    __slots__ = ("awaited", "open", "tid")

    def __init__(self, tid: int) -> None:
        self.tid = tid
        self.awaited: set[int] = set()  #: queries whose time has not come yet
        self.open: dict[int, int] = {}  #: how many zones are open by thread


class Gpu(Serial):
    """Zones of devices. Each has a query for its begin and one for its end.

    A query's number can be used again once its time has come.
    """

    def __init__(self, version: int, strings: Strings, *, strict: bool = False) -> None:
        super().__init__(version, strings, strict=strict)
        self._gpu_time = 0  # the clock of devices; ticks of whichever reported last
        self._contexts: dict[int, _Context] = {}

    def gpu_context(
        self,
        ctx: int,
        cpu_ns: int,
        gpu_time: int,
        tid: int = 0,
        period_ns: float = 1.0,
        kind: int = 7,
        calibrated: bool = False,
    ) -> None:
        """Introduce a device, or a queue of one; precedes all its other events.

        Args:
            ctx: its number, 0 … 255.
            cpu_ns: now.
            gpu_time: now, in ticks of the device's clock.
            tid: the only thread that uses it; 0 for several.
            period_ns: ns per tick.
            kind: 1 OpenGL, 2 Vulkan, 3 OpenCL, 4 Direct3D 12, 5 Direct3D 11, 6 Metal, 7 any other,
                8 CUDA, 9 ROCm, 10 WebGPU.
            calibrated: whether `gpu_calibration` will be called.

        Raises:
            LocalProtocolError: the number is taken, or too large (strict).
        """
        if ctx in self._contexts:
            self._misuse(f"GPU context {ctx}", "a number that none has yet")
            return
        flags = _CALIBRATED if calibrated else 0
        if self._put("GpuNewContext", cpu_ns, gpu_time, tid, period_ns, ctx, flags, kind):
            self._contexts[ctx] = _Context(tid)

    def gpu_name(self, ctx: int, text: str) -> None:
        """Name a device.

        Raises:
            LocalProtocolError: it was not introduced (strict).
        """
        if self._context(ctx, "name") is not None:
            self._put("GpuContextName", ctx, before=self._single(text))

    def gpu_begin(
        self, t_ns: int, tid: int, query: int, ctx: int, source: int, stack: Sequence[int] = ()
    ) -> None:
        """Begin a zone, as the program sees it: when work is handed to the device.

        Args:
            t_ns: when.
            tid: the thread that does.
            query: number of the begin, 16 bits; `gpu_time` says when the device began.
            ctx: the device.
            source: where, from `Strings.source`.
            stack: the call stack, innermost first, from `Strings.frame`.

        Raises:
            LocalProtocolError: the device was not introduced, or the query's time has yet to come
                (strict).
        """
        before = self._stack(stack, "CallstackSerial") if stack else b""
        name = "GpuZoneBeginCallstackSerial" if stack else "GpuZoneBeginSerial"
        self._begin_gpu_zone(name, t_ns, (tid, query, ctx), (source,), before)

    def gpu_begin_inline(
        self, t_ns: int, tid: int, query: int, ctx: int, name: str, function: str, file: str,
        line: int, color: int = 0,
    ) -> None:  # fmt: skip
        """Begin a zone whose place is sent with it (see `zone_begin_inline`, `gpu_begin`)."""
        place = self.strings.inline(name, function, file, line, color)
        before = self._records["SourceLocationPayload"](0, len(place)) + place
        self._begin_gpu_zone("GpuZoneBeginAllocSrcLocSerial", t_ns, (tid, query, ctx), (), before)

    def gpu_end(self, t_ns: int, tid: int, query: int, ctx: int) -> None:
        """End the innermost zone of a device, or of the thread on it if it has several.

        Args:
            t_ns: when, as the program sees it.
            tid: the thread.
            query: number of the end; `gpu_time` says when the device ended.
            ctx: the device.

        Raises:
            LocalProtocolError: the device was not introduced, has no open zone, or the query's time
                has yet to come (strict).
        """
        state = self._context(ctx, "end a zone of")
        if state is None:
            return
        row = 0 if state.tid else tid
        if not state.open.get(row):
            self._misuse(f"end a zone of GPU context {ctx} on thread {tid}", "an open one")
        elif self._use_query(state, "GpuZoneEndSerial", t_ns, (row, query, ctx)):
            state.open[row] -= 1

    def gpu_time(self, ctx: int, query: int, gpu_time: int) -> None:
        """Say when the device got to the begin or end of a zone.

        Args:
            ctx: the device.
            query: of the begin or end.
            gpu_time: in ticks of the device's clock.

        Raises:
            LocalProtocolError: the device was not introduced, or the query not used (strict).
        """
        state = self._context(ctx, "time of")
        if state is None:
            return
        if query not in state.awaited:
            self._misuse(f"time of query {query} of GPU context {ctx}", "one that was used")
        elif self._put("GpuTime", gpu_time - self._gpu_time, query, ctx):
            self._gpu_time = gpu_time
            state.awaited.discard(query)

    def gpu_calibration(self, ctx: int, t_ns: int, gpu_time: int, cpu_delta_ns: int) -> None:
        """Tie the device's clock to ours again, after `cpu_delta_ns` since the last time.

        Raises:
            LocalProtocolError: the device was not introduced (strict).
        """
        if self._context(ctx, "calibrate") is not None:
            self._put("GpuCalibration", gpu_time, t_ns, cpu_delta_ns, ctx)

    def gpu_time_sync(self, ctx: int, t_ns: int, gpu_time: int) -> None:
        """Tell the device's time and ours at the same moment; viewers up to 0.10 ignore it.

        Raises:
            LocalProtocolError: the device was not introduced (strict).
        """
        if self._context(ctx, "synchronize") is not None and "GpuTimeSync" in self._records:
            self._put("GpuTimeSync", gpu_time, t_ns, ctx)

    # -------------------------------------------------------------------------------- annotations

    def gpu_annotation_name(self, ctx: int, note: int, text: str) -> None:
        """Name a kind of numbers that zones can have; viewers before 0.13 ignore it.

        Raises:
            LocalProtocolError: the device was not introduced (strict).
        """
        if self._context(ctx, "annotate") is not None and "GpuAnnotationName" in self._records:
            self._put("GpuAnnotationName", note, ctx, before=self._single(text))

    def gpu_annotation(self, ctx: int, tid: int, query: int, note: int, value: float) -> None:
        """Add a number to the zone whose begin has the query; viewers before 0.13 ignore it.

        Raises:
            LocalProtocolError: the device was not introduced, or the query's time has come already
                (strict).
        """
        state = self._context(ctx, "annotate")
        if state is None or "GpuZoneAnnotation" not in self._records:
            return
        if query not in state.awaited:
            self._misuse(f"annotate query {query} of GPU context {ctx}", "one that was used")
        else:
            self._put("GpuZoneAnnotation", note, value, tid, query, ctx)

    # --------------------------------------------------------------------------------------- guard

    def _context(self, ctx: int, verb: str) -> _Context | None:
        state = self._contexts.get(ctx)
        if state is None:
            self._misuse(f"{verb} GPU context {ctx}", "one that was introduced")
        return state

    def _begin_gpu_zone(
        self,
        name: str,
        t_ns: int,
        zone: tuple[int, int, int],
        place: tuple[int, ...],
        before: bytes,
    ) -> None:
        tid, _, ctx = zone
        state = self._context(ctx, "begin a zone of")
        if (
            state is not None
            and self._number(tid)  # zones of devices do not make a thread known
            and self._use_query(state, name, t_ns, zone, place, before)
        ):
            row = 0 if state.tid else tid
            state.open[row] = state.open.get(row, 0) + 1

    def _use_query(
        self,
        state: _Context,
        name: str,
        t_ns: int,
        zone: tuple[int, int, int],
        place: tuple[int, ...] = (),
        before: bytes = b"",
    ) -> bool:
        tid, query, ctx = zone
        if query in state.awaited:
            self._misuse(f"use query {query} of GPU context {ctx}", "its time to come first")
            # The zone is shown as the program sees it; the device's time belongs to the other one.
            query = next((free for free in range(_QUERIES) if free not in state.awaited), _QUERIES)
        if not self._put(name, t_ns - self._serial_ns, tid, query, ctx, *place, before=before):
            return False
        self._serial_ns = t_ns
        state.awaited.add(query)
        return True
