"""The thread in which viewers are served, and what other threads may ask of it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from aperf._instrument.all_loops import exempt
from aperf.protocol.tracy import VERSIONS

from ._counters import Counters
from ._discovery import Discovery
from ._listener import Listener

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from ._history import History
    from ._program import Program
    from ._viewer import MapperFactory

__all__ = ("Service",)

_log = logging.getLogger("aperf")

#: A viewer that asks more than that at the end is not waited for.
_LONGEST_END_NS: Final = 2 * 10**9
#: Beyond a deadline of ours, for a thread that is slow to be scheduled.
_GRACE_S: Final = 0.5


class _ViewerLoop(asyncio.SelectorEventLoop):
    """A loop of a class of its own, as the exporter thread's is (see `aperf._runtime`)."""


class Service:
    """Serves viewers in a thread of its own until it is stopped.

    Args:
        door: the socket that listens.
        to: where viewers are told of it, None for nowhere.
        program: what viewers are told of the process.
        history: what they are shown.
        draw: makes what draws it.
    """

    def __init__(
        self,
        door: socket.socket,
        to: str | None,
        program: Program,
        history: History,
        draw: MapperFactory,
    ) -> None:
        self.port: int = door.getsockname()[1]
        self.counters = Counters()
        self._door = door
        self._history = history
        newest = VERSIONS[-1]
        self._discovery = Discovery(to, self.port, newest, program.pid, program.name)
        self._listener: Listener | None = None
        # It has events of anyio, which belong to the loop in which they are made.
        self._make = partial(Listener, door, program, history, draw, self._discovery, self.counters)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._has_all = False
        self._ready = threading.Event()
        # A daemon: a viewer that does not answer must not keep the program from ending.
        self._thread = threading.Thread(target=self._main, name="aperf-tracy", daemon=True)

    def start(self) -> None:
        """Start the thread and wait until it listens.

        Raises:
            RuntimeError: there can be no thread: too many, or the interpreter is about to exit.
        """
        try:
            self._thread.start()
        except BaseException:
            self._discovery.close()
            raise
        self._ready.wait(5)

    def flush(self, deadline_ns: int) -> bool:
        """Wait until the viewer, if there is one, has been sent all that was recorded."""
        number = self._history.mark()
        self._ask(lambda listener: listener.urge())
        return self._history.wait_until_sent(number, deadline_ns)

    def stop(self, deadline_ns: int) -> bool:
        """End the thread.

        Returns:
            whether the viewer, if there was one, has got everything by the deadline.
        """
        end_ns = min(deadline_ns, time.monotonic_ns() + _LONGEST_END_NS)
        self._ask(lambda listener: listener.stop(end_ns / 1e9))
        self._thread.join(max(0.0, (end_ns - time.monotonic_ns()) / 1e9) + _GRACE_S)
        return self._has_all and not self._thread.is_alive()

    def forget(self) -> None:
        """Close what a forked child inherited of connections, and touch nothing else.

        Else the port would stay taken and viewers connected as long as the child lives.
        """
        connections = () if self._listener is None else tuple(self._listener.open)
        for connection in (self._door, self._discovery.socket, *connections):
            if connection is not None:
                connection.close()

    def _ask(self, order: Callable[[Listener], None]) -> None:
        """Have the thread do something."""
        loop, listener = self._loop, self._listener
        if loop is not None and listener is not None:
            try:
                loop.call_soon_threadsafe(order, listener)
            except RuntimeError:
                pass  # the thread has ended

    # -------------------------------------------------------------------------------- the thread

    def _main(self) -> None:
        with exempt():
            loop = _ViewerLoop()
        loop.set_debug(False)
        try:
            # Named, so that the program's first task is still called Task-1.
            loop.run_until_complete(loop.create_task(self._serve(), name="aperf-tracy"))
        except Exception:
            self.counters.faults += 1
            _log.warning("aperf: no Tracy viewer can connect any more", exc_info=True)
        finally:
            self._ready.set()
            self._close()
            loop.close()

    async def _serve(self) -> None:
        self._listener = listener = self._make()
        self._loop = asyncio.get_running_loop()
        self._loop.call_soon(self._ready.set)
        await listener.run()
        self._has_all = listener.has_all

    def _close(self) -> None:
        self._door.close()
        self._discovery.close()
