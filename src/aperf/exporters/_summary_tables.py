"""The tables of the summary: each is a function that yields its lines, or nothing."""

from __future__ import annotations

import os
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from ._summary_format import clean, count, counted, duration, fit, fit_tail, place
from ._summary_lines import COUNT, DURATION, Cell, Line, Piece, Style, row, some_of, title

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aperf.model import AwaitSite, CoroutineTotals, LongStep, Summary, UnfinishedTask

__all__ = ("awaits", "coroutines", "exceptions", "steps", "unfinished")

#: Rows per section at most. The whole summary is then about 45 lines long.
_SITES: Final = 5
_COROUTINES: Final = 5
_STEPS: Final = 3
_UNFINISHED: Final = 4
_EXCEPTIONS: Final = 3

#: Shorter steps are not worth a line: asyncio's own timers are no more exact than that.
_LONG_STEP_NS: Final = 1_000_000
#: From here on a person notices. asyncio's debug mode warns from the same duration on.
_TOO_LONG_STEP_NS: Final = 100_000_000


def _function(name: str) -> str:
    """Return a qualified name as short as it stays clear."""
    return clean(name.replace(".<locals>", ""))


def _where(function: str, file: str, line: int, directory: str, room: int) -> str:
    """Return "file:line in function"; what is too long loses its beginning."""
    function = _function(function)
    position = place(file, line, directory)
    if not position:
        return fit_tail(function, room, ".")
    function = fit_tail(function, max(room - len(position) - 4, room // 3), ".")
    return f"{fit_tail(position, room - len(function) - 4, os.sep)} in {function}"


def awaits(summary: Summary, width: int, directory: str) -> Iterator[Line]:
    """Yield the places where most time was waited."""
    sites = summary.await_sites[:_SITES]
    if not sites:
        return
    heads = [(head, DURATION) for head in ("total", "p50", "p99", "max")]
    note = some_of(len(sites), len(summary.await_sites))
    yield title(width, "Slowest awaits", note, ("count", COUNT), *heads)
    for site in sites:
        yield from _await(site, width, directory)


def _await(site: AwaitSite, width: int, directory: str) -> Iterator[Line]:
    wait = site.wait
    durations = (wait.total_ns, wait.p50_ns, wait.p99_ns, wait.max_ns)
    yield row(
        width,
        [Piece(f"  {clean(site.name)}", "name")],
        Cell(count(wait.count), COUNT),
        *(Cell(duration(ns), DURATION) for ns in durations),
    )
    kind = f"    {site.kind} · "
    where = _where(site.function, site.file, site.line, directory, width - len(kind))
    yield (Piece(kind + where, "dim"),)


def coroutines(summary: Summary, width: int) -> Iterator[Line]:
    """Yield the tasks by coroutine function."""
    shown = summary.coroutines[:_COROUTINES]
    if not shown:
        return
    heads = [(head, DURATION) for head in ("running", "ready", "waiting")]
    note = some_of(len(shown), len(summary.coroutines))
    ends = (("errors", 8), ("cancelled", 11))
    yield title(width, "Tasks", note, ("count", COUNT), *heads, *ends)
    for totals in shown:
        yield _coroutine(totals, width)


def _coroutine(totals: CoroutineTotals, width: int) -> Line:
    durations = (totals.busy_ns, totals.ready_ns, totals.waiting_ns)
    cells = (
        Cell(count(totals.tasks), COUNT),
        *(Cell(duration(ns), DURATION) for ns in durations),
        Cell(count(totals.errors) if totals.errors else "", 8, "error"),
        Cell(count(totals.cancelled) if totals.cancelled else "", 11, "warning"),
    )
    room = width - sum(cell.width for cell in cells) - 2
    return row(width, [Piece(f"  {fit_tail(_function(totals.name), room, '.')}", "name")], *cells)


def steps(summary: Summary, width: int, directory: str) -> Iterator[Line]:
    """Yield the steps that held up the loop."""
    found = [step for step in summary.longest_steps if step.duration_ns >= _LONG_STEP_NS]
    if not found:
        return
    heads = (("task", width // 3), ("took", DURATION))
    yield title(width, "Longest steps", "nothing else could run", *heads)
    for step in found[:_STEPS]:
        yield _step(step, width, directory)


def _step(step: LongStep, width: int, directory: str) -> Line:
    room = width // 3 - 2
    name = clean(step.task) or f"task {step.task_id}"
    if step.coroutine != step.function:
        name = f"{_function(step.coroutine)} {name}"
    where = _where(step.function, step.file, step.line, directory, width - room - DURATION - 4)
    style: Style = "error" if step.duration_ns >= _TOO_LONG_STEP_NS else "warning"
    cells = (Cell(fit(name, room), room + 2), Cell(duration(step.duration_ns), DURATION, style))
    return row(width, [Piece(f"  {where}")], *cells)


def unfinished(summary: Summary, width: int, directory: str) -> Iterator[Line]:
    """Yield tasks that wait at the same place as one row: workers often are many.

    A task that is running is left out: as a rule it is the one that ended the session.
    """
    waiting = [task for task in summary.unfinished if task.waiting_for != "running"]
    groups: defaultdict[tuple[str, str, str, int], list[UnfinishedTask]] = defaultdict(list)
    for task in waiting:
        groups[task.coroutine, task.waiting_for, task.file, task.line].append(task)
    if not groups:
        return
    note = counted(len(waiting), "task")
    yield title(width, "Never finished", note, ("age", DURATION))
    for tasks in sorted(groups.values(), key=len, reverse=True)[:_UNFINISHED]:
        yield _unfinished_group(tasks, width, directory)
    if (rest := len(groups) - _UNFINISHED) > 0:
        yield (Piece(f"  and at {counted(rest, 'other place')}", "dim"),)


def _unfinished_group(tasks: list[UnfinishedTask], width: int, directory: str) -> Line:
    task = tasks[0]
    who = f"{count(len(tasks))} × {_function(task.coroutine)}"
    if len(tasks) == 1:
        who = f"{_function(task.coroutine)} {clean(task.task)}"
    who = f"  {fit(who, width // 3)}"
    what = f"  {fit(clean(task.waiting_for), width // 4)}"
    position = place(task.file, task.line, directory)
    where = fit_tail(position, width - len(who) - len(what) - DURATION - 4, os.sep)
    left = (Piece(who, "name"), Piece(what), Piece(f" at {where}" if where else "", "dim"))
    age = max(task.age_ns for task in tasks)
    return row(width, left, Cell(duration(age), DURATION))


def exceptions(summary: Summary, width: int) -> Iterator[Line]:
    """Yield the exceptions that ended tasks."""
    found = sorted(summary.exceptions, key=lambda exception: -exception.count)
    if not found:
        return
    shown = found[:_EXCEPTIONS]
    note = some_of(len(shown), len(found))
    yield title(width, "Exceptions that ended tasks", note, ("count", COUNT))
    for exception in shown:
        left = (
            Piece(f"  {clean(exception.type)}", "error"),
            Piece(f" in {_function(exception.coroutine)}"),
            Piece(f": {clean(exception.message)}" if exception.message else "", "dim"),
        )
        yield row(width, left, Cell(count(exception.count), COUNT))
