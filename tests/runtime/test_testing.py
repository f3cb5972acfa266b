"""What `aperf.testing` promises to those who test their own programs with it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import aperf
from aperf.testing import capture
from tests.loops import in_loop

if TYPE_CHECKING:
    from aperf.model import Span

pytestmark = pytest.mark.usefixtures("twin")


async def child() -> None:
    """Suspend once."""
    await asyncio.sleep(0)


async def program() -> None:
    """Run a task, in a user span."""
    with aperf.span("cooking", dish="soup"):
        await asyncio.create_task(child())


def test_sync_block() -> None:
    """A block is captured: its tasks, awaits and user spans, each in the order of their ends."""
    with capture() as captured:
        asyncio.run(program())
    assert {"child", "program"} <= {span.name for span in captured.tasks}
    assert ["cooking"] == [span.name for span in captured.user_spans]
    assert {"await sleep(0)", "await Task"} <= {span.name for span in captured.awaits}
    assert len(captured.spans) == captured.statistics.spans
    assert captured.statistics.tasks == len(captured.tasks)
    assert captured.summary.statistics == captured.statistics


@in_loop
async def test_async_block() -> None:
    """In a running loop, too, everything is there when the block has ended."""
    async with capture() as captured:
        await program()
    assert "child" == captured.span("child").name


@in_loop
async def test_sync_block_in_a_loop() -> None:
    """Also a sync block inside a coroutine is complete when it has ended."""
    for _ in range(20):
        with capture() as captured:
            await program()
        assert "child" == captured.span("child").name


@in_loop
async def test_flush() -> None:
    """In the middle of the block, a flush shows what there is."""
    async with capture() as captured:
        await program()
        assert [] == captured.user_spans
        await captured.flush()
        assert ["cooking"] == [span.name for span in captured.user_spans]


def test_same_ids_in_every_run() -> None:
    """Ids do not depend on chance: two runs of a program give the same ones."""

    def ids() -> list[tuple[int, int, str]]:
        def identity(span: Span) -> tuple[int, int, str]:
            return span.context.trace_id, span.span_id, span.name

        with capture() as captured:
            asyncio.run(program())
        return sorted(map(identity, captured.tasks))

    first = ids()
    assert first == ids()
    assert all(trace_id < 1_000 for trace_id, _, _ in first)


@in_loop
async def test_manual_clock() -> None:
    """With a manual clock time stands still, and passes as it is told to."""
    async with capture(manual_clock=True) as captured:
        event = asyncio.Event()
        waiting = asyncio.create_task(event.wait())
        await asyncio.sleep(0)
        captured.clock.advance(250)
        event.set()
        await waiting
    assert 250 == captured.clock.now_ns
    assert 250 == captured.span("await Event.wait").duration_ns
    assert 250 == captured.span("Event.wait").waiting_ns


@in_loop
async def test_manual_clock_is_not_set_back() -> None:
    """Time does not run backwards."""
    async with capture(manual_clock=True) as captured:
        with pytest.raises(ValueError, match="ns=-1"):
            captured.clock.advance(-1)


def test_manual_clock_needs_a_capture() -> None:
    """Advancing works inside of a capture with a manual clock only."""
    captured = capture(manual_clock=True)
    with pytest.raises(aperf.ConfigurationError, match=r"capture\(manual_clock=True\)"):
        captured.clock.advance(1)
    with capture() as real, pytest.raises(aperf.ConfigurationError):
        real.clock.advance(1)


def test_manual_clock_inside_a_real_one() -> None:
    """Where a session with the real clock is open there can be no manual one."""
    with aperf.session(enabled=True, exporters=[]):
        with (
            pytest.raises(aperf.InstrumentationError, match="manual clock"),
            capture(manual_clock=True),
        ):
            pass
        assert aperf.is_active()


def test_span_by_name() -> None:
    """Asking for the one span of a name says what there is, if it is not one."""
    with capture() as captured:
        asyncio.run(program())
    assert {"dish": "soup"}.items() <= dict(captured.span("cooking").attributes).items()
    with pytest.raises(LookupError, match=r"^expected one span 'baking', found 0; .*child"):
        captured.span("baking")
    with capture() as empty:
        pass
    with pytest.raises(LookupError, match="recorded: nothing"):
        empty.span("anything")


def test_environment_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A capture is the same wherever the test runs, on a machine with bad settings too."""
    monkeypatch.setenv("TELEMETRY_ENABLED", "false")
    monkeypatch.setenv("APERF_AWAIT_MIN_US", "1000000")
    monkeypatch.setenv("APERF_RING_MB", "lots")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    with capture() as captured:
        asyncio.run(program())
    assert captured.awaits
    assert captured.spans[0].context.sampled


def test_exception_passes() -> None:
    """What the block raises is not swallowed, and what was recorded is there."""
    captured = capture()

    def block() -> None:
        with captured:
            asyncio.run(child())
            raise KeyError

    with pytest.raises(KeyError):
        block()
    assert "child" == captured.span("child").name
