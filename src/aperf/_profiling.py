"""What is watched only while a destination shows more than spans: a profiler's view.

That is: in which coroutines a task is suspended, one inside the other; who waits for locks; log
records; and what the program itself has to show. It costs the loop more than the spans do, so it is
on only as long as somebody takes the records as they are.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from . import _events
from ._events import _logging
from ._instrument.locks import Locks

if TYPE_CHECKING:
    from collections.abc import Callable
    from logging import LogRecord

    from ._recorder import Recorder

__all__ = ("Profiling", "Records")


class Records:
    """What the numbers in a recorder's records mean (`aperf.model.RecordTables`)."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.resolve = recorder.resolve
        self.threads = recorder.threads
        self.live = recorder.live
        self.now_ns = recorder.now_ns

    def name(self, number: int) -> str:
        """Return a name by its number."""
        return self._recorder.cold.names.text(number)

    def picture(self, number: int) -> tuple[int, int, bytes, bool] | None:
        """Return a picture by its number."""
        return self._recorder.cold.pictures.get(number)


class Profiling:
    """Switches on what only a profiler's view needs, for as long as a session asks for it."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._locks = Locks(recorder)
        self._keys: set[int] = set()

    def begin(self, key: int, keeps: Callable[[LogRecord], bool] | None = None) -> None:
        """Let a session have more than spans.

        Args:
            key: the session's.
            keeps: says which log records it wants; by default those of INFO and above. Where
                several sessions have a filter, the first one's counts.
        """
        if not self._keys:
            self._recorder.nesting = True
            _events.activate(self._recorder)
            _logging.install(logging.INFO if keeps is None else logging.NOTSET, keeps)
            self._locks.install(id(self))
        self._keys.add(key)

    def end(self, key: int) -> None:
        """Let go of it. Idempotent, and of no effect for sessions that did not begin."""
        if key in self._keys:
            self._keys.discard(key)
            if not self._keys:
                self._locks.uninstall(id(self))
                _logging.uninstall()
                _events.deactivate()
                self._recorder.nesting = False

    def forget(self) -> None:
        """Be in a forked child, where nothing is watched."""
        if self._keys:
            self._keys.clear()
            self._locks.forget()
            _logging.uninstall()
            _events.deactivate()
