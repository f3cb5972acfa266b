from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import types
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from aperf._recorder._layout import CloseFlag
from aperf._spans import activate, current_span, deactivate, instrument, span
from tests.spans.watching import named, run, seen

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator

    from aperf._recorder import Recorder


def plain(a: int, /, b: int = 2, *, c: int = 3) -> tuple[int, int, int]:
    """Return what it was given."""
    current_span().set_attribute("inside", True)
    return a, b, c


async def coroutine(a: int, /, b: int = 2, *, c: int = 3) -> tuple[int, int, int]:
    """Return what it was given, a little later."""
    await asyncio.sleep(0)
    return plain(a, b, c=c)


def generator(a: int, /, b: int = 2, *, c: int = 3) -> Iterator[int]:
    """Yield what it was given."""
    yield from plain(a, b, c=c)


async def async_generator(a: int, /, b: int = 2, *, c: int = 3) -> AsyncIterator[int]:
    """Yield what it was given, a little later."""
    for value in plain(a, b, c=c):
        yield value
        await asyncio.sleep(0)


FUNCTIONS = pytest.mark.parametrize(
    "function",
    [plain, coroutine, generator, async_generator],
    ids=["function", "coroutine", "generator", "async generator"],
)


async def result_of(outcome: Any) -> tuple[int, ...]:
    """Return the result of any of the functions above."""
    if inspect.isawaitable(outcome):
        outcome = await outcome
    if inspect.isasyncgen(outcome):
        outcome = [value async for value in outcome]
    return tuple(outcome)


@FUNCTIONS
def test_looks_the_same(function: Callable[..., Any]) -> None:
    """Kind, name, signature and docstring are those of what is decorated."""
    decorated = instrument(function)
    for predicate in (
        inspect.iscoroutinefunction,
        asyncio.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
        inspect.isfunction,
    ):
        assert predicate(function) == predicate(decorated)
    for name in ("__name__", "__qualname__", "__doc__", "__module__"):
        assert getattr(function, name) == getattr(decorated, name)
    assert inspect.signature(function) == inspect.signature(decorated)
    assert function is inspect.unwrap(decorated)


@FUNCTIONS
@pytest.mark.filterwarnings("ignore:'asyncio.iscoroutinefunction' is deprecated")
def test_records_calls(recorder: Recorder, function: Callable[..., Any]) -> None:
    """Each call is a span around all that it does, named after the function, at its place."""
    decorated = instrument(function)

    async def program() -> None:
        with span("around"):
            assert (1, 5, 6) == await result_of(decorated(1, 5, c=6))
            assert (1, 2, 3) == await result_of(decorated(1))

    run(recorder, program())
    around, *calls = seen(recorder)
    for call in calls:
        assert (function.__qualname__, around.key) == (call.name, call.parent)
        assert ([0], {"inside": True}) == (call.ends, call.attributes)
        site = recorder.resolve(call.place)
        assert site is not None
        assert ((function.__code__, -1),) == site[2]
    assert 2 == len(calls)


@FUNCTIONS
def test_off(function: Callable[..., Any]) -> None:
    """While nothing is recorded everything works the same."""

    async def program() -> None:
        assert (1, 5, 6) == await result_of(instrument(function)(1, 5, c=6))

    asyncio.run(program())


@FUNCTIONS
def test_decides_at_each_call(recorder: Recorder, function: Callable[..., Any]) -> None:
    """Whether it is recorded is decided when it is called, not when it was decorated."""
    deactivate()
    decorated = instrument(function)

    async def program() -> None:
        await result_of(decorated(1))
        activate(recorder)
        await result_of(decorated(1))
        deactivate()
        await result_of(decorated(1))

    asyncio.run(program())
    assert 1 == len(seen(recorder))


def test_name_and_attributes(recorder: Recorder) -> None:
    """Name and attributes can be given."""

    @instrument(name="short", kind="test", n=1)
    def function(a: int) -> int:
        return a + 1

    assert 2 == function(1)
    (only,) = seen(recorder)
    assert ("short", {"kind": "test", "n": 1}) == (only.name, only.attributes)


def test_methods(recorder: Recorder) -> None:
    """Methods of all kinds work, with the decorator above or below the others."""

    class Subject:
        @instrument
        def method(self) -> object:
            return self

        @instrument
        @classmethod
        def class_above(cls) -> object:
            return cls

        @classmethod
        @instrument
        def class_below(cls) -> object:
            return cls

        @instrument(name="static")
        @staticmethod
        def static_above(a: int) -> int:
            return a

        @staticmethod
        @instrument
        def static_below(a: int) -> int:
            return a

        @property
        @instrument
        def value(self) -> int:
            return 5

    subject = Subject()
    assert subject is subject.method()
    assert Subject is subject.class_above() is Subject.class_below()
    assert 3 == subject.static_above(1) + Subject.static_below(2)
    assert 5 == subject.value
    prefix = "test_methods.<locals>.Subject."
    names = ["method", "class_above", "class_below", "static", "static_below", "value"]
    assert names == [one.name.removeprefix(prefix) for one in seen(recorder)]


def test_other_callables(recorder: Recorder) -> None:
    """Partial functions, callable objects and built-in functions work too."""

    class Callme:
        def __call__(self, a: int) -> int:
            return a

    async def program() -> None:
        assert (7, 2, 3) == await instrument(functools.partial(coroutine, 7))()

    assert 1 == instrument(Callme())(1)
    assert 1 == instrument(len)([0])
    asyncio.run(program())
    names = [one.name.rpartition(".")[2] for one in seen(recorder)]
    assert ["Callme", "len", "coroutine"] == names


def test_generator_based_coroutine(recorder: Recorder) -> None:
    """A generator that may be awaited may still be awaited."""

    @instrument
    @types.coroutine
    def pause() -> Generator[None, None, int]:
        yield
        return 4

    async def program() -> None:
        assert 4 == await pause()

    run(recorder, program())
    assert [[0]] == [one.ends for one in seen(recorder)]


@pytest.mark.parametrize("wrong", ["name", 5, int], ids=repr)
def test_refuses_what_is_no_function(wrong: Any) -> None:
    """The name has to be given as name=, and classes are decorated by method."""
    with pytest.raises(TypeError, match="is not accepted; decorate a function or method"):
        instrument(wrong)


def test_exceptions(recorder: Recorder) -> None:
    """What a call raises is its error, shown without the decorator, and passes unchanged."""
    errors = [ValueError("bad"), ValueError("bad")]

    @instrument
    def fails() -> None:
        raise errors[0]

    @instrument
    async def fails_later() -> None:
        await asyncio.sleep(0)
        raise errors[1]

    async def program() -> None:
        with pytest.raises(ValueError, match="bad") as caught:
            await fails_later()
        assert errors[1] is caught.value

    with pytest.raises(ValueError, match="bad") as caught:
        fails()
    assert errors[0] is caught.value
    run(recorder, program())
    for one in seen(recorder):
        assert [CloseFlag.ERROR] == one.ends
        ((_, exception),) = one.events
        assert "bad" == exception["exception.message"]
        assert [one.name] == names_in(recorder, exception["exception.stacktrace"])


def names_in(recorder: Recorder, number: int) -> list[str]:
    """Return the names of the functions in a stack."""
    site = recorder.resolve(number)
    assert site is not None
    return [code.co_qualname for code, _ in site[2]]


def test_end_of_iteration_is_no_error(recorder: Recorder) -> None:
    """An iterator's method that says that there is no more has not failed."""

    class Empty:
        def __iter__(self) -> Empty:
            return self

        @instrument
        def __next__(self) -> int:
            raise StopIteration

    assert [] == list(Empty())
    assert [[0]] == [one.ends for one in seen(recorder)]


def test_recursion(recorder: Recorder) -> None:
    """Each level is a span below the one before."""

    @instrument(name="level")
    def factorial(n: int) -> int:
        return n * factorial(n - 1) if n else 1

    assert 6 == factorial(3)
    spans = seen(recorder)
    assert [(0, 0), *(one.key for one in spans[:-1])] == [one.parent for one in spans]


def forget(_: object) -> None:
    """Do nothing with it."""


def test_coroutine_that_is_never_run(recorder: Recorder) -> None:
    """It is no span; Python's own warning stays as it is."""
    with pytest.warns(RuntimeWarning, match=r"coroutine 'coroutine' was never awaited"):
        forget(instrument(coroutine)(1))
    assert [] == seen(recorder)


def test_nothing_is_kept(recorder: Recorder) -> None:
    """Arguments, results and exceptions are free as soon as without the decorator."""

    class Kept(Exception):
        pass

    @instrument
    def items() -> Iterator[Kept]:
        while True:
            try:
                yield Kept()
            except Kept:
                pass

    @instrument
    async def fails(*arguments: Kept) -> None:
        references.extend(map(weakref.ref, arguments))
        del arguments
        raise Kept

    @instrument
    async def async_items() -> AsyncGenerator[Kept, None]:
        while True:
            try:
                yield Kept()
            except Kept:
                pass

    async def program() -> None:
        generator = async_items()
        references.append(weakref.ref(await anext(generator)))
        thrown = Kept()
        references.append(weakref.ref(thrown))
        references.append(weakref.ref(await generator.athrow(thrown)))
        del thrown
        assert [None] * 3 == [reference() for reference in references[-3:]]
        await generator.aclose()
        try:
            await fails(Kept())
        except Kept as error:
            references.append(weakref.ref(error))

    references: list[weakref.ref[Kept]] = []
    gc.disable()
    try:
        iterator = items()
        references.append(weakref.ref(next(iterator)))
        thrown = Kept()
        references.append(weakref.ref(thrown))
        references.append(weakref.ref(iterator.throw(thrown)))  # type: ignore[attr-defined]
        del thrown
        asyncio.run(program())
        assert [None] * 8 == [reference() for reference in references]
    finally:
        gc.enable()
    iterator.close()  # type: ignore[attr-defined]
    assert {"items", "async_items", "fails"} == {
        name.rpartition(".")[2] for name in named(seen(recorder))
    }
