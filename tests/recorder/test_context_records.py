"""Records of OpenTelemetry's spans: written where another one is current than before."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest

from aperf._recorder import Cold, ContextFlag, Kind
from aperf.otel._bridge import Bridge
from tests.records import Record, of_kind
from tests.watched import Story, run

if TYPE_CHECKING:
    from aperf._recorder import Recorder
    from tests.watched import LoopFactory

#: Stands in for OpenTelemetry's.
CURRENT: ContextVar[dict[str, Any]] = ContextVar("CURRENT")
KEY = "span"


class Context:
    """What identifies a span of these tests."""

    def __init__(self, span_id: int, flags: int, *, remote: bool) -> None:
        self.is_valid = bool(span_id)
        self.trace_id = (1 << 64) + 2
        self.span_id = span_id
        self.trace_flags = flags
        self.is_remote = remote


class Outer:
    """A span."""

    def __init__(self, span_id: int, flags: int = 1, *, remote: bool = False) -> None:
        self._context = Context(span_id, flags, remote=remote)
        self.end_time: int | None = None

    def get_span_context(self) -> Context:
        """Return what identifies it."""
        return self._context


@pytest.fixture
def recorder(recorder_class: type[Recorder]) -> Recorder:
    """A recorder that looks into the variable of these tests."""
    recorder = recorder_class(Cold(), ring_slots=1 << 12)
    recorder.follow(Bridge(), CURRENT, KEY)
    return recorder


def contexts(story: Story) -> list[tuple[str, int, int]]:
    """Return task, span and flags of each CONTEXT."""
    records: list[Record] = of_kind(story.records, Kind.CONTEXT)
    return [(story.names[record.a], record.b, record.flags) for record in records]


def test_a_birth_tells_first_what_is_inherited(
    recorder: Recorder, loop_factory: LoopFactory
) -> None:
    """The CONTEXT precedes the BIRTH, and says no more than it has to."""

    async def child() -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        CURRENT.set({KEY: Outer(5)})
        await asyncio.get_running_loop().create_task(child(), name="child")

    story = run(recorder, main(), loop_factory)
    kinds = [(r.kind, r.a) for r in story.records if r.kind in (Kind.CONTEXT, Kind.BIRTH)]
    child_number = story.number("child")
    at = kinds.index((Kind.BIRTH, child_number))
    assert (Kind.CONTEXT, child_number) == kinds[at - 1]
    assert 1 == sum(1 for name, _, _ in contexts(story) if name == "child")
    [record] = [r for r in of_kind(story.records, Kind.CONTEXT) if r.a == child_number]
    assert (5, (1, 2, 0, 0)) == (record.b, record.pair)


def test_a_suspension_tells_what_changed(recorder: Recorder, loop_factory: LoopFactory) -> None:
    """Also that no span is current any more; the same one again is not told."""

    async def child() -> None:
        await asyncio.sleep(0)
        span = Outer(6)
        for value in ({KEY: span}, {KEY: span, "more": 1}, {}, {KEY: Outer(0)}, {KEY: Outer(7)}):
            CURRENT.set(value)
            await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.get_running_loop().create_task(child(), name="child")

    story = run(recorder, main(), loop_factory)
    none, sampled = int(ContextFlag.NONE), int(ContextFlag.SAMPLED)
    expected = [
        ("child", 6, sampled),
        ("child", 0, none),
        ("child", 0, none),
        ("child", 7, sampled),
    ]
    assert expected == contexts(story)


@pytest.mark.parametrize(
    ("trace_flags", "remote", "ended", "expected"),
    [
        (0, False, False, ContextFlag(0)),
        (1, False, False, ContextFlag.SAMPLED),
        (2, False, False, ContextFlag(0)),
        (3, True, False, ContextFlag.SAMPLED | ContextFlag.REMOTE),
        (1, False, True, ContextFlag.SAMPLED | ContextFlag.ENDED),
    ],
)
def test_flags(
    recorder: Recorder, trace_flags: int, remote: bool, ended: bool, expected: ContextFlag
) -> None:
    """Of the flags of W3C only the lowest counts."""
    span = Outer(9, trace_flags, remote=remote)
    span.end_time = 1 if ended else None

    async def main() -> None:
        CURRENT.set({KEY: span})
        await asyncio.sleep(0)

    assert expected == contexts(run(recorder, main()))[0][2]


def test_an_explicit_context_is_what_counts(recorder: Recorder) -> None:
    """The task sees nothing of its creator's."""
    from contextvars import Context as Empty

    async def child() -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        CURRENT.set({KEY: Outer(5)})
        loop = asyncio.get_running_loop()
        await loop.create_task(child(), name="child", context=Empty())

    story = run(recorder, main())
    assert [] == [each for each in contexts(story) if each[0] == "child"]


def test_nonsense_in_the_variable_does_no_harm(recorder: Recorder) -> None:
    """Anybody may put anything there."""

    async def main() -> None:
        for value in ({KEY: object()}, {KEY: None}, {}):
            CURRENT.set(value)
            await asyncio.get_running_loop().create_task(asyncio.sleep(0))

    run(recorder, main())
    assert recorder.armed is False
    assert {} == recorder.outers


def test_a_span_is_let_go_when_its_task_ends(recorder: Recorder, loop_factory: LoopFactory) -> None:
    """The recorder keeps none alive."""
    gone: list[weakref.ref[Outer]] = []

    async def child() -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        span = Outer(5)
        gone.append(weakref.ref(span))
        token = CURRENT.set({KEY: span})
        del span
        await asyncio.get_running_loop().create_task(child())
        CURRENT.reset(token)
        await asyncio.sleep(0)

    run(recorder, main(), loop_factory)
    gc.collect()
    assert {} == recorder.outers
    assert gone[0]() is None


def test_nobody_cares_any_more(recorder: Recorder) -> None:
    """Then nothing is written, and nothing kept."""

    async def main() -> None:
        CURRENT.set({KEY: Outer(5)})
        await asyncio.sleep(0)
        recorder.follow(None)
        assert {} == recorder.outers
        await asyncio.get_running_loop().create_task(asyncio.sleep(0))

    assert 1 == len(contexts(run(recorder, main())))
