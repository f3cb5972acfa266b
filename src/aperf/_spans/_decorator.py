"""`@instrument`: each call of a function is a span.

Whether anything is recorded is decided at each call. What comes out is of the same kind as what
went in, for those who look: a coroutine function, a generator, an asynchronous one.

The span of a generator is open from its first item to its end, but current only while the generator
runs: between two items its consumer runs, in whose name nothing must be opened. So at each item the
context's span and the generator's own innermost one change places. If another task takes over, the
spans that it opens in the generator are its own.
"""

from __future__ import annotations

import functools
import sys
import types

from ._active import active
from ._handle import INERT, ActiveSpan, SpanBlock
from ._node import SPAN_VAR

TYPE_CHECKING = False  # typing itself takes milliseconds to import
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
    from typing import Any, TypeVar, overload

    F = TypeVar("F", bound=Callable[..., Any])

__all__ = ("instrument",)

#: What the compiler notes about a function (see inspect.CO_*; inspect itself takes long to import).
_GENERATOR = 0x20
_COROUTINE = 0x80
_ITERABLE_COROUTINE = 0x100
_ASYNC_GENERATOR = 0x200


if TYPE_CHECKING:

    @overload
    def instrument(function: F, /) -> F: ...
    @overload
    def instrument(*, name: str | None = None, **attributes: object) -> Callable[[F], F]: ...


def instrument(
    function: object = None, /, *, name: str | None = None, **attributes: object
) -> object:
    """Record each call of a function as a span.

    Works on functions, coroutine functions, generators, asynchronous generators and methods, above
    or below `@staticmethod` and `@classmethod`. For coroutines the span begins when they are first
    run, for generators with their first item.

    Example::

        @aperf.instrument
        async def checkout(order): ...


        @aperf.instrument(name="rates", source="bank")
        def rates(): ...

    Args:
        function: what to decorate.
        name: name of the spans; the function's qualified name by default.
        attributes: attributes of all of them.

    Raises:
        TypeError: what is decorated is no function.
    """
    if function is None:
        return lambda function: _instrumented(function, name, attributes)
    return _instrumented(function, name, attributes)


def _instrumented(function: object, name: str | None, attributes: dict[str, object]) -> object:
    if isinstance(function, (staticmethod, classmethod)):
        inner: Any = _instrumented(function.__func__, name, attributes)
        return type(function)(inner)
    if not callable(function) or isinstance(function, type):
        raise TypeError(f"instrument: {function!r} is not accepted; decorate a function or method")
    code = _code_of(function)
    call = _Call(name or _name_of(function), attributes, code)
    flags = 0 if code is None else code.co_flags
    if flags & _COROUTINE:
        return _coroutine(function, call)
    if flags & _ASYNC_GENERATOR:
        return _async_generator(function, call)
    if flags & _GENERATOR:
        wrapper = _generator(function, call)
        return types.coroutine(wrapper) if flags & _ITERABLE_COROUTINE else wrapper
    return _function(function, call)


def _code_of(function: object) -> types.CodeType | None:
    """Return the code that runs in the end, None for what is not written in Python."""
    while isinstance(function, functools.partial):
        function = function.func
    code = getattr(function, "__code__", None)
    return code if isinstance(code, types.CodeType) else None


def _name_of(function: object) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    return str(getattr(function, "__qualname__", type(function).__qualname__))


class _Call:
    """What the spans of one function have in common."""

    __slots__ = ("_attributes", "_name", "_place")

    def __init__(
        self, name: str, attributes: dict[str, object], code: types.CodeType | None
    ) -> None:
        self._name = name
        self._attributes = attributes
        self._place = None if code is None else (code, -1)

    def span(self) -> ActiveSpan:
        """Return the span of one call, to be entered."""
        recording = active()
        if recording is None:
            return INERT
        return SpanBlock(recording, self._name, self._attributes, self._place)


def _function(function: Callable[..., Any], call: _Call) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> object:
        if active() is None:
            return function(*args, **kwargs)
        with call.span():
            return function(*args, **kwargs)

    return wrapper


def _coroutine(
    function: Callable[..., Awaitable[Any]], call: _Call
) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> object:
        if active() is None:
            return await function(*args, **kwargs)
        with call.span():
            return await function(*args, **kwargs)

    return wrapper


def _generator(
    function: Callable[..., Generator[Any, Any, Any]], call: _Call
) -> Callable[..., Generator[Any, Any, Any]]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        generator = function(*args, **kwargs)
        if active() is None:
            return (yield from generator)
        resume: Callable[[Any], Any] = generator.send
        argument, items = None, []
        span, outside = call.span(), SPAN_VAR.get()
        try:
            with span:
                while True:
                    try:
                        items.append(resume(argument))
                    except StopIteration as stop:
                        return stop.value
                    finally:
                        argument = None  # an exception and this frame would hold each other
                    inside = span._swap(outside)
                    try:
                        argument = yield items.pop()  # not kept here while the consumer has it
                        resume = generator.send
                    except BaseException as error:
                        argument = error
                        resume = generator.throw
                    outside = span._swap(inside)
        finally:
            span._swap(outside)

    return wrapper


def _async_generator(
    function: Callable[..., AsyncGenerator[Any, Any]], call: _Call
) -> Callable[..., AsyncGenerator[Any, Any]]:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        generator = function(*args, **kwargs)
        resumption: Awaitable[Any] | None = _first(generator)
        items: list[Any] = []
        span, outside = call.span(), SPAN_VAR.get()
        try:
            with span:
                while resumption is not None:
                    try:
                        items.append(await resumption)
                    except StopAsyncIteration:
                        return
                    finally:
                        resumption = None  # see above
                    inside = span._swap(outside)
                    try:
                        argument = yield items.pop()
                        resumption = generator.asend(argument)
                    except BaseException as error:
                        resumption = generator.athrow(error)
                    argument = None
                    outside = span._swap(inside)
        finally:
            span._swap(outside)

    return wrapper


def _first(generator: AsyncGenerator[Any, Any]) -> Awaitable[Any]:
    """Start a generator without the event loop noticing it.

    A loop that shuts down closes all asynchronous generators that it has seen, at the same time.
    The decorated one closes the one inside, which would then be closed twice at once: an error that
    is logged.
    """
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return generator.asend(None)
    finally:
        sys.set_asyncgen_hooks(*hooks)
