"""What the recorder asks Python rarely: once per code object, thread, failure, cancellation.

Both twins call these functions, on the user's thread; the native one so that its C stays small.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from asyncio import current_task
from typing import TYPE_CHECKING, Any, Final, Protocol

from ._codes import classify, look_through
from ._layout import MAX_PAYLOAD, Kind, StepFlag
from ._names import Names
from ._pictures import Pictures

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType, TracebackType

__all__ = ("Cold", "message_of", "traceback_frames")

#: Frames kept of a traceback.
MAX_TRACEBACK: Final = 32
#: Bytes kept of an exception's message.
MAX_MESSAGE: Final = 1_024


#: Callbacks of timers that cancel a task: asyncio.timeout, anyio's cancel scopes, async_timeout.
_TIMEOUTS: Final = frozenset({"Timeout._on_timeout", "CancelScope._timeout"})


class _Recorder(Protocol):
    def put(
        self, kind: int, flags: int, ref: int, a: int, b: int, payload: bytes = b"", t_ns: int = -1
    ) -> bool: ...
    def intern(self, frames: Any, awaited: type | None = None, hint: int = 0) -> int: ...


class Cold:
    """The recorder's slow side.

    Args:
        half_full: called when a ring becomes half full; must neither block nor raise.
        open_span: describes the innermost open span by what the span variable holds: owner, seq,
            root, and whether it was opened by the very callback that looks.
    """

    def __init__(
        self,
        half_full: Callable[[], None] = lambda: None,
        open_span: Callable[[Any], tuple[int, int, int, bool]] = lambda value: (0, 0, 0, False),
    ) -> None:
        self.half_full = half_full
        self.open_span = open_span
        self.names = Names()
        self.name = self.names.intern
        self.pictures = Pictures()

    classify = staticmethod(classify)
    look_through = staticmethod(look_through)

    @staticmethod
    def thread() -> tuple[int, str]:
        """Return identifier and name of this thread."""
        ident = threading.get_ident()
        # Not current_thread(): it would register a dummy for threads that Python did not start.
        known = threading._active.get(ident)  # type: ignore[attr-defined]
        return ident, known.name if known is not None else f"thread-{ident}"

    @staticmethod
    def current_task() -> Any:
        """Return the task that runs on the loop of this thread, None while a callback does."""
        return current_task()

    @staticmethod
    def canceller() -> int:
        """Say what cancels a task outside of any task: a flag BY_TIMEOUT or BY_CALLBACK.

        0 when anyio cancels once more what has been cancelled: it does so in each turn of the loop.
        """
        result = StepFlag.BY_CALLBACK
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            name = frame.f_code.co_qualname
            if name in _TIMEOUTS:
                return StepFlag.BY_TIMEOUT
            if name == "CancelScope._deliver_cancellation":
                if _is_overdue(frame.f_locals.get("origin")):
                    return StepFlag.BY_TIMEOUT
                result = StepFlag(0)
            elif name == "CancelScope.cancel":  # … for the first time
                result = StepFlag.BY_CALLBACK
            frame = frame.f_back
        return result

    @staticmethod
    def failure(recorder: _Recorder, task_id: int, error: BaseException) -> None:
        """Record the exception that ended a task."""
        name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
        text = f"{name}\0{message_of(error)}".encode("utf-8", "replace")[:MAX_MESSAGE]
        site = recorder.intern(traceback_frames(error.__traceback__))
        recorder.put(Kind.FAILURE, 0, site, task_id, len(text), text[:MAX_PAYLOAD])
        for start in range(MAX_PAYLOAD, len(text), MAX_PAYLOAD):
            recorder.put(Kind.MORE, 0, 0, task_id, 0, text[start : start + MAX_PAYLOAD])


def _is_overdue(scope: Any) -> bool:
    """Say whether one of anyio's cancel scopes, or one around it, was cancelled by its deadline."""
    now = asyncio.get_running_loop().time()
    while scope is not None:
        if scope.cancel_called and scope.deadline <= now:
            return True
        scope = getattr(scope, "_parent_scope", None)
    return False


def message_of(error: BaseException) -> str:
    """Return the message of an exception, also of one that cannot even be printed."""
    try:
        return str(error)[:MAX_MESSAGE]
    except Exception as fault:
        return f"<str() raised {type(fault).__name__}>"


def traceback_frames(traceback: TracebackType | None) -> tuple[tuple[CodeType, int], ...]:
    """Return the frames of a traceback, innermost first."""
    frames = []
    while traceback is not None:
        frames.append((traceback.tb_frame.f_code, traceback.tb_lasti))
        traceback = traceback.tb_next
    return tuple(frames[: -MAX_TRACEBACK - 1 : -1])
