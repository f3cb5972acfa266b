"""Memory that the program manages itself."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from aperf._recorder import MemoryOp

if TYPE_CHECKING:
    from aperf.model import RecordTables
    from aperf.protocol.tracy import Stream

    from ._sources import Sources
    from ._task import Happening
    from ._thread import Thread

__all__ = ("Memory",)

_ALLOCATE: Final = int(MemoryOp.ALLOCATE)
_SITE: Final = struct.Struct("<Q")
_LARGEST: Final = (1 << 48) - 1
#: Blocks of a pool in use that are shown; further ones are left out.
MOST: Final = 1 << 20


class _Pool:
    __slots__ = ("last_ns", "live")

    def __init__(self) -> None:
        self.last_ns = 0
        self.live: set[int] = set()


class Memory:
    """Draws MEMORY records of one connection.

    What is freed without being in use is left out. An address that is allocated again without
    having been freed is freed then: the record of that was lost, or comes from another thread.
    """

    def __init__(self, stream: Stream, sources: Sources, tables: RecordTables) -> None:
        self._stream = stream
        self._sources = sources
        self._tables = tables
        self._pools: dict[int, _Pool] = {}

    def record(self, thread: Thread, event: Happening) -> None:
        """Draw a MEMORY."""
        _, t_ns, operation, ref, address, size, payload = event
        name = self._stream.strings.text(self._tables.name(ref)) if ref else 0
        pool = self._pools.get(name)
        if pool is None:
            pool = self._pools[name] = _Pool()
        pool.last_ns = t_ns = max(t_ns, pool.last_ns)
        live, tid = pool.live, thread.number
        if address in live:
            live.discard(address)
            self._stream.mem_free(t_ns, tid, address, name)
        if operation == _ALLOCATE and len(live) < MOST:
            live.add(address)
            (site,) = _SITE.unpack_from(payload) if payload else (0,)
            stack = self._sources.stack(site) if site else ()
            self._stream.mem_alloc(t_ns, tid, address, min(size, _LARGEST), name, stack)
