"""From sums to what a person is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aperf.model import CoroutineTotals, Statistics, Summary, UnfinishedTask

from ._totals import by_wait_kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ._assembler import Assembler
    from ._tables import Tables
    from ._traces import Live, TaskState

__all__ = ("summarize", "unfinished_tasks")

#: Unfinished tasks shown: with more, the first ones tell enough.
MAX_UNFINISHED = 1_000


def unfinished_tasks(
    tasks: Iterable[TaskState], states: Mapping[int, Live], tables: Tables, t_ns: int
) -> tuple[UnfinishedTask, ...]:
    """Say of live tasks, the oldest first, what they are waiting for.

    Args:
        tasks: as the assembler knows them.
        states: as the recorder sees them, by number.
        tables: names of the sites where they stand.
        t_ns: the recorder's time.
    """
    oldest = sorted(tasks, key=lambda task: task.born_ns)[:MAX_UNFINISHED]
    return tuple(_unfinished(task, states.get(task.id), tables, t_ns) for task in oldest)


def _unfinished(task: TaskState, state: Live | None, tables: Tables, t_ns: int) -> UnfinishedTask:
    place, doing = task.coroutine.place, "not started"
    if state is not None and state.running:
        doing = "running"
    elif task.steps or (state is not None and not state.first):
        _, entry = tables.wait(state.site if state is not None else 0)
        place, doing = entry.place, entry.name
    return UnfinishedTask(
        coroutine=task.coroutine.name,
        task=task.name,
        task_id=task.id,
        age_ns=t_ns - task.born_ns,
        waiting_for=doing,
        file=place.file,
        line=place.line,
    )


def _coroutines(assembler: Assembler) -> tuple[CoroutineTotals, ...]:
    live: dict[int, tuple[int, int, int, int]] = {}
    for task in assembler.live.values():
        steps, busy, ready, waiting = live.get(id(task.coroutine), (0, 0, 0, 0))
        live[id(task.coroutine)] = (
            steps + task.steps,
            busy + task.busy_ns,
            ready + task.ready_ns,
            waiting + task.waiting_ns,
        )
    results = [c.result(live.get(id(c), (0, 0, 0, 0))) for c in assembler.tables.coroutines()]
    return tuple(sorted(results, key=lambda c: -(c.busy_ns + c.ready_ns + c.waiting_ns)))


def summarize(
    assembler: Assembler,
    *,
    service_name: str,
    implementation: str,
    duration_ns: int,
    statistics: Statistics,
    unfinished: tuple[UnfinishedTask, ...],
) -> Summary:
    """Return what a session has found out so far."""
    coroutines = _coroutines(assembler)
    sites = assembler.tables.sites()
    await_sites = sorted((s.result() for s in sites), key=lambda s: -s.wait.total_ns)
    return Summary(
        service_name=service_name,
        implementation=implementation,
        duration_ns=duration_ns,
        statistics=statistics,
        busy_ns=sum(c.busy_ns for c in coroutines),
        ready_ns=sum(c.ready_ns for c in coroutines),
        waiting_ns=sum(c.waiting_ns for c in coroutines),
        by_wait_kind=by_wait_kind(sites),
        coroutines=coroutines,
        await_sites=tuple(await_sites),
        longest_steps=assembler.totals.long_steps.result(),
        unfinished=unfinished,
        exceptions=assembler.totals.exceptions(),
    )
