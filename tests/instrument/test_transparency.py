"""I1: a program is what it is without us, in everything that it can see of itself."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from typing import TYPE_CHECKING, Any

import pytest

from aperf._recorder import Cold
from tests.watched import LoopFactory, run, run_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from aperf._recorder import Recorder

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")


@pytest.fixture
def recorder(recorder_class: type[Recorder]) -> Recorder:
    """A recorder with room for all that these programs do."""
    return recorder_class(Cold(), ring_slots=1 << 14)


class Facts:
    """All that a program can see of how it runs."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def note(self, *facts: Any) -> None:
        self.seen.append(facts)

    async def child(self, *, fail: bool = False) -> str:
        """Look at myself from inside."""
        task: Any = asyncio.current_task()
        coroutine = task.get_coro()
        self.note("task", type(task), task.get_name().startswith("Task-"), task.cancelling())
        self.note("coroutine", type(coroutine), coroutine.__qualname__, coroutine.cr_running)
        self.note("state", inspect.getcoroutinestate(coroutine))
        self.note("factory", asyncio.get_running_loop().get_task_factory())
        self.note("variable", VARIABLE.get())
        VARIABLE.set("changed by child")
        await asyncio.sleep(0)
        if fail:
            raise ValueError("of the child")
        return "result"

    async def main(self) -> None:
        """Look at everything that a task can look at."""
        loop = asyncio.get_running_loop()
        VARIABLE.set("of main")
        coroutine = self.child()
        task: Any = asyncio.create_task(coroutine)
        self.note("identity", task.get_coro() is coroutine, task.get_loop() is loop, task.done())
        self.note("stack", [frame.f_code.co_name for frame in task.get_stack()])
        self.note("result", await task, VARIABLE.get())
        self.note("repr", self.stable(repr(asyncio.create_task(self.child(), name="named"))))
        await self.failures()
        await self.order(loop)
        await self.contexts(loop)
        await self.groups()

    @staticmethod
    def stable(text: str) -> str:
        """Return a repr without what differs from run to run."""
        return text.partition(" running at")[0].partition(" cb=")[0]

    async def failures(self) -> None:
        task = asyncio.create_task(self.child(fail=True))
        results = await asyncio.gather(task, return_exceptions=True)
        self.note("error", [repr(result) for result in results])
        self.note("traceback", repr(task.exception()), self.functions(task.exception()))
        sleeper = asyncio.create_task(asyncio.sleep(1))
        await asyncio.sleep(0)
        self.note("cancel", sleeper.cancel("why"), sleeper.cancelling())
        try:
            await sleeper
        except asyncio.CancelledError as error:
            self.note("cancelled", error.args, sleeper.cancelled(), self.functions(error))

    @staticmethod
    def functions(error: Any) -> list[str]:
        """Return the functions in a traceback."""
        names, traceback = [], error.__traceback__
        while traceback is not None:
            names.append(traceback.tb_frame.f_code.co_name)
            traceback = traceback.tb_next
        return names

    async def order(self, loop: asyncio.AbstractEventLoop) -> None:
        order: list[Any] = []
        future = loop.create_future()

        async def waiter(name: str) -> None:
            order.append((name, await future))

        tasks = [loop.create_task(waiter(name)) for name in "ab"]
        await asyncio.sleep(0)
        future.add_done_callback(lambda _: order.append("callback"))
        loop.call_soon(order.append, "soon")
        future.set_result(1)
        loop.call_soon(order.append, "later")
        handle = loop.call_soon(order.append, "never")
        handle.cancel()
        self.note("handle", type(handle), handle.cancelled())
        await asyncio.wait(tasks)
        self.note("order", order)

    async def contexts(self, loop: asyncio.AbstractEventLoop) -> None:
        context = contextvars.copy_context()
        await loop.create_task(self.child(), context=context)
        self.note("context", context[VARIABLE], VARIABLE.get(), len(context))
        seen: list[str] = []
        context.run(VARIABLE.set, "of the callback")
        loop.call_soon(lambda: seen.append(VARIABLE.get()), context=context)
        loop.call_soon(lambda: seen.append(VARIABLE.get()))
        await asyncio.sleep(0)
        self.note("callbacks", seen)

    async def groups(self) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.child(), name=f"of group {n}") for n in range(2)]
        self.note("group", [task.result() for task in tasks])
        shielded = asyncio.create_task(self.child())
        self.note("shield", await asyncio.shield(shielded))
        self.note("wait_for", await asyncio.wait_for(self.child(), 10))
        agen = self.numbers()
        self.note("agen", [number async for number in agen])

    @staticmethod
    async def numbers() -> Any:
        for number in range(3):
            await asyncio.sleep(0)
            yield number


def test_i1_a_program_sees_no_difference(recorder: Recorder, loop_factory: LoopFactory) -> None:
    """Types, identities, names, states, order, contexts, tracebacks: the same with and without."""
    plain, seen = Facts(), Facts()
    run_plain(plain.main(), loop_factory)
    run(recorder, seen.main(), loop_factory)
    assert plain.seen == seen.seen


def test_i1_handles_are_those_of_the_loop(
    recorder: Recorder, lazy_loop_factory: LoopFactory
) -> None:
    """A callback of the program is not replaced: asyncio's handle holds the very function."""

    def callback(*args: object) -> None:
        pass

    async def main() -> Any:
        return asyncio.get_running_loop().call_soon(callback, 1, 2)

    async def kept() -> None:
        handle = await main()
        if isinstance(handle, asyncio.Handle):
            handles.append(handle._callback)  # type: ignore[attr-defined]
        else:
            handles.append(callback)

    handles: list[Any] = []
    run(recorder, kept(), lazy_loop_factory)
    assert [callback] == handles


def complaints_of(
    program: Callable[[], Coroutine[Any, Any, None]], run_it: Callable[[Any], object]
) -> list[dict[str, Any]]:
    """Run a program and return what the loop's exception handler was told."""
    complaints: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
        await program()

    run_it(main())
    return complaints


def test_i1_complaints_about_callbacks_name_them(
    recorder: Recorder, lazy_loop_factory: LoopFactory
) -> None:
    """A callback that fails is called what it is called without us."""

    class Client:
        def done(self, future: asyncio.Future[int]) -> None:
            raise ValueError("in a callback")

    async def program() -> None:
        future = asyncio.get_running_loop().create_future()
        future.add_done_callback(Client().done)
        future.set_result(1)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    [plain] = complaints_of(program, lambda main: run_plain(main, lazy_loop_factory))
    [seen] = complaints_of(program, lambda main: run(recorder, main, lazy_loop_factory))
    names = [str(told["message"]).partition(" at ")[0].partition("(")[0] for told in (plain, seen)]
    assert names[0] == names[1]
    assert set(plain) == set(seen)


def test_i1_arguments_that_a_loop_refuses_are_refused(
    recorder: Recorder, lazy_loop_factory: LoopFactory
) -> None:
    """The messages are the loop's own, and nothing is left of the attempt."""

    async def program() -> list[str]:
        loop: Any = asyncio.get_running_loop()
        refusals = []
        coroutine = asyncio.sleep(0)
        for method, args, options in (
            (loop.create_task, (1,), {}),
            (loop.create_task, (), {}),
            (loop.create_task, (coroutine,), {"wrong": 1}),
            (loop.call_soon, (), {}),
        ):
            try:
                method(*args, **options)
            except TypeError as error:
                refusals.append(str(error))
        coroutine.close()
        return refusals

    seen: list[str] = []

    async def main() -> None:
        seen.extend(await program())

    plain = run_plain(program(), lazy_loop_factory)
    story = run(recorder, main(), lazy_loop_factory)
    assert len(plain) == len(seen)
    assert plain[0] == seen[0]
    assert 1 == len(story.births)
    assert [] == recorder.live()


def test_i1_a_keyword_is_as_good_as_a_position(
    recorder: Recorder, loop_factory: LoopFactory
) -> None:
    """`create_task(coro=…)` and `call_soon(callback=…)` are accepted where the loop does."""

    async def child() -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        await loop.create_task(coro=child(), name="by keyword")
        done = loop.create_future()
        loop.call_soon(callback=lambda: done.set_result(None))
        await done

    run_plain(main(), loop_factory)
    assert 2 == len(run(recorder, main(), loop_factory).steps("by keyword"))
