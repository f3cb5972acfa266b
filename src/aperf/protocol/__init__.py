"""Sans-IO codecs: bytes in, bytes out, without sockets, clocks or threads."""

from __future__ import annotations

__all__ = ()
