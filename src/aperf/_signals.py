"""SIGTERM: deliver what was recorded, then die of it all the same."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

__all__ = ("Termination",)

#: Beyond the sessions' own timeout: for a thread that is slow to be scheduled.
GRACE_S = 1.0


class Termination:
    """Handles SIGTERM where nobody else does, until `uninstall`.

    Handlers can be changed on the main thread only. Elsewhere nothing is installed, and what was
    installed stays, but does no more than the signal would do by itself.

    Args:
        deliver: ends all sessions.
        patience_s: how long it may take.
    """

    def __init__(self, deliver: Callable[[], None], patience_s: float) -> None:
        self._deliver = deliver
        self._patience_s = patience_s
        self._installed = _on_main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        if self._installed:
            signal.signal(signal.SIGTERM, self._terminate)

    def uninstall(self) -> None:
        """Restore what was there, unless somebody else has taken over since."""
        installed, self._installed = self._installed, False
        is_ours = signal.getsignal(signal.SIGTERM) == self._terminate
        if installed and is_ours and _on_main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _terminate(self, number: int, _: FrameType | None) -> None:
        if self._installed:
            # In a thread of its own: what was interrupted here may hold a lock that the delivery
            # needs, and then the deadline helps.
            worker = threading.Thread(target=self._deliver, name="aperf-sigterm", daemon=True)
            try:
                worker.start()
            except RuntimeError:  # the interpreter is about to exit: that delivers, too
                self._deliver()
            else:
                worker.join(self._patience_s + GRACE_S)
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)


def _on_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
