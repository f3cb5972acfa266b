"""One piece of work of a device: handed over by the program, dated by the device."""

from __future__ import annotations

from . import _active
from ._checks import integer

TYPE_CHECKING = False  # typing itself takes milliseconds to import
if TYPE_CHECKING:
    from types import CodeType, TracebackType
    from typing import Self

    from ._gpu import GpuContext
    from ._recording import Recording

__all__ = ("HIGHEST", "INERT", "LOWEST", "GpuZone", "ticks")

LOWEST, HIGHEST = -(1 << 63), (1 << 63) - 1


class GpuZone:
    """Work that is handed to a device; made by `GpuContext.zone` and `GpuContext.begin`.

    Threads may tell times and end it at the same time. So what is told is noted first, and recorded
    by whoever then takes the query out of the set of those that wait.
    """

    __slots__ = (
        "_begin_time",
        "_context",
        "_end_time",
        "_ended",
        "_last",
        "_name",
        "_place",
        "_query",
        "_recording",
        "_waiting",
    )

    def __init__(
        self,
        context: GpuContext | None,
        recording: Recording | None,
        name: str,
        place: tuple[CodeType, int] | None,
    ) -> None:
        self._context = context
        self._recording = recording
        self._name = name
        self._place = place
        self._query: int | None = None  #: of its begin; the next number is that of its end
        self._ended = False
        self._begin_time: int | None = None
        self._end_time: int | None = None
        #: queries that are in the records and have no time there
        self._waiting: set[int] = set()
        #: says for each query that waits no more whether it was the last
        self._last = iter((False, True))

    def times(self, begin_time: int | None = None, end_time: int | None = None) -> None:
        """Tell when the device began and ended the work; the first that is told of each counts.

        A zone is drawn only with its times, and a context keeps 32,768 that have none yet.

        Args:
            begin_time: in ticks of the device's clock; None if it is not known yet.
            end_time: likewise.

        Raises:
            TypeError: a time is no int.
            ConfigurationError: a time needs more than 64 bits.
        """
        if begin_time is not None:
            begin_time = ticks("times", "begin_time", begin_time)
        if end_time is not None:
            end_time = ticks("times", "end_time", end_time)
        if self._query is None:
            return
        if self._begin_time is None:
            self._begin_time = begin_time
        if self._end_time is None:
            self._end_time = end_time
        self._record_times()

    def __enter__(self) -> Self:
        recording, context = _active.active(), self._context
        if context is None or recording is not self._recording or self._query is not None:
            return self
        query = context.take_queries()
        if query is None or recording is None:
            return self
        if recording.gpu_begin(context, query, self._name, self._place):
            self._waiting.add(query)
            self._query = query
        else:
            context.give_queries(query)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        recording, context, query = self._recording, self._context, self._query
        if recording is None or context is None or query is None or self._ended:
            return
        self._ended = True
        if recording is _active.active() and recording.gpu_end(context, query + 1):
            self._waiting.add(query + 1)
        else:
            self._settle()
        self._record_times()

    def _record_times(self) -> None:
        if self._query is not None:
            if self._begin_time is not None:
                self._record(self._query, self._begin_time)
            if self._end_time is not None:
                self._record(self._query + 1, self._end_time)

    def _record(self, query: int, device_time: int) -> None:
        recording, context = self._recording, self._context
        try:
            self._waiting.remove(query)
        except KeyError:
            return  # not in the records yet, or dated already
        if recording is None or context is None or recording is not _active.active():
            self._settle()  # those records are over
        elif recording.gpu_time(context, query, device_time):
            self._settle()
        else:
            self._waiting.add(query)  # no room: the query must not be used for another zone

    def _settle(self) -> None:
        """Count a query that waits no more; after both, others may have them."""
        if next(self._last, False) and self._context is not None and self._query is not None:
            self._context.give_queries(self._query)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name!r}>"


def ticks(function: str, argument: str, value: object) -> int:
    """Return a time of a device, or refuse it."""
    return integer(function, argument, value, LOWEST, HIGHEST)


class _Inert(GpuZone):
    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


#: What everybody gets while nothing is recorded.
INERT = _Inert(None, None, "", None)
