"""Which trace a task is in, as far as that can be known before the records are read: by its root.

See `aperf._ids` for what a root is. The same is worked out from the records (`aperf._pipeline`),
and must come out the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aperf._recorder._layout import Descent

if TYPE_CHECKING:
    from .entry import Entry
    from .recorder import Recorder

__all__ = ("root_of_new", "running_root")

_CHILD, _OWN = int(Descent.CHILD), int(Descent.OWN)
#: Tasks with larger numbers have no root, those in a trace of OpenTelemetry's neither.
_MAX_ROOT: Final = 1 << 40


def running_root(recorder: Recorder) -> int:
    """Return the root of the task that runs on this thread, 0 for none."""
    ring = recorder.rings.known()
    if ring is None or not ring.current:
        return 0
    number, entry, pending = ring.current, ring.entry, ring.pending
    root = 0
    if entry is not None and entry.id == number:
        root = entry.root
    elif pending is not None and pending.id == number:  # it runs within create_task
        root = pending.root
    return recorder.moved.get(number, root)


def root_of_new(
    recorder: Recorder,
    number: int,
    creator: int,
    maker: Entry | None,
    opened: tuple[int, int, int, bool],
    *,
    by_callback: bool,
) -> int:
    """Return the root of a task that is being made, in no trace of OpenTelemetry's.

    Args:
        recorder: knows the rules.
        number: the task's number.
        creator: number of the task that makes it, 0 for none.
        maker: that one's entry, if it was adopted just now.
        opened: the user span that is open in its context, see `Cold.open_span`.
        by_callback: whether a plain callback makes it.
    """
    own = number if number < _MAX_ROOT else 0
    owner, _, root, attached = opened
    if recorder.descent == _OWN:
        return own
    if owner and (not creator or owner == creator):
        inherited = by_callback and not attached and recorder.descent != _CHILD
        return own if inherited else root
    if not creator:
        return own
    if maker is not None:
        return recorder.moved.get(maker.id, maker.root)
    return running_root(recorder)
