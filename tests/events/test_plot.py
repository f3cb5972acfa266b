from __future__ import annotations

import math
import struct
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest

from aperf import ConfigurationError
from aperf._events import plot
from aperf._recorder import Kind
from aperf._recorder._layout import MAX_TEXT, PlotFlag
from aperf._recorder._names import MAX_NAMES
from tests.events.taking import plots
from tests.records import decode, of_kind

if TYPE_CHECKING:
    from aperf._recorder import Recorder
    from tests.records import Record


class Index:
    def __index__(self) -> int:
        return 7


class Name(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


def value_of(record: Record) -> float:
    """Return the value of a PLOT."""
    data = record.a.to_bytes(8, "little")
    (value,) = struct.unpack("<d" if record.flags & PlotFlag.FLOAT else "<q", data)
    return value  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (3, 3),
        (-3, -3),
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        (2**63, 2.0**63),
        (1.5, 1.5),
        (-0.25, -0.25),
        (True, 1),
        (Index(), 7),
        (Fraction(1, 4), 0.25),
        (Decimal("0.5"), 0.5),
    ],
)
def test_values(recorder: Recorder, value: Any, expected: float) -> None:
    """Numbers of all types arrive as int or float."""
    plot("load", value)
    [(name, record)] = plots(recorder)
    assert ("load", expected) == (name, value_of(record))
    assert isinstance(expected, float) == bool(record.flags & PlotFlag.FLOAT)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400])
def test_not_finite(recorder: Recorder, value: float) -> None:
    """What nobody can draw is left out, and is no fault."""
    plot("load", value)
    assert [] == plots(recorder)


@pytest.mark.parametrize(
    ("format", "flag"), [("number", 0), ("memory", PlotFlag.MEMORY), ("percentage", 4)]
)
def test_formats(recorder: Recorder, format: Any, flag: int) -> None:
    """The record says what a plot counts."""
    plot("load", 1, format=format)
    [(_, record)] = plots(recorder)
    assert flag == record.flags


def test_names(recorder: Recorder) -> None:
    """A name is cut, and taken as the text that it is."""
    plot("n" * 1000, 1)
    plot(Name("n"), 1)
    assert ["n" * MAX_TEXT, "n"] == [name for name, _ in plots(recorder)]


def test_too_many_names(recorder: Recorder) -> None:
    """A plot whose name has no room is left out rather than mixed up with others."""
    for number in range(MAX_NAMES):
        recorder.cold.names.intern(str(number))
    plot("late", 1)
    plot("7", 1)
    assert ["7"] == [name for name, _ in plots(recorder)]


def test_time(recorder_class: type[Recorder], recorder: Recorder) -> None:
    """A value has the time at which it was given."""
    before = recorder.now_ns()
    plot("load", 1)
    [record] = of_kind(decode(recorder), Kind.PLOT)
    assert before <= record.t_ns <= recorder.now_ns()


@pytest.mark.usefixtures("off_and_on")
@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        ((1, 1), {}, TypeError, "plot: name=1 is not accepted; a str is"),
        (("", 1), {}, ConfigurationError, "plot: name=''"),
        (("n", "1"), {}, TypeError, "plot: value='1' is not accepted; an int or float is"),
        (("n", b"1"), {}, TypeError, "value=b'1'"),
        (("n", None), {}, TypeError, "value=None"),
        (("n", 1j), {}, TypeError, "value=1j"),
        (("n", 1), {"format": "bytes"}, ConfigurationError, "one of number, memory, percentage is"),
        (("n", 1), {"format": []}, ConfigurationError, r"format=\[\]"),
    ],
)
def test_wrong_arguments(
    arguments: Any,
    options: Any,
    error: type[Exception],
    words: str,
) -> None:
    """Wrong arguments are refused, whether anybody takes plots or not."""
    with pytest.raises(error, match=words):
        plot(*arguments, **options)
