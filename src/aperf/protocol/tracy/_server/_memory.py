"""Memory: what was allocated and freed, in pools."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from ._faults import InstrumentationFailure, Undiagnosed
from ._slot import Slot

if TYPE_CHECKING:
    from ._context import Context, Handlers
    from ._rows import Rows
    from ._stacks import SentStack, Stack, Stacks

__all__ = ("Allocation", "Memory", "Pool")

#: From this version on a flag of the welcome forgives an address that is allocated twice.
_FORGIVING: Final = 82


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """A piece of memory.

    Attributes:
        address: where it is.
        size: how long it is, in bytes.
        alloc_ns: when it was allocated.
        alloc_tid: by which thread.
        free_ns: when it was freed; None if it was not.
        free_tid: by which thread.
        stack: where it was allocated.
        free_stack: where it was freed.
    """

    address: int
    size: int
    alloc_ns: int
    alloc_tid: int
    free_ns: int | None = None
    free_tid: int | None = None
    stack: Stack = ()
    free_stack: Stack = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A pool of memory; the one without a name is "".

    Attributes:
        name: what it is called.
        allocations: the pieces, in the order in which they were allocated.
    """

    name: str
    allocations: tuple[Allocation, ...] = ()


@dataclass(slots=True, kw_only=True)
class _Piece:
    address: int
    size: int
    alloc_ns: int
    alloc_tid: int
    stack: SentStack | None
    free_ns: int | None = None
    free_tid: int | None = None
    free_stack: SentStack | None = None

    def free(self, t_ns: int, tid: int, stack: SentStack | None) -> None:
        self.free_ns, self.free_tid, self.free_stack = t_ns, tid, stack

    def picture(self, stacks: Stacks) -> Allocation:
        return Allocation(
            address=self.address,
            size=self.size,
            alloc_ns=self.alloc_ns,
            alloc_tid=self.alloc_tid,
            free_ns=self.free_ns,
            free_tid=self.free_tid,
            stack=stacks.get(self.stack),
            free_stack=stacks.get(self.free_stack),
        )


@dataclass(slots=True)
class _Growing:
    pieces: list[_Piece] = field(default_factory=list)
    live: dict[int, _Piece] = field(default_factory=dict)
    last_ns: int | None = None

    def advance(self, t_ns: int) -> None:
        if self.last_ns is not None and t_ns < self.last_ns:
            raise Undiagnosed("time of a memory event before that of the event before it")
        self.last_ns = t_ns


class Memory:
    """The events of memory."""

    def __init__(self, context: Context, rows: Rows) -> None:
        self._context = context
        self._rows = rows
        self._pools: dict[int, _Growing] = {}
        #: What `MemNamePayload` left.
        self._name: Slot[int] = Slot("name of a pool")
        #: What `CallstackSerial` left, also for serial GPU zones.
        self.next_stack: Slot[SentStack] = Slot("call stack")
        self.handlers: Handlers = {
            "MemNamePayload": self._name_pool,
            "MemDiscard": self._discard,
            "MemDiscardCallstack": partial(self._discard, with_stack=True),
        }
        for suffix, options in _VARIANTS.items():
            self.handlers[f"MemAlloc{suffix}"] = partial(self._alloc, **options)
            self.handlers[f"MemFree{suffix}"] = partial(self._free, **options)

    def picture(self, stacks: Stacks) -> tuple[Pool, ...]:
        """Return the pools in the order in which they appeared."""
        return tuple(
            Pool(
                name=self._context.texts.string(name),
                allocations=tuple(piece.picture(stacks) for piece in pool.pieces),
            )
            for name, pool in self._pools.items()
        )

    def _name_pool(self, *, pool: int) -> None:
        self._context.texts.ask_string(pool)
        self._name.put(pool)

    def _pool(self, *, named: bool) -> _Growing:
        name = self._name.take() if named else 0
        return self._pools.setdefault(name, _Growing())

    def _stack(self, *, with_stack: bool) -> SentStack | None:
        return self.next_stack.take() if with_stack else None

    def _alloc(
        self,
        *,
        dt: int,
        tid: int,
        address: int,
        size: int,
        named: bool = False,
        with_stack: bool = False,
    ) -> None:
        t_ns = self._context.serial_clock.advance(dt)
        stack, pool = self._stack(with_stack=with_stack), self._pool(named=named)
        self._rows.see_thread(tid)
        pool.advance(t_ns)
        if address in pool.live and not self._forgives:
            raise InstrumentationFailure(
                "Memory allocation event was reported for an address that is already tracked"
                " and not freed."
            )
        piece = _Piece(address=address, size=size, alloc_ns=t_ns, alloc_tid=tid, stack=stack)
        pool.live[address] = piece
        pool.pieces.append(piece)

    def _free(
        self, *, dt: int, tid: int, address: int, named: bool = False, with_stack: bool = False
    ) -> None:
        t_ns = self._context.serial_clock.advance(dt)
        stack, pool = self._stack(with_stack=with_stack), self._pool(named=named)
        self._rows.see_thread(tid)
        pool.advance(t_ns)
        piece = pool.live.pop(address, None)
        if piece is not None:
            piece.free(t_ns, tid, stack)
        elif not (self._context.welcome.on_demand or self._context.welcome.ignores_memory_faults):
            raise InstrumentationFailure("Memory free event without a matching allocation.")

    def _discard(self, *, dt: int, tid: int, pool: int, with_stack: bool = False) -> None:
        t_ns = self._context.serial_clock.advance(dt)
        stack = self._stack(with_stack=with_stack)
        self._rows.see_thread(tid)
        known = self._pools.get(pool)
        if known is None:
            return
        known.advance(t_ns)
        for piece in known.live.values():
            piece.free(t_ns, tid, stack)
        known.live.clear()

    @property
    def _forgives(self) -> bool:
        return self._context.version >= _FORGIVING and self._context.welcome.ignores_memory_faults


_VARIANTS: Final[dict[str, dict[str, bool]]] = {
    "": {},
    "Named": {"named": True},
    "Callstack": {"with_stack": True},
    "CallstackNamed": {"named": True, "with_stack": True},
}
