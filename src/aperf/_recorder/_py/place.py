"""Where a task is suspended."""

from __future__ import annotations

from asyncio import Future
from typing import TYPE_CHECKING, Any

from aperf._recorder._codes import USER
from aperf._recorder._layout import NEAR, Hint

from .chain import walk

if TYPE_CHECKING:
    from .entry import Entry
    from .sites import Sites

__all__ = ("full_site", "place")

_FULL, _SHIELD, _EXECUTOR = int(Hint.FULL), int(Hint.SHIELD), int(Hint.EXECUTOR)


def place(sites: Sites, entry: Entry, coroutine: Any, waiter: Any) -> None:
    """Note the site at which a task is suspended: its innermost frames and the user's.

    What a future's callbacks tell is read only where the frames and the type do not tell it.
    """
    frames = entry.frames = walk(coroutine)
    bits, hint = sites.code_bits, 0
    far = len(frames) - 1  # the user's innermost frame; the outermost where there is none
    for index, frame in enumerate(frames):
        if bits(frame[0]) & USER:
            far = index
            if not index and type(waiter) is Future:
                hint = _hint_of(waiter)
            break
    short = frames[: far + 1] if far <= NEAR else (*frames[:NEAR], frames[far])
    entry.site = sites.intern(short, None if waiter is None else type(waiter), hint)


def full_site(sites: Sites, entry: Entry) -> int:
    """Return the site of a suspended task with its whole chain, of the same awaitable."""
    hint, awaited, _ = sites.resolve(entry.site) or (0, None, ())
    return sites.intern(entry.frames, awaited, hint | _FULL)


def _hint_of(waiter: Any) -> int:
    """Tell from a future's callbacks what stands behind it: shield or an executor."""
    hint = 0
    for callback in getattr(waiter, "_callbacks", None) or ():
        function = callback[0] if type(callback) is tuple else callback
        name = getattr(function, "__qualname__", "")
        if name == "shield.<locals>._outer_done_callback":
            hint |= _SHIELD
        elif name == "_chain_future.<locals>._call_check_cancel":
            hint |= _EXECUTOR
    return hint
