"""The composition root: recorder, hooks, exporter thread, and the sessions that use them.

There is one runtime per process while at least one session is open. Its recorder is shared; each
session has a sink of its own behind it, so that a nested session sees what happens while it is
open.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import time
from concurrent.futures import Future, TimeoutError
from typing import TYPE_CHECKING, Any

from ._errors import InstrumentationError
from ._ids import Ids
from ._instrument.all_loops import AllLoops, exempt
from ._instrument.loop import Loops, on_loop_thread
from ._instrument.monitoring import EveryAwait
from ._pipeline import Assembler, Pipeline, Rules, Sink, Tables
from ._recorder import SLOT, Cold, Recorder
from ._spans import SPAN_VAR, activate, deactivate, open_span
from .model import Exporter, SessionInfo, TimeAnchor

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from ._config import Settings

__all__ = ("Attachment", "Runtime", "attach", "current")

#: Beyond a deadline of ours, for a thread that is slow to be scheduled.
GRACE_S = 0.5


class Runtime:
    """What runs while a session is open.

    Args:
        settings: of the session that is opened first.
        manual_clock: whether time stands still until told otherwise (for tests).
    """

    def __init__(self, settings: Settings, *, manual_clock: bool = False) -> None:
        ring_slots = 1 << (max(settings.ring_bytes // SLOT, 1).bit_length() - 1)
        self.manual_clock = manual_clock
        self.recorder = Recorder(
            Cold(half_full=self._half_full, open_span=open_span),
            ring_slots=ring_slots,
            stack_min_ns=settings.stack_min_ns,
            span_var=SPAN_VAR,
            manual_clock=manual_clock,
        )
        self.loops = Loops(self.recorder, SPAN_VAR)
        self.awaits = EveryAwait(self.recorder)
        self.pipeline = Pipeline(
            self.recorder,
            interval_ns=settings.export_interval_ns,
            ring_slots=ring_slots,
            run=_run_unwatched,
        )
        self.attachments: list[Attachment] = []

    def _half_full(self) -> None:
        self.pipeline.wake()

    def start(self) -> None:
        """Begin to record."""
        self.pipeline.start()
        self.recorder.armed = True
        activate(self.recorder)

    def stop(self) -> None:
        """Record nothing any more; what was recorded is still delivered."""
        self.recorder.armed = False
        deactivate()


def _run_unwatched(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with exempt():
        loop = asyncio.SelectorEventLoop()
    try:
        # Named, so that the program's first task is still called Task-1.
        loop.run_until_complete(loop.create_task(main(), name="aperf-exporter"))
    finally:
        loop.close()


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
        self._all_loops: AllLoops | None = None
        self._closed: Future[bool] | None = None

    @property
    def key(self) -> int:
        """What the session is known by on loops."""
        return id(self)

    @property
    def is_closed(self) -> bool:
        """Whether the session has ended."""
        return self._closed is not None

    def watch(self, loop: Any) -> None:
        """Watch a loop; if it runs on another thread, from its next turn on."""
        on_loop_thread(loop, lambda: self.runtime.loops.install(loop, self.key))

    def unwatch(self, loop: Any) -> None:
        """Stop watching a loop."""
        on_loop_thread(loop, lambda: self.runtime.loops.uninstall(loop, self.key))

    def watch_all(self) -> None:
        """Watch every loop that is made from now on, and the one that runs here."""
        self._all_loops = AllLoops(self._made)
        self._all_loops.install()

    def watch_awaits(self) -> None:
        """Watch awaits that do not suspend, too.

        Raises:
            InstrumentationError: other tools use all of `sys.monitoring`.
        """
        with _lock:
            self.runtime.awaits.install(self.key)

    def _made(self, loop: Any) -> None:
        try:
            self.watch(loop)
        except InstrumentationError:
            self.runtime.recorder.fault()

    def flush(self, timeout_s: float | None) -> Future[bool]:
        """Have all that was recorded delivered."""
        return self.runtime.pipeline.flush(
            self.sink, self.timeout_s if timeout_s is None else timeout_s
        )

    def close(self) -> Future[bool]:
        """End the session; the future says whether all was delivered. Idempotent."""
        with _lock:
            if self._closed is not None:
                return self._closed
            runtime = self.runtime
            if self._all_loops is not None:
                self._all_loops.uninstall()
            runtime.awaits.uninstall(self.key)
            live, now_ns = runtime.recorder.live(), runtime.recorder.now_ns()
            runtime.loops.uninstall_all(self.key)
            runtime.attachments.remove(self)
            self._closed = runtime.pipeline.close(self.sink, now_ns, live, self.timeout_s)
            _closing.add(self._closed)
            self._closed.add_done_callback(_closing.discard)
            if not runtime.attachments:
                _retire(runtime, self._closed)
            return self._closed

    def abandon(self) -> None:
        """Let go of everything without a word to anybody: a forked child owns none of it."""
        self._closed = Future()
        self._closed.set_result(False)
        if self._all_loops is not None:
            self._all_loops.uninstall()
        for exporter in self.sink.exporters:
            forget = getattr(exporter, "forget_after_fork", None)
            if forget is not None:
                forget()


_lock = threading.RLock()
_current: Runtime | None = None
_closing: set[Future[bool]] = set()
_prepared = False


def current() -> Runtime | None:
    """Return the runtime of this process, None while no session is open."""
    return _current


def attach(
    settings: Settings,
    exporters: Sequence[Exporter],
    info: SessionInfo,
    *,
    ids: Ids | None = None,
    sample: Callable[[int, str], bool] | None = None,
    manual_clock: bool = False,
) -> Attachment:
    """Open a session: start what is needed and let it have all records from now on.

    Raises:
        InstrumentationError: a manual clock is wanted while a session without one is open.
    """
    global _current
    with _lock:
        _prepare()
        runtime = _current
        if runtime is None:
            runtime = Runtime(settings, manual_clock=manual_clock)
        elif manual_clock and not runtime.manual_clock:
            raise InstrumentationError(
                "a session with the real clock is open, so this one cannot have a manual clock"
            )
        attachment = _attachment(runtime, settings, exporters, info, ids, sample)
        if _current is None:
            runtime.start()
            _current = runtime
        runtime.pipeline.add(attachment.sink)
        runtime.attachments.append(attachment)
        return attachment


def _attachment(
    runtime: Runtime,
    settings: Settings,
    exporters: Sequence[Exporter],
    info: SessionInfo,
    ids: Ids | None,
    sample: Callable[[int, str], bool] | None,
) -> Attachment:
    recorder = runtime.recorder
    now_ns = recorder.now_ns()
    rules = Rules(
        task_parent=settings.task_parent,
        segment_ns=settings.segment_ns,
        segment_spans=settings.segment_spans,
        await_min_ns=settings.await_min_ns,
        calls=settings.awaits == "all",
        **({} if sample is None else {"sample": sample}),
    )
    assembler = Assembler(
        Tables(recorder.resolve, recorder.cold.names.text),
        ids or Ids(int.from_bytes(os.urandom(8), "little")),
        TimeAnchor(now_ns, now_ns if runtime.manual_clock else time.time_ns()),
        rules,
        rows=any(getattr(exporter, "needs_rows", True) for exporter in exporters),
    )
    if runtime.attachments:
        assembler.adopt(runtime.attachments[-1].sink.assembler, now_ns)
    sink = Sink(assembler, exporters, info, now_ns)
    sink.start()
    return Attachment(runtime, sink, settings.shutdown_timeout_ns / 1e9)


def _retire(runtime: Runtime, closed: Future[bool]) -> None:
    """Stop recording; the exporter thread ends when the last session has been delivered."""
    global _current
    _current = None
    runtime.stop()
    closed.add_done_callback(lambda _: runtime.pipeline.end())


# ------------------------------------------------------------------------------------ process life


def _prepare() -> None:
    global _prepared
    if not _prepared:
        _prepared = True
        atexit.register(_at_exit)
        os.register_at_fork(after_in_child=_after_fork)


def _at_exit() -> None:
    """Deliver what is left. Running threads go on at this point; new ones cannot be started."""
    runtime = _current
    attachments = [] if runtime is None else list(runtime.attachments)
    waits = [(attachment.close(), attachment.timeout_s) for attachment in attachments]
    waits += [(future, 5.0) for future in list(_closing)]
    end = time.monotonic() + max((timeout for _, timeout in waits), default=0) + GRACE_S
    for future, _ in waits:
        wait(future, max(0.0, end - time.monotonic()))


def wait(future: Future[bool], timeout_s: float) -> bool:
    """Wait for the answer of the exporter thread; no answer in time is a no."""
    try:
        return future.result(timeout_s)
    except TimeoutError:
        return False


def _after_fork() -> None:
    """The child starts off: no thread of ours lives here, and the rings are the parent's."""
    global _current, _lock
    _lock = threading.RLock()
    runtime, _current = _current, None
    _closing.clear()
    deactivate()
    if runtime is None:
        return
    runtime.recorder.armed = False
    runtime.loops.forget()
    runtime.awaits.forget()
    for attachment in runtime.attachments:
        attachment.abandon()
