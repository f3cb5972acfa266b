"""The await chain of a suspended coroutine: which frame awaits which, down to the end.

The chain does not change while the task is suspended. Asynchronous generators hide the next hop
behind helper objects (`async_generator_asend`, `coroutine_wrapper` and their like) that have no
attribute for it; what they refer to, as the garbage collector sees it, tells. It also tells what
coroutines await that Cython has compiled, as those of grpc.aio: their frames say nothing.
"""

from __future__ import annotations

import gc
import weakref
from types import AsyncGeneratorType, CodeType, CoroutineType, FrameType, GeneratorType
from typing import TYPE_CHECKING, Any, Final

from .sites import MAX_FRAMES, Frames

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("count_kept", "hold", "links", "walk")

#: A chain longer than this is not followed further: recursion gone wild, or a cycle.
MAX_DEPTH: Final = 1_000
_HELPERS: Final = frozenset(
    {
        "async_generator_asend",
        "async_generator_athrow",
        "anext_awaitable",
        "coroutine_wrapper",
    }
)
_SUSPENDABLE: Final = (CoroutineType, AsyncGeneratorType, GeneratorType)


def _hop(awaitable: Any) -> tuple[FrameType | None, Any]:
    """Return the frame of an awaitable, and what it awaits in turn."""
    kind = type(awaitable)
    if kind is GeneratorType:
        return awaitable.gi_frame, awaitable.gi_yieldfrom
    if kind is AsyncGeneratorType:
        return awaitable.ag_frame, awaitable.ag_await
    if _is_helper(awaitable):
        inside = gc.get_referents(awaitable)
        return None, next((x for x in inside if type(x) in _SUSPENDABLE or _is_helper(x)), None)
    return None, None


def _is_helper(awaitable: Any) -> bool:
    kind = type(awaitable)
    if kind.__module__ == "builtins":
        return kind.__name__ in _HELPERS
    return kind.__name__ == "coroutine" and kind.__module__.startswith("_cython_")


def walk(coroutine: Any) -> Frames:
    """Return the frames of the chain, innermost first, `MAX_FRAMES` at most.

    Args:
        coroutine: what a task runs; objects without frames of their own give none.
    """
    frames: list[tuple[CodeType, int]] = []
    awaitable = coroutine
    for _ in range(MAX_DEPTH):
        if type(awaitable) is CoroutineType:  # nearly always
            frame, awaitable = awaitable.cr_frame, awaitable.cr_await
        else:
            frame, awaitable = _hop(awaitable)
        if frame is not None:
            frames.append((frame.f_code, frame.f_lasti))
        if awaitable is None:
            break
    return tuple(frames[: -MAX_FRAMES - 1 : -1])


def links(coroutine: Any) -> list[Any]:
    """Return the objects whose frames `walk` returns, but outermost first."""
    found: list[Any] = []
    awaitable = coroutine
    for _ in range(MAX_DEPTH):
        link = awaitable
        if type(link) is CoroutineType:
            frame, awaitable = link.cr_frame, link.cr_await
        else:
            frame, awaitable = _hop(link)
        if frame is not None:
            found.append(link)
        if awaitable is None:
            break
    return found[-MAX_FRAMES:]


def hold(coroutine: Any) -> list[Any]:
    """Return what tells later which objects are in the chain still, after its task has run.

    These are references: the address of a coroutine is reused as soon as it has ended. Asynchronous
    generators are referred to weakly: the program may drop one in its midst, and then is to see it
    finalized. All others end before whoever awaits them goes on.
    """
    return [
        weakref.ref(link) if type(link) is AsyncGeneratorType else link for link in links(coroutine)
    ]


def count_kept(held: Sequence[Any], chain: Sequence[Any]) -> int:
    """Return how many of the outermost links of a chain are those that were held."""
    count = 0
    for before, link in zip(held, chain, strict=False):
        if (before() if type(before) is weakref.ref else before) is not link:
            break
        count += 1
    return count
