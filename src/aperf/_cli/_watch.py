"""A session around a whole process, which ends exactly once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

from aperf._destinations import default_exporters
from aperf._session import Session

if TYPE_CHECKING:
    from types import FrameType

    from aperf._config import Settings

__all__ = ("Watch",)

#: Beyond the session's own timeout: for the summary, and for a thread that is slow to be scheduled.
_GRACE_S = 2.0


class Watch:
    """Watches every loop of the process while it is open.

    A SIGTERM that nobody handles delivers what was recorded, and then ends the process as it would
    have. A process forked off inside leaves session and signal to its parent.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._exporters = exporters = default_exporters(settings, summary=True)
        self._session = Session(
            exporters=exporters, loops="all", settings=settings, is_lasting=True
        )
        self._patience_s = settings.shutdown_timeout_ns / 1e9 + _GRACE_S
        self._process = os.getpid()
        self._ending = False
        self._signal = 0

    def __enter__(self) -> None:
        self._session.__enter__()
        self._show_logs()
        self._tell_where_to_look()
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._terminate)

    def _show_logs(self) -> None:
        """Show log records, if anybody has said in which form."""
        if self._settings.log_format is not None:
            from aperf import logging

            filters = self._settings.log_filter
            logging.install(format=self._settings.log_format, filter=filters)

    def _tell_where_to_look(self) -> None:
        """Say where a viewer can connect: the port may have been taken."""
        for exporter in self._exporters:
            address = getattr(exporter, "address", None)
            if address is not None:
                print(f"aperf: a Tracy viewer can connect to {address}", file=sys.stderr)

    def __exit__(self, *_: object) -> None:
        if self._process != os.getpid():
            return
        _join_threads()
        self._end()
        if signal.getsignal(signal.SIGTERM) == self._terminate:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if self._signal:
            signal.raise_signal(self._signal)

    def _end(self) -> None:
        """End the session; nothing that happens here is to change how the program ended."""
        self._ending = True
        try:
            self._session.__exit__(None, None, None)
            self._tell_losses()
        except KeyboardInterrupt:
            print("aperf: interrupted; what was not delivered yet is lost", file=sys.stderr)
        except Exception as error:
            print(f"aperf: delivery failed: {type(error).__name__}: {error}", file=sys.stderr)

    def _tell_losses(self) -> None:
        """Say that spans are lost, where no summary does."""
        statistics = self._session.statistics()
        if self._settings.summary == "none" and statistics.dropped_spans:
            lost, all_of_them = statistics.dropped_spans, statistics.spans
            print(
                f"aperf: {lost} of {all_of_them} spans were not delivered; "
                "`aperf doctor` tries each destination",
                file=sys.stderr,
            )

    def _terminate(self, number: int, _: FrameType | None) -> None:
        if self._process == os.getpid():
            if self._ending:
                self._signal = number  # it interrupted the delivery, which goes on first
                return
            # In a thread of its own: what was interrupted here may hold a lock that the delivery
            # needs, and then the deadline helps. And where a loop is running, the end of a session
            # does not wait for its delivery.
            worker = threading.Thread(target=self._end, name="aperf-sigterm", daemon=True)
            worker.start()
            worker.join(self._patience_s)
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)


def _join_threads() -> None:
    """Wait for the program's threads, as the interpreter would do next: loops may run in them."""
    while threads := [thread for thread in threading.enumerate() if _belongs_to_program(thread)]:
        try:
            for thread in threads:
                thread.join()
        except KeyboardInterrupt:
            return  # the interpreter will wait again, and show the next one


def _belongs_to_program(thread: threading.Thread) -> bool:
    if thread.daemon or thread is threading.main_thread() or thread is threading.current_thread():
        return False
    # The workers of thread pools wait for work until the interpreter tells them to stop.
    pools = sys.modules.get("concurrent.futures.thread")
    return thread not in getattr(pools, "_threads_queues", ())
