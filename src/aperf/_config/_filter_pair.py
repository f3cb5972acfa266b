"""The two filters of a session, which may be replaced while it is open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._filter import Filter

if TYPE_CHECKING:
    from ._settings import Settings

__all__ = ("FilterPair",)


class FilterPair:
    """Filters of log records and of the program's own spans.

    Whoever decides by them reads the attribute anew each time: a `Filter` never changes, but which
    one it is may.

    Args:
        settings: what they are at first.
    """

    __slots__ = ("logs", "traces")

    def __init__(self, settings: Settings) -> None:
        # The settings may have been made by hand; what was read from variables is good.
        self.logs = Filter.parse(settings.log_filter).quietened()
        self.traces = Filter.parse(settings.trace_filter)

    def replace(
        self, *, logs: Filter | str | None = None, traces: Filter | str | None = None
    ) -> None:
        """Go on with other filters; None leaves one as it is.

        Args:
            logs: a filter, taken as it is, or the text of one, which does not ask for the noise of
                libraries unless it names them.
            traces: a filter or its text.

        Raises:
            ConfigurationError: a directive is none; nothing is replaced then.
        """
        new_logs = Filter.parse(logs).quietened() if isinstance(logs, str) else logs
        new_traces = Filter.parse(traces) if isinstance(traces, str) else traces
        self.logs = new_logs or self.logs
        self.traces = new_traces or self.traces
