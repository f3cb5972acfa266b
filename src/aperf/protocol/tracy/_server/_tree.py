"""Trees of frozen nodes, out of a list in which parents stand before their children."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ("grow",)

T = TypeVar("T")


def grow(parents: Sequence[int | None], make: Callable[[int, tuple[T, ...]], T]) -> tuple[T, ...]:
    """Make the nodes, and return those without a parent.

    From the last to the first, since a node that is frozen must get its children when it is made,
    and without recursion, since nothing limits how deep zones are nested.

    Args:
        parents: the index of each node's parent.
        make: makes a node from its index and its children.
    """
    children: list[list[T]] = [[] for _ in parents]
    roots: list[T] = []
    for index in reversed(range(len(parents))):
        node = make(index, tuple(reversed(children[index])))
        parent = parents[index]
        (roots if parent is None else children[parent]).append(node)
    return tuple(reversed(roots))
