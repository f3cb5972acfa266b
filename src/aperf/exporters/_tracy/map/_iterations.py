"""The thread of a loop: its iterations, what blocked it, how late and how full it was.

No record tells where an iteration begins, but the wake-ups do: whatever runs in an iteration was
woken before it began, so a step of a task that was woken since begins the next one. Iterations in
which only callbacks ran are not seen. Where a callback begins or ends a user span, an iteration is
cut in two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ._row import Zone

if TYPE_CHECKING:
    from aperf.protocol.tracy import Stream

    from ._plots import Plots
    from ._row import Row
    from ._sources import Sources
    from ._task import Step

__all__ = ("BLOCKED_NS", "Iterations")

#: A step that is longer than this has kept everybody else waiting (asyncio's debug mode: 100 ms).
BLOCKED_NS: Final = 50_000_000
#: An iteration is over at the latest when so long nothing has run.
IDLE_NS: Final = 20_000_000
#: The plots have a point for at most each of so many nanoseconds.
PLOT_NS: Final = 1_000_000
BLOCKED_COLOR: Final = 0xD03030


class Iterations:
    """Draws the iterations of one loop on its thread.

    Args:
        row: of the thread.
        name: of the loop.
        stream: where to draw; the caller has made it write to the thread.
        sources: gives locations.
        plots: show delay and ready tasks.
    """

    def __init__(self, row: Row, name: str, stream: Stream, sources: Sources, plots: Plots) -> None:
        self._row = row
        self._stream = stream
        self._sources = sources
        self._plots = plots
        self._zone: Zone | None = None  # of the iteration, once something is drawn in it
        self._iteration = sources.fixed("loop iteration")
        self._delay = plots.milliseconds(f"loop delay, ms ({name})")
        self._ready = plots.count(f"ready tasks ({name})")
        self._start_ns = self._end_ns = 0
        self._steps = 0
        self._longest_ns = self._most = 0
        self._plotted_ns = 0

    def step(self, step: Step) -> None:
        """Draw what a step tells of the loop; its task is drawn after that."""
        resume_ns, ready_ns = step.resume_ns, step.ready_ns
        if not self._steps or resume_ns - ready_ns > self._start_ns:
            self.close()
            self._start_ns = resume_ns
        self._steps += 1
        if ready_ns > self._longest_ns:
            self._longest_ns = ready_ns
        if step.suspend_ns > self._end_ns:
            self._end_ns = step.suspend_ns
        if step.suspend_ns - resume_ns >= BLOCKED_NS:
            self._blocked(step)

    def begin(self) -> None:
        """Begin the zone of the iteration: something is to be drawn in it."""
        if self._zone is None and self._steps:
            self._zone = Zone(self._iteration)
            self._row.begin(self._start_ns, self._zone)

    def _blocked(self, step: Step) -> None:
        self.begin()
        task, duration_ns = step.task, step.suspend_ns - step.resume_ns
        source = self._sources.fixed(f"blocked by {task.source.name}", BLOCKED_COLOR)
        stack = task.chain.stack if task.chain is not None else ()
        self._row.spot(step.resume_ns, step.suspend_ns, source, (str(task),), stack)
        text = f"the loop was blocked for {duration_ns / 1e6:.0f} ms by {task}"
        self._stream.message(step.suspend_ns, text, severity=3, color=BLOCKED_COLOR)

    def close(self) -> None:
        """End the iteration, if there is one."""
        if not self._steps:
            return
        zone, self._zone = self._zone, None
        if zone is None:
            self._row.spot(self._start_ns, self._end_ns, self._iteration)
        else:
            self._row.remove([zone], self._end_ns)
        if self._steps > self._most:
            self._most = self._steps
        self._steps = 0
        if self._start_ns - self._plotted_ns >= PLOT_NS:
            self._delay.show(self._start_ns, self._longest_ns)
            self._ready.show(self._start_ns, self._most)
            self._plotted_ns = self._start_ns
            self._longest_ns = self._most = 0

    def rest(self, now_ns: int) -> None:
        """End the iteration if nothing has run for a while."""
        if now_ns - self._end_ns >= IDLE_NS:
            self.close()
