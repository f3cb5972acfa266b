"""A thread that does something at intervals for as long as somebody takes what it records."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from . import _active

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._recording import Recording

__all__ = ("Background", "start")


class Background(threading.Thread):
    """The thread; it ends by itself when recording does.

    Args:
        name: what it does.
        interval_s: between two rounds.
        recording: for which it works.
        work: one round.
    """

    def __init__(
        self,
        name: str,
        interval_s: float,
        recording: Recording,
        work: Callable[[Recording], None],
    ) -> None:
        super().__init__(name=f"aperf-{name}", daemon=True)
        self._interval_s = interval_s
        self._recording = recording
        self._work = work
        self._ended = threading.Event()

    def run(self) -> None:
        """Work until the end."""
        recording = self._recording
        while not self._ended.wait(self._interval_s) and _active.active() is recording:
            try:
                self._work(recording)
            except Exception:
                recording.recorder.fault()
                return

    def end(self) -> None:
        """Have it end, without waiting for that."""
        self._ended.set()


def start(
    name: str, interval_s: float, recording: Recording, work: Callable[[Recording], None]
) -> Background | None:
    """Start a thread (see `Background`); None when there are too many, which counts as a fault."""
    thread = Background(name, interval_s, recording, work)
    try:
        thread.start()
    except RuntimeError:
        recording.recorder.fault()
        return None
    return thread
