"""Callables that take the trace of those who made them to where they are called."""

from __future__ import annotations

import functools
import inspect
import os
import sys
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from ._attach import Attachment
from ._current import has_trace, headers_now, known_context

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from opentelemetry.context import Context

    from ._headers import TraceHeaders

__all__ = ("wrap",)

P = ParamSpec("P")
R = TypeVar("R")


def wrap(function: Callable[P, R], /) -> Callable[P, R]:
    """Return a function that does the same inside of the trace that is current now.

    It goes to worker processes, whatever the start method, if the function can be pickled, and to
    threads and executors, most of which do not take contexts along. In this process OpenTelemetry's
    whole context is current in it; in others the trace and its baggage.

    Example::

        await loop.run_in_executor(processes, aperf.wrap(resize), image)

    Args:
        function: a function or coroutine function. Wrap it where it is handed over, not where it
            is defined: the trace is that of this call.

    Raises:
        TypeError: it is no function, or a generator, which would run only after the call.
    """
    if not callable(function):
        raise TypeError(f"wrap: {function!r} is not accepted; wrap a function")
    if _is(function, inspect.isgeneratorfunction) or _is(function, inspect.isasyncgenfunction):
        raise TypeError(f"wrap: {function!r} is not accepted; it is a generator: wrap what runs it")
    context = known_context()
    is_coroutine = _is(function, inspect.iscoroutinefunction)
    kind: Any = _CoroutineCarrier if is_coroutine else _Carrier
    carrier: Callable[P, R] = kind(function, headers_now(), context)
    return carrier


def _is(function: Callable[..., Any], test: Callable[[Any], bool]) -> bool:
    return test(function) or test(getattr(function, "__call__", None))  # noqa: B004 - of objects


class _Carrier(Generic[P, R]):
    """Calls a function inside of a trace.

    Args:
        function: what to call.
        headers: what other processes are told.
        context: what this process has; it stays here.
    """

    def __init__(
        self, function: Callable[P, R], headers: TraceHeaders, context: Context | None = None
    ) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._headers = headers
        self._context = context
        self._pid = os.getpid()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._function, self._headers)

    def _attach(self) -> Attachment:
        context, headers = self._context, self._headers
        if context is None or self._pid != os.getpid():  # a fork has copies of spans, of no use
            return headers.attach()
        if headers.trace_id is not None and not has_trace(context):  # the trace is aperf's
            return Attachment(lambda _: headers._fill(context))
        return Attachment(lambda _: context)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._attach():
            return self._function(*args, **kwargs)


class _CoroutineCarrier(_Carrier[P, "Coroutine[Any, Any, R]"]):
    """Runs a coroutine inside of a trace."""

    def __init__(
        self,
        function: Callable[P, Coroutine[Any, Any, R]],
        headers: TraceHeaders,
        context: Context | None = None,
    ) -> None:
        super().__init__(function, headers, context)
        if sys.version_info >= (3, 12):
            inspect.markcoroutinefunction(self)

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._attach():
            return await self._function(*args, **kwargs)
