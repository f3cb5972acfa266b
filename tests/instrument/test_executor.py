"""Jobs in thread pools: how long they queued, how long they ran, and whose they are."""

from __future__ import annotations

import asyncio
import functools
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

import aperf
from aperf.model import Category, Flag, Span, StatusCode
from aperf.testing import Capture, capture
from tests.watched import LoopFactory, run_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

pytestmark = pytest.mark.usefixtures("twin")


def captured(
    main: Callable[[], Coroutine[Any, Any, Any]], loop_factory: LoopFactory, **options: Any
) -> Capture:
    """Run a program and return what was captured of it."""

    async def outside() -> Capture:
        async with capture(**options) as result:
            await main()
        return result

    result = run_plain(outside(), loop_factory)
    assert 0 == result.statistics.internal_errors
    return result


def jobs(result: Capture) -> list[Span]:
    """Return the spans of jobs, in the order in which they were submitted."""
    found = [span for span in result.spans if span.category is Category.EXECUTOR]
    return sorted(found, key=lambda span: span.start_ns)


def in_executor(function: Callable[..., Any], *args: Any, executor: Any = None) -> Any:
    """Run a function in an executor."""
    return asyncio.get_running_loop().run_in_executor(executor, function, *args)


# -------------------------------------------------------------------------------------------- times


def test_a_job_queues_and_runs(loop_factory: LoopFactory) -> None:
    """Queueing is told apart from running, and both are the span's whole length."""
    result: Capture | None = None
    started, go_on = threading.Event(), threading.Event()

    def first() -> None:
        started.set()
        assert go_on.wait(10)

    def second() -> None:
        assert result is not None
        result.clock.advance(20)

    async def main() -> Capture:
        nonlocal result
        async with capture(manual_clock=True) as result:
            with ThreadPoolExecutor(1) as pool:
                one = in_executor(first, executor=pool)
                await asyncio.to_thread(started.wait, 10)
                two = in_executor(second, executor=pool)
                result.clock.advance(100)
                go_on.set()
                await asyncio.gather(one, two)
        return result

    spans = {span.name: span for span in jobs(run_plain(main(), loop_factory))}
    [job] = [span for name, span in spans.items() if name.endswith("second")]
    assert (100, 20) == (job.attributes["aperf.queue_ns"], job.attributes["aperf.run_ns"])
    assert 120 == job.duration_ns


# ------------------------------------------------------------------------------------- what it runs


class Client:
    def fetch(self) -> str:
        return "fetched"

    @staticmethod
    def parse() -> str:
        return "parsed"

    def __call__(self) -> str:
        return "called"


def plain(*args: int) -> int:
    """Add."""
    return sum(args)


FUNCTIONS: dict[str, tuple[Callable[..., Any], str]] = {
    "function": (plain, "plain"),
    "lambda": (lambda: 1, "<lambda>"),
    "bound method": (Client().fetch, "Client.fetch"),
    "static method": (Client.parse, "Client.parse"),
    "partial": (functools.partial(plain, 1), "plain"),
    "partial of a partial": (functools.partial(functools.partial(plain, 1), 2), "plain"),
    "builtin": (len, "len"),
    "bound builtin": ([3].copy, "list.copy"),
    "class": (dict, "dict"),
    "callable object": (Client(), "Client"),
}


@pytest.mark.parametrize("what", FUNCTIONS)
@pytest.mark.parametrize("way", ["run_in_executor", "to_thread"])
def test_a_job_is_called_what_it_runs(loop_factory: LoopFactory, what: str, way: str) -> None:
    """The function's qualified name, through partials and the context that to_thread adds."""
    function, name = FUNCTIONS[what]
    args: tuple[Any, ...] = ("abc",) if what == "builtin" else ()

    async def main() -> None:
        expected = function(*args)
        if way == "to_thread":
            assert expected == await asyncio.to_thread(function, *args)
        else:
            assert expected == await in_executor(function, *args)

    [job] = jobs(captured(main, loop_factory))
    assert job.name.split()[-1].endswith(name), job.name


def test_code_is_located(loop_factory: LoopFactory) -> None:
    """A function of the program's own is found by file and line."""

    async def main() -> None:
        await in_executor(plain, 1, 2)

    [job] = jobs(captured(main, loop_factory))
    code = plain.__code__
    assert code.co_filename == job.attributes["code.file.path"]
    assert code.co_firstlineno == job.attributes["code.line.number"]


# --------------------------------------------------------------------------------- as without aperf


class Failure(Exception):
    pass


def fails() -> None:
    """Fail."""
    raise Failure("in the pool")


def test_a_failure_passes_and_is_told(loop_factory: LoopFactory) -> None:
    """The exception reaches whoever awaits, and the span is an error."""

    async def main() -> None:
        with pytest.raises(Failure, match="in the pool") as caught:
            await in_executor(fails)
        assert "fails" == caught.traceback[-1].name

    [job] = jobs(captured(main, loop_factory))
    assert StatusCode.ERROR == job.status


def test_a_process_pool_is_left_alone(lazy_loop_factory: LoopFactory) -> None:
    """Its jobs must be pickled: they are the program's own, and no span is made up."""

    async def main() -> None:
        with ProcessPoolExecutor(1) as pool:
            assert 3 == await in_executor(plain, 1, 2, executor=pool)

    assert [] == jobs(captured(main, lazy_loop_factory))


def test_a_pool_of_the_program_s_own(loop_factory: LoopFactory) -> None:
    """Subclasses of the thread pool are watched, and called with a job that shows the function."""
    submitted: list[str] = []

    class Pool(ThreadPoolExecutor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            submitted.append(repr(fn))
            return super().submit(fn, *args, **kwargs)

    async def main() -> None:
        with Pool(1) as pool:
            assert 3 == await in_executor(plain, 1, 2, executor=pool)

    assert 1 == len(jobs(captured(main, loop_factory)))
    assert [repr(plain)] == submitted


def test_what_is_no_function_is_refused_as_ever(lazy_loop_factory: LoopFactory) -> None:
    """In debug mode the loop checks what it is given: it must see what the program gave."""

    async def coroutine_function() -> None:
        pass

    async def refusals() -> list[str]:
        loop = asyncio.get_running_loop()
        loop.set_debug(True)
        found = []
        for wrong in (coroutine_function, 7):
            unknown: Any = wrong
            try:
                await in_executor(unknown)
            except TypeError as error:
                found.append(str(error).partition(" at 0x")[0])
        return found

    async def main() -> list[str]:
        async with capture():
            return await refusals()

    assert run_plain(refusals(), lazy_loop_factory) == run_plain(main(), lazy_loop_factory)


# ---------------------------------------------------------------------------------------- belonging


def test_a_job_belongs_to_the_task_that_submitted_it(loop_factory: LoopFactory) -> None:
    """Its parent is the task's span, in the same trace; its thread is the pool's."""

    async def main() -> None:
        await asyncio.get_running_loop().create_task(in_task(), name="submitting")

    async def in_task() -> None:
        with ThreadPoolExecutor(1, thread_name_prefix="pool") as pool:
            await in_executor(plain, executor=pool)

    result = captured(main, loop_factory)
    [job] = jobs(result)
    [task] = [span for span in result.tasks if span.task_name == "submitting"]
    assert (task.span_id, task.trace_id) == (job.parent_span_id, job.trace_id)
    assert job.thread is not None
    assert "pool_0" == job.thread.name


def test_a_job_submitted_by_a_callback_is_a_root(loop_factory: LoopFactory) -> None:
    """No task submitted it: it has a trace of its own."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        loop.call_later(0, lambda: in_executor(plain).add_done_callback(done.set_result))
        await done

    [job] = jobs(captured(main, loop_factory))
    assert job.parent_span_id is None


def test_a_job_is_below_the_span_in_which_it_was_submitted(loop_factory: LoopFactory) -> None:
    """Also if it is over before its task is suspended, or after its task went on."""
    go_on = threading.Event()

    async def main() -> None:
        with ThreadPoolExecutor(1) as pool:
            with aperf.span("before"):
                await asyncio.sleep(0)
            with aperf.span("quick"):
                quick = in_executor(plain, executor=pool)
                pool.submit(plain).result(10)  # so the one before it is over
                await quick
            with aperf.span("slow"):
                slow = in_executor(go_on.wait, 10, executor=pool)
            with aperf.span("after"):
                await asyncio.sleep(0)
                go_on.set()
                assert await slow

    result = captured(main, loop_factory)
    quick, slow = jobs(result)
    assert result.span("quick").span_id == quick.parent_span_id
    assert result.span("slow").span_id == slow.parent_span_id


@pytest.mark.parametrize("way", ["run_in_executor", "to_thread"])
def test_spans_opened_in_a_job_are_below_the_one_around_it(
    loop_factory: LoopFactory, way: str
) -> None:
    """The span that is open where the job is submitted is the parent of those opened in it."""

    def job() -> None:
        with aperf.span("inner"):
            pass

    async def main() -> None:
        with aperf.span("outer"):
            await (asyncio.to_thread(job) if way == "to_thread" else in_executor(job))

    result = captured(main, loop_factory)
    inner, outer = result.span("inner"), result.span("outer")
    assert (outer.span_id, outer.trace_id) == (inner.parent_span_id, inner.trace_id)


def test_a_worker_thread_forgets_the_span_of_its_last_job(loop_factory: LoopFactory) -> None:
    """A thread of the pool serves many: what it inherited ends with the job."""

    def job() -> None:
        with aperf.span("inner"):
            pass

    async def main() -> None:
        with ThreadPoolExecutor(1) as pool:
            with aperf.span("outer"):
                await in_executor(plain, executor=pool)
            await asyncio.wrap_future(pool.submit(job))

    result = captured(main, loop_factory)
    assert result.span("inner").parent_span_id != result.span("outer").span_id


def test_a_job_that_outlives_its_session(loop_factory: LoopFactory) -> None:
    """It ends in peace, unrecorded."""
    go_on = threading.Event()

    async def main() -> tuple[Capture, Any]:
        async with capture() as result:
            pending = in_executor(go_on.wait, 10)
        go_on.set()
        return result, await pending

    result, value = run_plain(main(), loop_factory)
    assert value is True
    assert [] == [job for job in jobs(result) if Flag.UNFINISHED not in job.flags]
