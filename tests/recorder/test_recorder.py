"""What a recorder writes of tasks, to the bit."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any

import pytest

from aperf._recorder import MAX_PAYLOAD, BirthFlag, Cold, Kind, StepFlag
from tests.records import Record, decode, of_kind
from tests.watched import Story, run, watched

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

    from aperf._recorder import Recorder

MS = 1_000_000


@pytest.fixture
def recorder(recorder_class: type[Recorder]) -> Recorder:
    """A recorder whose time stands still until it is told otherwise."""
    return recorder_class(Cold(), ring_slots=1 << 12, manual_clock=True)


def code_of(recorder: Recorder, record: Record) -> CodeType:
    """Return the code of the innermost frame of the site that a record names."""
    site: Any = recorder.resolve(record.ref)
    code: CodeType = site[2][0][0]
    return code


# -------------------------------------------------------------------------------------------- times


def timed(recorder: Recorder, scale: int) -> Story:
    """Run a task that is 1 ready, 2 busy, 3 waiting, 4 ready, 5 busy."""
    now = 0

    def advance(by: int) -> None:
        nonlocal now
        now += by * scale
        recorder.set_time_ns(now)

    async def program(future: asyncio.Future[None]) -> None:
        advance(2)
        await future
        advance(5)

    async def main() -> None:
        future = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(program(future), name="program")
        advance(1)
        await asyncio.sleep(0)
        advance(3)
        future.set_result(None)
        advance(4)
        await task

    return run(recorder, main())


@pytest.mark.parametrize(("scale", "kind"), [(1, Kind.STEP), (MS, Kind.STEP), (1 << 32, Kind.WIDE)])
def test_times_are_exact(recorder: Recorder, scale: int, kind: Kind) -> None:
    """Start, ready and busy are told to the nanosecond, also when 32 bits do not hold them."""
    story = timed(recorder, scale)
    assert 0 == story.birth("program").t_ns
    steps = story.steps("program")
    assert [kind, kind] == [step.kind for step in steps]
    times = [(step.t_ns, step.ready_ns, step.busy_ns) for step in steps]
    expected = [(1, 1, 2), (10, 4, 5)]
    assert [tuple(time * scale for time in step) for step in expected] == times


@pytest.mark.parametrize(("busy_ns", "kind"), [((1 << 32) - 1, Kind.STEP), (1 << 32, Kind.WIDE)])
def test_only_what_does_not_fit_is_wide(recorder: Recorder, busy_ns: int, kind: Kind) -> None:
    """A step takes one slot as long as each of its numbers fits into 32 bits."""

    async def program() -> None:
        recorder.set_time_ns(busy_ns)

    [step] = run(recorder, program()).all_steps
    assert (kind, busy_ns, 0, 0) == (step.kind, step.busy_ns, step.ready_ns, step.t_ns)


def test_flags_of_a_life(recorder: Recorder) -> None:
    """The first step and the last say that they are."""
    first, second = timed(recorder, 1).steps("program")
    assert [StepFlag.FIRST, StepFlag.DONE] == [first.flags, second.flags]


def test_a_life_of_one_step(recorder: Recorder) -> None:
    """The first step may be the last."""
    story = run(recorder, asyncio.sleep(0))
    assert [StepFlag.FIRST, StepFlag.DONE] == [step.flags for step in story.all_steps]

    async def nothing() -> None:
        pass

    [step] = run(recorder, nothing()).all_steps
    assert StepFlag.FIRST | StepFlag.DONE == step.flags


def test_the_first_step_has_no_site(recorder: Recorder) -> None:
    """Before it nothing was waited for."""
    first, second = timed(recorder, 1).steps("program")
    assert 0 == first.ref
    assert "timed.<locals>.program" == code_of(recorder, second).co_qualname


# -------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("x", "x"),
        ("sixteen bytes...", "sixteen bytes..."),
        ("more than sixteen bytes", "more than sixteen bytes"),
        ("x" * 128, "x" * 128),
        ("x" * 129, "x" * 128),
        ("ä" * 70, "ä" * 64),
        ("\udc80", "?"),
        ("zero\0inside", "zero\0inside"),
    ],
    ids=["short", "16", "longer", "128", "129", "umlauts", "surrogate", "zero"],
)
def test_a_name_is_kept_up_to_128_bytes_of_utf_8(recorder: Recorder, name: str, kept: str) -> None:
    """Names of any length and content are recorded, and cut."""

    async def main() -> None:
        await asyncio.get_running_loop().create_task(asyncio.sleep(0), name=name)

    births = run(recorder, main()).births
    assert ["Task-1"[:5], kept] == [births[0].birth.name[:5], births[1].birth.name]


def test_a_name_given_after_the_birth_is_recorded(recorder: Recorder) -> None:
    """Before 3.13, asyncio names a task only when it has been made: nobody may see a difference."""

    async def main() -> None:
        task = asyncio.get_running_loop().create_task(asyncio.sleep(0))
        task.set_name("late")
        await task

    assert 2 == len(run(recorder, main()).steps("late"))


def test_a_name_of_the_program_s_own_choice_at_the_end(recorder: Recorder) -> None:
    """A task that renames itself is known by its last name."""

    async def program() -> None:
        await asyncio.sleep(0)
        task: Any = asyncio.current_task()
        task.set_name("last")

    assert 2 == len(run(recorder, program()).steps("last"))


def test_a_name_that_stays_is_recorded_once(recorder: Recorder) -> None:
    """Births carry the name: no further record is needed."""

    async def main() -> None:
        for number in range(5):
            await asyncio.get_running_loop().create_task(asyncio.sleep(0), name=f"n{number}")
            await asyncio.get_running_loop().create_task(asyncio.sleep(0))

    assert [] == of_kind(run(recorder, main()).records, Kind.NAME)


# ------------------------------------------------------------------------------------------- births


def test_a_birth_says_what_runs_and_who_made_it(recorder: Recorder) -> None:
    """The code of the coroutine, the creator, and the name."""

    async def child() -> None:
        pass

    async def main() -> None:
        await asyncio.create_task(child(), name="child")

    story = run(recorder, main())
    main_birth, birth = story.births
    assert child.__code__ is code_of(recorder, birth)
    assert main.__code__ is code_of(recorder, main_birth)
    assert [0, main_birth.a] == [main_birth.b, birth.b]
    assert [0, 0] == [main_birth.flags, birth.flags]


def test_numbers_count_up_from_one(recorder: Recorder) -> None:
    """Numbers are never 0, which means nobody."""

    async def main() -> None:
        for _ in range(3):
            await asyncio.create_task(asyncio.sleep(0))

    assert [1, 2, 3, 4] == [birth.a for birth in run(recorder, main()).births]


def test_a_birth_in_a_callback_says_so(recorder: Recorder) -> None:
    """A task made by a timer or a connection has no creator, but a flag."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        made: asyncio.Future[asyncio.Task[None]] = loop.create_future()
        loop.call_later(0, lambda: made.set_result(loop.create_task(asyncio.sleep(0))))
        await (await made)

    _, birth = run(recorder, main()).births
    assert (0, BirthFlag.CALLBACK) == (birth.b, birth.flags)


def test_a_coroutine_without_code_is_known_by_its_name(recorder: Recorder) -> None:
    """What Cython makes has a qualified name at least."""

    class Compiled:
        """Looks as a coroutine of an extension module does."""

        def __await__(self) -> Any:
            return iter(())

        def send(self, value: Any) -> Any:
            raise StopIteration(None)

        def throw(self, *error: Any) -> Any:
            raise NotImplementedError

        def close(self) -> None:
            pass

    async def main() -> None:
        coroutine: Any = Compiled()
        coroutine.__qualname__ = "module.compiled"
        await asyncio.create_task(coroutine)

    _, birth = run(recorder, main()).births
    assert BirthFlag.UNCODED == birth.flags
    assert "module.compiled" == recorder.cold.names.text(birth.ref)


def test_the_open_span_is_read_in_the_right_context(recorder_class: type[Recorder]) -> None:
    """That of the context which the task was given, or of the current one."""
    variable: ContextVar[Any] = ContextVar("variable", default=None)
    cold = Cold(open_span=lambda value: value)
    recorder = recorder_class(cold, ring_slots=1 << 10, span_var=variable)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        await loop.create_task(asyncio.sleep(0), name="none")
        variable.set((7, 8, 9, False))
        await loop.create_task(asyncio.sleep(0), name="current")
        other = copy_context()
        other.run(variable.set, (1 << 63, (1 << 32) - 1, 0, False))
        await loop.create_task(asyncio.sleep(0), name="given", context=other)

    story = run(recorder, main())
    spans = {birth.birth.name: birth.birth[:2] for birth in story.births[1:]}
    assert {"none": (0, 0), "current": (7, 8), "given": (1 << 63, (1 << 32) - 1)} == spans


# -------------------------------------------------------------------------------- ends and failures


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: ValueError("bad"), "ValueError\0bad"),
        (Unprintable, "tests.recorder.test_recorder.Unprintable\0<str() raised RuntimeError>"),
        (lambda: LookupError("x" * 5_000), "LookupError\0" + "x" * (1_024 - 12)),
        (lambda: OSError(2, "Größe"), "FileNotFoundError\0[Errno 2] Größe"),
    ],
    ids=["plain", "unprintable", "long", "umlauts"],
)
def test_a_failure_is_told_before_the_end(
    recorder: Recorder, make: Callable[[], Exception], text: str
) -> None:
    """Type, message and traceback come before the step that ends the task."""

    async def deeper() -> None:
        raise make()

    async def program() -> None:
        await deeper()

    async def main() -> None:
        await asyncio.wait([asyncio.create_task(program(), name="program")])

    story = run(recorder, main())
    number = story.number("program")
    assert StepFlag.FIRST | StepFlag.DONE | StepFlag.FAILED == story.end("program")
    early = (Kind.BIRTH, Kind.NAME)
    records = [r for r in story.records if number in (r.a, r.task) and r.kind not in early]
    failure, *more, end = records
    assert Kind.FAILURE == failure.kind
    assert {Kind.MORE} >= {record.kind for record in more}
    assert Kind.STEP == end.kind
    payload = b"".join(record.payload for record in (failure, *more))[: failure.b]
    assert text.encode() == payload.replace(b"__main__", b"")
    site: Any = recorder.resolve(failure.ref)
    assert ["deeper", "program"] == [code.co_name for code, _ in site[2]]


def test_a_failure_is_not_taken_from_asyncio(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    """Asyncio still complains about an exception that nobody retrieved."""

    async def program() -> None:
        raise ValueError("nobody asks")

    async def main() -> None:
        _ = asyncio.create_task(program())
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    run(recorder, main())
    assert ["Task exception was never retrieved"] == [
        record.message.splitlines()[0] for record in caplog.records
    ]


def test_a_task_that_is_destroyed_is_abandoned_when_its_place_is_taken(
    recorder: Recorder,
) -> None:
    """A task that never ends is noticed when another one is made at its address."""

    async def forever() -> None:
        await asyncio.get_running_loop().create_future()

    made = 1

    async def main() -> None:
        nonlocal made
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        addresses: set[int] = set()
        address = 0
        gc.freeze()  # what a whole test-suite keeps need not be looked at each time
        while address not in addresses:
            addresses.add(address)
            address = id(asyncio.create_task(forever()))  # nobody holds it
            made += 1
            await asyncio.sleep(0)
            gc.collect()

    try:
        story = run(recorder, main())
    finally:
        gc.unfreeze()
    abandoned = [record.a for record in of_kind(story.records, Kind.ABANDON)]
    assert 1 == len(abandoned)
    assert [StepFlag.FIRST] == [s.flags for s in story.all_steps if s.task == abandoned[0]]
    assert list(range(1, made + 1)) == [birth.a for birth in story.births]


# ----------------------------------------------------------------------------------- looking inside


def test_live_tasks_are_known(recorder: Recorder) -> None:
    """Number, site, since when, whether it has not run yet, whether it runs."""
    seen: list[Any] = []

    async def waiting() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.create_task(waiting(), name="waiting")
        await asyncio.sleep(0)
        recorder.set_time_ns(7)
        other = asyncio.create_task(asyncio.sleep(0), name="new")
        seen.extend(recorder.live())
        task.cancel()
        await asyncio.wait([task, other])

    story = run(recorder, main())
    (main_id, _, _, *running), (waiting_id, site, since, *asleep), (new_id, *new) = seen
    assert [1, 2, 3] == [main_id, waiting_id, new_id]
    assert [False, True] == running
    assert [0, False, False] == [since, *asleep]
    assert [0, 7, True, False] == new
    resolved: Any = recorder.resolve(site)
    assert ["Event.wait", waiting.__qualname__] == [c.co_qualname for c, _ in resolved[2]]
    assert story.number("new") == new_id
    assert [] == recorder.live()


def test_current_is_the_task_that_runs_here(recorder: Recorder) -> None:
    """On this thread, and in a task only."""
    seen: list[int] = []

    def look() -> None:
        seen.append(recorder.current())

    async def child() -> None:
        look()

    async def main() -> None:
        look()
        await asyncio.create_task(child())
        look()
        await asyncio.get_running_loop().run_in_executor(None, look)
        asyncio.get_running_loop().call_soon(look)
        await asyncio.sleep(0)

    look()
    run(recorder, main())
    assert [0, 1, 2, 1, 0, 0] == seen


def test_numbers_are_unique_over_threads(recorder: Recorder) -> None:
    """However many threads ask at once."""
    start = threading.Barrier(4)

    def take() -> list[int]:
        start.wait()
        return [recorder.next_id() for _ in range(5_000)]

    with ThreadPoolExecutor(4) as pool:
        taken = [number for future in [pool.submit(take) for _ in range(4)]
                 for number in future.result()]  # fmt: skip
    assert list(range(1, 20_001)) == sorted(taken)


def test_each_thread_has_a_ring_and_a_name(recorder: Recorder) -> None:
    """Rings are told apart by identifier and name of the thread."""

    def write() -> None:
        recorder.put(Kind.EVENT, 0, 0, threading.get_ident(), 0)

    write()
    thread = threading.Thread(target=write, name="worker")
    thread.start()
    thread.join()
    here = threading.current_thread()
    assert [(here.ident, here.name), (thread.ident, "worker")] == recorder.threads()
    assert [(0, here.ident), (1, thread.ident)] == [(r.ring, r.a) for r in decode(recorder)]


# ----------------------------------------------------------------------------------------- refusals


def test_a_payload_that_does_not_fit_is_refused(recorder: Recorder) -> None:
    """Nothing is written of an event that is larger than one may be."""
    with pytest.raises(ValueError, match=str(MAX_PAYLOAD)):
        recorder.put(Kind.EVENT, 0, 0, 0, 0, bytes(MAX_PAYLOAD + 1))
    assert 0 == recorder.used()


@pytest.mark.parametrize("slots", [0, -1, 3, 100])
def test_a_ring_has_a_power_of_two_slots(recorder_class: type[Recorder], slots: int) -> None:
    """Any other capacity is refused, and the message names it."""
    with pytest.raises(ValueError, match=f"{slots}"):
        recorder_class(Cold(), ring_slots=slots)


def test_a_loop_whose_methods_are_off_records_nothing(recorder: Recorder) -> None:
    """Neither the hook nor the recorder alone is enough: both must be armed."""
    with asyncio.Runner() as runner, watched(recorder, runner.get_loop()):
        recorder.armed = False
        runner.run(asyncio.sleep(0))
    assert 0 == recorder.used()


def test_threads_that_come_and_go(recorder: Recorder) -> None:
    """What each wrote stays readable, and told apart, whoever gets its memory next."""
    written: list[tuple[int, int]] = []

    def write(number: int) -> None:
        recorder.put(Kind.EVENT, 0, 0, number, 0)
        written.append((number, threading.get_ident()))

    def let_threads_write(numbers: range) -> list[tuple[int, int]]:
        for number in numbers:
            thread = threading.Thread(target=write, args=(number,))
            thread.start()
            thread.join()
        idents = [ident for ident, _ in recorder.threads()]
        return [(record.a, idents[record.ring]) for record in decode(recorder)]

    assert written == let_threads_write(range(5))
    written.clear()
    assert written == let_threads_write(range(5, 15))
    assert 15 == len(recorder.threads())
