"""Tasks on lanes: their zones, the coroutines in them, and what they wait for."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest

from tests.tracy_map import (
    CANCELLED,
    DONE,
    FIRST,
    MS,
    Script,
    fetch,
    get,
    main,
    named,
    parse,
    sleep,
    tree,
    worker,
)

LANE: Final = 1


def begun(script: Script, *at: Any) -> None:
    """Have task 1 run until 300 and wait somewhere, directly by default."""
    script.birth(1, 100, main, "Task-1")
    script.step(1, 200, 300, *(at or (main, sleep)), flags=FIRST)


def test_a_task_is_a_zone_with_its_name_as_text() -> None:
    """It begins at its birth, ends with its last step, and waits are zones in it."""
    script = Script()
    begun(script)
    script.step(1, 900, 1_000, flags=DONE)
    trace = script.finish()
    assert ["100 1000 main 'Task-1'", "  300 900 await sleep"] == tree(trace.fibers[LANE])
    [zone] = trace.fibers[LANE].zones
    code = main.__code__
    assert (code.co_filename, code.co_firstlineno) == (zone.file, zone.line)


def test_a_lane_runs_while_its_task_does() -> None:
    """Each step is a region in which the lane runs, on the thread of the loop."""
    script = Script()
    begun(script)
    script.step(1, 900, 1_000, flags=DONE)
    trace = script.finish()
    assert [(200, 300, 100), (900, 1_000, 100)] == [tuple(r) for r in trace.fibers[LANE].regions]
    assert ("MainThread · lane 01", 1) == (trace.fibers[LANE].name, trace.fibers[LANE].group)


def test_a_coroutine_that_stays_suspended_is_one_zone() -> None:
    """It is around all waits that it was suspended in, and ends with the step in which it did."""
    script = Script()
    begun(script, main, fetch, sleep)
    script.step(1, 400, 500, main, fetch, sleep, kept=2)
    script.step(1, 600, 700, main, sleep, kept=1)
    script.step(1, 800, 900, flags=DONE)
    assert [
        "100 900 main 'Task-1'",
        "  200 700 fetch",
        "    300 400 await sleep",
        "    500 600 await sleep",
        "  700 800 await sleep",
    ] == tree(script.finish().fibers[LANE])


def test_the_same_function_called_again_is_another_zone() -> None:
    """Re-entered from the same line, a coroutine is told from the one before by what was kept."""
    script = Script()
    begun(script, main, fetch, sleep)
    script.step(1, 400, 500, main, fetch, sleep, kept=1)
    script.step(1, 600, 700, flags=DONE)
    assert [
        "100 700 main 'Task-1'",
        "  200 400 fetch",
        "    300 400 await sleep",
        "  400 700 fetch",
        "    500 600 await sleep",
    ] == tree(script.finish().fibers[LANE])


def test_coroutines_nest_as_they_await_each_other() -> None:
    """Inner ones come and go within those that stay; several can begin in a step."""
    script = Script()
    begun(script, main, fetch, parse, sleep)
    script.step(1, 400, 500, main, fetch, sleep, kept=2)
    script.step(1, 600, 700, main, worker, parse, sleep, kept=1)
    script.step(1, 800, 900, flags=DONE)
    assert [
        "100 900 main 'Task-1'",
        "  200 600 fetch",
        "    200 500 parse",
        "      300 400 await sleep",
        "    500 600 await sleep",
        "  600 900 worker",
        "    600 900 parse",
        "      700 800 await sleep",
    ] == tree(script.finish().fibers[LANE])


def test_wrappers_and_library_coroutines_are_not_drawn() -> None:
    """What only runs another coroutine is looked through; how the library waits is the wait."""
    wrapper = named("run.<locals>.wrapper", "/x/uvloop/__init__.py")
    script = Script()
    script.birth(1, 0, fetch)
    script.step(1, 10, 20, wrapper, fetch, parse, asyncio.Lock.acquire, flags=FIRST)
    script.step(1, 30, 40, flags=DONE)
    assert ["0 40 fetch", "  10 40 parse", "    20 30 await Lock.acquire"] == tree(
        script.finish().fibers[LANE]
    )


def test_without_a_chain_the_wait_is_named_by_the_step() -> None:
    """The record of where the task is suspended was lost; that of the step says what it was."""
    script = Script()
    script.birth(1, 0, main)
    script.step(1, 10, 20, flags=FIRST)
    script.step(1, 30, 40, main, sleep, was=script.tables.site(get, hint=0))
    script.step(1, 50, 60, flags=DONE)
    assert ["0 60 main", "  20 30 await Queue.get", "  40 50 await sleep"] == tree(
        script.finish().fibers[LANE]
    )


def test_a_lost_chain_leaves_coroutines_open_until_the_next_one() -> None:
    """Nothing is known of them in between."""
    script = Script()
    begun(script, main, fetch, sleep)
    script.step(1, 400, 500, was=script.tables.site(get, hint=0))
    script.step(1, 600, 700, main, parse, sleep, was=script.tables.site(get, hint=0))
    script.step(1, 800, 900, flags=DONE)
    assert [
        "100 900 main 'Task-1'",
        "  200 600 fetch",
        "    300 400 await sleep",
        "    500 600 await Queue.get",
        "  600 900 parse",
        "    700 800 await sleep",
    ] == tree(script.finish().fibers[LANE])


@pytest.mark.parametrize("ready_ns", [0, 49_999])
def test_a_short_wait_is_one_plain_zone(ready_ns: int) -> None:
    """Below a millisecond there is no stack, below 50 µs nothing is said of being ready."""
    script = Script()
    begun(script)
    script.step(1, 300 + MS - 1, 2 * MS, ready_ns=ready_ns, flags=DONE)
    [zone] = script.finish().fibers[LANE].zones
    [wait] = zone.children
    assert (("await sleep", "", (), ())) == (wait.name, wait.text, wait.children, wait.stack)


def test_a_long_wait_carries_its_await_chain() -> None:
    """From a millisecond on the whole chain is its call stack, innermost first."""
    script = Script()
    begun(script, main, fetch, sleep)
    script.step(1, 300 + MS, 2 * MS, flags=DONE)
    [zone] = script.finish().fibers[LANE].zones
    [wait] = zone.children[0].children
    assert ["sleep", "fetch", "main"] == [frame.function for frame in wait.stack]


def test_a_long_wait_says_who_ended_it() -> None:
    """The text names the task that woke it, also one that ended in doing so."""
    script = Script()
    begun(script)
    script.birth(2, 400, fetch, "Task-2")
    script.step(2, 500, 600, flags=FIRST | DONE)
    script.step(1, 2 * MS, 3 * MS, main, sleep, kept=1, waker=2)
    script.step(1, 6 * MS, 7 * MS, main, sleep, kept=1, waker=1)
    script.step(1, 9 * MS, 10 * MS, flags=DONE, waker=99)
    [zone] = script.finish().fibers[LANE].zones
    assert ["woken by Task-2 (fetch)", "", ""] == [wait.text for wait in zone.children]


def test_ready_zones_show_how_long_a_woken_task_did_not_run() -> None:
    """50 µs and more are a zone at the end of the wait."""
    script = Script()
    begun(script)
    script.step(1, 400_000, 500_000, ready_ns=50_000, flags=DONE)
    trace = script.finish()
    assert [
        "100 500000 main 'Task-1'",
        "  300 400000 await sleep",
        "    350000 400000 ready",
    ] == tree(trace.fibers[LANE])


def test_being_ready_does_not_begin_before_the_wait() -> None:
    """What a record says of the time before is cut."""
    script = Script()
    begun(script)
    script.step(1, 60_000, 70_000, ready_ns=90_000, flags=DONE)
    assert "    300 60000 ready" == tree(script.finish().fibers[LANE])[2]


def test_colours_tell_kinds_of_waits() -> None:
    """Contention is red, queues are ochre, time is grey."""
    script = Script()
    begun(script, main, asyncio.Lock.acquire)
    script.step(1, 400, 500, main, get, kept=1)
    script.step(1, 600, 700, main, sleep, kept=1)
    script.step(1, 800, 900, flags=DONE)
    [zone] = script.finish().fibers[LANE].zones
    assert [0xA04040, 0x94702E, 0x4A4A5C] == [wait.color for wait in zone.children]


def test_a_wait_that_lasts_is_drawn_before_it_ends() -> None:
    """From 100 ms on it is open, with its stack; it ends with the step after it."""
    script = Script()
    begun(script)
    script.mapper.sample(300 + 100 * MS - 1)
    assert ["100 None main 'Task-1'"] == tree(script.so_far().fibers[LANE])
    script.mapper.sample(300 + 100 * MS)
    assert ["100 None main 'Task-1'", "  300 None await sleep"] == tree(
        script.so_far().fibers[LANE]
    )
    script.step(1, 200 * MS, 201 * MS, main, get, kept=1, ready_ns=MS)
    script.step(1, 202 * MS, 203 * MS, flags=DONE)
    trace = script.finish()
    assert [
        "100 203000000 main 'Task-1'",
        "  300 200000000 await sleep",
        "    199000000 200000000 ready",
        "  201000000 202000000 await Queue.get",
    ] == tree(trace.fibers[LANE])
    assert 2 == len(trace.fibers[LANE].zones[0].children[0].stack)


def test_a_cancelled_task_says_so() -> None:
    """The text comes at the end, below the name."""
    script = Script()
    begun(script)
    script.step(1, 400, 500, flags=DONE | CANCELLED)
    assert "100 500 main 'Task-1\\ncancelled'" == tree(script.finish().fibers[LANE])[0]


def test_a_failed_task_is_a_message_on_its_lane() -> None:
    """It says which task failed, and how, as an error."""
    script = Script()
    begun(script)
    script.failure(1, 450, "ValueError\0no good")
    script.step(1, 400, 500, flags=DONE)
    [message] = script.finish().messages
    assert (450, ("fiber", LANE), "Task-1 (main) failed: ValueError: no good", 4) == (
        message.t_ns, message.row, message.text, message.severity,
    )  # fmt: skip


def test_steps_of_large_numbers_are_steps() -> None:
    """A step of hours does not fit into the narrow record."""
    script = Script()
    script.birth(1, 0, main)
    script.step(1, 10, 10 + (1 << 33), flags=FIRST | DONE, ready_ns=1 << 34)
    assert [f"0 {10 + (1 << 33)} main"] == tree(script.finish().fibers[LANE])


def test_an_event_may_be_cut_between_two_pieces() -> None:
    """Its rest comes with the next piece of the same ring, whatever comes in between."""
    script = Script()
    records = bytearray()
    plain = script.feed
    script.feed = lambda data, ring=0: records.extend(data)  # type: ignore[method-assign]
    script.birth(1, 0, main, "a name that is longer than sixteen bytes")
    script.step(1, 10, 20, main, sleep, flags=FIRST)
    script.step(1, 30, 40, flags=DONE)
    script.feed = plain  # type: ignore[method-assign]
    for start in range(0, len(records), 32):
        script.feed(bytes(records[start : start + 32]))
        script.job(0, 5, 1, fetch)
    assert [
        "0 40 main 'a name that is longer than sixteen bytes'",
        "  20 30 await sleep",
    ] == tree(script.finish().fibers[LANE])


def test_records_of_future_kinds_are_skipped() -> None:
    """They end a step like any other record."""
    script = Script()
    begun(script)
    script.put(200, 350, rest=bytes(40))
    script.step(1, 400, 500, flags=DONE)
    assert ["100 500 main 'Task-1'", "  300 400 await sleep"] == tree(script.finish().fibers[LANE])
