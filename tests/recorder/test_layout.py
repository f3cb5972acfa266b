"""The layout of records in C is that of `_layout.py`, the specification."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from aperf._recorder import _layout
from aperf._recorder._layout import BirthFlag, CallFlag, Hint, Kind, StepFlag

if TYPE_CHECKING:
    import enum

HEADER: Final = Path(__file__).parents[2] / "src/aperf/_recorder/_core_src/layout.h"


def numbers(name: str) -> dict[str, int]:
    """Return the constants of an enumeration in C, by their names without its prefix."""
    found = re.search(
        rf"^enum {name} {{(.*?)^}};", HEADER.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    assert found is not None
    return {key: int(value) for key, value in re.findall(r"[A-Z]+_([A-Z_]+) = (\d+),", found[1])}


def test_kinds() -> None:
    """All kinds of records have the same numbers in both languages."""
    assert {kind.name: int(kind) for kind in Kind} == numbers("Kind")


@pytest.mark.parametrize("flags", [StepFlag, BirthFlag, CallFlag, Hint])
def test_flags(flags: type[enum.IntFlag]) -> None:
    """Those that C knows are those of the specification."""
    known = numbers(flags.__name__)
    assert known
    assert known.items() <= {flag.name: int(flag) for flag in flags}.items()


def test_urgent_kinds() -> None:
    """The same kinds may use the last eighth of the ring."""
    [mask] = re.findall(
        r"#define URGENT_KINDS(.*?\))$", HEADER.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    urgent = {Kind[name] for name in re.findall(r"1u << KIND_([A-Z_]+)", mask)}
    assert _layout.URGENT == urgent
    assert max(urgent) < 32, "the mask has 32 bits"
