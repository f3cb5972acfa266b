"""Where in the program's code a lock is used, and what the lock is called after that."""

from __future__ import annotations

import inspect
import os
from typing import TYPE_CHECKING, Final

from aperf._recorder._codes import USER, classify

if TYPE_CHECKING:
    from types import FrameType

__all__ = ("name_at", "user_frame")

#: What runs tasks and callbacks: no frame beyond says what a lock is used for.
_LOOPS: Final = frozenset({"asyncio.events", "asyncio.base_events", "asyncio.runners"})
_COROUTINES: Final = (
    inspect.CO_COROUTINE
    | inspect.CO_GENERATOR
    | inspect.CO_ITERABLE_COROUTINE
    | inspect.CO_ASYNC_GENERATOR
)
#: Verdicts by file, made anew when there are more.
_MAX_FILES: Final = 4_096
_is_user: dict[str, bool] = {}


def user_frame(frame: FrameType | None) -> FrameType | None:
    """Return the innermost frame in the program's own code, else the task's outermost one."""
    found = None
    in_task = False
    while frame is not None:
        is_coroutine = bool(frame.f_code.co_flags & _COROUTINES)
        if in_task and not is_coroutine:
            break  # what runs the task
        if frame.f_globals.get("__name__") in _LOOPS:
            break
        found = frame
        if _in_user_code(frame):
            break
        in_task = is_coroutine
        frame = frame.f_back
    return found


def _in_user_code(frame: FrameType) -> bool:
    code = frame.f_code
    known = _is_user.get(code.co_filename)
    if known is None:
        if len(_is_user) >= _MAX_FILES:
            _is_user.clear()
        known = _is_user[code.co_filename] = bool(classify(code) & USER)
    return known


def name_at(kind: str, frame: FrameType | None) -> str:
    """Return what a lock is called after the place from which a frame was reached."""
    place = user_frame(frame)
    if place is None:
        return kind
    return f"{kind} at {os.path.basename(place.f_code.co_filename)}:{place.f_lineno}"
