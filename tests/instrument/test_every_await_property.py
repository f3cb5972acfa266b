from __future__ import annotations

import asyncio
import sys
import types
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aperf.model import Category, StatusCode
from tests.every_await import see

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator

pytestmark = [
    pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring came with Python 3.12"),
    pytest.mark.usefixtures("twin"),
]

#: What a coroutine does: a list of (what, the lists of what is done in it).
Script: TypeAlias = "list[tuple[str, list[Any]]]"

SCRIPTS: st.SearchStrategy[Script] = st.deferred(lambda: st.lists(DEEDS, max_size=3))
DEEDS: st.SearchStrategy[tuple[str, list[Any]]] = st.one_of(
    st.just(("pause", [])),
    st.tuples(st.sampled_from(["call", "fail", "cancelled"]), st.lists(SCRIPTS, max_size=1)),
    st.tuples(st.just("items"), st.lists(SCRIPTS, max_size=2)),
)


@types.coroutine
def pause() -> Generator[None, None, None]:
    """Suspend once."""
    yield


async def call(scripts: list[Script]) -> None:
    """Do what the scripts say."""
    for script in scripts:
        for what, inside in script:
            if what == "pause":
                await pause()
            elif what == "items":
                async for _ in items(inside):
                    pass
            elif what == "call":
                await call(inside)
            else:
                try:
                    await (fail if what == "fail" else cancelled)(inside)
                except (LookupError, asyncio.CancelledError):
                    pass


async def fail(scripts: list[Script]) -> None:
    """End by an exception."""
    await call(scripts)
    raise LookupError


async def cancelled(scripts: list[Script]) -> None:
    """End by a cancellation."""
    await call(scripts)
    raise asyncio.CancelledError


async def items(scripts: list[Script]) -> AsyncIterator[None]:
    """Do one script for each item."""
    for script in scripts:
        await call([script])
        yield


def drawn(scripts: list[Script], depth: int) -> Iterator[str]:
    """Draw what `call` does with the scripts, as it must be seen."""
    yield "  " * depth + "call await call"
    for script in scripts:
        for what, inside in script:
            if what == "pause":
                yield "  " * (depth + 1) + "call await pause"
                yield "  " * (depth + 2) + "await await yield"
            elif what == "items":
                for one in inside:
                    yield "  " * (depth + 1) + "call await items"
                    yield from drawn([one], depth + 2)
                yield "  " * (depth + 1) + "call await items"
            elif what == "call":
                yield from drawn(inside, depth + 1)
            else:
                yield "  " * (depth + 1) + f"call await {what}"
                yield from drawn(inside, depth + 2)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(SCRIPTS)
def test_whatever_a_program_awaits_is_seen_as_it_was(script: Script) -> None:
    """Every call once, in its caller, with its suspensions in it, however it ends."""

    async def program() -> None:
        await call([script])

    seen = see(program)
    expected = ["task program", *drawn([script], 1)]
    assert "\n".join(expected) + "\n" == seen.tree()
    failed = [span for span in seen.spans if span.status is StatusCode.ERROR]
    assert {"await fail"} >= {span.name for span in failed}
    assert len(seen.named("await fail")) == len(failed)
    calls = [line for line in expected if line.lstrip().startswith("call ")]
    assert len(calls) == sum(span.category is Category.CALL for span in seen.spans)
