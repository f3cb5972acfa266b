"""A session's hold on the runtime."""

from __future__ import annotations

import weakref
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from ._instrument.loop import check_room, on_loop_thread
from ._process import lock, note_closing

if TYPE_CHECKING:
    from ._pipeline import Sink
    from ._runtime import Runtime

__all__ = ("Attachment",)


class Attachment:
    """A session's hold on the runtime.

    Args:
        runtime: the runtime.
        sink: the session's end of the pipeline.
        timeout_s: how long its end may take.
    """

    def __init__(self, runtime: Runtime, sink: Sink, timeout_s: float) -> None:
        self.runtime = runtime
        self.sink = sink
        self.timeout_s = timeout_s
        self._watched: weakref.WeakSet[Any] = weakref.WeakSet()
        self._closed: Future[bool] | None = None

    @property
    def key(self) -> int:
        """What the session is known by on loops."""
        return id(self)

    @property
    def is_closed(self) -> bool:
        """Whether the session has ended."""
        return self._closed is not None

    def watches(self, loop: Any) -> bool:
        """Say whether it watches a loop."""
        return loop in self._watched

    def watch(self, loop: Any) -> None:
        """Watch a loop; if it runs on another thread, from its next turn on.

        Raises:
            InstrumentationError: the loop's methods cannot be shadowed.
        """
        if loop not in self._watched:
            check_room(loop)
            on_loop_thread(loop, lambda: self._install(loop))

    def _install(self, loop: Any) -> None:
        with lock():
            if not self.is_closed:
                self.runtime.loops.install(loop, self.key)
                self._watched.add(loop)

    def unwatch(self, loop: Any) -> None:
        """Stop watching a loop."""
        on_loop_thread(loop, lambda: self._uninstall(loop))

    def _uninstall(self, loop: Any) -> None:
        with lock():
            self._watched.discard(loop)
            self.runtime.loops.uninstall(loop, self.key)

    def watch_all(self) -> None:
        """Watch every loop that is made from now on."""
        with lock():
            self.runtime.watch_all(self)

    def watch_awaits(self) -> None:
        """Watch awaits that do not suspend, too.

        Raises:
            InstrumentationError: other tools use all of `sys.monitoring`.
        """
        with lock():
            self.runtime.awaits.install(self.key)

    def flush(self, timeout_s: float) -> Future[bool]:
        """Have all that was recorded delivered."""
        if self._closed is not None:
            return self._closed
        return self.runtime.pipeline.flush(self.sink, timeout_s)

    def close(self) -> Future[bool]:
        """End the session; the future says whether all was delivered. Idempotent, on any thread."""
        with lock():
            if self._closed is None:
                self._closed = self._close()
            return self._closed

    def _close(self) -> Future[bool]:
        runtime = self.runtime
        runtime.unwatch_all(self)
        runtime.awaits.uninstall(self.key)
        runtime.profiling.end(self.key)
        runtime.loops.uninstall_all(self.key)
        runtime.attachments.remove(self)
        runtime.note_destinations()
        closed = runtime.pipeline.close(self.sink, self.timeout_s)
        note_closing(closed, self.timeout_s)
        if not runtime.attachments:
            runtime.retire()
        return closed

    def abandon(self) -> None:
        """Leave all to the parent process."""
        self._closed = Future()
        self._closed.set_result(False)
        for exporter in self.sink.exporters:
            forget = getattr(exporter, "forget_after_fork", None)
            if forget is not None:
                forget()
