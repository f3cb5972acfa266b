"""SIGTERM: deliver what was recorded, then die of it all the same."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

__all__ = ("Termination",)


class Termination:
    """Handles SIGTERM where nobody else does, until `uninstall`.

    Args:
        deliver: ends the session.
        patience_s: how long it may take.
    """

    def __init__(self, deliver: Callable[[], None], patience_s: float) -> None:
        self._deliver = deliver
        self._patience_s = patience_s
        self._installed = (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        )
        if self._installed:
            signal.signal(signal.SIGTERM, self._terminate)

    def uninstall(self) -> None:
        """Restore what was there, unless somebody else has taken over since."""
        if self._installed and signal.getsignal(signal.SIGTERM) == self._terminate:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._installed = False

    def _terminate(self, number: int, _: FrameType | None) -> None:
        # In a thread of its own: what was interrupted here may hold a lock that the delivery needs.
        worker = threading.Thread(target=self._deliver, name="aperf-sigterm", daemon=True)
        worker.start()
        worker.join(self._patience_s)
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
