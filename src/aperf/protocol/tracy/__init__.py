"""Tracy's wire protocol, both halves, without sockets, clocks or threads."""

from __future__ import annotations

from ._errors import LocalProtocolError, RemoteProtocolError
from ._versions import RELEASES, VERSIONS

__all__ = (
    "RELEASES",
    "VERSIONS",
    "LocalProtocolError",
    "RemoteProtocolError",
)
