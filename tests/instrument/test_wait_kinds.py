from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import uvloop

from aperf._pipeline._waits import Wait, classify_wait
from aperf._recorder import _py
from aperf._recorder._cold import Cold
from aperf._recorder._layout import HEADER, NARROW, SLOT, BirthFlag, Kind, StepFlag
from tests.wait_scenarios import SCENARIOS, Said, Scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
#: From which wait on the whole await chain is recorded: never, always.
STACKS = {"ends": 1 << 62, "chain": 0}


def implementations() -> dict[str, Any]:
    """Return the recorders there are."""
    found: dict[str, Any] = {"python": _py.Recorder}
    try:
        found["c"] = importlib.import_module("aperf._recorder._core").Recorder
    except ImportError:
        pass
    return found


RECORDERS = implementations()


class Record(NamedTuple):
    kind: int
    flags: int
    ref: int
    task: int


def records_of(recorder: Any) -> Iterator[Record]:
    """Yield what a recorder recorded (of this thread, in order)."""
    for _, data in recorder.drain(1 << 20):
        at = 0
        while at < len(data):
            _, kind, slots, flags, ref, task, _ = HEADER.unpack_from(data, at)
            if kind == Kind.STEP:
                task = NARROW.unpack_from(data, at)[5]
            yield Record(kind, flags, ref, task)
            at += slots * SLOT


def waits_of(scenario: Scenario, recorder: Any, new_loop: Any) -> list[Wait]:
    """Run a program and return what its task waited for."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        loop: Any = runner.get_loop()
        hook = recorder.hook(loop)
        loop.create_task, loop.call_soon = hook.create_task, hook.call_soon
        hook.armed = recorder.armed = True
        runner.run(scenario.run())
        hook.armed = recorder.armed = False
    records = list(records_of(recorder))
    code = scenario.run.__code__
    [task] = [
        record.task
        for record in records
        if record.kind == Kind.BIRTH
        and not record.flags & BirthFlag.UNCODED
        and recorder.resolve(record.ref)[2][0][0] is code
    ]
    return [
        classify_wait(recorder.resolve(record.ref))
        for record in records
        if record.kind in (Kind.STEP, Kind.WIDE)
        and record.task == task
        and not record.flags & StepFlag.FIRST
    ]


def said(waits: list[Wait], scenario: Scenario) -> set[Said]:
    """Return kinds and names of the waits at the place in question."""
    there = {(wait.kind, wait.name) for wait in waits if wait.place == scenario.place}
    if scenario.said[0] != "yield":
        # anyio lets others run before it really waits.
        there -= {("yield", "await sleep(0)")}
    return there


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("implementation", RECORDERS)
def test_kind_name_and_place(
    scenario: Scenario, stack: str, loop: str, implementation: str
) -> None:
    """Of every way to wait, kind, name and the line in the user's own code are told."""
    recorder = RECORDERS[implementation](Cold(), stack_min_ns=STACKS[stack])
    waits = waits_of(scenario, recorder, LOOPS[loop])
    expected = scenario.uvloop if loop == "uvloop" else scenario.said
    found = said(waits, scenario)
    assert expected in found, waits
    if not scenario.among:
        assert {expected} == found
    assert recorder.internal_errors == 0
