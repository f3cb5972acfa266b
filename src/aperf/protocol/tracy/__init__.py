"""Tracy's wire protocol, both halves, without sockets, clocks or threads.

A viewer connects to the program that it looks at. `Connection` is the program's end of that: it
gives a `Stream` to write events to, whose ids come from `Strings`.
"""

from __future__ import annotations

from ._connection import Connection, Refusal, State
from ._errors import LocalProtocolError, RemoteProtocolError
from ._events import Closed, Event, Hello, Query
from ._marks import PlotFormat
from ._samples import HardwareEvent
from ._stream import Stream
from ._strings import MAX_SOURCES, Strings
from ._system import ParameterKind
from ._versions import RELEASES, VERSIONS, QueryKind
from ._welcome import Welcome

__all__ = (
    "MAX_SOURCES",
    "RELEASES",
    "VERSIONS",
    "Closed",
    "Connection",
    "Event",
    "HardwareEvent",
    "Hello",
    "LocalProtocolError",
    "ParameterKind",
    "PlotFormat",
    "Query",
    "QueryKind",
    "Refusal",
    "RemoteProtocolError",
    "State",
    "Stream",
    "Strings",
    "Welcome",
)
