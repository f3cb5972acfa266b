"""The summary as lines of styled text, for a given width."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final

from . import _summary_tables as tables
from ._summary_format import bar, clean, counted, duration, fit, percent
from ._summary_lines import DURATION, Cell, Line, Piece, Style, row, title

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aperf.model import Summary

__all__ = ("layout",)

#: Kinds of waits that have a row of their own.
_KINDS: Final = 5


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
        tables.awaits(summary, width, directory),
        tables.coroutines(summary, width),
        tables.steps(summary, width, directory),
        tables.unfinished(summary, width, directory),
        tables.exceptions(summary, width),
        _losses(summary, width),
    )
    lines: list[Line] = []
    for section in sections:
        found = list(section)
        if found and lines:
            lines.append(())
        lines += found
    return lines


def _headline(summary: Summary, width: int) -> Iterator[Line]:
    name = clean(summary.service_name)
    rule = fit(f"── aperf · {name} " if name else "── aperf ", width)
    yield (Piece(rule, "title"), Piece("─" * (width - len(rule)), "dim"))
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
    yield row(width, [Piece(" · ".join(filter(None, facts)))])
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
        cells = (Cell(duration(ns), DURATION), Cell(percent(ns, whole), DURATION))
        return (*row(40, [Piece(label)], *cells), graph)

    yield title(width, "Where the tasks' time went", f"{duration(whole)} over all tasks")
    yield line("  running", summary.busy_ns, "running")
    yield line("  ready, not run yet", summary.ready_ns, "ready")
    yield line("  waiting", summary.waiting_ns, "waiting")
    for kind, ns in waits:
        yield line(f"    {kind}", ns, "waiting")


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
    if lost := statistics.dropped_logs:
        yield f"{counted(lost, 'log record')} not delivered."
    if failures := statistics.export_failures:
        yield f"{counted(failures, 'request')} to a destination failed for good."
    if errors := statistics.internal_errors:
        yield f"{counted(errors, 'fault')} of aperf itself passed over. Please report that."
