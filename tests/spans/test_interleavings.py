from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aperf._recorder._layout import CloseFlag
from aperf._spans import current_span, span
from tests.records import decode
from tests.spans.watching import open_at_birth, recording, run, seen_in
from tests.twins import IMPLEMENTATIONS, recorder_of

if TYPE_CHECKING:
    from aperf._spans import ActiveSpan

Key: TypeAlias = tuple[int, int]

ACTIONS = st.tuples(
    st.sampled_from(["enter", "enter", "leave last", "leave any", "leave another's", "spawn"]),
    st.integers(0, 7),  # which task does it
    st.integers(0, 7),  # to which span, or to whose
)


@dataclass(eq=False)
class Actor:
    """A task that does as it is told, and what should be open in it."""

    inherited: list[ActiveSpan] = field(default_factory=list)
    open: list[ActiveSpan] = field(default_factory=list)
    orders: asyncio.Queue[tuple[str, int]] = field(default_factory=asyncio.Queue)
    task: int = 0
    running: asyncio.Task[None] | None = None


class Stage:
    """Runs the actors one action at a time, and foretells what must be recorded."""

    def __init__(self) -> None:
        self.actors: list[Actor] = []
        self.parents: dict[Key, Key] = {}  #: of spans
        self.ends: dict[Key, int] = {}  #: flags, of spans
        self.births: dict[int, Key] = {}  #: spans open at the birth, by the task's number

    async def play(self, actions: list[tuple[str, int, int]]) -> None:
        """Let the actors do all this, then drop what is still open."""
        await self.start(Actor(), (0, 0))
        for what, who, which in actions:
            actor = self.actors[who % len(self.actors)]
            await self.order(actor, what, which)
        for actor in self.actors:
            self.ends.update({key(one): CloseFlag.ABANDONED for one in actor.open})
            await self.order(actor, "stop", 0)

    async def order(self, actor: Actor, what: str, which: int) -> None:
        """Tell an actor what to do, and wait until it is done."""
        assert actor.running is not None
        done = asyncio.create_task(actor.orders.join())
        actor.orders.put_nowait((what, which))
        await asyncio.wait([done, actor.running], return_when=asyncio.FIRST_COMPLETED)
        done.cancel()
        if actor.running.done():
            actor.running.result()

    async def start(self, actor: Actor, innermost: Key) -> None:
        """Make the task of an actor, in the context of whoever calls."""
        self.actors.append(actor)
        actor.running = asyncio.create_task(self.act(actor))
        while not actor.task:
            await asyncio.sleep(0)
        self.births[actor.task] = innermost

    async def act(self, actor: Actor) -> None:
        """Take orders until told to stop."""
        actor.task = current_span().owner
        while (order := await actor.orders.get())[0] != "stop":
            await self.obey(actor, *order)
            assert innermost(actor.open, (actor.task, 0)) == key(current_span())
            actor.orders.task_done()
        actor.open.clear()
        actor.inherited.clear()
        actor.orders.task_done()

    async def obey(self, actor: Actor, what: str, which: int) -> None:
        """Do one thing, and note what it must lead to."""
        if what == "enter":
            parent = innermost(actor.open, (actor.task, 0))
            one = span("x").__enter__()
            actor.open.append(one)
            self.parents[key(one)] = parent
        elif what == "spawn":
            known = actor.inherited + actor.open
            await self.start(Actor(inherited=known), innermost(known, (0, 0)))
        else:
            owner = self.actors[which % len(self.actors)] if "another" in what else actor
            if owner.open:
                self.leave(owner.open.pop(which % len(owner.open) if "any" in what else -1))

    def leave(self, one: ActiveSpan) -> None:
        """End a span, whoever owns it."""
        one.__exit__(None, None, None)
        self.ends[key(one)] = 0


def key(one: ActiveSpan) -> Key:
    """Return what the records call a span."""
    return one.owner, one.seq


def innermost(spans: list[ActiveSpan], otherwise: Key) -> Key:
    """Return the last of these spans that is open."""
    return next((key(one) for one in reversed(spans) if one.is_recording), otherwise)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@given(actions=st.lists(ACTIONS, max_size=40))
@settings(max_examples=60, deadline=None)
def test_any_interleaving(implementation: str, actions: list[tuple[str, int, int]]) -> None:
    """Whatever tasks enter, leave and start, each span has one end and the right parent."""
    with recording(recorder_of(implementation)) as recorder:
        stage = Stage()
        run(recorder, stage.play(actions))
        records = decode(recorder)
    spans = seen_in(recorder, records)
    assert stage.parents == {one.key: one.parent for one in spans.values()}
    assert {each: [flags] for each, flags in stage.ends.items()} == {
        one.key: one.ends for one in spans.values()
    }
    births = open_at_birth(records)
    assert stage.births == {task: births[task] for task in stage.births}
