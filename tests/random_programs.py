"""Random programs that keep a diary: who ran from when to when, made by whom, woken by whom.

They move the recorder's clock themselves, so that a diary is exact: time passes in `work` alone.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

    from aperf._recorder import Recorder

__all__ = ("Diary", "World", "programs")

Script: TypeAlias = "list[tuple[str, int]]"

FUTURES: Final = 3
MAX_TASKS: Final = 25

#: What a task can do; a number chooses among futures, tasks, scripts and durations.
ACTIONS: Final = (
    "work",
    "give_way",
    "wait",
    "wake",
    "spawn",
    "await_child",
    "cancel",
    "fail",
    "catch",
    "gather",
    "group",
    "time_out",
    "shield",
)

_scripts = st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 7)), max_size=8)
programs: Final = st.lists(_scripts, min_size=1, max_size=6)


@dataclass(slots=True)
class Diary:
    """What one task saw of its life.

    Attributes:
        creator: who made it.
        born_ns: when.
        runs: from when to when it ran, each time.
        wakes: of some runs, who woke it and when.
        end: "returned", "failed" or "cancelled".
    """

    creator: str
    born_ns: int
    runs: list[tuple[int, int]] = field(default_factory=list)
    wakes: dict[int, tuple[str, int]] = field(default_factory=dict)
    end: str = ""


class _Spy:
    """Awaits a coroutine, and notes each time that it is resumed and suspended."""

    def __init__(self, world: World, diary: Diary, coroutine: Coroutine[Any, Any, None]) -> None:
        self._world = world
        self._diary = diary
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, None]:
        resume: Callable[[], Any] = lambda: self._coroutine.send(None)  # noqa: E731
        while True:
            since_ns = self._world.now_ns
            try:
                awaited = resume()
            except StopIteration:
                return
            finally:
                self._diary.runs.append((since_ns, self._world.now_ns))
            resume = yield from self._suspend(awaited)

    def _suspend(self, awaited: Any) -> Generator[Any, Any, Callable[[], Any]]:
        try:
            value = yield awaited
        except BaseException as error:
            raised = error
            return lambda: self._coroutine.throw(raised)
        return lambda: self._coroutine.send(value)


class World:
    """Runs a program: scripts that its tasks follow, chosen by number.

    Attributes:
        diaries: of all tasks, by name.
    """

    def __init__(self, program: list[Script], recorder: Recorder) -> None:
        self._program = program
        self._recorder = recorder
        self.now_ns = 0
        self.diaries: dict[str, Diary] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._futures: list[asyncio.Future[None]] = []
        self._woken: dict[asyncio.Future[None], tuple[str, int]] = {}

    async def run(self) -> None:
        """Start one task for each script, let them live, and bring all of them to an end."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: None)
        self._futures = [loop.create_future() for _ in range(FUTURES)]
        for number in range(len(self._program)):
            _ = self._spawn(number, "")
        for _ in range(12):
            await asyncio.sleep(0)
            self._pass(1)
        while pending := [task for task in self._tasks if not task.done()]:
            for task in pending:
                task.cancel()
            await asyncio.sleep(0)
        for task in self._tasks:
            failed = not task.cancelled() and task.exception() is not None
            end = "cancelled" if task.cancelled() else "failed" if failed else "returned"
            self.diaries[task.get_name()].end = end

    def _pass(self, ns: int) -> None:
        self.now_ns += ns
        self._recorder.set_time_ns(self.now_ns)

    def _spawn(self, number: int, creator: str) -> asyncio.Task[None]:
        name = f"t{len(self.diaries)}"
        diary = self.diaries[name] = Diary(creator, self.now_ns)
        script = self._program[number % len(self._program)]
        life = self._live(name, diary, script)
        task = asyncio.get_running_loop().create_task(life, name=name)
        self._tasks.append(task)
        return task

    async def _live(self, name: str, diary: Diary, script: Script) -> None:
        await _Spy(self, diary, self._follow(name, script))

    async def _follow(self, name: str, script: Script) -> None:
        for action, number in script:
            self._pass(1)
            await getattr(self, action)(name, number)
            self._pass(number)

    @property
    def _is_full(self) -> bool:
        return len(self.diaries) >= MAX_TASKS

    # ------------------------------------------------------------------------------------- actions

    async def work(self, name: str, number: int) -> None:
        """Take time."""
        self._pass(number)

    async def give_way(self, name: str, number: int) -> None:
        """Let others run."""
        await asyncio.sleep(0)

    async def wait(self, name: str, number: int) -> None:
        """Wait for a future, and note who made it come."""
        future = self._futures[number % FUTURES]
        await future
        diary = self.diaries[name]
        diary.wakes[len(diary.runs)] = self._woken[future]

    async def wake(self, name: str, number: int) -> None:
        """Make a future come."""
        future = self._futures[number % FUTURES]
        if not future.done():
            self._woken[future] = name, self.now_ns
            future.set_result(None)
        self._futures[number % FUTURES] = asyncio.get_running_loop().create_future()

    async def spawn(self, name: str, number: int) -> None:
        """Start a task and forget it."""
        if not self._is_full:
            _ = self._spawn(number, name)

    async def await_child(self, name: str, number: int) -> None:
        """Start a task and wait for it."""
        if not self._is_full:
            await self._spawn(number, name)

    async def cancel(self, name: str, number: int) -> None:
        """Cancel somebody, perhaps oneself."""
        if self._tasks:
            self._tasks[number % len(self._tasks)].cancel()

    async def fail(self, name: str, number: int) -> None:
        """Raise."""
        raise ValueError(number)

    async def catch(self, name: str, number: int) -> None:
        """Wait for a future, and get over a cancellation."""
        try:
            await self._futures[number % FUTURES]
        except asyncio.CancelledError:
            self._pass(1)

    async def gather(self, name: str, number: int) -> None:
        """Wait for several tasks at once."""
        children = [self._spawn(number + n, name) for n in range(2) if not self._is_full]
        await asyncio.gather(*children, return_exceptions=bool(number % 2))

    async def group(self, name: str, number: int) -> None:
        """Wait for a task in a group."""
        async with asyncio.TaskGroup() as group:
            if not self._is_full:
                group.create_task(_await(self._spawn(number, name)))

    async def time_out(self, name: str, number: int) -> None:
        """Wait for what does not come in time, or does."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None) as limit:
                await asyncio.sleep(0)
                if number % 2:
                    limit.reschedule(loop.time())
                    await loop.create_future()
        except TimeoutError:
            self._pass(1)

    async def shield(self, name: str, number: int) -> None:
        """Wait for a task behind a shield."""
        if not self._is_full:
            await asyncio.shield(self._spawn(number, name))


async def _await(task: asyncio.Task[None]) -> None:
    await task
