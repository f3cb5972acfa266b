"""The export of log records for who has no session, where the environment asks for it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from aperf._config import may_export_logs, read_settings_with_warnings
from aperf._errors import ConfigurationError
from aperf._stderr import tell
from aperf.otel._log_listening import Request, add, replace

if TYPE_CHECKING:
    from aperf._config import Filter
    from aperf.otel._log_export import LogExport

__all__ = ("Export", "begin_export")


class Export:
    """Holds an export, and asks for the records of a filter.

    Where a session exports to the same receiver, the session's filter decides.
    """

    def __init__(self, export: LogExport, filter: Filter, timeout_ns: int) -> None:
        self._export = export
        self._timeout_ns = timeout_ns
        self._request = add(Request(export.handler, logging.getLogger(), filter), last=True)

    def set_filter(self, filter: Filter) -> None:
        """Send other records from now on."""
        before, self._request = self._request, self._request._replace(filter=filter)
        replace(before, self._request)

    def end(self) -> None:
        """Ask for no more; what was taken is sent, and nobody waits for it."""
        replace(self._request)
        self._export.release_soon(self._timeout_ns)


def begin_export(filter: Filter) -> Export | None:
    """Begin to export what a filter keeps; return None if nobody asks for that.

    What is wrong with the variables is told on stderr, and then nothing is exported.
    """
    if not may_export_logs():
        return None
    try:
        settings, warnings = read_settings_with_warnings()
        tell(*warnings)
        if settings.logs is None:
            return None
        from aperf._destinations import session_info
        from aperf.otel._log_export import acquire

        resource, timeout_ns = session_info(settings).resource, settings.shutdown_timeout_ns
        export = acquire(settings.logs, resource, timeout_ns, is_session=False)
        return Export(export, filter, timeout_ns)
    except ConfigurationError as error:
        tell(*str(error).splitlines(), "log records are not exported")
        return None
    except RuntimeError as error:  # no more threads, or the interpreter is about to exit
        tell(f"log records are not exported: {error}")
        return None
