"""Jobs of executors: from their records to rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aperf._ids import JOBS
from aperf._recorder._layout import PAIR

from ._bits import Birth, Row, Step

if TYPE_CHECKING:
    from ._family import Family
    from ._meter import StepMeter
    from ._rows import Rows
    from ._tables import Tables
    from ._tasks import Tasks
    from ._traces import Trace

__all__ = ("Jobs",)

#: Of a job that is cancelled before it runs, nothing is heard any more: the oldest is forgotten.
_MOST_SUBMITTED: Final = 65_536


class Jobs:
    """Makes the spans of jobs, below what submitted them.

    Attributes:
        meter: is told of jobs, while somebody takes metrics.
    """

    def __init__(self, tasks: Tasks, tables: Tables, rows: Rows, family: Family) -> None:
        self._tasks = tasks
        self._tables = tables
        self._rows = rows
        self._family = family
        self.meter: StepMeter | None = None
        #: by number of a job that has not ended: trace, base of its id, parent
        self._submitted: dict[int, tuple[Trace, int, int]] = {}

    def submitted(
        self, ring: int, t_ns: int, flags: int, ref: int, a: int, b: int, payload: bytes
    ) -> None:
        """SUBMIT: it is to run."""
        task = self._tasks.live.get(a)
        if task is None:
            return
        if len(self._submitted) >= _MOST_SUBMITTED:
            del self._submitted[next(iter(self._submitted))]
        trace, parent = task.innermost()
        self._submitted[b] = trace, task.base, parent

    def done(
        self, ring: int, t_ns: int, flags: int, ref: int, a: int, b: int, payload: bytes
    ) -> None:
        """JOB: it is over."""
        queue_ns, run_ns, _, _ = PAIR.unpack_from(payload)
        if self.meter is not None:
            self.meter.job(queue_ns, run_ns, failed=bool(flags & Step.FAILED))
        template = self._tables.job(ref, bool(flags & Birth.UNCODED))
        ids = self._family.ids
        submitted = self._submitted.pop(b, None)
        task = self._tasks.known(a) if a and submitted is None else None
        if submitted is not None:
            trace, base, parent = submitted
        elif task is not None:
            trace, base, parent = task.await_trace, task.base, task.await_parent
        else:
            name = self._tables.templates[template].name
            trace = self._family.new_trace(b, 0, name, t_ns - queue_ns)
            base, parent = ids.base(b, 0), 0
        self._rows.add(
            template,
            trace,
            ids.span(base, JOBS + b),
            parent,
            t_ns - queue_ns,
            t_ns + run_ns,
            flags=Row.ERROR if flags & Step.FAILED else 0,
            task=a,
            busy_ns=run_ns,
            ready_ns=queue_ns,
            thread=ring + 1,
        )
