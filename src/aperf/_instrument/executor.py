"""Jobs in thread pools: how long they queued, how long they ran."""

from __future__ import annotations

import functools
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, ContextVar
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from aperf._recorder import BirthFlag, Kind, StepFlag
from aperf._recorder._layout import PAIR

from ._own import own_attribute

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Job", "watch_executor")


def watch_executor(
    loop: Any, recorder: Any, hook: Any, span_var: ContextVar[Any]
) -> Callable[..., Any]:
    """Return what stands in for `run_in_executor` on a loop.

    Only jobs for thread pools are watched: those for other processes must stay picklable.

    Args:
        loop: the loop; not kept alive.
        recorder: where to record.
        hook: says by `armed` whether the loop is watched.
        span_var: holds the open user span, which the job inherits.
    """
    reference = weakref.ref(loop)
    before = own_attribute(loop, "run_in_executor")
    original = type(loop).run_in_executor

    def run_in_executor(executor: Any, func: Any, *args: Any) -> Any:
        if (
            hook.armed
            and recorder.armed
            and (executor is None or isinstance(executor, ThreadPoolExecutor))
            and callable(func)
            and not iscoroutinefunction(func)
        ):  # the loop is to refuse those
            func = Job(recorder, func, span_var)
        if before is not None:
            return before(executor, func, *args)
        return original(reference(), executor, func, *args)

    return run_in_executor


class Job:
    """A function that an executor is to call, and the record of it."""

    __slots__ = (
        "_function",
        "_number",
        "_recorder",
        "_span",
        "_span_var",
        "_submitted_ns",
        "_task",
    )

    def __init__(self, recorder: Any, function: Any, span_var: ContextVar[Any]) -> None:
        self._recorder = recorder
        self._function = function
        self._span_var = span_var
        self._span = span_var.get(None)
        self._task = recorder.current()
        self._number = recorder.next_id()
        if self._task:
            _submit(recorder, self._task, self._number)
        self._submitted_ns = recorder.now_ns()

    @property
    def __wrapped__(self) -> Any:
        """The function itself."""
        return self._function

    def __repr__(self) -> str:
        return repr(self._function)  # asyncio's debug messages show it

    def __call__(self, *args: Any) -> Any:
        """Run it, on a thread of the pool."""
        started_ns = self._recorder.now_ns()
        flags = StepFlag.FAILED
        if self._span is not None:
            self._span_var.set(self._span)
        try:
            result = self._function(*args)
            flags = StepFlag(0)
            return result
        finally:
            if self._span is not None:
                self._span_var.set(None)
            try:
                self._record(started_ns, flags)
            except Exception:
                self._recorder.fault()
            self = args = None  # type: ignore[assignment]

    def _record(self, started_ns: int, flags: int) -> None:
        recorder = self._recorder
        if not recorder.armed:
            return
        queued_ns, ran_ns = started_ns - self._submitted_ns, recorder.now_ns() - started_ns
        ref, uncoded = _reference(recorder, self._function)
        payload = PAIR.pack(max(queued_ns, 0), ran_ns, 0, 0)
        recorder.put(
            Kind.JOB, flags | uncoded, ref, self._task, self._number, payload, t_ns=started_ns
        )


def _submit(recorder: Any, task: int, number: int) -> None:
    """Record which task submits a job, and the span of OpenTelemetry that it does so in.

    The job may end before the task is suspended, or long after it has gone on with something else.
    """
    try:
        recorder.look(task)
        recorder.put(Kind.SUBMIT, 0, 0, task, number)
    except Exception:
        recorder.fault()


def _reference(recorder: Any, function: Any) -> tuple[int, int]:
    """Return number and flag by which a record names a function."""
    function = unwrap(function)
    code = getattr(function, "__code__", None)
    if code is None:
        code = getattr(getattr(function, "__func__", None), "__code__", None)
    if code is not None:
        return recorder.intern(((code, -1),)), 0
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return recorder.cold.name(name), BirthFlag.UNCODED


def unwrap(function: Any) -> Any:
    """Return the function that is meant, below partials and the `Context.run` of `to_thread`."""
    while isinstance(function, functools.partial):
        inner = function.func
        if isinstance(getattr(inner, "__self__", None), Context) and function.args:
            inner = function.args[0]
        function = inner
    return function
