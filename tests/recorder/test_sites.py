"""The table of places, which records refer to by number."""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from aperf._recorder import Cold
from aperf._recorder._py import sites
from tests.watched import run

if TYPE_CHECKING:
    from types import CodeType

    from aperf._recorder import Recorder

#: More than a sweep spares.
MANY = sites.SPARED + 100


@pytest.fixture
def recorder(recorder_class: type[Recorder]) -> Recorder:
    """A recorder whose table is empty."""
    return recorder_class(Cold(), ring_slots=64)


def code(text: str = "0", filename: str = "made.py") -> CodeType:
    """Return a new code object."""
    return compile(text, filename, "eval")


def test_the_same_place_has_one_number(recorder: Recorder) -> None:
    """Whoever stands there again is given the number of the first, also through another tuple."""
    frames = ((code(), 2), (code(), 4))
    number = recorder.intern(frames, int, 1)
    assert number == recorder.intern(tuple(frames), int, 1)
    assert (1, int, frames) == recorder.resolve(number)


def test_whatever_differs_has_a_number_of_its_own(recorder: Recorder) -> None:
    """Offset, order, length, awaitable and hint tell places apart."""
    one, two = code(), code()
    numbers = {
        recorder.intern(((one, 0),)),
        recorder.intern(((one, 2),)),
        recorder.intern(((one, -1),)),
        recorder.intern(((one, 0), (two, 0))),
        recorder.intern(((two, 0), (one, 0))),
        recorder.intern(((one, 0),), int),
        recorder.intern(((one, 0),), None, 1),
        recorder.intern(()),
    }
    assert 8 == len(numbers)
    assert 0 not in numbers


def test_equal_code_of_two_files_is_told_apart(recorder: Recorder) -> None:
    """Code objects are compared by address: equality leaves out the file's name."""
    one, two = code(filename="one.py"), code(filename="two.py")
    assert one == two
    first, second = recorder.intern(((one, 0),)), recorder.intern(((two, 0),))
    assert first != second
    found = [recorder.resolve(first), recorder.resolve(second)]
    assert ["one.py", "two.py"] == [site[2][0][0].co_filename for site in found if site]


def test_number_0_is_nowhere(recorder: Recorder) -> None:
    """Number 0 and numbers never given out resolve to nothing."""
    assert recorder.resolve(0) is None
    assert recorder.resolve(12_345) is None


def test_code_lives_as_long_as_its_number(recorder: Recorder) -> None:
    """An address must not be used again while records may name it."""
    made = code()
    reference = weakref.ref(made)
    recorder.intern(((made, 0),))
    del made
    gc.collect()
    assert reference() is not None


def long_code(offsets: int) -> CodeType:
    """Return a new code object that has so many places: offsets of instructions are even."""
    made = compile("x\n" * (offsets // 2 + 1), "long.py", "exec")
    assert len(made.co_code) >= 2 * offsets
    return made


def intern_many(recorder: Recorder, made: CodeType) -> list[int]:
    """Use more places than a sweep spares."""
    return [recorder.intern(((made, 2 * offset),)) for offset in range(MANY)]


def test_sweeping_releases_what_nobody_used_lately(recorder: Recorder) -> None:
    """A place survives two sweeps after its last use, and then goes with its code."""
    made = code()
    reference = weakref.ref(made)
    old = recorder.intern(((made, 0),))
    del made
    in_use = long_code(MANY)
    kept = intern_many(recorder, in_use)
    released = []
    for _ in range(3):
        released.append(recorder.sweep())
        assert kept == intern_many(recorder, in_use)
    assert [[], [], [old]] == released
    assert recorder.resolve(old) is None
    gc.collect()
    assert reference() is None
    assert all(recorder.resolve(number) for number in kept)


def test_a_released_number_is_not_given_out_again(recorder: Recorder) -> None:
    """A record in flight must not come to mean another place."""
    made = long_code(MANY)
    before = intern_many(recorder, made)
    released = [number for _ in range(4) for number in recorder.sweep()]
    assert before == sorted(released)
    assert not set(before) & set(intern_many(recorder, made))


def test_a_small_table_is_spared(recorder: Recorder) -> None:
    """Programs have a few thousand places: nothing is released below that."""
    number = recorder.intern(((code(), 0),))
    assert [[]] * 5 == [recorder.sweep() for _ in range(5)]
    assert recorder.resolve(number) is not None


def test_the_table_is_bounded(recorder: Recorder) -> None:
    """Code made without end finds "nowhere" once the table is full, and memory stays."""
    many = sites.MAX_SITES + 2
    made = long_code(many)
    numbers = [recorder.intern(((made, 2 * offset),)) for offset in range(many)]
    assert 0 not in numbers[: sites.MAX_SITES]
    assert [0, 0] == numbers[sites.MAX_SITES :]
    assert numbers[5] == recorder.intern(((made, 10),))  # the known ones stay known


@pytest.mark.parametrize("length", [1, 2, 31, 32])
def test_keeps_as_many_frames_as_a_person_reads(recorder: Recorder, length: int) -> None:
    """Up to 32 frames come back as they were given."""
    frames = tuple((code(str(depth)), 2) for depth in range(length))
    site: Any = recorder.resolve(recorder.intern(frames))
    assert frames == site[2]


def test_code_is_judged_once(recorder_class: type[Recorder]) -> None:
    """Whether code is the program's own is asked of Python once for each code object."""
    asked: list[str] = []

    class Judge(Cold):
        @staticmethod
        def classify(code: CodeType) -> int:
            asked.append(code.co_qualname)
            return 0

    async def awaited() -> None:
        return

    async def main() -> None:
        for _ in range(3):
            await asyncio.create_task(awaited())

    run(recorder_class(Judge(), ring_slots=64), main())
    assert 1 == asked.count(awaited.__qualname__)


def test_references_to_code_are_balanced(recorder: Recorder) -> None:
    """Asking again and again takes no further references."""
    made = code()
    recorder.resolve(recorder.intern(((made, 0),)))
    before = sys.getrefcount(made)
    for _ in range(100):
        recorder.resolve(recorder.intern(((made, 0),)))
    assert before == sys.getrefcount(made)
