"""A live task as a viewer sees it."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from ._lanes import Lane
    from ._row import Zone
    from ._sources import Chain, Source
    from ._thread import Thread

__all__ = ("Happening", "Roll", "Step", "TaskView")

#: Tasks that have ended and are remembered.
MOST_FORMER: Final = 4_096


class Happening(NamedTuple):
    """A record of what a task did, kept until the record of the step in which it did so."""

    kind: int
    t_ns: int
    flags: int
    ref: int
    a: int
    b: int
    payload: bytes


class Step(NamedTuple):
    """A step of a task that has ended."""

    task: TaskView
    resume_ns: int
    suspend_ns: int
    ready_ns: int
    flags: int
    waker: int
    site: int  #: of the wait that ended


class TaskView:
    """What is drawn of a task, and what is known of it.

    Attributes:
        number: the task's.
        source: of its coroutine.
        name: its own name, if it has one.
        born_ns: where its zone begins.
        lane: where it is drawn; None when there were too many.
        thread: where its loop runs.
        steps: how many there have been.
        since_ns: when it was suspended; 0 when that is not known.
        chain: where it is suspended.
        waiting: the zone of the wait, if that is drawn already.
        zone: its own, while it is drawn.
        spans: its open user spans, by number.
        happened: what it did since its last step.
    """

    __slots__ = (
        "born_ns",
        "chain",
        "happened",
        "lane",
        "name",
        "number",
        "since_ns",
        "source",
        "spans",
        "steps",
        "thread",
        "waiting",
        "zone",
    )

    def __init__(
        self,
        number: int,
        source: Source,
        name: str,
        born_ns: int,
        lane: Lane | None,
        thread: Thread,
    ) -> None:
        self.number = number
        self.source = source
        self.name = name
        self.born_ns = born_ns
        self.lane = lane
        self.thread = thread
        self.steps = 0
        self.since_ns = 0
        self.chain: Chain | None = None
        self.waiting: Zone | None = None
        self.zone: Zone | None = None
        self.spans: dict[int, Zone] = {}
        self.happened: list[Happening] = []

    def __str__(self) -> str:
        return f"{self.name} ({self.source.name})" if self.name else self.source.name


class Roll:
    """The tasks of a connection, by number.

    Attributes:
        live: those that have not ended.
        former: the last ones that have. They woke others whose steps are drawn later, and another
            thread's records may tell of them still.
    """

    __slots__ = ("former", "live")

    def __init__(self) -> None:
        self.live: dict[int, TaskView] = {}
        self.former: OrderedDict[int, TaskView] = OrderedDict()

    def find(self, number: int) -> TaskView | None:
        """Return a task that lives, or did a moment ago."""
        return self.live.get(number) or self.former.get(number)

    def leave(self, task: TaskView) -> None:
        """Note that a task has ended."""
        del self.live[task.number]
        self.former[task.number] = task
        if len(self.former) > MOST_FORMER:
            self.former.popitem(last=False)
