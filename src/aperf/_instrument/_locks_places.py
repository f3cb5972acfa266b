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
_LIBRARY, _USER, _LOOP = range(3)
#: Verdicts by file, made anew when there are more.
_MAX_FILES: Final = 4_096
_files: dict[str, int] = {}


def user_frame(frame: FrameType | None) -> FrameType | None:
    """Return the innermost frame in the program's own code, else the task's outermost one."""
    found = None
    in_task = False
    while frame is not None:
        code = frame.f_code
        if code.co_flags & _COROUTINES:
            in_task = True
        elif in_task:
            break  # what runs the task
        file = _files.get(code.co_filename)
        if file is None:
            file = _look_at(frame)
        if file == _LOOP:
            break
        found = frame
        if file == _USER:
            break
        frame = frame.f_back
    return found


def _look_at(frame: FrameType) -> int:
    if len(_files) >= _MAX_FILES:
        _files.clear()
    verdict = _USER if classify(frame.f_code) & USER else _LIBRARY
    if frame.f_globals.get("__name__") in _LOOPS:
        verdict = _LOOP
    _files[frame.f_code.co_filename] = verdict
    return verdict


def name_at(kind: str, frame: FrameType | None) -> str:
    """Return what a lock is called after the place from which a frame was reached."""
    place = user_frame(frame)
    if place is None:
        return kind
    return f"{kind} at {os.path.basename(place.f_code.co_filename)}:{place.f_lineno}"
