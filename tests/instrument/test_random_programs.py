"""I2: whatever tasks do to each other, each step is recorded once, with true times and causes."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aperf._ids import SequentialIds
from aperf._pipeline import Assembler, Rules, Tables
from aperf._recorder import SLOT, Cold, Kind, StepFlag
from aperf.model import Category, Flag, Span, TimeAnchor
from tests.conftest import LOOPS
from tests.random_programs import Diary, World, programs
from tests.records import decode_ring
from tests.twins import IMPLEMENTATIONS, recorder_of
from tests.watched import Story, watched

if TYPE_CHECKING:
    from aperf._recorder import Recorder
    from tests.random_programs import Script

ENDS: Final = {
    "returned": 0,
    "failed": StepFlag.FAILED,
    "cancelled": StepFlag.CANCELLED,
}
OUTCOMES: Final = StepFlag.FAILED | StepFlag.CANCELLED


def recorded(
    program: list[Script], implementation: str, loop: str
) -> tuple[World, Recorder, bytes]:
    """Run a program; return it, the recorder, and all that was written."""
    recorder = recorder_of(implementation)(Cold(), ring_slots=1 << 14, manual_clock=True)
    world = World(program, recorder)
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner, watched(recorder, runner.get_loop()):
        runner.run(world.run())
    assert 0 == recorder.internal_errors
    assert 0 == recorder.dropped()
    assert [] == recorder.live()
    [(_, data)] = recorder.drain(1 << 20)
    return world, recorder, data


def compare(name: str, diary: Diary, story: Story) -> None:
    """Hold the records of a task against its diary."""
    birth, steps = story.birth(name), story.steps(name)
    assert diary.born_ns == birth.t_ns
    if diary.creator:
        assert diary.creator == story.creator(name)
    # One that was cancelled before it ran has no diary, but a step all the same.
    runs = diary.runs or [(steps[0].t_ns, steps[0].t_ns)]
    assert runs == [(step.t_ns, step.t_ns + step.busy_ns) for step in steps]
    assert [True] + [False] * (len(runs) - 1) == [bool(s.flags & StepFlag.FIRST) for s in steps]
    assert [False] * (len(runs) - 1) + [True] == [bool(s.flags & StepFlag.DONE) for s in steps]
    assert ENDS[diary.end] == steps[-1].flags & OUTCOMES
    for number, (waker, woken_ns) in diary.wakes.items():
        assert waker == story.names[steps[number].waker]
        assert steps[number].t_ns - woken_ns == steps[number].ready_ns


def check_order(story: Story) -> None:
    """Check what holds of all records: births first, nothing overlaps but what is nested."""
    born: dict[int, int] = {}
    ended_ns: dict[int, int] = {}
    for record in story.records:
        if record.kind is Kind.BIRTH:
            assert record.a not in born
            born[record.a] = ended_ns[record.a] = record.t_ns
        elif record.kind in (Kind.STEP, Kind.WIDE):
            assert record.task in born
            assert record.waker == 0 or record.waker in born
            gap_ns = record.t_ns - ended_ns[record.task]
            assert 0 <= record.ready_ns <= gap_ns
            ended_ns[record.task] = record.t_ns + record.busy_ns
    spans = [(step.t_ns, step.t_ns + step.busy_ns) for step in story.all_steps]
    for first in spans:
        for second in spans:
            apart = first[1] <= second[0] or second[1] <= first[0]
            inside = first[0] <= second[0] and second[1] <= first[1]
            around = second[0] <= first[0] and first[1] <= second[1]
            assert apart or inside or around


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@given(program=programs)
@settings(max_examples=40, deadline=None)
def test_i2_records_say_what_happened(
    implementation: str, loop: str, program: list[Script]
) -> None:
    """Births before steps, every step once with its exact times, one end, true causes."""
    world, _, data = recorded(program, implementation, loop)
    story = Story(decode_ring(data))
    check_order(story)
    for name, diary in world.diaries.items():
        compare(name, diary, story)


def assembled(recorder: Recorder, data: bytes, bite: int) -> list[Span]:
    """Turn records into spans, fed in bites of so many slots."""
    tables = Tables(recorder.resolve, recorder.cold.names.text)
    assembler = Assembler(tables, SequentialIds(), TimeAnchor(0, 0), Rules(segment_spans=1 << 30))
    for start in range(0, len(data), bite * SLOT):
        assembler.feed(0, data[start : start + bite * SLOT])
    batch = assembler.rows.take()
    return [] if batch is None else list(batch)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@given(program=programs, bite=st.integers(1, 40))
@settings(max_examples=25, deadline=None)
def test_i2_times_add_up(implementation: str, loop: str, program: list[Script], bite: int) -> None:
    """Busy, ready and waiting are the whole life, to the nanosecond; awaits fill the gaps."""
    world, recorder, data = recorded(program, implementation, loop)
    spans = assembled(recorder, data, bite)
    tasks = {span.task_name: span for span in spans if span.category is Category.TASK}
    awaits: defaultdict[int | None, list[Span]] = defaultdict(list)
    for span in spans:
        if span.category is Category.AWAIT:
            awaits[span.task_id].append(span)
    for name, diary in world.diaries.items():
        task = tasks[name]
        assert diary.born_ns == task.start_ns
        assert task.duration_ns == task.busy_ns + task.ready_ns + task.waiting_ns
        assert sum(end - start for start, end in diary.runs) == task.busy_ns
        assert max(len(diary.runs), 1) == task.steps
        assert (diary.end == "failed") == (Flag.ERROR in task.flags)
        gaps = [(a[1], b[0]) for a, b in zip(diary.runs, diary.runs[1:], strict=False)]
        assert gaps == [(wait.start_ns, wait.end_ns) for wait in awaits[task.task_id]]
        if diary.creator:
            assert tasks[diary.creator].span_id == task.parent_span_id
