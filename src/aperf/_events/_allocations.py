"""How much memory Python's objects take, and where they were made."""

from __future__ import annotations

from _thread import allocate_lock

from . import _active
from ._checks import integer, positive

TYPE_CHECKING = False  # typing itself takes milliseconds to import
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from ._background import Background
    from ._recording import Recording

__all__ = ("AllocationTracker", "track_allocations")

#: Places that get a plot of their own: a viewer never forgets one.
_MAX_PLOTS = 64
#: Characters of a place's name, counted from its end: what names of plots leave room for.
_MAX_PLACE = 100
_OWN = __file__.rpartition("_events")[0]

_lock = allocate_lock()
_started = 0  #: trackers that are started
_ours = False  #: whether the first of them switched tracemalloc on


def track_allocations(interval_s: float = 1.0, *, top: int = 0) -> AllocationTracker:
    """Plot the memory that Python's objects take, as `tracemalloc` counts it.

    This is for a look, not for production: as long as tracemalloc is on, each allocation is slower
    and takes memory of its own. With `top`, each round goes through all blocks that are alive,
    on a thread of its own, but holding the GIL again and again for as long as that takes.

    Example::

        with aperf.track_allocations(top=5):
            await work()

    Args:
        interval_s: between two values.
        top: how many places (file and line) to plot that hold the most memory.

    Returns:
        A context manager with `start` and `stop`. If nobody takes values when it starts, it does
        nothing. tracemalloc is left as it was found.

    Raises:
        TypeError: an argument is no number.
        ConfigurationError: the interval is not above 0, or `top` not within 0 and 64.
    """
    return AllocationTracker(
        positive("track_allocations", "interval_s", interval_s),
        integer("track_allocations", "top", top, 0, _MAX_PLOTS),
    )


class AllocationTracker:
    """Plots memory while it is started; made by `track_allocations`."""

    __slots__ = ("_interval_s", "_places", "_thread", "_top")

    def __init__(self, interval_s: float, top: int) -> None:
        self._interval_s = interval_s
        self._top = top
        self._places: dict[tuple[str, int], str] = {}  #: that have a plot, and its name
        self._thread: Background | None = None

    def start(self) -> None:
        """Begin to plot, on a thread of its own; idempotent."""
        recording = _active.active()
        if recording is None or self._thread is not None:
            return
        from ._background import start

        _switch_on()
        self._thread = start("allocations", self._interval_s, recording, self._plot)
        if self._thread is None:
            _switch_off()

    def stop(self) -> None:
        """Plot no further; idempotent."""
        if self._thread is not None:
            self._thread.end()
            self._thread = None
            _switch_off()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _plot(self, recording: Recording) -> None:
        import tracemalloc

        current, peak = tracemalloc.get_traced_memory()
        if not tracemalloc.is_tracing():
            return  # switched off meanwhile
        recording.plot("Python memory", current, "memory")
        recording.plot("Python memory, peak", peak, "memory")
        if _ours:
            tracemalloc.reset_peak()
        if self._top:
            self._plot_places(recording)

    def _plot_places(self, recording: Recording) -> None:
        import tracemalloc

        try:
            snapshot = tracemalloc.take_snapshot()
        except RuntimeError:
            return  # switched off meanwhile
        skipped = (_OWN, tracemalloc.__file__)
        sizes: dict[tuple[str, int], int] = {}
        for found in snapshot.statistics("lineno"):
            frame = found.traceback[0]
            if not frame.filename.startswith(skipped):
                sizes[frame.filename, frame.lineno] = found.size
        for place in list(sizes)[: self._top]:
            if len(self._places) < _MAX_PLOTS:
                self._places[place] = f"{place[0]}:{place[1]}"[-_MAX_PLACE:]
        for place, name in self._places.items():
            recording.plot(f"Python memory of {name}", sizes.get(place, 0), "memory")


def _switch_on() -> None:
    import tracemalloc

    global _started, _ours
    with _lock:
        _started += 1
        if not tracemalloc.is_tracing():
            _ours = True
            tracemalloc.start()


def _switch_off() -> None:
    import tracemalloc

    global _started, _ours
    with _lock:
        _started -= 1
        if _ours and not _started:
            _ours = False
            tracemalloc.stop()
