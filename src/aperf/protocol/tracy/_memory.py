"""Memory: what is allocated and freed, in pools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._serial import Serial

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._strings import Strings

__all__ = ("Memory",)


class _Pool:
    __slots__ = ("last_ns", "live")

    def __init__(self, t_ns: int) -> None:
        self.last_ns = t_ns
        self.live: set[int] = set()  #: addresses


class Memory(Serial):
    """Allocations and frees, in ascending time in each pool."""

    def __init__(self, version: int, strings: Strings, *, strict: bool = False) -> None:
        super().__init__(version, strings, strict=strict)
        self._pools: dict[int, _Pool] = {}

    def mem_alloc(
        self,
        t_ns: int,
        tid: int,
        address: int,
        size: int,
        pool: int = 0,
        stack: Sequence[int] = (),
    ) -> None:
        """Allocate memory.

        Args:
            t_ns: when.
            tid: the thread that did.
            address: 64 bits; any number that tells the block from others of the pool.
            size: in bytes, 48 bits.
            pool: id of the pool's name, from `Strings.text`; 0 for the unnamed one.
            stack: the call stack, innermost first, from `Strings.frame`.

        Raises:
            LocalProtocolError: the address is allocated already, or time goes back (strict).
        """
        state = self._pools.setdefault(pool, _Pool(t_ns))
        if address in state.live:
            self._misuse(f"allocate {address:#x}", "it to be freed first")
            self.mem_free(t_ns, tid, address, pool)
        size_parts = size & 0xFFFF_FFFF, size >> 32
        if self._memory_event("MemAlloc", state, t_ns, (tid, address, *size_parts), pool, stack):
            state.live.add(address)

    def mem_free(
        self, t_ns: int, tid: int, address: int, pool: int = 0, stack: Sequence[int] = ()
    ) -> None:
        """Free what was allocated; arguments as for `mem_alloc`.

        Raises:
            LocalProtocolError: the address is not allocated, or time goes back (strict).
        """
        state = self._pools.get(pool)
        if state is None or address not in state.live:
            self._misuse(f"free {address:#x}", "an address that is allocated")
        elif self._memory_event("MemFree", state, t_ns, (tid, address), pool, stack):
            state.live.discard(address)

    def mem_discard(self, t_ns: int, tid: int, pool: int, stack: Sequence[int] = ()) -> None:
        """Free all that is allocated in a pool.

        Raises:
            LocalProtocolError: nothing was ever allocated in the pool, or time goes back (strict).
        """
        state = self._pools.get(pool)
        if state is None:
            self._misuse(f"discard pool {pool}", "one that something was allocated in")
        elif not pool or "MemDiscard" not in self._records:  # one by one, then
            for address in sorted(state.live):
                self.mem_free(t_ns, tid, address, pool, stack)
        elif self._know(tid):
            t_ns = self._memory_time(state, t_ns)
            name, before = "MemDiscard", b""
            if stack:
                name, before = "MemDiscardCallstack", self._stack(stack, "CallstackSerial")
            if self._put(name, t_ns - self._serial_ns, tid, pool, before=before):
                self._serial_ns = state.last_ns = t_ns
                state.live.clear()

    def _memory_event(
        self,
        name: str,
        state: _Pool,
        t_ns: int,
        values: tuple[int, ...],
        pool: int,
        stack: Sequence[int],
    ) -> bool:
        if not self._know(values[0]):
            return False
        before = b""
        if stack:
            name += "Callstack"
            before = self._stack(stack, "CallstackSerial")
        if pool:
            name += "Named"
            before += self._records["MemNamePayload"](pool)
        t_ns = self._memory_time(state, t_ns)
        if not self._put(name, t_ns - self._serial_ns, *values, before=before):
            return False
        self._serial_ns = state.last_ns = t_ns
        return True

    def _memory_time(self, state: _Pool, t_ns: int) -> int:
        if t_ns < state.last_ns:
            self._misuse(f"memory event at {t_ns}", f"a time from {state.last_ns} on")
            return state.last_ns
        return t_ns
