"""Lanes, tasks that nobody saw born, and how all that is open comes to its end."""

from __future__ import annotations

from typing import Final

from aperf._recorder._layout import BirthFlag, Kind
from aperf.exporters._tracy._baseline import Baseline
from tests.tracy_map import (
    DONE,
    EAGER,
    FIRST,
    MS,
    MapTables,
    Script,
    fetch,
    get,
    lines,
    main,
    parse,
    sleep,
    tree,
    worker,
)

LANE: Final = 1


def test_lanes_are_used_again_lowest_first() -> None:
    """A task takes the first free lane at its birth and gives it back with its last step."""
    script = Script()
    for task in (1, 2, 3):
        script.birth(task, task, worker, f"Task-{task}")
    for task in (2, 1):
        script.step(task, 10 * (4 - task), 10 * (4 - task) + 5, flags=FIRST | DONE)
    script.birth(4, 50, fetch, "Task-4")
    script.step(4, 60, 70, flags=FIRST | DONE)
    script.step(3, 80, 90, flags=FIRST | DONE)
    fibers = script.finish().fibers
    assert ["1 35 worker 'Task-1'", "50 70 fetch 'Task-4'"] == tree(fibers[1])
    assert ["2 25 worker 'Task-2'"] == tree(fibers[2])
    assert ["3 90 worker 'Task-3'"] == tree(fibers[3])
    assert ["MainThread · lane 01", "MainThread · lane 02", "MainThread · lane 03"] == [
        fibers[number].name for number in (1, 2, 3)
    ]


def test_the_257th_task_is_drawn_on_the_thread() -> None:
    """Each of its steps is a zone there, with what the task did in it; waits are not drawn."""
    script = Script()
    for task in range(1, 257):
        script.birth(task, 0)
        script.step(task, 1, 1, worker, sleep, flags=FIRST)
    script.birth(300, 2, main, "Task-300")
    script.open(300, 1, 12, "request", main)
    script.attribute(300, 0, 13, "n", 2, b"\1")
    script.message(300, 14, "hello")
    script.step(300, 10, 20, main, sleep, flags=FIRST)
    script.step(300, 30, 40, flags=DONE)
    trace = script.finish(1_000)
    assert 256 == len(trace.fibers)
    zones = [line for line in tree(trace.threads[100]) if "iteration" not in line]
    assert [
        "  10 20 main 'Task-300\\nn=True'",
        "    12 20 request",
        "  30 40 main",
    ] == zones
    assert [("thread", 100)] == [message.row for message in trace.messages]


def test_each_loop_has_lanes_of_its_own() -> None:
    """They are called after the thread and are in its group."""
    script = Script()
    script.birth(1, 0, worker)
    script.birth(2, 0, fetch, ring=2)
    script.step(1, 10, 20, flags=FIRST | DONE)
    script.step(2, 10, 20, flags=FIRST | DONE, ring=2)
    trace = script.finish()
    assert [
        ("MainThread · lane 01", 1, ["0 20 worker"]),
        ("Other · lane 01", 3, ["0 20 fetch"]),
    ] == [(fiber.name, fiber.group, tree(fiber)) for fiber in trace.fibers.values()]
    assert [100, 102] == [fiber.regions[0].tid for fiber in trace.fibers.values()]


def test_a_task_may_run_on_another_thread_than_it_was_made_on() -> None:
    """It keeps its lane; the regions say where it ran."""
    script = Script()
    script.birth(1, 0, worker)
    script.step(1, 10, 20, worker, sleep, flags=FIRST, ring=2)
    script.step(1, 30, 40, flags=DONE, ring=2)
    trace = script.finish()
    assert {"MainThread · lane 01": ["0 40 worker", "  20 30 await sleep"]} == lines(
        trace.fibers.values()
    )
    assert [102, 102] == [region.tid for region in trace.fibers[LANE].regions]


def test_an_eager_task_runs_within_the_step_of_its_creator() -> None:
    """Its first step is drawn on its own lane, and it gets its name at the end."""
    script = Script()
    script.birth(1, 0, main)
    script.birth(2, 12, fetch)
    script.step(2, 12, 15, fetch, sleep, flags=FIRST | EAGER)
    script.put(Kind.NAME, 15, a=2, rest=b"Task-2")
    script.step(1, 10, 20, main, get, flags=FIRST)
    script.step(2, 30, 40, flags=DONE)
    script.step(1, 50, 60, flags=DONE)
    trace = script.finish()
    assert {
        "MainThread · lane 01": ["0 60 main", "  20 50 await Queue.get"],
        "MainThread · lane 02": ["12 40 fetch 'Task-2'", "  15 30 await sleep"],
        "MainThread": [f"{at} {at + 10} loop iteration" for at in (10, 30, 50)],
    } == lines((*trace.fibers.values(), *trace.threads.values()))


def test_a_task_without_code_has_the_name_of_its_coroutine() -> None:
    """Coroutines of compiled libraries have no code object."""
    script = Script()
    rest = bytes(32)
    ref = script.name("compiled.run")
    script.put(Kind.BIRTH, 5, flags=BirthFlag.UNCODED, ref=ref, a=1, rest=rest)
    script.step(1, 10, 20, flags=FIRST | DONE)
    assert ["5 20 compiled.run"] == tree(script.finish().fibers[LANE])


# ------------------------------------------------------------------------------------- unknown ones


def test_a_task_whose_birth_was_lost_is_made_up() -> None:
    """It is named after the outermost coroutine of its chain and begins when it became ready."""
    script = Script()
    script.step(1, 100, 200, fetch, parse, sleep, kept=2, ready_ns=10)
    script.step(1, 300, 400, flags=DONE)
    script.step(2, 500, 600, flags=DONE)
    assert [
        "90 400 fetch",
        "  90 400 parse",
        "    90 100 await unknown",
        "    200 300 await sleep",
        "500 600 (unknown)",
        "  500 500 await unknown",
    ] == tree(script.finish().fibers[LANE])


def test_the_birth_of_a_task_may_be_read_after_its_steps() -> None:
    """Where another thread made it. It gets its name then."""
    script = Script()
    script.step(1, 100, 200, fetch, sleep, flags=FIRST, ring=2)
    script.birth(1, 50, fetch, "Task-1")
    script.step(1, 300, 400, flags=DONE, ring=2)
    trace = script.finish()
    assert {"Other · lane 01": ["100 400 fetch 'Task-1'", "  200 300 await sleep"]} == lines(
        trace.fibers.values()
    )


def test_spans_of_a_task_whose_birth_was_lost_end_when_it_turns_up() -> None:
    """They were taken for those of a thread, which do not go on between steps."""
    script = Script()
    script.birth(9, 0)
    script.open(1, 1, 150, "request", main)
    script.step(1, 140, 200, main, sleep, flags=FIRST)
    script.close(1, 1, 350)
    script.step(1, 300, 400, flags=DONE)
    trace = script.finish()
    assert "150 150 request" in tree(trace.threads[100])


# ------------------------------------------------------------------------------------- the baseline


def baseline(
    *feeds: tuple[str, tuple[object, ...]], begin_ns: int = 1_000
) -> tuple[Baseline, MapTables]:
    """Return what is known after some records, and the tables that they used."""
    found, tables = Baseline(), MapTables()
    script = Script(tables=tables)
    script.feed = lambda data, ring=0: found.take(ring, data, tables)  # type: ignore[method-assign]
    for method, arguments in feeds:
        getattr(script, method)(*arguments)
    found.begin_ns = begin_ns
    return found, tables


def test_tasks_from_before_the_first_record_are_there_at_once() -> None:
    """They begin with the trace, have their names, and their spans are open."""
    known, tables = baseline(
        ("birth", (1, 10, main, "Task-1")), ("birth", (2, 2_000, fetch, "Task-2")),
        ("open", (1, 5, 20, "request", main)), ("open", (77, 6, 30, "of the thread", main)),
    )  # fmt: skip
    script = Script(tables=tables, baseline=known)
    script.close(1, 5, 3_050)
    script.step(1, 3_000, 3_100, main, sleep, kept=1)
    trace = script.finish(9_000)
    assert {
        "MainThread · lane 01": [
            "1000 9000 main 'Task-1'",
            "  1000 3050 request",
            "    3000 3000 await unknown",
        ],
        "MainThread · lane 02": ["2000 9000 fetch 'Task-2'"],
        "MainThread": ["1000 9000 of the thread", "  3000 3100 loop iteration"],
    } == lines((*trace.fibers.values(), *trace.threads.values()))


def test_a_task_from_before_was_suspended_since_the_first_record() -> None:
    """Its first step tells where, and which coroutines it had been in."""
    known, tables = baseline(("birth", (1, 10, main, "Task-1")), ("birth", (2, 11, fetch)))
    script = Script(tables=tables, baseline=known)
    script.step(2, 2_000, 2_100, flags=DONE)
    script.step(1, 3_000, 3_100, main, fetch, sleep, kept=2, was=tables.site(main, fetch, get))
    script.step(1, 3_500, 3_600, flags=DONE)
    assert [
        "1000 3600 main 'Task-1'",
        "  2000 3600 fetch",
        "    2000 3000 await Queue.get",
        "    3100 3500 await sleep",
    ] == tree(script.finish().fibers[LANE])


def test_a_task_that_never_runs_shows_what_it_waits_for() -> None:
    """The recorder knows; it is asked once all records that there are were drawn."""
    known, tables = baseline(("birth", (1, 10, main, "Task-1")))
    tables.alive = [(1, tables.site(main, get), 500, False, False)]
    script = Script(tables=tables, baseline=known)
    script.mapper.sample(200 * MS)
    assert ["1000 None main 'Task-1'", "  1000 None await Queue.get"] == tree(
        script.so_far().fibers[LANE]
    )
    script.step(1, 300 * MS, 301 * MS, flags=DONE)
    assert [
        f"1000 {301 * MS} main 'Task-1'",
        f"  1000 {300 * MS} await Queue.get",
    ] == tree(script.finish().fibers[LANE])


def test_nothing_is_before_the_begin_of_the_trace() -> None:
    """An end before it would be read as open: late records are drawn at the begin."""
    known, tables = baseline(begin_ns=1_000)
    script = Script(tables=tables, baseline=known)
    script.birth(1, 100, main)
    script.step(1, 200, 300, main, sleep, flags=FIRST)
    script.step(1, 400, 1_500, flags=DONE)
    script.message(0, 10, "early")
    trace = script.finish()
    assert ["1000 1500 main", "  1000 1000 await sleep"] == tree(trace.fibers[LANE])
    assert 1_000 == trace.messages[0].t_ns
    assert [1_000, 1_000] == [region.start_ns for region in trace.fibers[LANE].regions]


# ------------------------------------------------------------------------------------------ endings


def test_an_abandoned_task_ends_where_it_was_destroyed() -> None:
    """Its lane is free then."""
    script = Script()
    script.birth(1, 0, main)
    script.step(1, 10, 20, main, fetch, sleep, flags=FIRST)
    script.put(Kind.ABANDON, 500, a=1)
    script.put(Kind.ABANDON, 500, a=9)
    script.birth(2, 600, parse)
    script.step(2, 610, 620, flags=FIRST | DONE)
    assert ["0 500 main", "  10 500 fetch", "600 620 parse"] == tree(script.finish().fibers[LANE])


def test_steps_of_a_task_that_was_abandoned_on_another_thread_are_left_out() -> None:
    """They are read after its end; nobody is made up for them."""
    script = Script()
    script.birth(1, 0, main)
    script.step(1, 10, 20, main, sleep, flags=FIRST)
    script.put(Kind.ABANDON, 500, a=1, ring=1)
    script.step(1, 30, 40, main, sleep, kept=1)
    trace = script.finish(900)
    assert [["0 500 main"]] == [tree(fiber) for fiber in trace.fibers.values()]


def test_tasks_whose_end_was_lost_are_ended() -> None:
    """After a loss the recorder is asked who is alive, twice, so that records can come."""
    script = Script()
    for task in (1, 2):
        script.birth(task, 0, main)
        script.step(task, 10, 20, main, sleep, flags=FIRST)
    script.put(Kind.LOST, 100, a=3)
    script.tables.alive = [(2, 0, 20, False, False)]
    script.mapper.sample(1_000)
    assert "0 None main" == tree(script.so_far().fibers[1])[0]
    script.mapper.sample(1_000 + 2_000 * MS)
    trace = script.so_far()
    assert f"0 {1_000 + 2_000 * MS} main" == tree(trace.fibers[1])[0]
    assert "0 None main" == tree(trace.fibers[2])[0]
    assert [1] == [trace.plot("live tasks").points[-1].value]


def test_finish_closes_everything() -> None:
    """Also a step whose chain has not come, spans, iterations, and what was kept for a job."""
    script = Script()
    script.birth(1, 0, main)
    script.open(1, 1, 15, "request", main)
    script.step(1, 10, 20, flags=FIRST)
    script.open(70, 1, 30, "in a job", parse, ring=1)
    trace = script.finish(100)
    assert {
        "MainThread · lane 01": ["0 100 main", "  15 100 request"],
        "MainThread": ["10 20 loop iteration"],
        "pool_0": ["30 100 in a job"],
    } == lines((*trace.fibers.values(), *trace.threads.values()))


def test_a_gap_closes_everything_and_begins_anew() -> None:
    """What is open ends there; what lives after it is drawn from there on; a message says so."""
    known, tables = baseline()
    script = Script(tables=tables, baseline=known)
    script.birth(1, 1_000, main, "Task-1")
    script.open(1, 1, 1_015, "request", main)
    script.step(1, 1_010, 1_020, main, sleep, flags=FIRST)
    script.step(1, 1_030, 1_040)
    after, _ = baseline(("birth", (1, 10, main, "Task-1")), ("birth", (2, 11, fetch, "Task-2")))
    known.assign(after)
    script.mapper.gap(5_000, 12)
    script.step(1, 6_000, 6_100, main, sleep, kept=1)
    trace = script.finish(9_000)
    assert {
        "MainThread · lane 01": [
            "1000 5000 main 'Task-1'",
            "  1015 5000 request",
            "    1020 1030 await sleep",
            "5000 9000 main 'Task-1'",
            "  6000 6000 await unknown",
        ],
        "MainThread · lane 02": ["5000 9000 fetch 'Task-2'"],
    } == lines(trace.fibers.values())
    assert ["aperf: the viewer was too slow; 12 records were left out here"] == [
        message.text for message in trace.messages
    ]


def test_lost_records_are_a_message() -> None:
    """It says how many."""
    script = Script()
    script.put(Kind.LOST, 100, a=3)
    [message] = script.finish().messages
    assert ("aperf: 3 records were lost here", 3) == (message.text, message.severity)
