from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aperf.exporters.summary import render_text
from aperf.model import ExceptionCount, Statistics, Summary, UnfinishedTask
from tests.summaries import CRAWLER, MS, S, crawler_summary, distribution, losses, site, step

if TYPE_CHECKING:
    from pathlib import Path

EMPTY = Summary(
    service_name="shop",
    implementation="python",
    duration_ns=2 * S,
    statistics=Statistics(tasks=1, awaits=1),
)


def section(text: str, title: str) -> list[str]:
    """Return the lines of a section, its title first; none if there is no such section."""
    found = [part.splitlines() for part in text.split("\n\n") if part.startswith(title)]
    return found[0] if found else []


def unfinished(number: int, *, waiting_for: str = "await Event.wait") -> UnfinishedTask:
    """Return a task that waits at a line of its own."""
    return UnfinishedTask(
        coroutine="waiter",
        task=f"Task-{number}",
        task_id=number,
        age_ns=number * S,
        waiting_for=waiting_for,
        file=CRAWLER,
        line=number,
    )


def test_whole_summary() -> None:
    """This is what people see."""
    expected = """\
── aperf · crawler ─────────────────────────────────────────────────────────────
12.3 s watched, 23.9 % of it busy · 1,234 tasks · 45,678 awaits · C core

Where the tasks' time went  1m 01s over all tasks
  running                2.95 s    4.8 %  █▉
  ready, not run yet     413 ms    0.7 %  ▎
  waiting                57.8 s   94.5 %  ███████████████████████████████████▉
    socket               31.2 s   51.0 %  ███████████████████▍
    queue_get            12.1 s   19.8 %  ███████▌
    lock                 5.51 s    9.0 %  ███▍
    sleep                4.40 s    7.2 %  ██▊
    task                 3.02 s    4.9 %  █▉
    other                1.59 s    2.6 %  █

Slowest awaits  5 of 6                 count    total      p50      p99      max
  await socket recv                   20,110   31.2 s  1.20 ms  12.0 ms   402 ms
    socket · …/_transports/_connection_pool.py:217 in …handle_async_request
  await Queue.get                      1,290   12.1 s  8.40 ms  98.2 ms   1.20 s
    queue_get · examples/crawler.py:88 in Crawler.worker
  await Lock.acquire                   1,187   5.51 s  4.12 ms  19.8 ms  22.1 ms
    lock · examples/crawler.py:61 in Crawler.crawl.fetch_with_retries
  await sleep                         22,031   4.40 s   199 µs   244 µs  1.31 ms
    sleep · examples/crawler.py:131 in watchdog
  await Task                              60   3.02 s  48.0 ms   105 ms   112 ms
    task · examples/crawler.py:160 in main

Tasks                        count  running    ready  waiting  errors  cancelled
  …fetch_with_retries        1,204   812 ms  95.0 ms   31.0 s      12          3
  Crawler.worker                10   1.24 s   201 ms   20.3 s
  serve_connection              18   700 ms  99.0 ms   4.10 s
  main                           1  2.31 ms  12.0 µs   12.3 s
  watchdog                       1   180 µs  91.0 µs   12.2 s

Longest steps  nothing else could run                              task     took
  examples/crawler.py:93 in Crawler.parse       Crawler.worker worker-3   512 ms
  examples/crawler.py:150 in main                                Task-1  34.2 ms
  examples/crawler.py:33 in serve_connection                    task 42  4.12 ms

Never finished  11 tasks                                                     age
  10 × Crawler.worker  await Queue.get at examples/crawler.py:88          12.0 s
  watchdog Task-13  await sleep at examples/crawler.py:131                12.2 s

Exceptions that ended tasks                                                count
  ValueError in Crawler.worker: not a URL: 'htp://example.org/a/long/…        12
  TimeoutError in Crawler.crawl.fetch                                          9
"""
    assert expected == render_text(crawler_summary())


@pytest.mark.parametrize("width", [0, 72, 80, 100, 500])
@pytest.mark.parametrize("unicode", [True, False])
def test_lines_fit(width: int, unicode: bool) -> None:
    """No line is longer than asked for, within 72 and 100, nor ends in blanks."""
    summary = replace(crawler_summary(), statistics=losses(), service_name="x" * 200)
    lines = render_text(summary, width=width, unicode=unicode).splitlines()
    assert max(map(len, lines)) <= max(72, min(width, 100))
    assert [] == [line for line in lines if line != line.rstrip()]


def test_ascii() -> None:
    """Without Unicode there is nothing but ASCII, as wide as with it."""
    text = render_text(crawler_summary(), unicode=False)
    assert text.isascii()
    lengths = [len(line) for line in render_text(crawler_summary()).splitlines()]
    assert lengths == [len(line) for line in text.splitlines()]


def test_all_sections_fit_a_screen() -> None:
    """However much there is to say, a person has to read about 50 lines and not more."""
    full = crawler_summary()
    many = replace(
        full,
        coroutines=full.coroutines * 50,
        await_sites=full.await_sites * 50,
        longest_steps=full.longest_steps * 50,
        unfinished=tuple(unfinished(n) for n in range(1, 500)),
        exceptions=full.exceptions * 50,
    )
    assert len(render_text(many).splitlines()) <= 50


def test_empty_sections_are_left_out() -> None:
    """A session in which nothing happened is two lines."""
    lines = render_text(EMPTY).splitlines()
    assert lines[0].startswith("── aperf · shop ──")
    assert ["2.00 s watched, 0 % of it busy · 1 task · 1 await · pure Python"] == lines[1:]


def test_no_task_at_all() -> None:
    """A session that saw no task says so, since that is seldom what somebody wanted."""
    text = render_text(Summary())
    assert "No task ran on a loop that was watched." == text.splitlines()[-1]


def test_waits_that_have_no_row_are_not_concealed() -> None:
    """What is not in the rows of the kinds stands in a row of its own."""
    summary = replace(EMPTY, busy_ns=S, waiting_ns=3 * S)
    lines = section(render_text(summary), "Where")
    assert ["Where the tasks' time went  4.00 s over all tasks", "other"] == [
        lines[0],
        lines[-1].split()[0],
    ]


def test_place_below_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files below the working directory are relative to it; others keep their whole path."""
    monkeypatch.chdir(tmp_path)
    here = site("await sleep", "sleep", "main", 7, distribution(1, S, S, S, S, S), "")
    inside = replace(here, file=str(tmp_path / "app" / "main.py"))
    beside = replace(here, file=f"{tmp_path}-other/main.py")
    text = render_text(replace(EMPTY, await_sites=(inside, beside)), width=500)
    lines = section(text, "Slowest awaits")
    assert "    sleep · app/main.py:7 in main" == lines[2]
    assert lines[4].endswith("-other/main.py:7 in main")


def test_working_directory_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory that was deleted leaves paths absolute."""

    def getcwd() -> str:
        raise FileNotFoundError

    monkeypatch.setattr(os, "getcwd", getcwd)
    assert "/examples/crawler.py:88 in Crawler.worker" in render_text(crawler_summary())


def test_place_that_is_unknown() -> None:
    """Where there is no file the function stands alone."""
    unknown = site("await future", "future", "Native.run", 0, distribution(1, S, S, S, S, S), "")
    lines = section(render_text(replace(EMPTY, await_sites=(unknown,))), "Slowest awaits")
    assert "    future · Native.run" == lines[-1]


def test_names_cannot_control_the_terminal() -> None:
    """Escape sequences and line breaks in names and messages are shown, not obeyed."""
    evil = ExceptionCount(type="E", coroutine="run", count=1, message="\x1b[2J\nnext \ud800")
    text = render_text(replace(EMPTY, service_name="a\rb", exceptions=(evil,)))
    assert "── aperf · a\\rb ──" in text
    assert "  E in run: \\x1b[2J\\nnext \\ud800 " in text


def test_short_steps_are_not_worth_a_line() -> None:
    """Steps below a millisecond are not shown, and without others the section is not."""
    short = step("main", "Task-1", "main", 1, MS - 1)
    long = step("main", "Task-1", "main", 2, MS)
    assert [] == section(render_text(replace(EMPTY, longest_steps=(short,))), "Longest")
    assert 2 == len(section(render_text(replace(EMPTY, longest_steps=(long, short))), "Longest"))


def test_task_that_ends_the_session_is_not_called_unfinished() -> None:
    """A task that runs when the session ends waits for nothing, so nothing is said about it."""
    running = replace(EMPTY, unfinished=(unfinished(1, waiting_for="running"),))
    assert [] == section(render_text(running), "Never finished")


def test_more_unfinished_tasks_than_rows() -> None:
    """Places that have no row are counted."""
    summary = replace(EMPTY, unfinished=tuple(unfinished(n) for n in range(1, 7)))
    lines = section(render_text(summary), "Never finished")
    assert lines[0].startswith("Never finished  6 tasks ")
    assert "  and at 2 other places" == lines[-1]


def test_losses_say_what_to_do() -> None:
    """Each loss is stated with its number and, where there is one, the remedy."""
    text = render_text(replace(EMPTY, statistics=losses()))
    assert """\
Not complete
  12,345 records found the buffer full, so the figures above are too low. Set
    APERF_RING_MB higher.
  678 spans not delivered. `aperf doctor` says whether the destination can be
    reached.
  3 log records not delivered.
  2 requests to a destination failed for good.
  1 fault of aperf itself passed over. Please report that.
""" == "\n".join([*section(text, "Not complete"), ""])
