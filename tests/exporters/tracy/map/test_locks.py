"""Locks: lanes stand for threads, and a viewer never gets what it does not survive."""

from __future__ import annotations

import pytest

from aperf._recorder._layout import LockFlag, LockOp
from tests.tracy_map import FIRST, MS, Script, fetch, main, sleep

ANNOUNCE, WAIT, OBTAIN = int(LockOp.ANNOUNCE), int(LockOp.WAIT), int(LockOp.OBTAIN)
RELEASE, GIVE_UP, TERMINATE = int(LockOp.RELEASE), int(LockOp.GIVE_UP), int(LockOp.TERMINATE)
SHARED, OF_THREAD = int(LockFlag.SHARED), int(LockFlag.OF_THREAD)

LOCK = 1 << 40  #: numbers of locks are not those of the viewer, which have 32 bits


def script_of(tasks: int = 3) -> Script:
    """Return a program with tasks that have lanes."""
    script = Script()
    for task in range(1, tasks + 1):
        script.birth(task, task, main, f"Task-{task}")
        script.step(task, 10, 11, main, sleep, flags=FIRST)
    return script


def told(script: Script) -> list[tuple[int, str, str]]:
    """End a program, and return what happened to its only lock: when, what, who."""
    trace = script.finish()
    [lock] = trace.locks
    names = {tid: row.name.removeprefix("MainThread · ") for tid, row in trace.threads.items()}
    return [(event.t_ns, event.operation, names[event.tid]) for event in lock.events]


def do(script: Script, *deeds: tuple[int, int, int], flags: int = 0) -> None:
    """Do something to the lock: (when, what, who)."""
    for t_ns, operation, owner in deeds:
        script.lock(LOCK, t_ns, operation | flags, owner)


def test_waits_and_holds_are_those_of_lanes() -> None:
    """Each lane is a thread of the same name."""
    script = script_of()
    script.lock(LOCK, 20, ANNOUNCE, 1, name="Lock at app.py:1")
    do(script, (20, WAIT, 1), (25, OBTAIN, 1), (30, WAIT, 2), (40, RELEASE, 1), (41, OBTAIN, 2),
       (50, RELEASE, 2))  # fmt: skip
    assert [
        (20, "wait", "lane 01"),
        (25, "obtain", "lane 01"),
        (30, "wait", "lane 02"),
        (40, "release", "lane 01"),
        (41, "obtain", "lane 02"),
        (50, "release", "lane 02"),
    ] == told(script)


def test_who_held_a_lock_before_it_was_contended_is_in_order() -> None:
    """That is recorded at the release, dated back to the announcement."""
    script = script_of()
    script.lock(LOCK, 20, ANNOUNCE, 2, name="Lock")
    do(script, (21, WAIT, 2), (30, WAIT, 3), (20, WAIT, 1), (20, OBTAIN, 1), (40, RELEASE, 1),
       (41, OBTAIN, 2), (50, RELEASE, 2), (51, OBTAIN, 3), (60, RELEASE, 3))  # fmt: skip
    assert [
        (20, "wait", "lane 01"),
        (20, "obtain", "lane 01"),
        (21, "wait", "lane 02"),
        (30, "wait", "lane 03"),
        (40, "release", "lane 01"),
        (41, "obtain", "lane 02"),
        (50, "release", "lane 02"),
        (51, "obtain", "lane 03"),
        (60, "release", "lane 03"),
    ] == told(script)


def test_waits_for_a_lock_that_nobody_releases_are_drawn_meanwhile() -> None:
    """After 100 ms; who holds it is drawn from then on."""
    script = script_of()
    script.lock(LOCK, 20, ANNOUNCE, 2, name="Lock")
    do(script, (21, WAIT, 2))
    script.mapper.sample(21 + 100 * MS - 1)
    assert 0 == len(script.so_far().locks[0].events)
    script.mapper.sample(21 + 100 * MS)
    assert 1 == len(script.so_far().locks[0].events)
    do(script, (20, WAIT, 1), (20, OBTAIN, 1), (200 * MS, RELEASE, 1), (201 * MS, OBTAIN, 2))
    assert [
        (21, "wait", "lane 02"),
        (21, "wait", "lane 01"),
        (21, "obtain", "lane 01"),
        (200 * MS, "release", "lane 01"),
        (201 * MS, "obtain", "lane 02"),
    ] == told(script)[:5]


def test_a_wait_that_is_given_up_ends() -> None:
    """As a hold of no duration, in which whoever holds it has let it go."""
    script = script_of()
    script.lock(LOCK, 20, ANNOUNCE, 1, name="Lock")
    do(script, (20, WAIT, 1), (21, OBTAIN, 1), (22, WAIT, 2), (25, GIVE_UP, 2), (26, GIVE_UP, 3),
       (30, RELEASE, 1))  # fmt: skip
    assert [
        (22, "wait", "lane 02"),
        (25, "release", "lane 01"),
        (25, "obtain", "lane 02"),
        (25, "release", "lane 02"),
        (25, "wait", "lane 01"),
        (25, "obtain", "lane 01"),
        (30, "release", "lane 01"),
    ] == told(script)[2:]


def test_several_share_a_semaphore() -> None:
    """Each has its hold, also twice; whoever releases for another ends the oldest one."""
    script = script_of()
    script.lock(LOCK, 20, ANNOUNCE | SHARED, 1, name="Semaphore")
    do(script, (20, WAIT, 1), (21, OBTAIN, 1), (22, WAIT, 1), (23, OBTAIN, 1), (24, WAIT, 2),
       (25, OBTAIN, 2), (30, RELEASE, 1), (31, RELEASE, 3), (32, RELEASE, 3), (33, RELEASE, 3),
       (40, WAIT, 3), (41, GIVE_UP, 3), flags=SHARED)  # fmt: skip
    assert [
        (20, "shared wait", "lane 01"),
        (21, "shared obtain", "lane 01"),
        (22, "shared wait", "lane 01"),
        (23, "shared obtain", "lane 01"),
        (24, "shared wait", "lane 02"),
        (25, "shared obtain", "lane 02"),
        (31, "shared release", "lane 01"),
        (32, "shared release", "lane 02"),
        (40, "shared wait", "lane 03"),
        (41, "shared obtain", "lane 03"),
        (41, "shared release", "lane 03"),
    ] == told(script)


def test_locks_of_threads_are_those_of_threads() -> None:
    """They are named by their identifiers; what is not known stands for where it was recorded."""
    script = script_of()
    script.lock(LOCK, 20, ANNOUNCE | OF_THREAD, 101, name="threading.Lock")
    do(script, (20, WAIT, 101), (21, OBTAIN, 101), (22, RELEASE, 101), (23, WAIT, 555),
       (24, OBTAIN, 555), (25, RELEASE, 555), flags=OF_THREAD)  # fmt: skip
    assert ["pool_0"] * 3 + ["MainThread"] * 3 == [who for _, _, who in told(script)]


def test_threads_are_read_one_by_one_and_a_lock_is_in_order() -> None:
    """A release may be read after the next hold, and times go back."""
    script = script_of()
    script.lock(LOCK, 20, ANNOUNCE | OF_THREAD, 101, name="threading.Lock")
    do(script, (20, WAIT, 101), (21, OBTAIN, 101), (22, RELEASE, 101), (50, WAIT, 101),
       (51, OBTAIN, 101), (30, WAIT, 102), (31, OBTAIN, 102), (40, RELEASE, 102),
       (60, RELEASE, 101),
       flags=OF_THREAD)  # fmt: skip
    events = told(script)
    assert sorted(t_ns for t_ns, _, _ in events) == [t_ns for t_ns, _, _ in events]
    assert [(50, "wait", "pool_0"), (51, "obtain", "pool_0"), (51, "wait", "Other"),
            (51, "release", "pool_0"), (51, "obtain", "Other"), (51, "release", "Other")] == (
        events[3:]
    )  # fmt: skip


def test_a_viewer_takes_64_threads_for_a_lock() -> None:
    """Who is too much is shown as the thread of the loop."""
    script = script_of(100)
    script.lock(LOCK, 20, ANNOUNCE, 1, name="Lock")
    for task in range(1, 101):
        do(script, (20 + task, WAIT, task))
    for task in range(1, 101):
        do(script, (200 + 2 * task, OBTAIN, task), (201 + 2 * task, RELEASE, task))
    events = told(script)
    assert 64 == len({who for _, _, who in events})
    assert 100 == sum(operation == "obtain" for _, operation, _ in events)
    assert ("obtain", "MainThread") == events[-2][1:]


def test_places_of_waits_and_holds_are_told() -> None:
    """Where in the program somebody waits for it, and took it."""
    script = script_of()
    script.lock(LOCK, 20, ANNOUNCE, 1, name="Lock")
    script.lock(LOCK, 20, WAIT, 1, function=fetch)
    script.lock(LOCK, 21, OBTAIN, 1, function=main)
    script.lock(LOCK, 22, RELEASE, 1, function=main)
    [lock] = script.finish().locks
    assert ["fetch", "main", ""] == [
        event.source.function if event.source else "" for event in lock.events
    ]


@pytest.mark.parametrize("flags", [0, SHARED])
def test_a_lock_that_is_no_more_is_held_by_nobody(flags: int) -> None:
    """Its number is not used again, and what comes after that is left out."""
    script = script_of()
    script.lock(LOCK, 20, ANNOUNCE | flags, 1, name="Lock")
    do(script, (20, WAIT, 1), (21, OBTAIN, 1), (22, WAIT, 2), (30, TERMINATE, 0), (31, WAIT, 1),
       flags=flags)  # fmt: skip
    script.lock(LOCK + 1, 40, ANNOUNCE, 1, name="Lock 2")
    script.lock(999, 41, WAIT, 1)
    trace = script.finish()
    first, second = trace.locks
    assert (30, None) == (first.terminated_ns, second.terminated_ns)
    assert first.events[-1].operation.endswith("release")
    assert first.id != second.id


def test_waits_and_holds_from_before_go_on() -> None:
    """Locks that were announced before the first record, and before a gap, are shown."""
    script = script_of()
    script.lock(LOCK, 20, ANNOUNCE, 1, name="Lock")
    do(script, (20, WAIT, 1), (21, OBTAIN, 1), (22, WAIT, 2))
    script.mapper.gap(30, 3)
    script.birth(1, 40, main)
    do(script, (41, WAIT, 1), (42, OBTAIN, 1), (43, RELEASE, 1))
    assert [(30, "release"), (41, "wait"), (42, "obtain"), (43, "release")] == [
        (t_ns, operation) for t_ns, operation, _ in told(script)[-4:]
    ]


def test_a_task_that_ended_with_a_lock_holds_it() -> None:
    """Its lane, which another task may have got, does."""
    script = script_of(1)
    script.lock(LOCK, 20, ANNOUNCE, 1, name="Lock")
    do(script, (20, WAIT, 1), (21, OBTAIN, 1))
    script.step(1, 15, 30, flags=2)
    script.birth(5, 40, fetch)
    do(script, (50, WAIT, 5), (60, RELEASE, 1), (61, OBTAIN, 5), (70, RELEASE, 5))
    assert [
        (20, "wait", "lane 01"),
        (21, "obtain", "lane 01"),
        (60, "release", "lane 01"),
        (60, "wait", "lane 01"),
        (61, "obtain", "lane 01"),
        (70, "release", "lane 01"),
    ] == told(script)


def test_the_number_of_locks_is_bounded() -> None:
    """A viewer never forgets one."""
    script = script_of(1)
    for number in range((1 << 14) + 5):
        script.lock(number, 20, ANNOUNCE, 1, name="Lock")
        script.lock(number, 21, TERMINATE)
    assert 1 << 14 == len(script.finish().locks)
