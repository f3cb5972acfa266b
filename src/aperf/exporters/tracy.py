"""Show what happens in a Tracy viewer, while it happens."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Final, Literal

from aperf._errors import ConfigurationError
from aperf._stderr import tell
from aperf.model import ExporterStatistics, ExportResult

from ._tracy._counters import TracyStatistics

if TYPE_CHECKING:
    from aperf._config import Settings
    from aperf.model import Chunk, SessionInfo, Summary

    from ._tracy._history import History
    from ._tracy._service import Service
    from ._tracy._viewer import MapperFactory

__all__ = ("TracyExporter", "TracyStatistics")

_log = logging.getLogger("aperf")

#: A viewer that is connected is shown what happened so long ago at most.
LIVE_NS: Final = 50_000_000
#: What a forked child inherited and must not touch, not even by freeing it.
_INHERITED: Final[list[Service]] = []


class TracyExporter:
    """Listens for a Tracy viewer and shows it tasks, awaits and whatever else is recorded.

    Viewers of all releases from 0.9 on can connect, one at a time, at any time and as often as they
    like. They are shown what was before, too, as far as it is remembered. A viewer that is slow
    loses records; the program does not wait.

    Args:
        port: where to listen; the next free one of 20 when it is taken. 0 is any that is free.
        bind: the address to listen at. There is no authentication: whoever can reach it can see
            names of functions, files and tasks, log messages and attributes.
        history_ns: how long records are kept for a viewer that connects later.
        history_bytes: memory for records that were not shown yet.
        sources: whether viewers get source files.
        announce: whose viewers are told that there is something to connect to.

    Raises:
        ConfigurationError: an argument is not accepted.
    """

    consumes: Final = "chunks"
    needs_rows: Final = False

    def __init__(
        self,
        *,
        port: int = 8086,
        bind: str = "127.0.0.1",
        history_ns: int = 10 * 10**9,
        history_bytes: int = 32 << 20,
        sources: bool = False,
        announce: Literal["loopback", "network", "none"] = "loopback",
    ) -> None:
        if not 0 <= port <= 65_535:
            raise ConfigurationError(f"port is {port}; 0 to 65535 is accepted")
        if history_ns < 0:
            raise ConfigurationError(f"history_ns is {history_ns}; 0 or more is accepted")
        if history_bytes < 1 << 16:
            raise ConfigurationError(f"history_bytes is {history_bytes}; 65536 or more is accepted")
        if announce not in ("loopback", "network", "none"):
            raise ConfigurationError(
                f"announce is {announce!r}; loopback, network or none is accepted"
            )
        self._wanted_port = port
        self._bind = bind
        self._history_ns = history_ns
        self._history_bytes = history_bytes
        self._sources = sources
        self._announce: Literal["loopback", "network", "none"] = announce
        self._history: History | None = None
        self._service: Service | None = None
        self._is_open = False

    @classmethod
    def from_settings(cls, settings: Settings) -> TracyExporter:
        """Return an exporter as the environment or the caller configured it."""
        return cls(
            port=settings.tracy_port,
            bind=settings.tracy_bind,
            history_ns=settings.tracy_history_ns,
            history_bytes=settings.tracy_history_bytes,
            sources=settings.tracy_sources,
            announce=settings.tracy_announce,
        )

    def __repr__(self) -> str:
        return f"<TracyExporter {self._where()}>"

    @property
    def address(self) -> str | None:
        """Where viewers connect to, address and port; None while it does not listen."""
        return self._where() if self._is_open else None

    def _where(self) -> str:
        host = f"[{self._bind}]" if ":" in self._bind else self._bind
        return f"{host}:{self.port}"

    @property
    def port(self) -> int:
        """Where it listens; before `start`, where it is to."""
        return self._wanted_port if self._service is None else self._service.port

    @property
    def interval_ns(self) -> int:
        """How often it wants records: while somebody looks, more often than the eye can tell."""
        is_read = self._history is not None and self._history.is_read
        return LIVE_NS if is_read else sys.maxsize

    def start(self, session: SessionInfo) -> None:
        """Listen, and start the thread that serves viewers.

        Raises:
            ConfigurationError: the port and those behind it are taken, or there is no such address.
        """
        # anyio and the protocol take a while to import: not before they are needed, and not when
        # the interpreter is about to exit either.
        from ._tracy._discovery import destination
        from ._tracy._history import History
        from ._tracy._program import Program
        from ._tracy._service import Service
        from ._tracy._sockets import listen, parse_address

        if not _log.handlers:  # else a warning would go to stderr where logging is not configured
            _log.addHandler(logging.NullHandler())
        address = parse_address(self._bind)
        draw = self._mapper()
        program = Program.of(session, sources=self._sources)
        history = History(self._history_bytes, self._history_ns)
        door = listen(address, self._wanted_port)
        try:
            service = Service(door, destination(address, self._announce), program, history, draw)
            service.start()
        except BaseException:
            door.close()
            raise
        self._history, self._service, self._is_open = history, service, True
        _log.info("aperf: Tracy viewers can connect to %s, port %d", address, service.port)
        if not address.is_loopback:
            tell(
                f"TRACY_BIND is {self._bind}: viewers on other machines can connect to port "
                f"{service.port}, and there is no authentication"
            )

    def _mapper(self) -> MapperFactory:
        """Return what makes the drawing of one viewer."""
        from ._tracy.map import Mapper

        return Mapper

    def export(self, batch: Chunk, deadline_ns: int) -> ExportResult:
        """Keep records for the viewer; outside of a session they are dropped."""
        if self._history is not None and self._is_open:
            self._history.append(batch)
        return ExportResult()

    def flush(self, deadline_ns: int) -> bool:
        """Wait until the viewer has been sent all that was recorded; without one, do not wait."""
        if self._service is None or not self._is_open:
            return True
        return self._service.flush(deadline_ns)

    def finish(self, summary: Summary) -> None:
        """Ignore the summary: a viewer draws its own conclusions."""

    def shutdown(self, deadline_ns: int) -> bool:
        """Show the viewer what is left, say goodbye, and listen no more.

        Returns:
            whether the viewer, if there was one, has got everything, with nothing left out.
        """
        service, is_open = self._service, self._is_open
        self._is_open = False
        if service is None or not is_open:
            return True
        return service.stop(deadline_ns) and not self.counters().dropped_records

    def statistics(self) -> ExporterStatistics:
        """Return faults as failures; a viewer is sent records, not spans (see `counters`)."""
        return ExporterStatistics(export_failures=self.counters().faults)

    def counters(self) -> TracyStatistics:
        """Return what became of viewers and records since `start`."""
        if self._service is None or self._history is None:
            return TracyStatistics()
        counters, history = self._service.counters, self._history
        return TracyStatistics(
            viewers=counters.viewers,
            refused=counters.refused,
            gaps=history.gaps,
            dropped_records=history.dropped_records,
            repairs=counters.repairs,
            faults=counters.faults,
        )

    def forget_after_fork(self) -> None:
        """Leave everything to the parent: the thread exists only there."""
        if self._service is not None:
            _INHERITED.append(self._service)
            self._service.forget()
        self._service = self._history = None
        self._is_open = False
