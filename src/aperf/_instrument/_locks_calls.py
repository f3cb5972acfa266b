"""Recording what is done with a lock, for the lock's own methods to tell.

Loads neither asyncio nor the recorder: a program's locks may be here while aperf is off.
"""

from __future__ import annotations

import os
import threading

TYPE_CHECKING = False  # typing itself takes milliseconds to import
if TYPE_CHECKING:
    from types import FrameType

    from ._locks_timeline import LockRecording, Owner, Timeline

__all__ = ("Calls", "Wait")

#: Held while a lock is announced. Reentrant: a signal handler may acquire a lock meanwhile.
_announcing = threading.RLock()
os.register_at_fork(after_in_child=_announcing._at_fork_reinit)  # type: ignore[attr-defined]


class Calls:
    """What is recorded of one lock. Nothing here raises: a fault of our own is counted.

    Args:
        kind: its class.
        name: what it is shown as, None for class and place of its first use.
        of_tasks: whether it makes tasks wait; else it makes threads wait.
        shared: whether several may hold it.
    """

    __slots__ = ("_kind", "_name", "_of_tasks", "_shared", "timeline")

    def __init__(self, kind: str, name: str | None, *, of_tasks: bool, shared: bool) -> None:
        self._kind = kind
        self._name = name
        self._of_tasks = of_tasks
        self._shared = shared
        #: None as long as nothing was recorded, so that nothing has to be now.
        self.timeline: Timeline | None = None

    def wait(self, recording: LockRecording, frame: FrameType) -> Wait | None:
        """Record that a wait begins; None where it is not to be recorded."""
        try:
            owner, timeline = self._who(recording, frame)
            if timeline is None:
                return None
            site = recording.site(frame)
            timeline.waits(owner, site)
            return Wait(timeline, owner, site)
        except Exception:
            recording.fault()
            return None

    def take(self, recording: LockRecording, frame: FrameType) -> None:
        """Record that the lock was obtained without a wait."""
        try:
            owner, timeline = self._who(recording, frame)
            if timeline is not None:
                timeline.obtained_at_once(owner, recording.site(frame))
        except Exception:
            recording.fault()

    def release(self, timeline: Timeline, t_ns: int, frame: FrameType) -> None:
        """Record that the lock was released.

        Args:
            timeline: the lock's.
            t_ns: when; afterwards is too late to ask, another thread may have it by then.
            frame: where.
        """
        recording = timeline.recording
        try:
            if timeline.is_open:
                timeline.released(self._owner(recording), recording.site(frame), t_ns)
            else:
                self.timeline = None
        except Exception:
            recording.fault()

    def _owner(self, recording: LockRecording) -> Owner:
        return recording.task() if self._of_tasks else recording.owner()

    def _who(self, recording: LockRecording, frame: FrameType) -> tuple[Owner, Timeline | None]:
        owner = self._owner(recording)
        if not owner[0]:
            return owner, None
        timeline = self.timeline
        if timeline is None or timeline.recording is not recording:
            with _announcing:
                timeline = self.timeline
                if timeline is None or timeline.recording is not recording:
                    name = self._name or recording.name_at(self._kind, frame)
                    timeline = recording.timeline(name, owner, shared=self._shared)
                    self.timeline = timeline
        return owner, timeline


class Wait:
    """A wait that has begun."""

    __slots__ = ("_owner", "_site", "_timeline")

    def __init__(self, timeline: Timeline, owner: Owner, site: int) -> None:
        self._timeline = timeline
        self._owner = owner
        self._site = site

    def end(self, *, obtained: bool) -> None:
        """Record that it is over.

        Args:
            obtained: whether the lock was obtained.
        """
        try:
            if obtained:
                self._timeline.obtained(self._owner, self._site)
            else:
                self._timeline.gave_up(self._owner, self._site)
        except Exception:
            self._timeline.recording.fault()
