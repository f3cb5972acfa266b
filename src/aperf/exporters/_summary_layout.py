"""The summary as lines of styled text, for a given width.

Every section is a function that yields its lines, or nothing when it has nothing to say. A style is
a name here; what becomes of it is up to whoever prints the lines.
"""

from __future__ import annotations

import os
import textwrap
from collections import defaultdict
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from ._summary_format import bar, clean, count, counted, duration, fit, fit_tail, percent, place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aperf.model import AwaitSite, CoroutineTotals, LongStep, Summary, UnfinishedTask

__all__ = ("Line", "Piece", "Style", "layout")

Style: TypeAlias = Literal[
    "", "title", "dim", "name", "running", "ready", "waiting", "warning", "error"
]


class Piece(NamedTuple):
    """A piece of a line, in one style."""

    text: str
    style: Style = ""


Line: TypeAlias = tuple[Piece, ...]


class Cell(NamedTuple):
    """What stands in a column, at its right edge."""

    text: str
    width: int
    style: Style = ""


#: Rows per section at most. All sections together are then about 45 lines long.
_KINDS: Final = 5
_SITES: Final = 5
_COROUTINES: Final = 5
_STEPS: Final = 3
_UNFINISHED: Final = 4
_EXCEPTIONS: Final = 3

#: Shorter steps are not worth a line: asyncio's own timers are no more exact than that.
_LONG_STEP_NS: Final = 1_000_000
#: From here on a person notices. asyncio's debug mode warns from the same duration on.
_TOO_LONG_STEP_NS: Final = 100_000_000

# Widths of columns. Each keeps a space to its left.
_DURATION: Final = 9
_COUNT: Final = 10


def layout(summary: Summary, *, width: int, directory: str) -> list[Line]:
    """Return the lines of a summary.

    Args:
        summary: what to show.
        width: characters per line, 72 or more.
        directory: files below it are shown relative to it; ends with a separator.
    """
    sections = (
        _headline(summary, width),
        _time(summary, width),
        _awaits(summary, width, directory),
        _coroutines(summary, width),
        _steps(summary, width, directory),
        _unfinished(summary, width, directory),
        _exceptions(summary, width),
        _losses(summary, width),
    )
    lines: list[Line] = []
    for section in sections:
        found = list(section)
        if found and lines:
            lines.append(())
        lines += found
    return lines


# ---------------------------------------------------------------------------------- building blocks


def _row(width: int, left: Iterable[Piece], *cells: Cell) -> Line:
    """Return a line with columns at its right; what stands left of them is cut to fit."""
    room = width - sum(cell.width for cell in cells)
    line: list[Piece] = []
    for piece in left:
        text = fit(piece.text, room)
        line.append(Piece(text, piece.style))
        room -= len(text)
    if cells:
        line.append(Piece(" " * room))
    line += (Piece(cell.text.rjust(cell.width), cell.style) for cell in cells)
    return tuple(line)


def _title(width: int, title: str, note: str, *columns: tuple[str, int]) -> Line:
    """Return the first line of a section: title, note and the heads of the columns."""
    left = (Piece(title, "title"), Piece(f"  {note}" if note else "", "dim"))
    return _row(width, left, *(Cell(text, size, "dim") for text, size in columns))


def _some_of(shown: int, total: int) -> str:
    return f"{shown} of {count(total)}" if shown < total else ""


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


# ----------------------------------------------------------------------------------------- sections


def _headline(summary: Summary, width: int) -> Iterator[Line]:
    name = clean(summary.service_name)
    title = fit(f"── aperf · {name} " if name else "── aperf ", width)
    yield (Piece(title, "title"), Piece("─" * (width - len(title)), "dim"))
    core = {"c": "C core", "python": "pure Python"}.get(
        summary.implementation, clean(summary.implementation)
    )
    statistics = summary.statistics
    busy = percent(summary.busy_ns, summary.duration_ns)
    facts = (
        f"{duration(summary.duration_ns)} watched, {busy} of it busy",
        counted(statistics.tasks, "task"),
        counted(statistics.awaits, "await"),
        core,
    )
    yield _row(width, [Piece(" · ".join(filter(None, facts)))])
    if not statistics.tasks:
        yield (Piece("No task ran on a loop that was watched.", "warning"),)


def _time(summary: Summary, width: int) -> Iterator[Line]:
    whole = summary.busy_ns + summary.ready_ns + summary.waiting_ns
    if not whole:
        return
    kinds = sorted(summary.by_wait_kind.items(), key=lambda item: -item[1].total_ns)[:_KINDS]
    waits = [(kind, totals.total_ns) for kind, totals in kinds if totals.total_ns]
    if (rest := summary.waiting_ns - sum(ns for _, ns in waits)) * 1000 > whole:
        waits.append(("other", rest))

    def line(label: str, ns: int, style: Style) -> Line:
        graph = Piece("  " + bar(ns, whole, width - 42), style)
        cells = (Cell(duration(ns), _DURATION), Cell(percent(ns, whole), _DURATION))
        return (*_row(40, [Piece(label)], *cells), graph)

    yield _title(width, "Where the tasks' time went", f"{duration(whole)} over all tasks")
    yield line("  running", summary.busy_ns, "running")
    yield line("  ready, not run yet", summary.ready_ns, "ready")
    yield line("  waiting", summary.waiting_ns, "waiting")
    for kind, ns in waits:
        yield line(f"    {kind}", ns, "waiting")


def _awaits(summary: Summary, width: int, directory: str) -> Iterator[Line]:
    sites = summary.await_sites[:_SITES]
    if not sites:
        return
    heads = [(head, _DURATION) for head in ("total", "p50", "p99", "max")]
    note = _some_of(len(sites), len(summary.await_sites))
    yield _title(width, "Slowest awaits", note, ("count", _COUNT), *heads)
    for site in sites:
        yield from _await(site, width, directory)


def _await(site: AwaitSite, width: int, directory: str) -> Iterator[Line]:
    wait = site.wait
    durations = (wait.total_ns, wait.p50_ns, wait.p99_ns, wait.max_ns)
    yield _row(
        width,
        [Piece(f"  {clean(site.name)}", "name")],
        Cell(count(wait.count), _COUNT),
        *(Cell(duration(ns), _DURATION) for ns in durations),
    )
    kind = f"    {site.kind} · "
    where = _where(site.function, site.file, site.line, directory, width - len(kind))
    yield (Piece(kind + where, "dim"),)


def _coroutines(summary: Summary, width: int) -> Iterator[Line]:
    coroutines = summary.coroutines[:_COROUTINES]
    if not coroutines:
        return
    heads = [(head, _DURATION) for head in ("running", "ready", "waiting")]
    note = _some_of(len(coroutines), len(summary.coroutines))
    ends = (("errors", 8), ("cancelled", 11))
    yield _title(width, "Tasks", note, ("count", _COUNT), *heads, *ends)
    for totals in coroutines:
        yield _coroutine(totals, width)


def _coroutine(totals: CoroutineTotals, width: int) -> Line:
    cells = (
        Cell(count(totals.tasks), _COUNT),
        *(Cell(duration(ns), _DURATION) for ns in (totals.busy_ns, totals.ready_ns)),
        Cell(duration(totals.waiting_ns), _DURATION),
        Cell(count(totals.errors) if totals.errors else "", 8, "error"),
        Cell(count(totals.cancelled) if totals.cancelled else "", 11, "warning"),
    )
    room = width - sum(cell.width for cell in cells) - 2
    return _row(width, [Piece(f"  {fit_tail(_function(totals.name), room, '.')}", "name")], *cells)


def _steps(summary: Summary, width: int, directory: str) -> Iterator[Line]:
    steps = [step for step in summary.longest_steps if step.duration_ns >= _LONG_STEP_NS]
    if not steps:
        return
    heads = (("task", width // 3), ("took", _DURATION))
    yield _title(width, "Longest steps", "nothing else could run", *heads)
    for step in steps[:_STEPS]:
        yield _step(step, width, directory)


def _step(step: LongStep, width: int, directory: str) -> Line:
    room = width // 3 - 2
    name = clean(step.task) or f"task {step.task_id}"
    if step.coroutine != step.function:
        name = f"{_function(step.coroutine)} {name}"
    where = _where(step.function, step.file, step.line, directory, width - room - _DURATION - 4)
    style: Style = "error" if step.duration_ns >= _TOO_LONG_STEP_NS else "warning"
    cells = (Cell(fit(name, room), room + 2), Cell(duration(step.duration_ns), _DURATION, style))
    return _row(width, [Piece(f"  {where}")], *cells)


def _unfinished(summary: Summary, width: int, directory: str) -> Iterator[Line]:
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
    yield _title(width, "Never finished", note, ("age", _DURATION))
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
    where = fit_tail(position, width - len(who) - len(what) - _DURATION - 4, os.sep)
    left = (Piece(who, "name"), Piece(what), Piece(f" at {where}" if where else "", "dim"))
    age = max(task.age_ns for task in tasks)
    return _row(width, left, Cell(duration(age), _DURATION))


def _exceptions(summary: Summary, width: int) -> Iterator[Line]:
    exceptions = sorted(summary.exceptions, key=lambda exception: -exception.count)
    if not exceptions:
        return
    shown = exceptions[:_EXCEPTIONS]
    note = _some_of(len(shown), len(exceptions))
    yield _title(width, "Exceptions that ended tasks", note, ("count", _COUNT))
    for exception in shown:
        left = (
            Piece(f"  {clean(exception.type)}", "error"),
            Piece(f" in {_function(exception.coroutine)}"),
            Piece(f": {clean(exception.message)}" if exception.message else "", "dim"),
        )
        yield _row(width, left, Cell(count(exception.count), _COUNT))


def _losses(summary: Summary, width: int) -> Iterator[Line]:
    losses = list(_loss_sentences(summary))
    if losses:
        yield (Piece("Not complete", "warning"),)
    for sentence in losses:
        for text in textwrap.wrap(
            sentence, width, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
        ):
            yield (Piece(text),)


def _loss_sentences(summary: Summary) -> Iterator[str]:
    statistics = summary.statistics
    if lost := statistics.dropped_records:
        yield (
            f"{counted(lost, 'record')} found the buffer full, so the figures above are too low."
            " Set APERF_RING_MB higher."
        )
    if lost := statistics.dropped_spans:
        yield (
            f"{counted(lost, 'span')} not delivered."
            " `aperf doctor` says whether the destination can be reached."
        )
    if failures := statistics.export_failures:
        yield f"{counted(failures, 'request')} to a destination failed for good."
    if errors := statistics.internal_errors:
        yield f"{counted(errors, 'fault')} of aperf itself passed over. Please report that."
