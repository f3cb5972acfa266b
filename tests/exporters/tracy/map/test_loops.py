"""What is drawn on threads: iterations of loops, what blocked them, jobs of executors, plots."""

from __future__ import annotations

import struct

from aperf._recorder._layout import Kind, PlotFlag
from tests.tracy_map import DONE, EAGER, FIRST, MS, Script, fetch, lines, main, parse, sleep, tree

LOOP, POOL = 100, 101


def test_steps_that_were_woken_before_an_iteration_are_in_it() -> None:
    """A step of a task that was woken since its begin begins the next one."""
    script = Script()
    for task in (1, 2):
        script.birth(task, 0)
    script.step(1, 100, 110, main, sleep, flags=FIRST, ready_ns=100)
    script.step(2, 120, 130, main, sleep, flags=FIRST, ready_ns=119)
    script.step(1, 140, 150, main, sleep, kept=1, ready_ns=20)
    script.step(2, 160, 170, main, sleep, kept=1, ready_ns=25)
    script.step(1, 180, 190, flags=DONE, ready_ns=30)
    assert ["100 130 loop iteration", "140 170 loop iteration", "180 190 loop iteration"] == tree(
        script.finish().threads[LOOP]
    )


def test_eager_steps_are_part_of_other_steps() -> None:
    """They neither begin an iteration nor are steps of one."""
    script = Script()
    for task in (1, 2):
        script.birth(task, 0)
    script.step(2, 120, 125, main, sleep, flags=FIRST | EAGER)
    script.step(1, 100, 130, main, sleep, flags=FIRST)
    script.step(1, 200, 210, flags=DONE)
    trace = script.finish()
    assert ["100 130 loop iteration", "200 210 loop iteration"] == tree(trace.threads[LOOP])


def test_the_last_iteration_of_an_idle_loop_is_drawn_soon() -> None:
    """It ends where the last step did, and is drawn 20 ms after that at the latest."""
    script = Script()
    script.birth(1, 0)
    script.step(1, 100, 110, main, sleep, flags=FIRST)
    script.mapper.sample(110 + 20 * MS - 1)
    assert [] == tree(script.so_far().threads[LOOP])
    script.mapper.sample(110 + 20 * MS)
    assert ["100 110 loop iteration"] == tree(script.so_far().threads[LOOP])
    script.finish()


def test_a_step_of_50_ms_blocks_the_loop() -> None:
    """It is a red zone in the iteration, named after the task's coroutine, and a warning."""
    script = Script()
    script.birth(1, 0, main, "Task-1")
    script.step(1, 100, 100 + 50 * MS - 1, main, fetch, sleep, flags=FIRST)
    script.step(1, 60 * MS, 110 * MS, main, sleep, kept=1)
    script.step(1, 120 * MS, 120 * MS + 1, flags=DONE)
    trace = script.finish()
    [_, second, _] = trace.threads[LOOP].zones
    [blocked] = second.children
    assert ("blocked by main", 0xD03030, "Task-1 (main)") == (
        blocked.name, blocked.color, blocked.text,
    )  # fmt: skip
    assert (60 * MS, 110 * MS) == (blocked.start_ns, blocked.end_ns)
    assert ["sleep", "fetch", "main"] == [frame.function for frame in blocked.stack]
    [message] = trace.messages
    assert ("the loop was blocked for 50 ms by Task-1 (main)", 3, 0xD03030) == (
        message.text, message.severity, message.color,
    )  # fmt: skip


def test_plots_show_how_late_and_how_full_the_loop_was() -> None:
    """The longest delay and the largest number of ready tasks since the last point."""
    script = Script()
    for task in (1, 2):
        script.birth(task, 0)
    script.step(1, 2 * MS, 2 * MS + 1, main, sleep, flags=FIRST, ready_ns=2 * MS)
    script.step(2, 2 * MS + 2, 2 * MS + 3, main, sleep, flags=FIRST, ready_ns=3 * MS)
    script.step(1, 9 * MS, 9 * MS + 1, flags=DONE, ready_ns=1_000)
    script.step(2, 19 * MS, 19 * MS + 1, flags=DONE, ready_ns=1_000)
    trace = script.finish()
    delay, ready = trace.plot("loop delay, ms (MainThread)"), trace.plot("ready tasks (MainThread)")
    assert [(2 * MS, 3.0), (9 * MS, 0.001), (19 * MS, 0.001)] == [
        (point.t_ns, round(point.value, 9)) for point in delay.points
    ]
    assert [2, 1, 1] == [point.value for point in ready.points]
    live = trace.plot("live tasks").points
    assert [1, 2, 1, 0] == [point.value for point in live if point.t_ns or point.value]


# --------------------------------------------------------------------------------------------- jobs


def test_a_job_is_a_zone_on_its_thread() -> None:
    """Its text names the task that asked for it; how long it had waited is plotted."""
    script = Script()
    script.birth(1, 0, main, "Task-1")
    script.job(1, 100, 50, fetch, queue_ns=2 * MS)
    script.job(0, 200, 50, parse)
    trace = script.finish()
    assert ["100 150 fetch 'for Task-1 (main)'", "200 250 parse"] == tree(trace.threads[POOL])
    queue = trace.plot("executor queue delay, ms").points
    assert [(100, 2.0), (200, 0.0)] == [tuple(point) for point in queue]


def test_spans_in_a_job_are_in_its_zone() -> None:
    """They are recorded before it is, and are kept until then; a span that stays open goes on."""
    script = Script()
    script.open(50, 1, 90, "before", main, ring=1)
    script.close(50, 1, 95, ring=1)
    script.open(50, 2, 110, "in the job", main, ring=1)
    script.close(50, 2, 120, ring=1)
    script.open(50, 3, 130, "stays", main, ring=1)
    script.job(0, 100, 50, fetch)
    script.close(50, 3, 220, ring=1)
    script.job(0, 210, 30, parse)
    assert [
        "90 95 before",
        "100 150 fetch",
        "  110 120 in the job",
        "  130 150 stays",
        "150 220 stays",
        "  210 220 parse",
        "220 240 parse",
    ] == tree(script.finish().threads[POOL])


def test_a_thread_without_jobs_shows_its_spans_soon() -> None:
    """What it did is kept for 100 ms only; of a thread that runs jobs, until the job ends."""
    script = Script()
    script.open(50, 1, 10, "work", main, ring=2)
    script.mapper.sample(10 + 100 * MS - 1)
    assert [] == [zone.name for zone in script.so_far().zones()]
    script.mapper.sample(10 + 100 * MS)
    assert ["work"] == [zone.name for zone in script.so_far().zones()]
    script.job(0, 20, 5, fetch)
    script.open(60, 2, 40, "in a long job", main, ring=1)
    script.mapper.sample(900 * MS)
    assert ["work", "fetch"] == sorted((z.name for z in script.so_far().zones()), reverse=True)
    script.job(0, 30, 900 * MS, parse)
    assert [
        "20 25 fetch",
        "30 900000030 parse",
        "  40 900000030 in a long job",
        "900000030 901000000 in a long job",
    ] == tree(script.finish(901 * MS).threads[POOL])


def test_what_is_kept_of_a_thread_is_bounded() -> None:
    """A job that does more has it drawn beside it."""
    script = Script()
    for number in range(1, 1_200):
        script.open(50, number, 100 + number, "many", main, ring=1)
        script.close(50, number, 100 + number, ring=1)
    assert 1_000 == len(list(script.so_far().zones()))
    script.finish()


# ------------------------------------------------------------------------------------------- others


def test_values_that_the_program_plots() -> None:
    """Integers are exact, floats too; the first value of a name says how it is drawn."""
    script = Script()
    for t_ns, flags, value in (
        (1, PlotFlag.MEMORY, 1 << 40),
        (2, PlotFlag.MEMORY, -5),
        (3, PlotFlag.MEMORY | PlotFlag.FLOAT, int.from_bytes(struct.pack("<d", 0.25), "little")),
    ):
        script.put(Kind.PLOT, t_ns, flags=flags, ref=script.name("cache"), a=value)
    for name, flags in (("share", PlotFlag.PERCENTAGE), ("count", PlotFlag(0))):
        script.put(Kind.PLOT, 4, flags=flags, ref=script.name(name))
    trace = script.finish()
    cache = trace.plot("cache")
    assert [(1, 1 << 40), (2, -5), (3, 0.25)] == [tuple(point) for point in cache.points]
    formats = {plot.name: plot.config.format for plot in trace.plots if plot.config is not None}
    assert ("memory", "percentage", "number") == (
        formats["cache"], formats["share"], formats["count"],
    )  # fmt: skip


def test_the_process_is_plotted_with_each_sample() -> None:
    """Its garbage collections, and its memory where the system tells."""
    script = Script()
    script.mapper.sample(1_000)
    trace = script.finish()
    assert [1_000] == [point.t_ns for point in trace.plot("garbage collections").points]
    assert "memory" == getattr(trace.plot("resident memory").config, "format", "")


def test_samples_of_running_threads_are_call_stacks() -> None:
    """What is not known of a place, or of a thread, is left out."""
    script = Script()
    script.put(Kind.SAMPLE, 10, ref=script.tables.site(main, fetch), a=100)
    script.put(Kind.SAMPLE, 20, ref=0, a=100)
    script.put(Kind.SAMPLE, 30, ref=script.tables.site(main), a=999)
    [sample] = script.finish().samples
    assert (10, 100, ["fetch", "main"]) == (
        sample.t_ns, sample.tid, [frame.function for frame in sample.stack],
    )  # fmt: skip


def test_threads_whose_identifier_is_used_again_are_different_rows() -> None:
    """Systems reuse identifiers; viewers must not."""
    script = Script()
    script.tables._threads = [(7, "a"), (7, "b"), (8, "c")]
    for ring in range(3):
        script.job(0, 10 + ring, 5, fetch, ring=ring)
    trace = script.finish()
    assert {"a": ["10 15 fetch"], "b": ["11 16 fetch"], "c": ["12 17 fetch"]} == lines(
        trace.threads.values()
    )
