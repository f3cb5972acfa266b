"""Any program: each wait is drawn inside of the coroutines and spans that it was in, no others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from aperf.protocol.tracy import VERSIONS
from tests.tracy_map import DONE, FIRST, MS, Script, named, sleep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aperf.protocol.tracy._server import Zone

FUNCTIONS: Final = [named(name) for name in ("root", "one", "two", "three")]

#: In a step: how many coroutines end, which ones begin, the spans that are closed and opened
#: (where: an index into the coroutines), and whether the record of the suspension is lost.
_STEP: Final = st.tuples(
    st.integers(0, 3),
    st.lists(st.integers(0, 3), max_size=3),
    st.lists(st.integers(0, 3), max_size=2),
    st.lists(st.integers(0, 5), max_size=2),
    st.booleans() | st.just(False) | st.just(False),
)
_PROGRAM: Final = st.lists(
    st.tuples(st.integers(1, 3), st.sampled_from([10, 50_000, 2 * MS, 200 * MS]), _STEP),
    max_size=25,
)


@dataclass
class Task:
    """What a task is in.

    Attributes:
        stack: coroutines, each called once; a pair of a number and the index of its function.
        suspended: the stack of the last suspension that is in the records.
        spans: open ones, by number.
        since_ns: when it was suspended.
    """

    stack: list[tuple[int, int]]
    suspended: list[tuple[int, int]] = field(default_factory=list)
    spans: dict[int, str] = field(default_factory=dict)
    since_ns: int = 0


class Simulation:
    """Runs a program and keeps account of what must be drawn."""

    def __init__(self, version: int) -> None:
        self.script = Script(version)
        self.now_ns = 0
        self.tasks: dict[int, Task] = {}
        self.count = 0
        #: by the begin and the end of a wait: the coroutines it is in (None: not known), its spans
        self.expected: dict[tuple[int, int], tuple[list[str] | None, set[str]]] = {}

    def next(self) -> int:
        """Let time pass, so that all times are different."""
        self.now_ns += 10
        return self.now_ns

    def step(self, number: int, pause_ns: int, how: tuple[Any, ...]) -> None:
        """Run a step of a task."""
        pops, calls, closes, opens, loses = how
        script, task = self.script, self.tasks.get(number)
        self.now_ns += pause_ns
        script.mapper.sample(self.next())
        flags, resume_ns = 0, self.next()
        if task is None:
            self.count += 1
            task = self.tasks[number] = Task([(self.count, 0)])
            script.birth(number, resume_ns, FUNCTIONS[0], f"Task-{number}")
            flags = FIRST
        else:
            functions = [FUNCTIONS[index].co_name for _, index in task.suspended]
            known = functions[1:] if task.suspended else None
            self.expected[task.since_ns, resume_ns] = known, set(task.spans.values())
        for _ in range(min(pops, len(task.stack) - 1)):
            task.stack.pop()
        for index in closes:
            if index < len(task.spans):
                span = sorted(task.spans)[index]
                del task.spans[span]
                script.close(number, span, self.next())
        for index in calls:
            self.count += 1
            task.stack.append((self.count, index))
        for index in opens:
            self.count += 1
            task.spans[self.count] = f"span {self.count}"
            _, function = task.stack[min(index, len(task.stack) - 1)]
            name = task.spans[self.count]
            script.open(number, self.count, self.next(), name, FUNCTIONS[function])
        task.since_ns = self.next()
        script.step(number, resume_ns, task.since_ns, flags=flags)
        pairs = zip(task.suspended, task.stack, strict=False)
        kept = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
        kept = min(len(task.suspended), len(task.stack)) if kept is None else kept
        task.suspended = [] if loses else list(task.stack)
        if not loses:
            at = [FUNCTIONS[index] for _, index in task.stack]
            script.chain(number, task.since_ns, *at, sleep, kept=kept)

    def finish(self) -> Iterator[tuple[list[str], Zone]]:
        """End it and yield all waits, with the names of what they are in."""
        for number in self.tasks:
            resume_ns = self.next()
            self.script.step(number, resume_ns, self.next(), flags=DONE)
        for fiber in self.script.finish().fibers.values():
            for zone in fiber.zones:
                yield from _waits(zone, [])


def _waits(zone: Zone, around: list[str]) -> Iterator[tuple[list[str], Zone]]:
    if zone.name.startswith("await "):
        yield around, zone
    else:
        for child in zone.children:
            yield from _waits(child, [*around, zone.name])


@given(version=st.sampled_from(VERSIONS), program=_PROGRAM)
@settings(max_examples=120, deadline=None)
def test_waits_are_in_what_they_were_in(version: int, program: list[tuple[int, int, Any]]) -> None:
    """The coroutines around a wait are those of its await chain, in order, with all open spans."""
    simulation = Simulation(version)
    for number, pause_ns, how in program:
        simulation.step(number, pause_ns, how)
    found = {(wait.start_ns, wait.end_ns): around for around, wait in simulation.finish()}
    for times, (coroutines, spans) in simulation.expected.items():
        around = found[times]
        assert spans == {name for name in around if name.startswith("span ")}
        if coroutines is not None:
            assert coroutines == [name for name in around[1:] if not name.startswith("span ")]
