"""The composition root: recorder, hooks, exporter thread, and the sessions that use them.

There is one runtime per process while at least one session is open. Its recorder is shared; each
session has a sink of its own behind it, so that a nested session sees what happens while it is
open.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from ._attachment import Attachment
from ._errors import InstrumentationError
from ._filtering import keeper, log_keeper
from ._ids import Ids
from ._instrument.all_loops import AllLoops, exempt
from ._instrument.loop import Loops
from ._instrument.monitoring import EveryAwait
from ._pipeline import Assembler, Limits, Pipeline, Rules, Sink, Tables
from ._process import (
    GRACE_S,
    current,
    end_all,
    lock,
    make_current,
    prepare,
    shared_session,
    wait,
)
from ._profiling import Profiling, Records
from ._recorder import SLOT, Cold, Descent, Recorder
from ._sampling import Decisions
from ._spans import SPAN_VAR, activate, deactivate, open_span
from .model import Exporter, SessionInfo, TimeAnchor
from .otel._bridge import Bridge

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from ._config import FilterPair, Settings
    from ._session import Session

__all__ = (
    "GRACE_S",
    "Attachment",
    "NoThread",
    "Runtime",
    "attach",
    "current",
    "end_all",
    "lock",
    "shared_session",
    "wait",
)

#: By `APERF_TASK_PARENT`.
_DESCENTS: Final = {"child": Descent.CHILD, "link": Descent.OWN, "root": Descent.OWN}


class NoThread(InstrumentationError):
    """There are too many threads, or the interpreter is about to exit."""


class Runtime:
    """What runs while a session is open.

    Args:
        settings: of the session that is opened first.
        ids: names the spans of all sessions that bring no ids of their own. Both sides of the ring
            know them, so that what is opened under a span can be told its id at once.
        manual_clock: whether time stands still until told otherwise (for tests).
    """

    def __init__(
        self, settings: Settings, *, ids: Ids | None = None, manual_clock: bool = False
    ) -> None:
        self.ids = ids or Ids(int.from_bytes(os.urandom(8), "little"))
        ring_slots = 1 << (max(settings.ring_bytes // SLOT, 1).bit_length() - 1)
        self.manual_clock = manual_clock
        self.recorder = Recorder(
            Cold(half_full=self._half_full, open_span=open_span),
            ring_slots=ring_slots,
            stack_min_ns=settings.stack_min_ns,
            span_var=SPAN_VAR,
            manual_clock=manual_clock,
        )
        self.recorder.descent = _DESCENTS.get(settings.task_parent or "", Descent.RULES)
        self.bridge = Bridge(self.ids)
        self.loops = Loops(self.recorder, SPAN_VAR)
        self.awaits = EveryAwait(self.recorder)
        self.profiling = Profiling(self.recorder)
        self.records = Records(self.recorder)
        self.pipeline = Pipeline(
            self.recorder,
            interval_ns=settings.export_interval_ns,
            ring_slots=ring_slots,
            run=_run_unwatched,
        )
        self.attachments: list[Attachment] = []
        self.shared: Session | None = None
        self._all_loops: AllLoops | None = None
        self._watching_all: list[Attachment] = []

    def _half_full(self) -> None:
        self.pipeline.relieve()

    def offer(self, session: Session) -> None:
        """Let clients share a session that delivers to where the environment says."""
        if self.shared is None or self.shared.is_closed:
            self.shared = session

    def note_move(self, task: int, root: int) -> None:
        """A task goes on in a trace of its own, or has ended (0)."""
        if root:
            self.recorder.moved[task] = root
        else:
            self.recorder.moved.pop(task, None)

    def start(self) -> None:
        """Begin to record."""
        self.recorder.follow(self.bridge)
        self.bridge.find(self.recorder)
        self.recorder.armed = True
        activate(self.recorder)

    def stop(self) -> None:
        """Record nothing any more; what was recorded is still delivered."""
        self.recorder.armed = False
        self.recorder.follow(None)
        deactivate()
        self.pipeline.stop()

    def retire(self) -> None:
        """Stop recording; the exporter thread ends when the last session has been delivered."""
        make_current(None)
        self.stop()

    def forget(self) -> None:
        """Let go of everything without a word to anybody: a forked child owns none of it."""
        self.recorder.armed = False
        self.recorder.follow(None)
        self.pipeline.forget()
        self.loops.forget()
        self.awaits.forget()
        self.profiling.forget()
        for attachment in self.attachments:
            self.unwatch_all(attachment)
            attachment.abandon()

    def note_destinations(self) -> None:
        """Let spans of OpenTelemetry lie below tasks only while somebody exports those."""
        self.bridge.nests = any(
            attachment.sink.assembler.names_tasks(self.ids) for attachment in self.attachments
        )

    # Sessions share what looks out for new loops: they may end in any order, and with one wrapper
    # each around the loops' constructor the lower ones could not be taken off.

    def watch_all(self, attachment: Attachment) -> None:
        """Have a session watch every loop that is made from now on."""
        if self._all_loops is None:
            self._all_loops = AllLoops(self._made)
            self._all_loops.install()
        self._watching_all.append(attachment)

    def unwatch_all(self, attachment: Attachment) -> None:
        """Undo `watch_all`, if it was done."""
        if attachment in self._watching_all:
            self._watching_all.remove(attachment)
        if self._all_loops is not None and not self._watching_all:
            self._all_loops.uninstall()
            self._all_loops = None

    def _made(self, loop: Any) -> None:
        for attachment in list(self._watching_all):
            try:
                attachment.watch(loop)
            except InstrumentationError:
                self.recorder.fault()


class _ExporterLoop(asyncio.SelectorEventLoop):
    """The exporter thread's loop, of a class of its own.

    Instances of a class share the layout of their attributes, which has little room. Were this one
    to take part in the program's loops' layout, the hook's attributes might no longer fit in, and
    each step of the program's tasks would cost a fifth more.
    """


def _run_unwatched(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with exempt():
        loop = _ExporterLoop()
    # With PYTHONASYNCIODEBUG it would complain of every round that takes longer than 100 ms.
    loop.set_debug(False)
    try:
        # Named, so that the program's first task is still called Task-1.
        loop.run_until_complete(loop.create_task(main(), name="aperf-exporter"))
    finally:
        loop.close()


def attach(
    settings: Settings,
    exporters: Sequence[Exporter],
    info: SessionInfo,
    *,
    ids: Ids | None = None,
    sample: Callable[[int, str], bool] | None = None,
    filters: FilterPair | None = None,
    manual_clock: bool = False,
) -> Attachment:
    """Open a session: start what is needed and let it have all records from now on.

    Raises:
        NoThread: the exporter thread cannot start.
        InstrumentationError: a manual clock is wanted while a session without one is open.
    """
    with lock():
        prepare()
        runtime = current() or _start(settings, ids, manual_clock=manual_clock)
        if manual_clock and not runtime.manual_clock:
            raise InstrumentationError(
                "a session with the real clock is open, so this one cannot have a manual clock"
            )
        try:
            sink = _sink(runtime, settings, exporters, info, ids, sample, filters)
            sink.start()
        except BaseException:
            if not runtime.attachments:
                runtime.retire()
            raise
        runtime.pipeline.add(sink)
        if not runtime.attachments:
            runtime.start()
        attachment = Attachment(runtime, sink, settings.shutdown_timeout_ns / 1e9)
        runtime.attachments.append(attachment)
        runtime.note_destinations()
        if sink.takes_records:
            runtime.profiling.begin(attachment.key, log_keeper(filters) if filters else None)
        return attachment


def _start(settings: Settings, ids: Ids | None, *, manual_clock: bool) -> Runtime:
    runtime = Runtime(settings, ids=ids, manual_clock=manual_clock)
    try:
        runtime.pipeline.start()
    except RuntimeError as error:
        raise NoThread(f"the exporter thread cannot start: {error}") from error
    make_current(runtime)
    return runtime


def _sink(
    runtime: Runtime,
    settings: Settings,
    exporters: Sequence[Exporter],
    info: SessionInfo,
    ids: Ids | None,
    sample: Callable[[int, str], bool] | None,
    filters: FilterPair | None,
) -> Sink:
    recorder = runtime.recorder
    now_ns = recorder.now_ns()
    rules = Rules(
        task_parent=settings.task_parent,
        segment_ns=settings.segment_ns,
        segment_spans=settings.segment_spans,
        await_min_ns=settings.await_min_ns,
        calls=settings.awaits == "all",
        limits=Limits(
            settings.limits.attributes,
            settings.limits.attribute_length,
            settings.limits.events,
            settings.limits.event_attributes,
        ),
    )
    leads = not runtime.attachments and (ids is None or ids is runtime.ids)
    if sample is not None:
        decisions = Decisions(sample)
        rules = replace(rules, sample=decisions.decide)
        if leads:
            runtime.bridge.sample = decisions.early
    if leads:  # what the loop is told of its traces is as this session sees them
        rules = replace(rules, moves=runtime.note_move)
    if filters is not None:
        rules = replace(rules, keeps=keeper(filters))
    assembler = Assembler(
        Tables(recorder.resolve, recorder.cold.names.text),
        ids or runtime.ids,
        TimeAnchor(now_ns, now_ns if runtime.manual_clock else time.time_ns()),
        rules,
        rows=any(getattr(exporter, "needs_rows", True) for exporter in exporters),
    )
    for exporter in exporters:
        follow = getattr(exporter, "follow_closings", None)
        if follow is not None:
            follow(assembler.note_closings())
    return Sink(assembler, exporters, info, runtime.records)
