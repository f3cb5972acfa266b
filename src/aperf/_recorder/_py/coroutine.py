"""What tasks and coroutines tell of themselves, be they asyncio's or not."""

from __future__ import annotations

from types import CodeType
from typing import Any

from aperf._recorder._layout import MAX_TEXT

__all__ = ("begun", "code_of", "cut", "name_of", "started")


def name_of(task: Any) -> str:
    """Return the name of a task, also of one that a foreign factory made."""
    get_name = getattr(task, "get_name", None)
    return "" if get_name is None else str(get_name())


def cut(text: str) -> bytes:
    """Return text in UTF-8, cut to `MAX_TEXT` bytes."""
    return text.encode("utf-8", "replace")[:MAX_TEXT]


def code_of(coroutine: Any) -> CodeType | None:
    """Return the code object of a coroutine or generator, None for others."""
    for name in ("cr_code", "gi_code"):
        code = getattr(coroutine, name, None)
        if isinstance(code, CodeType):
            return code
    return None


def started(coroutine: Any) -> bool:
    """Say whether a coroutine has run already (unknown kinds: yes)."""
    frame = getattr(coroutine, "cr_frame", None)
    if frame is None:
        return True
    return bool(getattr(coroutine, "cr_suspended", True) or getattr(coroutine, "cr_running", False))


def begun(task: Any) -> bool:
    """Say whether a task has run already; one that tells nothing of its coroutine has not."""
    get_coro = getattr(task, "get_coro", None)
    return get_coro is not None and started(get_coro())
