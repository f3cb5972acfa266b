"""Records written by hand, drawn by the mapper, and read back as a viewer sees them."""

from __future__ import annotations

import asyncio
import struct
import types
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from aperf._recorder._layout import BIRTH, HEADER, NARROW, PAIR, SLOT, Hint, Kind, StepFlag
from aperf._recorder._names import Names
from aperf.exporters._tracy._baseline import Baseline
from aperf.exporters._tracy.map import Mapper
from aperf.protocol.tracy import Welcome
from tests.tracy_pair import Pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from aperf.model import Site
    from aperf.protocol.tracy import Strings
    from aperf.protocol.tracy._server import Row, Trace, Zone

__all__ = (
    "CANCELLED",
    "DONE",
    "EAGER",
    "END",
    "FIRST",
    "MS",
    "MapTables",
    "Script",
    "encode",
    "fetch",
    "get",
    "main",
    "named",
    "parse",
    "sleep",
    "tree",
    "worker",
)

MS: Final = 1_000_000
END: Final = 1 << 40
FIRST, DONE = int(StepFlag.FIRST), int(StepFlag.DONE)
CANCELLED, EAGER = int(StepFlag.CANCELLED), int(StepFlag.EAGER)

#: A coroutine function, or its code.
Function: TypeAlias = "Callable[..., Any] | types.CodeType"


async def main() -> None:
    """A program."""


async def worker() -> None:
    """A task."""


async def fetch() -> None:
    """A coroutine that tasks await."""


async def parse() -> None:
    """Another one."""


sleep: Final = asyncio.sleep
get: Final = asyncio.Queue.get


def named(name: str, file: str = "/app/app.py") -> types.CodeType:
    """Return the code of a coroutine function of this name."""
    return main.__code__.replace(co_name=name, co_qualname=name, co_filename=file)


def _code(function: Function) -> types.CodeType:
    return function if isinstance(function, types.CodeType) else function.__code__


class MapTables:
    """What the numbers in records mean.

    Args:
        threads: names of the rings' threads.

    Attributes:
        alive: what `live` returns.
        pictures: what `picture` finds.
    """

    def __init__(self, threads: Sequence[str] = ("MainThread", "pool_0", "Other")) -> None:
        self.names = Names()
        self.alive: list[tuple[int, int, int, bool, bool]] = []
        self.pictures: dict[int, tuple[int, int, bytes, bool]] = {}
        self._threads = [(100 + ring, name) for ring, name in enumerate(threads)]
        self._sites: list[Site | None] = [None]
        self._numbers: dict[Site, int] = {}

    def site(self, *functions: Function, hint: int = int(Hint.FULL)) -> int:
        """Return the number of a chain, given outermost first."""
        frames = tuple((_code(function), 0) for function in reversed(functions))
        return self.intern((hint, asyncio.Future, frames))

    def intern(self, site: Site) -> int:
        """Return the number of a site."""
        number = self._numbers.get(site)
        if number is None:
            number = self._numbers[site] = len(self._sites)
            self._sites.append(site)
        return number

    def resolve(self, site: int) -> Site | None:
        return self._sites[site] if site < len(self._sites) else None

    def name(self, number: int) -> str:
        return self.names.text(number)

    def picture(self, number: int) -> tuple[int, int, bytes, bool] | None:
        return self.pictures.get(number)

    def threads(self) -> list[tuple[int, str]]:
        return self._threads

    def live(self) -> list[tuple[int, int, int, bool, bool]]:
        return self.alive

    def now_ns(self) -> int:
        return 0


def encode(
    kind: int, t_ns: int, flags: int = 0, ref: int = 0, a: int = 0, b: int = 0, rest: bytes = b""
) -> bytes:
    """Return an event of any kind."""
    slots = 1 + -(-len(rest) // SLOT)
    mask = (1 << 64) - 1
    data = HEADER.pack(t_ns, kind, slots, flags, ref, a & mask, b & mask)
    return data + rest.ljust((slots - 1) * SLOT, b"\0")


class Script:
    """A program, told record by record; each is drawn at once.

    Args:
        version: of the viewer.
        tables: what numbers mean.
        baseline: what was before; the default is nothing.
        strict: whether the stream refuses what a viewer would not survive.
        strings: of the connection before.
    """

    def __init__(
        self,
        version: int = 82,
        *,
        tables: MapTables | None = None,
        baseline: Baseline | None = None,
        strict: bool = True,
        strings: Strings | None = None,
    ) -> None:
        self.tables = tables or MapTables()
        baseline = baseline or Baseline()
        welcome = Welcome(begin_ns=baseline.begin_ns, epoch_s=1, pid=1, program="tests")
        self.pair = Pair(version, strings, strict=strict, welcome=welcome)
        self.mapper = Mapper(self.pair.stream, self.tables, baseline)

    def feed(self, data: bytes, ring: int = 0) -> None:
        """Draw some slots."""
        self.mapper.feed(ring, data)

    def put(
        self,
        kind: int,
        t_ns: int,
        *,
        flags: int = 0,
        ref: int = 0,
        a: int = 0,
        b: int = 0,
        rest: bytes = b"",
        ring: int = 0,
    ) -> None:
        """Draw an event of any kind."""
        self.feed(encode(kind, t_ns, flags, ref, a, b, rest), ring)

    def finish(self, t_ns: int = END) -> Trace:
        """End it, and return what the viewer has got; nothing may be wrong with that."""
        self.mapper.finish(t_ns)
        trace = self.pair.finish(t_ns)
        assert ((), ()) == (trace.failures, trace.undiagnosed)
        assert 0 == self.pair.stream.repairs
        for zone in trace.zones():
            assert zone.end_ns is not None
            assert zone.start_ns <= zone.end_ns
        return trace

    def so_far(self) -> Trace:
        """Return what the viewer has got by now."""
        self.pair.exchange()
        return self.pair.server.trace

    # --------------------------------------------------------------------------------------- tasks

    def name(self, text: str) -> int:
        """Return the number of a name."""
        return self.tables.names.intern(text)

    def birth(
        self,
        task: int,
        t_ns: int,
        function: Function = worker,
        name: str = "",
        *,
        flags: int = 0,
        ring: int = 0,
    ) -> None:
        """A task is born."""
        text, ref = name.encode(), self.tables.site(function)
        rest = BIRTH.pack(0, 0, len(text), text[:16]) + text[16:]
        self.put(Kind.BIRTH, t_ns, flags=flags, ref=ref, a=task, rest=rest, ring=ring)

    def step(
        self,
        task: int,
        resume_ns: int,
        suspend_ns: int,
        *at: Function,
        kept: int = 0,
        flags: int = 0,
        ready_ns: int = 0,
        waker: int = 0,
        was: int = 0,
        ring: int = 0,
    ) -> None:
        """A task has run; where it is suspended in a chain, that follows (outermost first)."""
        busy_ns = suspend_ns - resume_ns
        if max(busy_ns, ready_ns) < 1 << 32:
            self.feed(
                NARROW.pack(
                    resume_ns, Kind.STEP, 1, flags, was, task, waker, ready_ns, busy_ns
                ),
                ring,
            )  # fmt: skip
        else:
            rest = PAIR.pack(ready_ns, busy_ns, 0, 0)
            self.put(
                Kind.WIDE, resume_ns, flags=flags, ref=was, a=task, b=waker, rest=rest, ring=ring
            )
        if at:
            self.chain(task, suspend_ns, *at, kept=kept, ring=ring)

    def chain(self, task: int, t_ns: int, *at: Function, kept: int = 0, ring: int = 0) -> None:
        """Where a task is suspended."""
        self.put(Kind.CHAIN, t_ns, ref=self.tables.site(*at), a=task, b=kept, ring=ring)

    def failure(self, task: int, t_ns: int, text: str) -> None:
        """The next step of a task fails: the type's name, a zero, the message."""
        self.put(Kind.FAILURE, t_ns, a=task, b=len(text), rest=text.encode())

    # --------------------------------------------------------------------------------------- spans

    def open(
        self, owner: int, number: int, t_ns: int, name: str, function: Function = worker,
        *, ring: int = 0,
    ) -> None:  # fmt: skip
        """A user span begins, in a function."""
        rest = PAIR.pack(0, 0, self.tables.site(function, hint=0), 0)
        ref = self.name(name)
        self.put(Kind.OPEN, t_ns, ref=ref, a=owner, b=number, rest=rest, ring=ring)

    def close(self, owner: int, number: int, t_ns: int, *, ring: int = 0) -> None:
        """It ends."""
        self.put(Kind.CLOSE, t_ns, a=owner, b=number, ring=ring)

    def attribute(
        self, owner: int, number: int, t_ns: int, key: str, flags: int, rest: bytes = b""
    ) -> None:
        """It gets an attribute."""
        self.put(
            Kind.ATTRIBUTE, t_ns, flags=flags, ref=self.name(key), a=owner, b=number, rest=rest
        )

    def job(
        self, task: int, t_ns: int, run_ns: int, function: Function, *, queue_ns: int = 0,
        ring: int = 1,
    ) -> None:  # fmt: skip
        """A job of an executor has ended."""
        rest = PAIR.pack(queue_ns, run_ns, 0, 0)
        ref = self.tables.site(function)
        self.put(Kind.JOB, t_ns, ref=ref, a=task, b=1, rest=rest, ring=ring)

    # -------------------------------------------------------------------------- what profilers show

    def message(self, task: int, t_ns: int, text: str | bytes, flags: int = 2, **how: int) -> None:
        """The program says something."""
        data = text.encode() if isinstance(text, str) else text
        self.put(Kind.MESSAGE, t_ns, flags=flags, a=task, rest=data, **how)

    def lock(
        self, number: int, t_ns: int, flags: int, owner: int = 0, *, name: str = "",
        function: Function | None = None, ring: int = 0,
    ) -> None:  # fmt: skip
        """Something happens to a lock."""
        ref = self.name(name) if name else 0 if function is None else self.tables.site(function)
        self.put(Kind.LOCK, t_ns, flags=flags, ref=ref, a=number, b=owner, ring=ring)

    def frame(self, operation: int, t_ns: int, name: str = "", *, ring: int = 0) -> None:
        """A frame."""
        ref = self.name(name) if name else 0
        self.put(Kind.FRAME, t_ns, flags=operation, ref=ref, ring=ring)

    def memory(
        self, operation: int, t_ns: int, address: int, size: int = 0, *, pool: str = "pool",
        ring: int = 0,
    ) -> None:  # fmt: skip
        """Memory is allocated, or freed."""
        rest = struct.pack("<Q", self.tables.site(main))
        self.put(
            Kind.MEMORY, t_ns, flags=operation, ref=self.name(pool), a=address, b=size,
            rest=b"" if operation else rest, ring=ring,
        )  # fmt: skip

    def gpu(
        self, operation: int, t_ns: int, b: int, *, context: int = 1, name: str = "",
        rest: bytes | None = None, ring: int = 0,
    ) -> None:  # fmt: skip
        """Something happens on a device."""
        if rest is None:
            rest = struct.pack("<dQ", 1.0, 7) if operation == 0 else bytes(8)
        ref = self.name(name) if name else 0
        self.put(Kind.GPU, t_ns, flags=operation, ref=ref, a=context, b=b, rest=rest, ring=ring)


def tree(row: Row) -> list[str]:
    """Return the zones of a row, one a line, indented: begin, end, name, and its text if any."""
    return [line for zone in row.zones for line in _lines(zone, 0)]


def _lines(zone: Zone, depth: int) -> Iterator[str]:
    text = f" {zone.text!r}" if zone.text else ""
    yield f"{'  ' * depth}{zone.start_ns} {zone.end_ns} {zone.name}{text}"
    for child in zone.children:
        yield from _lines(child, depth + 1)


def lines(rows: Iterable[Row]) -> dict[str, list[str]]:
    """Return the trees of rows that have zones, by the row's name."""
    return {row.name: tree(row) for row in rows if row.zones}
