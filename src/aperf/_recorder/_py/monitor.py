"""Every await, also those that never suspend: what `sys.monitoring` calls with `awaits="all"`.

Theory of operation. Python tells when a frame starts, yields, resumes and ends. Frames of
coroutines that run for a task become activations, known by the frame's address for as long as they
last: a coroutine from its start to its end, an asynchronous generator from one item to the next.
The parent of an activation is the nearest activation below it on the stack, so nothing has to be
guessed from the order of events: coroutines that ran before anybody watched, that are driven by
hand, thrown into or closed by the garbage collector leave the others as they are.

An activation that ends is one CALL. When a task suspends, its frames yield one by one, innermost
first; at the first of them the activations that suspend for the first time are announced, outermost
first, by one IN_CALL each. So the reader knows which are open, and in which one the task is
suspended: in the last one, and when that ends, in its parent. It is told where that is not so.

The outermost frame of a task is the task, and a wrapper hands that role to what it runs. Both, and
frames that were met in the middle of their life, have an activation of which nothing is recorded.
"""

from __future__ import annotations

import sys
from asyncio import CancelledError
from typing import TYPE_CHECKING, Any, Final

from aperf._recorder._codes import OWN, WRAPPER
from aperf._recorder._layout import HEADER, PAIR, CallFlag, Kind

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

    from .recorder import Recorder

__all__ = ("Activation", "Monitor")

_COROUTINE: Final = 0x80
_ITERABLE_COROUTINE: Final = 0x100
_ASYNC_GENERATOR: Final = 0x200
#: Code whose frames are awaited (see inspect.CO_*).
AWAITED: Final = _COROUTINE | _ITERABLE_COROUTINE | _ASYNC_GENERATOR
#: From this many activations on, those of tasks that have ended without a word are looked for.
CROWDED: Final = 1_024

_FAILED, _CANCELLED, _SUSPENDED = (
    int(CallFlag.FAILED),
    int(CallFlag.CANCELLED),
    int(CallFlag.SUSPENDED),
)
_CALL, _IN_CALL = int(Kind.CALL), int(Kind.IN_CALL)


class Activation:
    """A frame that is awaited.

    Attributes:
        code: what it runs.
        task: number of the task that it runs for.
        parent: what awaits it, None at the bottom.
        seq: its number; for one that is not recorded, that of the nearest one below that is, or 0.
        start_ns: its start, likewise.
        recorded: whether it is.
        announced: whether an IN_CALL said that it is open (or none is needed).
        told: in which number the reader believes that the task is; one for all of a task.
        is_task: whether it stands for the task itself and hands that on to what it awaits.
    """

    __slots__ = (
        "announced",
        "code",
        "is_task",
        "parent",
        "recorded",
        "seq",
        "start_ns",
        "task",
        "told",
    )

    def __init__(self, code: CodeType, task: int, parent: Activation | None) -> None:
        self.code = code
        self.task = task
        self.parent = parent
        self.told: list[int] = [0] if parent is None else parent.told
        self.seq: int = 0 if parent is None else parent.seq
        self.start_ns: int = 0 if parent is None else parent.start_ns
        self.recorded = self.announced = self.is_task = False


class Monitor:
    """The callbacks for one recorder. They never raise."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._activations: dict[int, Activation] = {}
        self._limit = CROWDED
        self._seq = 0
        self._disable: Any = sys.monitoring.DISABLE

    @property
    def callbacks(self) -> dict[str, Callable[..., Any]]:
        """The callbacks by the name of the event."""
        return {
            "PY_START": self._started,
            "PY_RESUME": self._resumed,
            "PY_YIELD": self._yielded,
            "PY_RETURN": self._returned,
            "PY_THROW": self._thrown,
            "PY_UNWIND": self._unwound,
        }

    # ------------------------------------------------------------------------------------- events

    def _started(self, code: CodeType, offset: int) -> Any:
        if not code.co_flags & AWAITED:
            return self._disable
        task = self._recorder.current()
        if task:
            try:
                return self._enter(code, task, sys._getframe(1), recorded=True)
            except Exception:
                self._recorder.fault()
        return None

    def _resumed(self, code: CodeType, offset: int) -> Any:
        if not code.co_flags & AWAITED:
            return self._disable
        task = self._recorder.current()
        if task:
            try:
                return self._go_on(code, task, sys._getframe(1))
            except Exception:
                self._recorder.fault()
        return None

    def _thrown(self, code: CodeType, offset: int, error: BaseException) -> None:
        task = self._recorder.current() if code.co_flags & AWAITED else 0
        if task:
            try:
                self._go_on(code, task, sys._getframe(1))
            except Exception:
                self._recorder.fault()

    def _yielded(self, code: CodeType, offset: int, value: Any) -> Any:
        if not code.co_flags & AWAITED:
            return self._disable
        try:
            frame = sys._getframe(1)
            activation = self._find(frame)
            if activation is not None:
                self._leave(frame, activation, value)
        except Exception:
            self._recorder.fault()
        return None

    def _returned(self, code: CodeType, offset: int, value: Any) -> Any:
        if not code.co_flags & AWAITED:
            return self._disable
        try:
            self._end(sys._getframe(1), 0)
        except Exception:
            self._recorder.fault()
        return None

    def _unwound(self, code: CodeType, offset: int, error: BaseException) -> None:
        if code.co_flags & AWAITED:
            try:
                self._end(sys._getframe(1), _outcome(error))
            except Exception:
                self._recorder.fault()

    # -------------------------------------------------------------------------------- activations

    def _find(self, frame: FrameType) -> Activation | None:
        activation = self._activations.get(id(frame))
        # A frame that went without a word may have left its address to another one.
        return activation if activation is not None and activation.code is frame.f_code else None

    def _below(self, frame: FrameType, task: int) -> Activation | None:
        """Return the nearest activation below a frame, None if it is the outermost of its task."""
        below = frame.f_back
        while below is not None:
            activation = self._find(below)
            if activation is not None:
                return activation if activation.task == task else None
            below = below.f_back
        return None

    def _enter(self, code: CodeType, task: int, frame: FrameType, *, recorded: bool) -> Any:
        """Begin an activation, if it is somebody else's code."""
        recorder = self._recorder
        recorder.ring().leaving = False
        bits = recorder.sites.code_bits(code)
        if bits & OWN:
            return self._disable
        parent = self._below(frame, task)
        activation = Activation(code, task, parent)
        if parent is None or parent.is_task:
            activation.is_task = bool(bits & WRAPPER)
        elif recorded:
            self._seq = activation.seq = self._seq + 1
            activation.start_ns = recorder.now_ns()
            activation.recorded = True
        if len(self._activations) >= self._limit:
            self._prune()
        self._activations[id(frame)] = activation
        return None

    def _go_on(self, code: CodeType, task: int, frame: FrameType) -> Any:
        """A frame runs again: after a suspension, for its next item, or for the first time seen."""
        self._recorder.ring().leaving = False
        if self._find(frame) is not None:
            return None
        return self._enter(code, task, frame, recorded=bool(code.co_flags & _ASYNC_GENERATOR))

    def _leave(self, frame: FrameType, activation: Activation, value: Any) -> None:
        """A frame hands out an item, or is suspended with its task."""
        if (
            activation.code.co_flags & _ASYNC_GENERATOR
            and type(value).__name__ == "async_generator_wrapped_value"
        ):
            self._end(frame, 0)
            return
        ring = self._recorder.ring()
        if not ring.leaving and ring.current == activation.task:
            ring.leaving = True
            self._suspend(activation)

    def _end(self, frame: FrameType, flags: int) -> None:
        """A frame is over, or a generator's step: record it."""
        activation = self._find(frame)
        if activation is None:
            return
        del self._activations[id(frame)]
        if not activation.recorded:
            return
        recorder, parent = self._recorder, activation.parent
        if activation.announced:
            flags |= _SUSPENDED
            activation.told[0] = 0 if parent is None else parent.seq
        self._write(_CALL, flags, activation, recorder.now_ns() - activation.start_ns)

    def _suspend(self, activation: Activation) -> None:
        """A task is suspended in an activation: see to it that the reader knows."""
        self._announce(activation)
        if activation.told[0] != activation.seq:
            while activation.seq and not activation.recorded and activation.parent is not None:
                activation = activation.parent
            self._write(_IN_CALL, 0, activation, 0)

    def _announce(self, activation: Activation | None) -> None:
        """Say of an activation and those below it that they are open, outermost first."""
        fresh: list[Activation] = []
        while activation is not None and not activation.announced:
            activation.announced = True
            if activation.recorded:
                fresh.append(activation)
            activation = activation.parent
        for one in reversed(fresh):
            self._write(_IN_CALL, 0, one, 0)

    def announce(self) -> None:
        """Say of all activations that they are open: a session ends, and its spans want parents."""
        for activation in list(self._activations.values()):
            self._announce(activation)

    def _write(self, kind: int, flags: int, activation: Activation, duration_ns: int) -> None:
        recorder, parent = self._recorder, activation.parent
        below = (0, 0) if parent is None else (parent.seq, parent.start_ns)
        if kind == _IN_CALL:
            activation.told[0] = activation.seq
        site = recorder.intern(((activation.code, -1),))
        first = HEADER.pack(
            activation.start_ns, kind, 2, flags, site, activation.task, activation.seq
        )
        rest = PAIR.pack(duration_ns, *below, 0)
        recorder.ring(loop=False).put(first, rest)

    def _prune(self) -> None:
        """Forget activations of tasks that ended without their frames saying so."""
        alive = {state[0] for state in self._recorder.live()}
        known = self._activations
        for address in [key for key, one in known.items() if one.task not in alive]:
            del known[address]
        self._limit = max(CROWDED, 2 * len(known))


def _outcome(error: BaseException) -> int:
    if isinstance(error, CancelledError):
        return _CANCELLED
    return 0 if isinstance(error, GeneratorExit | StopAsyncIteration) else _FAILED
