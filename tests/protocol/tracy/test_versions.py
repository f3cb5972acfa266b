"""The numbers and sizes of all events, against a table that was made independently."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Final

import pytest

from aperf.protocol.tracy import RELEASES, VERSIONS
from aperf.protocol.tracy._layouts import layouts
from aperf.protocol.tracy._versions import QueryKind, event_numbers, query_numbers

#: A column for each version, empty where it lacks the event; sizes with the type byte, again where
#: they change.
with Path(__file__).with_name("events.csv").open(encoding="ascii", newline="") as _file:
    _ROWS: Final = list(csv.DictReader(_file))

_IN_TABLE: Final = (63, 64, 65, 66, 67, 69, 72, 74, 76, 82)
_SIZES: Final = ((82, "size from 82"), (74, "size from 74"), (69, "size from 69"), (0, "size"))


def _size(row: dict[str, str], version: int) -> int:
    """Return the size of an event in a version: the last that was said."""
    return next(int(row[name]) for since, name in _SIZES if version >= since and row[name])


def test_versions() -> None:
    """Nine versions are spoken, the oldest first, and each says which releases speak it."""
    assert (63, 64, 65, 66, 69, 72, 74, 76, 82) == VERSIONS
    assert set(VERSIONS) == set(RELEASES)
    assert set(VERSIONS) <= set(_IN_TABLE)


@pytest.mark.parametrize("version", _IN_TABLE)
def test_event_numbers(version: int) -> None:
    """Each version has the events of its column, and no other."""
    numbers = {row["event"]: int(row[str(version)]) for row in _ROWS if row[str(version)]}
    assert numbers == event_numbers(version)


@pytest.mark.parametrize("version", _IN_TABLE)
def test_event_sizes(version: int) -> None:
    """Each event has the size of the table."""
    sizes = {row["event"]: _size(row, version) for row in _ROWS if row[str(version)]}
    assert sizes == {name: layout.size for name, layout in layouts(version).items()}


@pytest.mark.parametrize("version", _IN_TABLE)
def test_events_that_carry_bytes(version: int) -> None:
    """Texts and other bytes of any length follow the last events of the list, and no others."""
    carrying = {name for name, layout in layouts(version).items() if layout.length}
    inline = {"SingleStringData", "SecondStringData", "SingleStringData8", "SecondStringData8"}
    events = [row["event"] for row in _ROWS]
    transfers = set(events[events.index("StringData") :])
    assert (transfers | inline) & event_numbers(version).keys() == carrying


@pytest.mark.parametrize("version", _IN_TABLE)
def test_query_numbers(version: int) -> None:
    """Queries are numbered from 0 on; version 66 moved three of them."""
    numbers = query_numbers(version)
    assert list(range(16)) == sorted(numbers.values())
    moved = (QueryKind.EXTERNAL_NAME, QueryKind.DISCONNECT, QueryKind.CALLSTACK_FRAME)
    assert ((8, 9, 10) if version >= 66 else (10, 8, 9)) == tuple(map(numbers.get, moved))
    assert (11, 15) == (numbers[QueryKind.SYMBOL], numbers[QueryKind.DATA_TRANSFER_PART])
