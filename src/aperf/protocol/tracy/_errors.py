"""Who broke the protocol: we, or the peer."""

from __future__ import annotations

from aperf._errors import AperfError

__all__ = ("LocalProtocolError", "RemoteProtocolError")


class LocalProtocolError(AperfError):
    """This side asked for something that the protocol, or the peer's programs, cannot take."""


class RemoteProtocolError(AperfError):
    """The peer sent bytes that are not of this protocol."""
