"""User spans: among coroutines, across suspensions, closed in whatever order."""

from __future__ import annotations

import struct
from typing import Final

from aperf._recorder._layout import Kind, Value
from tests.tracy_map import DONE, FIRST, Script, fetch, main, parse, sleep, tree

LANE: Final = 1
SPAN, OTHER = 7, 8


def begun(script: Script) -> None:
    """Have a task born."""
    script.birth(1, 100, main, "Task-1")


def test_a_span_is_a_zone_across_suspensions() -> None:
    """It is around the waits that come while it is open."""
    script = Script()
    begun(script)
    script.open(1, SPAN, 250, "request", main)
    script.step(1, 200, 300, main, sleep, flags=FIRST)
    script.close(1, SPAN, 450)
    script.step(1, 400, 500, main, sleep, kept=1)
    script.step(1, 600, 700, flags=DONE)
    assert [
        "100 700 main 'Task-1'",
        "  250 450 request",
        "    300 400 await sleep",
        "  500 600 await sleep",
    ] == tree(script.finish().fibers[LANE])


def test_a_span_in_a_coroutine_is_in_its_zone() -> None:
    """A coroutine that turns out to be suspended has begun before the span that it opened."""
    script = Script()
    begun(script)
    script.open(1, SPAN, 250, "request", fetch)
    script.step(1, 200, 300, main, fetch, sleep, flags=FIRST)
    script.close(1, SPAN, 450)
    script.step(1, 400, 500, main, sleep, kept=1)
    script.step(1, 600, 700, flags=DONE)
    assert [
        "100 700 main 'Task-1'",
        "  250 500 fetch",
        "    250 450 request",
        "      300 400 await sleep",
        "  500 600 await sleep",
    ] == tree(script.finish().fibers[LANE])


def test_a_span_around_a_coroutine_is_around_its_zone() -> None:
    """The caller has opened it before the coroutine began."""
    script = Script()
    begun(script)
    script.open(1, SPAN, 250, "request", main)
    script.step(1, 200, 300, main, fetch, sleep, flags=FIRST)
    script.step(1, 400, 500, flags=DONE)
    assert [
        "100 500 main 'Task-1'",
        "  250 500 request",
        "    250 500 fetch",
        "      300 400 await sleep",
    ] == tree(script.finish().fibers[LANE])


def test_a_span_of_the_caller_ends_the_coroutine_before() -> None:
    """A coroutine that is no more ends where its caller opens the next span."""
    script = Script()
    begun(script)
    script.step(1, 200, 300, main, fetch, sleep, flags=FIRST)
    script.open(1, SPAN, 450, "request", main)
    script.step(1, 400, 500, main, fetch, sleep, kept=1)
    script.step(1, 600, 700, flags=DONE)
    assert [
        "100 700 main 'Task-1'",
        "  200 450 fetch",
        "    300 400 await sleep",
        "  450 700 request",
        "    450 700 fetch",
        "      500 600 await sleep",
    ] == tree(script.finish().fibers[LANE])


def test_what_stays_is_opened_again_after_a_span_closed_out_of_order() -> None:
    """Inner zones end with it and go on in a new zone at the same moment."""
    script = Script()
    begun(script)
    script.open(1, SPAN, 210, "outer", main)
    script.open(1, OTHER, 220, "inner", main)
    script.attribute(1, OTHER, 230, "n", Value.INT, struct.pack("<q", 5))
    script.close(1, SPAN, 250)
    script.step(1, 200, 300, main, sleep, flags=FIRST)
    script.close(1, OTHER, 450)
    script.step(1, 400, 500, flags=DONE)
    assert [
        "100 500 main 'Task-1'",
        "  210 250 outer",
        "    220 250 inner 'n=5'",
        "  250 450 inner",
        "    300 400 await sleep",
    ] == tree(script.finish().fibers[LANE])


def test_attributes_are_text_at_the_end() -> None:
    """A line for each key, with its last value; those of the task's own span are at its zone."""
    script = Script()
    begun(script)
    script.open(1, SPAN, 210, "request", main)
    script.attribute(1, SPAN, 220, "url", Value.STRING, "/ä".encode())
    script.attribute(1, SPAN, 221, "n", Value.INT, struct.pack("<q", -1))
    script.attribute(1, SPAN, 222, "n", Value.INT, struct.pack("<q", -2))
    script.attribute(1, SPAN, 223, "share", Value.FLOAT, struct.pack("<d", 0.5))
    script.attribute(1, SPAN, 224, "good", Value.BOOL, b"\1")
    script.attribute(1, 0, 225, "tenant", Value.STRING, b"a")
    script.attribute(1, SPAN, 226, "of event", Value.STRING | Value.OF_EVENT, b"no")
    script.attribute(1, SPAN, 227, "stack", Value.SITE, struct.pack("<Q", 1))
    script.attribute(1, 99, 228, "of no span", Value.STRING, b"no")
    script.step(1, 200, 300, flags=FIRST | DONE)
    assert [
        "100 300 main 'Task-1\\ntenant=a'",
        "  210 300 request 'url=/ä\\nn=-2\\nshare=0.5\\ngood=True'",
    ] == tree(script.finish().fibers[LANE])


def test_sequences_are_one_line() -> None:
    """They begin empty, whatever the key said before, and grow item by item."""
    script = Script()
    begun(script)
    script.attribute(1, 0, 220, "tags", Value.STRING, b"before")
    script.attribute(1, 0, 221, "tags", Value.ITEM)
    for item in (b"a", b"b=c"):
        script.attribute(1, 0, 222, "tags", Value.ITEM | Value.STRING, item)
    script.attribute(1, 0, 223, "none", Value.ITEM)
    script.step(1, 200, 300, flags=FIRST | DONE)
    assert ["100 300 main 'Task-1\\ntags=a, b=c\\nnone='"] == tree(script.finish().fibers[LANE])


def test_the_text_of_a_zone_is_bounded() -> None:
    """A program that invents keys without end gets the first 128 of them."""
    script = Script()
    begun(script)
    for number in range(200):
        script.attribute(1, 0, 220, f"key {number}", Value.BOOL, b"\1")
    script.step(1, 200, 300, flags=FIRST | DONE)
    [zone] = script.finish().fibers[LANE].zones
    assert 1 + 128 == len(zone.text.split("\n"))


def test_events_are_messages_where_they_happened() -> None:
    """But an exception is told by what it does to the span or task."""
    script = Script()
    begun(script)
    script.open(1, SPAN, 210, "request", main)
    for name in ("cache miss", "exception"):
        script.put(Kind.EVENT, 220, ref=script.name(name), a=1, b=SPAN)
    script.step(1, 200, 300, flags=FIRST | DONE)
    [message] = script.finish().messages
    assert (220, ("fiber", LANE), "cache miss", 1) == (
        message.t_ns, message.row, message.text, message.severity,
    )  # fmt: skip


def test_spans_outside_of_tasks_are_on_their_thread() -> None:
    """With their texts, in whatever order they end."""
    script = Script()
    begun(script)  # a loop: nothing is kept for a job
    script.open(50, SPAN, 210, "outer", main)
    script.open(50, OTHER, 220, "inner", main)
    script.attribute(50, SPAN, 225, "n", Value.BOOL, b"\1")
    script.close(50, SPAN, 230)
    script.close(50, OTHER, 240)
    trace = script.finish()
    assert ["210 230 outer 'n=True'", "  220 230 inner", "230 240 inner"] == tree(
        trace.threads[100]
    )


def test_a_span_of_a_thread_may_be_closed_on_another() -> None:
    """As the garbage collector does with one that nobody ended."""
    script = Script()
    begun(script)
    script.open(50, SPAN, 210, "lost", main)
    script.put(Kind.CLOSE, 300, a=50, b=SPAN, ring=1)
    assert ["210 300 lost"] == tree(script.finish().threads[100])


def test_the_begin_of_the_loop_is_drawn_after_what_was_before() -> None:
    """A span around `asyncio.run` is around the loop's iterations."""
    script = Script()
    script.open(50, SPAN, 10, "all", main)
    begun(script)
    script.step(1, 200, 300, flags=FIRST | DONE)
    script.close(50, SPAN, 400)
    assert ["10 400 all", "  200 300 loop iteration"] == tree(script.finish().threads[100])


def test_spans_are_not_nested_without_end() -> None:
    """Where the ends of spans were lost, further ones are left out, and so are their ends."""
    script = Script()
    begun(script)
    for number in range(1, 400):
        script.open(1, number, 210, "deep", main)
    script.close(1, 399, 220)
    script.step(1, 200, 300, main, sleep, flags=FIRST)
    script.step(1, 400, 500, flags=DONE)
    trace = script.finish()
    assert 255 == sum(zone.name == "deep" for zone in trace.zones())


def test_spans_that_are_opened_and_closed_in_a_step_do_not_open_coroutines() -> None:
    """A call that ended within the step is not the suspended coroutine of the same function."""
    script = Script()
    begun(script)
    script.step(1, 200, 300, main, fetch, sleep, flags=FIRST)
    script.open(1, SPAN, 420, "in the first call", fetch)
    script.close(1, SPAN, 430)
    script.open(1, OTHER, 440, "in the second call", fetch)
    script.step(1, 400, 500, main, fetch, sleep, kept=1)
    script.step(1, 600, 700, main, fetch, parse, sleep, kept=2)
    script.step(1, 800, 900, flags=DONE)
    assert [
        "100 900 main 'Task-1'",
        "  200 440 fetch",
        "    300 400 await sleep",
        "    420 430 in the first call",
        "  440 900 fetch",
        "    440 900 in the second call",
        "      500 600 await sleep",
        "      600 900 parse",
        "        700 800 await sleep",
    ] == tree(script.finish().fibers[LANE])
