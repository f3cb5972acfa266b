"""What threads do outside of tasks: user spans, and jobs of executors.

A job is one record, written when it ends, behind what was done in it. So what a thread without a
loop does is kept until its job has ended, or for a while where it runs no jobs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aperf._recorder import PAIR, BirthFlag, Kind

from ._row import Zone
from ._thread import Owner

if TYPE_CHECKING:
    from aperf.protocol.tracy import Stream

    from ._plots import Plots
    from ._sources import Source, Sources
    from ._spans import Spans
    from ._task import Happening, Roll
    from ._thread import Thread, Threads

__all__ = ("Outside",)

_OPEN, _CLOSE = int(Kind.OPEN), int(Kind.CLOSE)
_UNCODED: Final = int(BirthFlag.UNCODED)
#: What is kept of a thread, and for how long.
_MOST_HELD: Final = 1_000
_HELD_NS: Final = 100_000_000
#: Threads with open spans: the ends of some may have been lost.
_MOST_OWNERS: Final = 4_096


class Outside:
    """Draws on threads.

    Args:
        stream: where to draw.
        sources: gives locations.
        spans: draws user spans.
        roll: tasks that ask for jobs.
        threads: where jobs run.
        plots: show how long jobs waited.
    """

    def __init__(
        self,
        stream: Stream,
        sources: Sources,
        spans: Spans,
        roll: Roll,
        threads: Threads,
        plots: Plots,
    ) -> None:
        self._stream = stream
        self._sources = sources
        self._spans = spans
        self._roll = roll
        self._threads = threads
        self._queue = plots.milliseconds("executor queue delay, ms")
        self._owners: dict[int, Owner] = {}

    def record(self, thread: Thread, event: Happening) -> None:
        """OPEN, CLOSE, EVENT or ATTRIBUTE of a thread."""
        owner = self._owners.get(event.a)
        where = thread if owner is None else owner.thread
        if where.lanes is None:
            where.held.append(event)
            if len(where.held) >= _MOST_HELD:
                self.release(where)
        else:
            self._play(where, event, event.t_ns)
        self._stream.thread(thread.number)

    def _play(self, thread: Thread, event: Happening, t_ns: int) -> None:
        owner = self._owners.get(event.a)
        if owner is None:
            if event.kind == _CLOSE:
                return
            owner = Owner(thread)
            if event.kind == _OPEN and len(self._owners) < _MOST_OWNERS:
                self._owners[event.a] = owner
        where = owner.thread
        self._stream.thread(where.number)
        if where.iterations is not None and event.kind in (_OPEN, _CLOSE):
            where.iterations.close()  # as far as it is known, or the zones would not nest
        self._spans.play(owner, where.row, event, t_ns)
        self._stream.thread(thread.number)
        if not owner.spans:
            self._owners.pop(event.a, None)

    def resume(self, thread: Thread, number: int, span: int, source: Source, t_ns: int) -> None:
        """Begin a span that was open before the first record."""
        owner = self._owners.setdefault(number, Owner(thread))
        self._stream.thread(thread.number)
        self._spans.open(owner, thread.row, span, source, t_ns)

    def disown(self, number: int, t_ns: int) -> None:
        """End the spans of a thread that turns out to be a task, whose birth was lost."""
        owner = self._owners.pop(number, None)
        if owner is not None:
            self._stream.thread(owner.thread.number)
            owner.thread.row.remove(list(owner.spans.values()), t_ns)

    def job(self, thread: Thread, event: Happening) -> None:
        """JOB."""
        queue_ns, run_ns, _, _ = PAIR.unpack_from(event.payload)
        source = self._sources.function(event.ref, bool(event.flags & _UNCODED))
        task, row, end_ns = self._roll.find(event.a), thread.row, event.t_ns + run_ns
        texts = (f"for {task}",) if task is not None else ()
        self._queue.show(event.t_ns, queue_ns)
        thread.runs_jobs = True
        held, thread.held = thread.held, []
        inside = [each for each in held if each.t_ns >= event.t_ns]
        for each in held[: len(held) - len(inside)]:
            self._play(thread, each, each.t_ns)
        if not inside:
            row.spot(event.t_ns, end_ns, source, texts)
            return
        zone = Zone(source)
        row.begin(event.t_ns, zone, *texts)
        for each in inside:
            self._play(thread, each, min(each.t_ns, end_ns))
        row.remove([zone], end_ns)

    def release(self, thread: Thread) -> None:
        """Draw what was kept, without a job."""
        held, thread.held = thread.held, []
        self._stream.thread(thread.number)
        for event in held:
            self._play(thread, event, event.t_ns)

    def rest(self, now_ns: int) -> None:
        """Draw what threads did that run no jobs."""
        for thread in self._threads.all:
            held = thread.held
            if held and not thread.runs_jobs and now_ns - held[0].t_ns >= _HELD_NS:
                self.release(thread)

    def close(self) -> None:
        """Draw what was kept; the caller closes the rows."""
        for thread in self._threads.all:
            self.release(thread)
        self._owners.clear()
