"""Nesting in programs made at random: they know by themselves how they are nested."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aperf._recorder import Cold, Kind
from tests.chains import WAYS, Link, described, in_a_task, links_of, pause
from tests.random_programs import World, programs
from tests.records import of_kind
from tests.twins import HAS_CORE, IMPLEMENTATIONS, recorder_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from aperf._recorder import Recorder
    from tests.random_programs import Script

#: A word, or what is to be done with a list of trees.
Tree: TypeAlias = Any

_leaves = st.sampled_from(["pause", "pause twice", "fail", "switch"])
trees: Final = st.lists(
    st.recursive(
        _leaves,
        lambda inner: st.tuples(
            st.sampled_from(["call", "catch", "iterate", "leave"]), st.lists(inner, max_size=4)
        ),
        max_leaves=12,
    ),
    max_size=5,
)


class Witness:
    """A program that knows at each of its suspensions which coroutines it is nested in."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self._made = 0
        self._stack: list[tuple[str, int]] = []
        #: at each suspension: name and number of each coroutine; whether that is to be told
        self.suspensions: list[tuple[list[tuple[str, int]], bool]] = []

    @property
    def links(self) -> list[Link]:
        """What CHAIN records must say."""
        links: list[Link] = []
        before: list[tuple[str, int]] = []
        for stack, told in self.suspensions:
            if told:
                kept = 0
                while kept < len(before) and kept < len(stack) and before[kept] == stack[kept]:
                    kept += 1
                links.append(Link([name for name, _ in stack], kept))
            before = stack if told else []
        return links

    def _new(self, name: str) -> tuple[str, int]:
        self._made += 1
        return name, self._made

    @contextmanager
    def _inside(self, which: tuple[str, int]) -> Iterator[None]:
        self._stack.append(which)
        try:
            yield
        finally:
            assert which == self._stack.pop()

    async def run(self, forest: list[Tree]) -> None:
        """Do all that is said, whatever fails."""
        with self._inside(self._new("run")):
            for tree in forest:
                try:
                    await self.follow([tree])
                except ValueError:
                    pass

    async def follow(self, forest: list[Tree]) -> None:
        """Do what is said, up to a failure."""
        with self._inside(self._new("follow")):
            for tree in forest:
                match tree:
                    case "pause":
                        await self._pause()
                    case "pause twice":
                        await self._pause_twice()
                    case "fail":
                        raise ValueError
                    case "switch":
                        self.recorder.nesting = not self.recorder.nesting
                    case "call", inner:
                        await self.follow(inner)
                    case "catch", inner:
                        try:
                            await self.follow(inner)
                        except ValueError:
                            await self._pause()
                    case "iterate", inner:
                        async for _ in self.items(inner):
                            await self._pause()
                    case "leave", inner:
                        async for _ in self.items(inner):
                            break

    async def items(self, forest: list[Tree]) -> AsyncGenerator[None, None]:
        """Do what is said item by item."""
        which = self._new("items")
        for tree in forest:
            with self._inside(which):
                await self.follow([tree])
            yield

    async def _pause(self) -> None:
        with self._inside(self._new("_pause")):
            self._note()
            await pause()

    async def _pause_twice(self) -> None:
        with self._inside(self._new("_pause_twice")):
            for _ in range(2):
                self._note()
                await pause()

    def _note(self) -> None:
        self.suspensions.append(([*self._stack, self._new("pause")], self.recorder.nesting))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@given(forest=trees)
@settings(max_examples=25, deadline=None)
def test_the_program_itself_knows(implementation: str, way: str, forest: list[Tree]) -> None:
    """However coroutines are called, iterated, left and switched: what is kept is what is."""
    recorder = recorder_of(implementation)(Cold(), ring_slots=1 << 14)
    recorder.nesting = True
    witness = Witness(recorder)
    story = WAYS[way](recorder, in_a_task(lambda: witness.run(forest)))
    assert witness.links == links_of(recorder, story, Witness.run)


@pytest.mark.skipif(not HAS_CORE, reason="the native core was not built")
@pytest.mark.parametrize("way", WAYS)
@given(program=programs)
@settings(max_examples=25, deadline=None)
def test_twins_write_the_same_chains(way: str, program: list[Script]) -> None:
    """Whatever tasks do to each other."""
    told = []
    for implementation in ("python", "c"):
        recorder = recorder_of(implementation)(Cold(), ring_slots=1 << 14, manual_clock=True)
        recorder.nesting = True
        story = WAYS[way](recorder, World(program, recorder).run())
        chains = of_kind(story.records, Kind.CHAIN)
        told.append([described(recorder, chain) for chain in chains])
    assert told[0] == told[1]
