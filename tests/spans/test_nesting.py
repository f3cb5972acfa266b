from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

from aperf._recorder import Cold
from aperf._recorder._layout import CloseFlag
from aperf._spans import SPAN_VAR, ActiveSpan, activate, current_span, open_span, span
from tests.records import decode
from tests.spans.watching import named, open_at_birth, run, seen, seen_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aperf._recorder import Recorder
    from tests.watched import LoopFactory


def test_spans_nest_within_a_task(recorder: Recorder, loop_factory: LoopFactory) -> None:
    """The outermost span belongs to the task's own, each other one to the one around it."""

    async def program() -> None:
        with span("outer"):
            await asyncio.sleep(0)
            with span("inner"):
                await asyncio.sleep(0)
        with span("next"):
            pass

    run(recorder, program(), loop_factory)
    spans = named(seen(recorder))
    task = spans["outer"].owner
    assert (task, 0) == spans["outer"].parent
    assert spans["outer"].key == spans["inner"].parent
    assert (task, 0) == spans["next"].parent
    assert [[0], [0], [0]] == [one.ends for one in spans.values()]


def test_tasks_own_what_they_open(recorder: Recorder, loop_factory: LoopFactory) -> None:
    """A child task sees its creator's open span at birth, but opens spans of its own."""

    async def child() -> None:
        with span("in child"):
            await asyncio.sleep(0)

    async def program() -> None:
        with span("around"):
            await asyncio.create_task(child())

    run(recorder, program(), loop_factory)
    records = decode(recorder)
    spans = named(seen_in(recorder, records).values())
    task = spans["in child"].owner
    assert spans["around"].key == open_at_birth(records)[task]
    assert (task, 0) == spans["in child"].parent


def test_birth_without_open_span(recorder: Recorder) -> None:
    """A span that has ended is nobody's parent, whatever contexts still hold of it."""

    async def program() -> None:
        with span("before"):
            context = contextvars.copy_context()
        await asyncio.create_task(asyncio.sleep(0), context=context)

    run(recorder, program())
    assert {(0, 0)} == set(open_at_birth(decode(recorder)).values())


def test_siblings_do_not_mix(recorder: Recorder, loop_factory: LoopFactory) -> None:
    """Tasks that run in turns each keep their own stack."""

    async def sibling(number: int) -> None:
        with span(f"outer {number}"):
            await asyncio.sleep(0)
            with span(f"inner {number}"):
                await asyncio.sleep(0)

    async def program() -> None:
        with span("around"):
            await asyncio.gather(*map(sibling, range(4)))

    run(recorder, program(), loop_factory)
    spans = named(seen(recorder))
    assert 4 == len({spans[f"outer {number}"].owner for number in range(4)})
    for number in range(4):
        assert spans[f"outer {number}"].key == spans[f"inner {number}"].parent
    assert all([0] == one.ends for one in spans.values())


def test_restored_after_the_block(recorder: Recorder) -> None:
    """After a span the one around it is current again, at the end none."""
    with span("outer") as outer:
        with span("inner") as inner:
            assert inner == current_span()
        assert outer == current_span()
    assert not current_span().is_recording
    assert SPAN_VAR.get() is None
    assert 2 == len(seen(recorder))


def test_ends_out_of_order(recorder: Recorder) -> None:
    """What ends too early is no parent any more; its children go on."""
    outer, inner = span("outer"), span("inner")
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)
    assert inner == current_span()
    with span("below inner"):
        pass
    inner.__exit__(None, None, None)
    with span("after"):
        pass
    spans = named(seen(recorder))
    assert spans["outer"].key == spans["inner"].parent
    assert spans["inner"].key == spans["below inner"].parent
    assert (0, 0) == spans["after"].parent
    assert all([0] == one.ends for one in spans.values())


def test_ends_twice(recorder: Recorder) -> None:
    """The second end does nothing."""
    with span("once") as one:
        one.__exit__(None, None, None)
        one.set_attribute("too", "late")
        assert not one.is_recording
    (only,) = seen(recorder)
    assert ([0], {}) == (only.ends, only.attributes)


def test_ends_in_another_task(recorder: Recorder) -> None:
    """A span can be ended by another task; in its own it is not current any more."""

    async def close(one: ActiveSpan) -> None:
        one.__exit__(None, None, None)
        with span("of closer"):
            pass

    async def program() -> None:
        one = span("moved").__enter__()
        await asyncio.create_task(close(one))
        with span("afterwards"):
            pass

    run(recorder, program())
    spans = named(seen(recorder))
    assert [0] == spans["moved"].ends
    assert (spans["moved"].owner, 0) == spans["afterwards"].parent
    assert (spans["of closer"].owner, 0) == spans["of closer"].parent


def test_ends_in_another_thread(recorder: Recorder) -> None:
    """A span can be ended by another thread."""
    one = span("moved").__enter__()
    thread = threading.Thread(target=one.__exit__, args=(None, None, None))
    thread.start()
    thread.join()
    with span("afterwards"):
        pass
    spans = named(seen(recorder))
    assert [0] == spans["moved"].ends
    assert (0, 0) == spans["afterwards"].parent


def test_shared_context(recorder: Recorder) -> None:
    """Tasks that share one context find their own spans in it."""
    turns: list[asyncio.Event] = []

    async def first() -> None:
        with span("first"):
            turns[0].set()
            await turns[1].wait()
            with span("below first"):
                turns[2].set()

    async def second() -> None:
        await turns[0].wait()
        with span("second"):
            turns[1].set()
            await turns[2].wait()
            with span("below second"):
                pass

    async def program() -> None:
        turns.extend(asyncio.Event() for _ in range(3))
        context = contextvars.copy_context()
        tasks = [asyncio.create_task(one(), context=context) for one in (first, second)]
        await asyncio.gather(*tasks)

    run(recorder, program())
    spans = named(seen(recorder))
    for name in ("first", "second"):
        assert (spans[name].owner, 0) == spans[name].parent
        assert spans[name].key == spans[f"below {name}"].parent
    assert all([0] == one.ends for one in spans.values())


def test_threads_inherit(recorder: Recorder) -> None:
    """In a thread that a task started with its context, the task's span is the parent."""

    def work() -> None:
        with span("in thread"), span("below"):
            pass
        with span("again"):
            pass

    async def program() -> None:
        with span("around"):
            await asyncio.to_thread(work)

    run(recorder, program())
    spans = named(seen(recorder))
    assert spans["around"].key == spans["in thread"].parent
    assert spans["in thread"].key == spans["below"].parent
    assert spans["around"].key == spans["again"].parent
    owners = {spans[name].owner for name in ("in thread", "below", "again")}
    assert 1 == len(owners)
    assert spans["around"].owner not in owners


def test_threads_without_context(recorder: Recorder) -> None:
    """A thread that inherits nothing begins anew, as an owner of its own."""

    def work() -> None:
        with span("in thread"):
            pass

    with span("here"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    spans = named(seen(recorder))
    assert (0, 0) == spans["in thread"].parent
    assert spans["here"].owner != spans["in thread"].owner


def test_callbacks_inherit(recorder: Recorder) -> None:
    """A callback runs in no task; its parent is the open span of whoever scheduled it."""

    async def program() -> None:
        done = asyncio.Event()

        def callback() -> None:
            with span("in callback"):
                done.set()

        with span("around"):
            asyncio.get_running_loop().call_later(0, callback)
            await done.wait()

    run(recorder, program())
    spans = named(seen(recorder))
    assert spans["around"].key == spans["in callback"].parent
    assert spans["around"].owner != spans["in callback"].owner


def test_never_ended(recorder: Recorder) -> None:
    """A span whose end is forgotten ends, and says so, when its handle is garbage collected."""

    def forget() -> None:
        span("forgotten").__enter__()

    forget()
    gc.collect()
    with span("afterwards"):
        pass
    spans = named(seen(recorder))
    assert [CloseFlag.ABANDONED] == spans["forgotten"].ends
    assert (0, 0) == spans["afterwards"].parent


def test_forgotten_stack(recorder: Recorder) -> None:
    """The same for spans in an ExitStack that only the cycle collector finds."""

    class Holder:
        def __init__(self) -> None:
            self.me = self
            self.stack = ExitStack()
            self.stack.enter_context(span("outer"))
            self.stack.enter_context(span("inner"))

    Holder()
    gc.collect()
    assert [[CloseFlag.ABANDONED]] * 2 == [one.ends for one in seen(recorder)]


def test_same_object_again(recorder: Recorder) -> None:
    """One object marks several blocks, one after another; within its own it does nothing."""
    one = span("again", n=1)
    with one:
        first = one.seq
        with one:
            assert first == one.seq
    with one:
        assert first != one.seq
    assert [[0], [0]] == [each.ends for each in seen(recorder)]
    assert not one.is_recording


def test_place(recorder: Recorder) -> None:
    """A span knows the line that opened it, through a helper of the standard library too."""

    def place_of(number: int) -> tuple[str, int]:
        site = recorder.resolve(number)
        assert site is not None
        _, _, ((code, lasti),) = site
        lines = [line for start, end, line in code.co_lines() if start <= lasti < end]
        return code.co_name, (lines[0] or 0) - code.co_firstlineno

    def opens() -> Iterator[None]:
        with span("plain"):
            pass
        with ExitStack() as stack:
            stack.enter_context(span("stacked"))
            yield

    list(opens())
    spans = named(seen(recorder))
    assert ("opens", 1) == place_of(spans["plain"].place)
    assert ("opens", 4) == place_of(spans["stacked"].place)


def test_chains_stay_short(recorder: Recorder) -> None:
    """Tasks that each start the next from inside a span do not hold all those before."""

    def depth() -> int:
        count, node = 0, SPAN_VAR.get()
        while node is not None:
            count, node = count + 1, node.outer
        return count

    async def link(number: int) -> None:
        with span("link"):
            depths.append(depth())
            following = asyncio.create_task(link(number - 1)) if number else None
            await asyncio.sleep(0)
        if following is not None:
            await following

    depths: list[int] = []
    run(recorder, link(100))
    assert 101 == len(seen(recorder))
    assert 3 >= max(depths)


def test_another_recorder(recorder: Recorder) -> None:
    """Spans of a session before, still open, mean nothing in the next: numbers start anew."""
    following = type(recorder)(Cold(open_span=open_span), span_var=SPAN_VAR)
    following.armed = True
    with span("old"):
        activate(following)
        assert (0, 0, 0, False) == open_span(SPAN_VAR.get())
        with span("new"):
            pass
        activate(recorder)
    assert (0, 0) == named(seen(following))["new"].parent
    assert [0] == named(seen(recorder))["old"].ends
