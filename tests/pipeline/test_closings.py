"""How long a span that has ended ran and waited, for those who tell of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from aperf._pipeline import _closings
from aperf._pipeline._traces import Live
from aperf.model import Flag
from tests.history import DONE, FIRST, History

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from aperf._pipeline import Closing


def closings_of(
    history: History, *, end_ns: int = 1000, live: Sequence[Live] = (), **rules: Any
) -> list[Closing]:
    """Assemble a history; return what is noted."""
    assembler = history.assembler(**rules)
    closings = assembler.note_closings()
    assembler.feed(0, bytes(history.data))
    assembler.finish(end_ns, live)
    return list(iter(closings.take, None))


def test_a_span_across_a_wait() -> None:
    """What its task waited, or was ready, while it was open is idle time; the rest is busy."""
    history = History().birth(1, name="Task-1").open(1, 1, 15, "checkout", (0, 0))
    history.step(1, 10, 10, ready_ns=10, flags=FIRST)  # until 20: busy 5
    history.close(1, 1, 130)  # resumed at 100, ready from 90: idle 80, busy 30
    history.step(1, 100, 50, ready_ns=10, site=1, flags=DONE)
    span, task = closings_of(history)
    assert ("checkout", 35, 80, 0) == (span.template.name, span.busy_ns, span.idle_ns, span.flags)
    assert ("Task-1", 60, 90) == (task.task, task.busy_ns, task.idle_ns)
    assert (130, 150) == (span.end_ns, task.end_ns)
    assert span.trace_id == task.trace_id != 0


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=8),
    st.integers(0, 800),
    st.integers(0, 800),
)
def test_busy_and_idle_add_up(steps: list[tuple[int, int]], one: int, other: int) -> None:
    """Wherever in a task's life a span begins and ends, its times are those of the steps in it."""
    life_ns = sum(gap_ns + busy_ns for gap_ns, busy_ns in steps)
    begin_ns, end_ns = sorted((min(one, life_ns), min(other, life_ns)))
    history, expected_ns, t_ns, is_open, is_closed = History().birth(1), 0, 0, False, False
    for index, (gap_ns, busy_ns) in enumerate(steps):
        start_ns, t_ns = t_ns + gap_ns, t_ns + gap_ns + busy_ns
        expected_ns += max(0, min(t_ns, end_ns) - max(start_ns, begin_ns))
        if not is_open and begin_ns <= t_ns:
            history.open(1, 1, begin_ns, "span", (0, 0))
            is_open = True
        if not is_closed and end_ns <= t_ns:
            history.close(1, 1, end_ns)
            is_closed = True
        flags = (0 if index else FIRST) | (DONE if index == len(steps) - 1 else 0)
        history.step(1, start_ns, busy_ns, ready_ns=gap_ns // 2, flags=flags)
    span, _ = closings_of(history)
    assert (expected_ns, end_ns - begin_ns) == (span.busy_ns, span.busy_ns + span.idle_ns)


def test_a_span_that_its_task_left_open() -> None:
    """It ends with its task, and says so."""
    history = History().birth(1).open(1, 1, 15, "checkout", (0, 0))
    history.step(1, 10, 10, flags=FIRST).step(1, 100, 50, site=1, flags=DONE)
    span, _ = closings_of(history)
    assert (55, 80, Flag.UNFINISHED) == (span.busy_ns, span.idle_ns, span.flags)


def test_a_span_outside_of_tasks() -> None:
    """Nothing can wait in it."""
    history = History().open(7, 1, 10, "setup", (0, 0)).close(7, 1, 30, flags=1)
    (span,) = closings_of(history)
    assert (20, 0, "", Flag.ERROR) == (span.busy_ns, span.idle_ns, span.task, span.flags)


def test_the_end_of_a_session() -> None:
    """In a step that still runs then, what its task waited before is not known: it counts as busy,
    as it does for the task."""
    history = History().birth(1).open(1, 1, 15, "checkout", (0, 0))
    history.step(1, 10, 10, flags=FIRST).close(1, 1, 130)
    span, task = closings_of(history, end_ns=200, live=[Live(1, 0, 20, False, True)])
    assert (115, 0) == (span.busy_ns, span.idle_ns)
    assert task.flags & Flag.UNFINISHED


def test_closed_by_somebody_else() -> None:
    """A span that is closed while its task waits has waited until then."""
    history = History().birth(1).open(1, 1, 15, "checkout", (0, 0))
    history.step(1, 10, 10, flags=FIRST).close(1, 1, 60).step(1, 100, 5, site=1, flags=DONE)
    span, _ = closings_of(history)
    assert (5, 40) == (span.busy_ns, span.idle_ns)
    history = History().birth(1).open(1, 1, 15, "checkout", (0, 0))
    history.step(1, 10, 10, flags=FIRST).close(1, 1, 60)
    span, _ = closings_of(history)
    assert (5, 40) == (span.busy_ns, span.idle_ns)


def test_the_filter() -> None:
    """A span that is not kept is not told of."""
    history = History().birth(1).open(1, 1, 15, "checkout", (0, 0)).close(1, 1, 16)
    history.step(1, 10, 10, flags=FIRST | DONE)
    (task,) = closings_of(history, keeps=lambda place, name: False)
    assert "checkout" != task.template.name


def test_not_more_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who take nothing do not fill the memory."""
    monkeypatch.setattr(_closings, "MOST", 3)
    history = History()
    for seq in range(1, 6):
        history.open(7, seq, 10, "span", (0, 0)).close(7, seq, 20)
    assembler = history.assembler()
    closings = assembler.note_closings()
    assembler.feed(0, bytes(history.data))
    assert (3, 2) == (len(list(iter(closings.take, None))), closings.dropped)
