"""Any records at all: the mapper draws what makes sense of them, and nothing breaks a viewer."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from aperf._recorder._layout import NARROW, SLOT, Kind
from aperf.exporters._tracy._baseline import Baseline
from aperf.protocol.tracy import VERSIONS
from tests.tracy_map import MapTables, Script, encode, fetch, get, main, parse, sleep

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

_SMALL: Final = st.integers(0, 4)
_TIME: Final = st.integers(0, 300) | st.integers(0, 1 << 32) | st.integers(0, (1 << 64) - 1)
#: What our own clock says.
_NOW: Final = st.integers(0, 300) | st.integers(0, 1 << 50)
_NUMBER: Final = _SMALL | st.integers(0, (1 << 64) - 1)
_FLAGS: Final = st.integers(0, 63) | st.integers(0, 0xFFFF)
_WORD: Final = _SMALL | st.integers(0, 0xFFFF_FFFF)
#: What the second slot of most kinds holds.
_PAIR: Final = st.tuples(_NUMBER, _NUMBER, _NUMBER, _NUMBER).map(
    lambda numbers: struct.pack("<4Q", *numbers)
)
_REST: Final = st.just(b"") | _PAIR | st.binary(max_size=200)
_KIND: Final = st.sampled_from(list(Kind)) | st.integers(0, 255)

_STEP: Final = st.builds(
    NARROW.pack, _TIME, st.just(int(Kind.STEP)), st.just(1), _FLAGS, _SMALL, _SMALL, _SMALL,
    _WORD, _WORD,
)  # fmt: skip
_CHAIN: Final = st.builds(encode, st.just(Kind.CHAIN), _TIME, st.just(0), _SMALL, _SMALL, _SMALL)
#: What is so close to sense that it gets far: operations on a few things, in any order.
_NEARLY: Final = st.builds(
    encode,
    st.sampled_from([Kind.LOCK, Kind.GPU, Kind.MEMORY, Kind.FRAME, Kind.OPEN, Kind.CLOSE]),
    st.integers(0, 300),
    st.integers(0, 5) | st.integers(16, 21) | st.integers(32, 37),
    _SMALL,
    st.integers(1, 2),
    _SMALL,
    st.just(struct.pack("<4Q", 0, 3, 1, 0)),
)
_ANY: Final = st.builds(encode, _KIND, _TIME, _FLAGS, _SMALL, _NUMBER, _NUMBER, _REST)
_RECORD: Final[SearchStrategy[bytes]] = _STEP | _CHAIN | _NEARLY | _ANY
#: Records of a ring, or what the viewer's thread does now and then.
_TURN: Final = (
    st.tuples(_SMALL, st.lists(_RECORD, max_size=8))
    | st.tuples(st.just(0), st.lists(_NEARLY, min_size=4, max_size=20))
    | st.tuples(st.just("sample"), _NOW)
    | st.tuples(st.just("gap"), _NOW)
)
#: Records that passed through the baseline are well formed.
_EARLIER: Final = st.builds(
    encode,
    st.sampled_from([Kind.BIRTH, Kind.OPEN, Kind.LOCK, Kind.GPU, Kind.WIDE, Kind.CLOSE]),
    _NOW,
    _FLAGS,
    _SMALL,
    _SMALL,
    _SMALL,
    _PAIR,
)


def tables() -> MapTables:
    """Return tables in which small numbers mean something."""
    found = MapTables()
    for at in ((main,), (main, sleep), (main, fetch, sleep), (main, fetch, parse, get)):
        found.site(*at)
    for name in ("name", "other", ""):
        found.names.intern(name)
    found.pictures[1] = (4, 4, bytes(8), False)
    found.alive = [(1, 2, 10, False, False), (2, 3, 20, True, False)]
    return found


def before(data: bytes) -> Baseline:
    """Return what is in force after some records."""
    baseline = Baseline()
    baseline.take(0, data, tables())
    baseline.begin_ns = 5
    return baseline


@given(
    version=st.sampled_from(VERSIONS),
    earlier=st.lists(_EARLIER, max_size=5),
    turns=st.lists(_TURN, max_size=12),
    cut=st.integers(1, 3),
)
@settings(max_examples=150, deadline=None)
def test_any_records(version: int, earlier: list[bytes], turns: list[Any], cut: int) -> None:
    """Whatever comes, in pieces of any size: no exception, no repair, all rows closed."""
    script = Script(version, tables=tables(), baseline=before(b"".join(earlier)))
    for who, what in turns:
        if who == "sample":
            script.mapper.sample(what)
        elif who == "gap":
            script.mapper.gap(what, 3)
        else:
            data = b"".join(what)
            for start in range(0, len(data), cut * SLOT):
                script.feed(data[start : start + cut * SLOT], who)
    script.finish()
