"""Records for a Tracy exporter, written by hand, and tables that say what they mean."""

from __future__ import annotations

from typing import Final

from aperf._recorder._layout import BIRTH, HEADER, NARROW, PAIR, SLOT, Kind, StepFlag
from aperf.model import Chunk, Site

__all__ = ("FakeTables", "birth", "chunk", "opened", "record", "step", "wide")

SITE: Final[Site] = (0, None, ())


class FakeTables:
    """What the numbers mean: nothing, but every odd site is known. Time is set by hand."""

    def __init__(self, t_ns: int = 0) -> None:
        self.t_ns = t_ns

    def resolve(self, site: int) -> Site | None:
        return SITE if site % 2 else None

    def name(self, number: int) -> str:
        return f"name {number}"

    def picture(self, number: int) -> tuple[int, int, bytes, bool] | None:
        return None

    def threads(self) -> list[tuple[int, str]]:
        return [(100 + ring, f"thread {ring}") for ring in range(8)]

    def live(self) -> list[tuple[int, int, int, bool, bool]]:
        return []

    def now_ns(self) -> int:
        return self.t_ns


def record(
    kind: Kind,
    t_ns: int,
    *,
    flags: int = 0,
    ref: int = 0,
    a: int = 0,
    b: int = 0,
    rest: bytes = b"",
) -> bytes:
    """Return an event of any kind."""
    slots = 1 + -(-len(rest) // SLOT)
    return HEADER.pack(t_ns, kind, slots, flags, ref, a, b) + rest.ljust((slots - 1) * SLOT, b"\0")


def birth(task: int, t_ns: int = 0, name: str = "", *, flags: int = 0, ref: int = 1) -> bytes:
    """Return the birth of a task."""
    text = name.encode()
    rest = BIRTH.pack(0, 0, len(text), text[:16]) + text[16:]
    return record(Kind.BIRTH, t_ns, flags=flags, ref=ref, a=task, b=0, rest=rest)


def step(task: int, t_ns: int = 0, *, done: bool = False) -> bytes:
    """Return a step of a task."""
    flags = int(StepFlag.DONE) if done else 0
    return NARROW.pack(t_ns, Kind.STEP, 1, flags, 0, task, 0, 0, 0)


def wide(task: int, t_ns: int = 0, *, done: bool = False) -> bytes:
    """Return a step of a task whose numbers are large."""
    flags = int(StepFlag.DONE) if done else 0
    return record(Kind.WIDE, t_ns, flags=flags, a=task, rest=PAIR.pack(0, 0, 0, 0))


def opened(owner: int, seq: int, t_ns: int = 0, *, name: int = 0, site: int = 0) -> bytes:
    """Return the begin of a user span."""
    rest = PAIR.pack(0, 0, site, 0)
    return record(Kind.OPEN, t_ns, ref=name, a=owner, b=seq, rest=rest)


def chunk(ring: int, data: bytes, tables: FakeTables) -> Chunk:
    """Return what an exporter is given."""
    return Chunk(ring, data, tables)
