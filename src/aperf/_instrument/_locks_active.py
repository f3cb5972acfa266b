"""Whether the contention of locks is recorded, and where.

Apart, and without imports, because locks of the program read it at each acquire.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing itself takes milliseconds to import
if TYPE_CHECKING:
    from ._locks_timeline import LockRecording

__all__ = ("begin", "end")

#: The one that began last, None while nothing is recorded; read directly, being off costs a branch.
recording: LockRecording | None = None

_open: list[LockRecording] = []


def begin(begun: LockRecording) -> None:
    """Record there from now on."""
    global recording
    _open.append(begun)
    recording = begun


def end(ended: LockRecording) -> bool:
    """Record there no more; say whether nothing is recorded at all now."""
    global recording
    ended.close()
    _open.remove(ended)
    recording = _open[-1] if _open else None
    return not _open
