"""The callbacks, called by the coroutines themselves instead of by the interpreter."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest

import aperf
from aperf._recorder import Cold, Kind
from aperf._recorder._layout import CallFlag
from tests.records import Record, of_kind
from tests.watched import run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from aperf._recorder import Recorder

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="sys.monitoring came with Python 3.12"
)


class Teller:
    """Tells a monitor what coroutines do, at times of their choice."""

    def __init__(self, recorder_class: type[Recorder]) -> None:
        self.recorder = recorder_class(Cold(), manual_clock=True)
        self.monitor = self.recorder.monitor()
        callbacks = self.monitor.callbacks
        self.started = callbacks["PY_START"]
        self.resumed = callbacks["PY_RESUME"]
        self.yielded = callbacks["PY_YIELD"]
        self.returned = callbacks["PY_RETURN"]
        self.thrown = callbacks["PY_THROW"]
        self.unwound = callbacks["PY_UNWIND"]

    def at(self, t_ns: int) -> Teller:
        """Set the clock."""
        self.recorder.set_time_ns(t_ns)
        return self

    def records(self, program: Coroutine[Any, Any, object]) -> list[Record]:
        """Run a program in a task and return what was recorded of its calls."""
        return of_kind(run(self.recorder, program).records, Kind.CALL, Kind.IN_CALL)


@pytest.fixture
def tell(recorder_class: type[Recorder]) -> Teller:
    """Tells a monitor of one twin."""
    return Teller(recorder_class)


def code_of(function: Callable[..., Any]) -> Any:
    """Return the code of a function."""
    return function.__code__


def test_a_call_has_its_times_and_the_number_and_start_of_its_parent(tell: Teller) -> None:
    """What is told when it ends; the outermost coroutine is the task, number 0."""

    async def program() -> None:
        tell.at(10).started(code_of(program), 0)
        await outer()
        tell.at(90).returned(code_of(program), 0, None)

    async def outer() -> None:
        tell.at(20).started(code_of(outer), 0)
        await inner()
        tell.at(70).returned(code_of(outer), 0, None)

    async def inner() -> None:
        tell.at(30).started(code_of(inner), 0)
        tell.at(50).unwound(code_of(inner), 0, LookupError())

    inside, outside = tell.records(program())
    assert (30, CallFlag.FAILED, 2) == (inside.t_ns, inside.flags, inside.b)
    assert (20, 1, 20, 0) == inside.pair
    assert (20, 0, 1) == (outside.t_ns, outside.flags, outside.b)
    assert (50, 0, 0, 0) == outside.pair
    assert inside.a == outside.a != 0
    site = tell.recorder.resolve(inside.ref)
    assert site is not None
    assert code_of(inner) is site[2][0][0]


def test_calls_are_announced_outermost_first_when_the_task_suspends_in_them(tell: Teller) -> None:
    """Once each; a task that suspends in another place than its last call names it again."""

    async def program() -> None:
        tell.started(code_of(program), 0)
        await outer()
        tell.yielded(code_of(program), 0, None)

    async def outer() -> None:
        tell.started(code_of(outer), 0)
        await inner()
        tell.resumed(code_of(outer), 0)
        tell.yielded(code_of(outer), 0, None)
        tell.thrown(code_of(outer), 0, asyncio.CancelledError())
        tell.unwound(code_of(outer), 0, asyncio.CancelledError())

    async def inner() -> None:
        tell.started(code_of(inner), 0)
        tell.yielded(code_of(inner), 0, None)

    records = tell.records(program())
    assert [
        (Kind.IN_CALL, 1, 0),
        (Kind.IN_CALL, 2, 0),
        (Kind.IN_CALL, 1, 0),
        (Kind.CALL, 1, CallFlag.SUSPENDED | CallFlag.CANCELLED),
    ] == [(record.kind, record.b, record.flags) for record in records]


def test_other_tasks_frames_are_no_parents(tell: Teller) -> None:
    """A task that starts inside another one's step begins anew, and can name itself, too."""

    async def program() -> None:
        tell.started(code_of(program), 0)
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        await asyncio.create_task(other())

    async def other() -> None:
        tell.started(code_of(other), 0)
        await inner()
        tell.resumed(code_of(other), 0)
        tell.yielded(code_of(other), 0, None)

    async def inner() -> None:
        tell.started(code_of(inner), 0)
        tell.yielded(code_of(inner), 0, None)

    records = tell.records(program())
    assert [(Kind.IN_CALL, 1), (Kind.IN_CALL, 0)] == [(one.kind, one.b) for one in records]


def test_an_item_ends_a_generator_s_step(tell: Teller) -> None:
    """And its resumption begins the next; any other value it yields is a suspension."""

    async def program() -> None:
        tell.started(code_of(program), 0)
        async for _ in items():
            pass

    async def items() -> AsyncIterator[int]:
        tell.at(10).started(code_of(items), 0)
        item = type("async_generator_wrapped_value", (), {})()
        tell.at(20).yielded(code_of(items), 0, item)
        yield 1
        tell.at(30).resumed(code_of(items), 0)
        tell.at(40).yielded(code_of(items), 0, None)
        tell.at(50).resumed(code_of(items), 0)
        tell.at(60).returned(code_of(items), 0, None)

    records = tell.records(program())
    assert [(Kind.CALL, 10, 10), (Kind.IN_CALL, 30, 0), (Kind.CALL, 30, 30)] == [
        (record.kind, record.t_ns, record.pair[0]) for record in records
    ]


def test_frames_met_midway_are_not_recorded_but_are_parents(tell: Teller) -> None:
    """What begins in them belongs to the nearest call below that is, or to the task."""

    async def program() -> None:
        tell.resumed(code_of(program), 0)
        await outer()

    async def outer() -> None:
        tell.resumed(code_of(outer), 0)
        await inner()
        tell.returned(code_of(outer), 0, None)

    async def inner() -> None:
        tell.at(30).started(code_of(inner), 0)
        tell.at(50).returned(code_of(inner), 0, None)

    [inside] = tell.records(program())
    assert (20, 0, 0, 0) == inside.pair


def test_what_is_no_business_of_ours_is_switched_off(tell: Teller) -> None:
    """Functions, generators and aperf's own coroutines, by the first of their events."""

    def plain() -> None: ...

    disable = sys.monitoring.DISABLE
    own = code_of(aperf.Session.__aenter__)

    async def program() -> None:
        code = code_of(plain)
        assert disable is tell.started(code, 0)
        assert disable is tell.resumed(code, 0)
        assert disable is tell.yielded(code, 0, None)
        assert disable is tell.returned(code, 0, None)
        assert tell.thrown(code, 0, LookupError()) is None
        assert tell.unwound(code, 0, LookupError()) is None
        assert disable is tell.started(own, 0)
        assert disable is tell.resumed(own, 0)
        assert tell.thrown(own, 0, LookupError()) is None

    assert [] == tell.records(program())


def test_outside_of_tasks_nothing_is_recorded(tell: Teller) -> None:
    """Coroutines also run elsewhere: in other frameworks, and by hand."""

    async def alone() -> None:
        assert tell.started(code_of(alone), 0) is None
        assert tell.resumed(code_of(alone), 0) is None
        assert tell.thrown(code_of(alone), 0, LookupError()) is None
        assert tell.yielded(code_of(alone), 0, None) is None
        assert tell.returned(code_of(alone), 0, None) is None
        assert tell.unwound(code_of(alone), 0, LookupError()) is None

    tell.recorder.armed = True
    with pytest.raises(StopIteration):
        alone().send(None)
    assert 0 == tell.recorder.used()


def test_activations_of_tasks_that_are_gone_are_forgotten(tell: Teller) -> None:
    """A frame may go without a word; what is known of it must not pile up, nor be announced."""

    async def program() -> None:
        tell.started(code_of(program), 0)
        for _ in range(3_000):
            coroutine = silent()
            kept.append(coroutine)
            await asyncio.create_task(coroutine)
        tell.monitor.announce()

    async def silent() -> None:
        tell.started(code_of(silent), 0)
        await inner()

    async def inner() -> None:
        tell.started(code_of(inner), 0)
        kept.append(sys._getframe())

    kept: list[object] = []  # so that no address is used twice
    assert 1_024 > len(tell.records(program()))
