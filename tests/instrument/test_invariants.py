"""What must hold however a program is watched: it cannot tell, and what is told is true."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref
from typing import TYPE_CHECKING, Any

import pytest

import aperf
from aperf._recorder import Cold, StepFlag
from tests.records import decode
from tests.watched import LoopFactory, Story, run, run_plain, watched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aperf._recorder import Recorder

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")


@pytest.fixture
def recorder(recorder_class: type[Recorder]) -> Recorder:
    """A recorder with room for all that these programs do."""
    return recorder_class(Cold(), ring_slots=1 << 14)


# -------------------------------------------------------------------- I3: our faults are ours alone


class Faulty(Cold):
    """A recorder's slow side that always fails."""

    def __init__(self) -> None:
        super().__init__(half_full=self._fail, open_span=self._fail)
        self.failures = 0
        self.name: Any = self._fail

    def _fail(self, *args: Any) -> Any:
        self.failures += 1
        raise RuntimeError("a fault of our own")

    def __getattribute__(self, name: str) -> Any:
        if name in ("classify", "look_through", "canceller", "failure"):
            return self._fail
        return super().__getattribute__(name)


async def busy_program() -> list[Any]:
    """Do a bit of everything, and return what came of it."""

    async def child(number: int) -> int:
        await asyncio.sleep(0)
        if number % 3 == 0:
            raise ValueError(number)
        if number % 3 == 1:
            await asyncio.get_running_loop().create_future()
        return number

    tasks = [asyncio.create_task(child(number)) for number in range(12)]
    for _ in range(3):
        await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0, lambda: [task.cancel() for task in tasks])
    results = await asyncio.gather(*tasks, return_exceptions=True)
    return [result if isinstance(result, int) else type(result) for result in results]


def test_i3_faults_never_reach_the_program(
    recorder_class: type[Recorder], loop_factory: LoopFactory
) -> None:
    """Whatever fails in the recorder, the program ends as it does without, and nothing is said."""
    expected = run_plain(busy_program(), loop_factory)
    recorder = recorder_class(Faulty(), ring_slots=64, span_var=VARIABLE)
    complaints: list[Any] = []
    with asyncio.Runner(loop_factory=loop_factory) as runner, watched(recorder, runner.get_loop()):
        runner.get_loop().set_exception_handler(lambda _, told: complaints.append(told))
        assert expected == runner.run(busy_program())
    assert [] == complaints
    assert recorder.internal_errors > 0


def test_i3_after_eight_faults_it_stops(recorder_class: type[Recorder]) -> None:
    """A recorder that fails on and on is switched off."""
    recorder = recorder_class(Faulty(), ring_slots=64, span_var=VARIABLE)
    with asyncio.Runner() as runner, watched(recorder, runner.get_loop()):
        runner.run(busy_program())
        assert not recorder.armed
        faults = recorder.internal_errors
        assert 8 <= faults
        runner.run(busy_program())
    assert faults == recorder.internal_errors


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_i3_what_ends_programs_passes(
    recorder: Recorder, loop_factory: LoopFactory, error: type[BaseException]
) -> None:
    """KeyboardInterrupt and SystemExit leave the loop as they do without us, and end the task."""

    async def program() -> None:
        await asyncio.sleep(0)
        raise error

    with asyncio.Runner(loop_factory=loop_factory) as runner, watched(recorder, runner.get_loop()):
        with pytest.raises(error):
            runner.run(program())
        runner.run(asyncio.sleep(0))
    story = Story(decode(recorder))
    assert 0 == recorder.internal_errors
    assert StepFlag.DONE | StepFlag.FAILED == story.all_steps[1].flags
    assert 0 == recorder.current()


def test_i3_a_cancellation_passes(recorder: Recorder, loop_factory: LoopFactory) -> None:
    """CancelledError reaches whoever awaits, and the loop stays usable."""

    async def program() -> None:
        task = asyncio.create_task(asyncio.sleep(10), name="cancelled")
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    story = run(recorder, program(), loop_factory)
    assert story.end("cancelled") & StepFlag.CANCELLED
    assert not story.end("cancelled") & StepFlag.FAILED


# ------------------------------------------------------------ I4: nothing is kept alive by watching


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Switch the garbage collector off: only reference counts free anything."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class Marker:
    """Something that can be referred to weakly."""


@pytest.mark.usefixtures("no_collector")
def test_i4_the_loop_goes_without_the_collector(
    recorder: Recorder, loop_factory: LoopFactory
) -> None:
    """A closed loop is freed at once, also while it is watched."""

    async def main() -> None:
        await asyncio.gather(*(asyncio.sleep(0) for _ in range(3)))

    def watch_and_drop() -> weakref.ref[Any]:
        loop: Any = loop_factory()
        hook = recorder.hook(loop)
        loop.create_task, loop.call_soon = hook.create_task, hook.call_soon
        hook.armed = recorder.armed = True
        loop.run_until_complete(main())
        loop.close()
        return weakref.ref(loop)

    plain = loop_factory()
    plain.run_until_complete(main())
    plain.close()
    plain_reference = weakref.ref(plain)
    del plain
    assert plain_reference() is None, "not even without us"
    assert watch_and_drop()() is None


@pytest.mark.usefixtures("no_collector")
def test_i4_tasks_and_what_they_hold_go_without_the_collector(
    recorder: Recorder, loop_factory: LoopFactory
) -> None:
    """Task, coroutine, its locals, result and exception are freed as they are without us."""
    references: dict[str, weakref.ref[Any]] = {}

    async def child(*, fail: bool) -> Marker:
        local = Marker()
        references[f"local {fail}"] = weakref.ref(local)
        await asyncio.sleep(0)
        if fail:
            error = ValueError()
            references["error"] = weakref.ref(error)
            try:
                raise error
            finally:
                del error
        return local

    async def main() -> None:
        for fail in (False, True):
            coroutine = child(fail=fail)
            task = asyncio.create_task(coroutine)
            references[f"coroutine {fail}"] = weakref.ref(coroutine)
            references[f"task {fail}"] = weakref.ref(task)
            del coroutine
            await asyncio.wait([task])
            if fail:
                assert task.exception() is not None
            del task
        await asyncio.sleep(0)
        alive.extend(what for what, reference in references.items() if reference() is not None)

    alive: list[str] = []
    run_plain(main(), loop_factory)
    plainly_alive = list(alive)
    alive.clear()
    run(recorder, main(), loop_factory)
    assert plainly_alive == alive
    assert [] == alive


@pytest.mark.usefixtures("no_collector")
def test_i4_an_exception_that_passes_takes_nothing_along(
    recorder: Recorder, loop_factory: LoopFactory
) -> None:
    """The frames of our hook in a traceback hold no task, no coroutine and no argument."""
    references: list[weakref.ref[Any]] = []

    async def program() -> None:
        marker = Marker()
        references.append(weakref.ref(marker))
        references.append(weakref.ref(asyncio.current_task()))
        del marker
        raise SystemExit

    def leave(loop: Any) -> BaseException:
        try:
            loop.run_until_complete(program())
        except SystemExit as error:
            return error
        raise AssertionError

    def held(loop: Any) -> list[object]:
        """Return what the error alone keeps alive."""
        error = leave(loop)
        alive: list[object] = [type(reference()) for reference in references]
        del error
        references.clear()
        loop.close()
        return alive

    plain = held(loop_factory())
    loop = loop_factory()
    with watched(recorder, loop):
        assert plain == held(loop)


# ------------------------------------------------------------------------ I5: off is nothing at all


def test_i5_off_means_an_untouched_loop(loop_factory: LoopFactory) -> None:
    """A session that is not enabled leaves the loop's dictionary as it is."""

    async def main() -> None:
        before = dict(vars(asyncio.get_running_loop()))
        async with aperf.session(enabled=False):
            assert before == vars(asyncio.get_running_loop())
            assert not aperf.is_active()
        aperf.instrument_loop(enabled=False)
        assert before == vars(asyncio.get_running_loop())

    run_plain(main(), loop_factory)


def test_i5_a_disarmed_hook_passes_everything_through(
    recorder: Recorder, loop_factory: LoopFactory
) -> None:
    """While the recorder is off nothing is replaced and nothing is written."""

    async def main() -> None:
        recorder.armed = False
        await asyncio.gather(*(asyncio.sleep(0) for _ in range(3)))

    with asyncio.Runner(loop_factory=loop_factory) as runner, watched(recorder, runner.get_loop()):
        runner.run(main())
    story = Story(decode(recorder))
    assert 1 == len(story.births) == len(story.all_steps)  # those of the one that switched it off


# -------------------------------------------------------------- I7: numbers are not addresses, ever


def test_i7_numbers_are_never_used_again(recorder: Recorder, loop_factory: LoopFactory) -> None:
    """Tasks that live at the same address one after the other have numbers of their own."""
    addresses: set[int] = set()

    async def child() -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        for _ in range(300):
            task = asyncio.create_task(child())
            addresses.add(id(task))
            await task
            del task

    story = run(recorder, main(), loop_factory)
    assert len(addresses) < 300, "no address was used twice: the test proves nothing"
    assert list(range(1, 302)) == [birth.a for birth in story.births]
    ended = [step.task for step in story.all_steps if step.flags & StepFlag.DONE]
    assert list(range(1, 302)) == sorted(ended)


# --------------------------------------------------------------- I9: contexts belong to the program


def test_i9_a_context_that_was_passed_is_not_written_to(
    twin: type[Recorder], loop_factory: LoopFactory
) -> None:
    """Also not with a session open, user spans around and executors at work."""

    async def child() -> None:
        with aperf.span("inner"):
            await asyncio.sleep(0)
            await asyncio.to_thread(int)

    async def main() -> None:
        async with aperf.session(enabled=True, exporters=[]):
            with aperf.span("outer"):
                context = contextvars.Context()
                loop = asyncio.get_running_loop()
                await loop.create_task(asyncio.sleep(0), context=context)
                assert 0 == len(context)
                loop.call_soon(int, context=context)
                await asyncio.sleep(0)
                assert 0 == len(context)
                await loop.create_task(child(), context=context)
                nodes = [value for value in context.values() if value is not None]
                assert all(node.recording is None for node in nodes)

    run_plain(main(), loop_factory)
