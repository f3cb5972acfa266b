"""What is recorded of one lock."""

from __future__ import annotations

from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from aperf._recorder import Kind
from aperf._recorder._layout import LockFlag, LockOp

from ._locks_places import name_at, user_frame

if TYPE_CHECKING:
    from types import FrameType

__all__ = ("NOBODY", "LockRecording", "Owner", "Timeline")

#: Whom an event is about: number of a task, or identifier of a thread with `LockFlag.OF_THREAD`.
Owner: TypeAlias = tuple[int, int]

#: A task that nobody watches: of another loop, or one of aperf's own. Nothing is said about it.
NOBODY: Final[Owner] = (0, 0)

# Plain integers: an operation on an enum costs a microsecond.
_LOCK = int(Kind.LOCK)
_ANNOUNCE, _WAIT, _OBTAIN = int(LockOp.ANNOUNCE), int(LockOp.WAIT), int(LockOp.OBTAIN)
_RELEASE, _GIVE_UP = int(LockOp.RELEASE), int(LockOp.GIVE_UP)
_TERMINATE = int(LockOp.TERMINATE)
_SHARED, _OF_THREAD = int(LockFlag.SHARED), int(LockFlag.OF_THREAD)


class LockRecording:
    """Where the events of locks go, until it is closed.

    Locks live as long as the program likes. So what hangs on a lock holds this, and only this holds
    the recorder.

    Args:
        recorder: where to write.
    """

    __slots__ = ("recorder",)

    def __init__(self, recorder: Any) -> None:
        self.recorder = recorder

    def close(self) -> None:
        """Let go of the recorder."""
        self.recorder = None

    def fault(self) -> None:
        """Count a fault of our own."""
        recorder = self.recorder
        if recorder is not None:
            recorder.fault()

    def task(self) -> Owner:
        """Return the task that runs on this thread, `NOBODY` where none does that is watched."""
        recorder = self.recorder
        return NOBODY if recorder is None else (recorder.current(), 0)

    def owner(self) -> Owner:
        """Return the task that runs on this thread, or else the thread."""
        owner = self.task()
        return owner if owner[0] else (get_ident(), _OF_THREAD)

    def site(self, frame: FrameType | None) -> int:
        """Return the number of the place in the program's own code that led to a frame."""
        recorder = self.recorder
        found = user_frame(frame)
        if recorder is None or found is None:
            return 0
        number: int = recorder.intern(((found.f_code, found.f_lasti),))
        return number

    name_at = staticmethod(name_at)

    def timeline(self, name: str, owner: Owner, *, shared: bool = False) -> Timeline | None:
        """Announce a lock; None where that is impossible, and nothing must be said of it.

        Args:
            name: what it is shown as.
            owner: who is the first to want it.
            shared: whether several may hold it.
        """
        recorder = self.recorder
        if recorder is None or not recorder.armed:
            return None
        flags = _SHARED if shared else 0
        number, now_ns = recorder.next_id(), recorder.now_ns()
        ref = recorder.cold.names.intern(name)
        announce = _ANNOUNCE | flags | owner[1]
        if not recorder.put(_LOCK, announce, ref, number, owner[0], b"", now_ns):
            return None
        return Timeline(self, number, flags, now_ns)


class Timeline:
    """The events of one lock.

    Each OBTAIN and each GIVE_UP ends a WAIT of the same owner, each RELEASE an OBTAIN of the same
    owner. It ends with itself, so it must be held by the lock and nothing else.

    Args:
        recording: where to write.
        number: the lock's.
        flags: of each of its events.
        since_ns: when it was announced.
    """

    __slots__ = ("_flags", "_holders", "_number", "_recording", "_since_ns")

    def __init__(self, recording: LockRecording, number: int, flags: int, since_ns: int) -> None:
        self._recording = recording
        self._number = number
        self._flags = flags
        self._since_ns = since_ns
        self._holders: list[Owner] = []

    @property
    def recording(self) -> LockRecording:
        """Where it is written."""
        return self._recording

    @property
    def is_open(self) -> bool:
        """Whether anything that is said of the lock is still recorded."""
        return self._recording.recorder is not None

    def now_ns(self) -> int:
        """Return the recorder's time, for `released`."""
        recorder = self._recording.recorder
        return -1 if recorder is None else int(recorder.now_ns())

    def waits(self, owner: Owner, site: int) -> None:
        """Somebody begins to wait."""
        self._put(_WAIT, owner, site)

    def gave_up(self, owner: Owner, site: int) -> None:
        """Somebody's wait has ended without the lock."""
        self._put(_GIVE_UP, owner, site)

    def obtained(self, owner: Owner, site: int, t_ns: int = -1) -> None:
        """Somebody's wait has ended with the lock."""
        self._holders.append(owner)
        self._put(_OBTAIN, owner, site, t_ns)

    def obtained_at_once(self, owner: Owner, site: int) -> None:
        """Somebody has the lock without a wait."""
        t_ns = self.now_ns()
        self._put(_WAIT, owner, site, t_ns)
        self.obtained(owner, site, t_ns)

    def released(
        self, owner: Owner, site: int, t_ns: int = -1, *, held_before: bool = False
    ) -> None:
        """Somebody lets the lock go: its own hold, else the oldest one.

        Args:
            owner: who does it.
            site: where.
            t_ns: when, now if negative.
            held_before: if nothing is known of a hold of theirs, they have had one since before the
                lock was announced.
        """
        if owner in self._holders:
            self._holders.remove(owner)
        elif held_before and owner[0]:
            self._put(_WAIT, owner, site, self._since_ns)
            self._put(_OBTAIN, owner, site, self._since_ns)
        elif self._holders:
            owner = self._holders.pop(0)
        else:
            return
        self._put(_RELEASE, owner, site, t_ns)

    def _put(self, op: int, owner: Owner, site: int, t_ns: int = -1) -> None:
        recorder = self._recording.recorder
        if recorder is not None and recorder.armed:
            number, flags = owner
            recorder.put(_LOCK, op | self._flags | flags, site, self._number, number, b"", t_ns)

    def __del__(self) -> None:
        try:
            self._put(_TERMINATE, NOBODY, 0)
        except Exception:
            self._recording.fault()
