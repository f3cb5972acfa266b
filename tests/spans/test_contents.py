from __future__ import annotations

import asyncio
import enum
import gc
import time
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from aperf._recorder import Cold, Kind
from aperf._recorder._cold import traceback_frames
from aperf._recorder._layout import MAX_TEXT, CloseFlag
from aperf._spans import activate, current_span, deactivate, span
from aperf._spans._values import MAX_ITEMS
from tests.records import decode, of_kind
from tests.spans.watching import named, run, seen, seen_in

if TYPE_CHECKING:
    from aperf._recorder import Recorder


class Colour(enum.StrEnum):
    RED = "red"


class Size(enum.IntEnum):
    BIG = 3


class Unprintable:
    def __str__(self) -> str:
        raise ValueError


class Odd(list[int]):
    def __getitem__(self, index: Any) -> Any:
        raise LookupError


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("text", "text"),
        ("", ""),
        ("é" * 100, "é" * 64),
        ("€" * 100, "€" * 42),
        ("\ud800", "?"),
        (True, True),
        (False, False),
        (0, 0),
        (-(2**63), -(2**63)),
        (2**63 - 1, 2**63 - 1),
        (2**63, "9223372036854775808"),
        (10**5000, "<str() raised ValueError>"),
        (0.1, 0.1),
        (float("inf"), float("inf")),
        (Colour.RED, "red"),
        (Size.BIG, 3),
        (None, "None"),
        (b"bytes", "b'bytes'"),
        ({"a": 1}, "{'a': 1}"),
        (Unprintable(), "<str() raised ValueError>"),
        ([], ()),
        ([""], ("",)),
        (["a", "b"], ("a", "b")),
        ((1, -1), (1, -1)),
        ([True, False], (True, False)),
        ([0.5], (0.5,)),
        ([1, 0.5, "x"], ("1", "0.5", "x")),
        ([1, 2**63], ("1", "9223372036854775808")),
        (Odd([1]), "[1]"),
        ([[1], Unprintable()], ("[1]", "<str() raised ValueError>")),
        (range(3), "range(0, 3)"),
        (list(range(1000)), tuple(range(MAX_ITEMS))),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values(recorder: Recorder, value: Any, kept: Any) -> None:
    """Text, truth values, numbers and lists of them are kept; all else becomes text."""
    with span("x", given=value) as one:
        one.set_attribute("set", value)
    (only,) = seen(recorder)
    assert {"given": kept, "set": kept} == only.attributes
    assert type(kept) is type(only.attributes["set"])


def test_last_value_counts(recorder: Recorder) -> None:
    """Setting an attribute again replaces it, lists included."""
    with span("x", a=1, items=[1, 2]) as one:
        one.set_attributes({"a": "two", "items": [3]})
        one.set_attribute("items", [])
        one.set_attribute("a", 3)
    (only,) = seen(recorder)
    assert {"a": 3, "items": ()} == only.attributes


def test_names_are_cut(recorder: Recorder) -> None:
    """Names and keys stay in a table, so they are bounded too; they need not be text."""
    with span("n" * 1000) as one:
        one.set_attribute("k" * 1000, 1)
        one.set_attribute(17, 1)  # type: ignore[arg-type]
        one.add_event(None)  # type: ignore[arg-type]
    (only,) = seen(recorder)
    assert "n" * MAX_TEXT == only.name
    assert {"k" * MAX_TEXT: 1, "17": 1} == only.attributes
    assert [("None", {})] == only.events


def test_bad_arguments(recorder: Recorder) -> None:
    """What makes no sense is passed over."""
    with span("x") as one:
        one.set_attributes(None)  # type: ignore[arg-type]
        one.set_attributes([1, 2])  # type: ignore[arg-type]
        one.add_event("e", 5, time_ns="yesterday")  # type: ignore[arg-type]
    (only,) = seen(recorder)
    assert ({}, [("e", {})]) == (only.attributes, only.events)


def test_events(recorder: Recorder) -> None:
    """Events keep their order and their own attributes."""
    with span("x") as one:
        one.add_event("first")
        one.add_event("second", {"n": 2, "l": [1, 2]})
        one.set_attribute("n", 1)
        one.add_event("third", {"n": 3})
    (only,) = seen(recorder)
    assert {"n": 1} == only.attributes
    expected = [("first", {}), ("second", {"n": 2, "l": (1, 2)}), ("third", {"n": 3})]
    assert expected == only.events


def test_event_time(recorder: Recorder) -> None:
    """An event can be dated back, but not into the future, nor before the clock's beginning."""
    second = 10**9
    with span("x") as one:
        one.add_event("now")
        one.add_event("past", time_ns=time.time_ns() - second)
        one.add_event("future", time_ns=time.time_ns() + second)
        one.add_event("never", time_ns=-(10**30))
    now, past, future, never = (record.t_ns for record in of_kind(decode(recorder), Kind.EVENT))
    assert 0.9 * second < now - past < 1.1 * second
    assert 0 <= future - now < 0.1 * second
    assert 0 == never


def test_exception_passes(recorder: Recorder) -> None:
    """An exception is recorded with type, message and stack, and passes unchanged."""
    error = LookupError("no such key")
    with pytest.raises(LookupError) as caught, span("outer"), span("inner"):
        raise error
    assert error is caught.value
    assert error.__context__ is None
    site = recorder.intern(traceback_frames(error.__traceback__))
    for one in seen(recorder):
        assert [CloseFlag.ERROR] == one.ends
        ((name, attributes),) = one.events
        assert "exception" == name
        assert "LookupError" == attributes["exception.type"]
        assert "no such key" == attributes["exception.message"]
        assert site == attributes["exception.stacktrace"]


def test_exception_recorded_by_hand(recorder: Recorder) -> None:
    """An exception that was handled is an event, but the span has not failed."""

    class Strange(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    with span("x") as one:
        try:
            raise Strange
        except Strange as error:
            one.record_exception(error, {"attempt": 1})
        one.record_exception(ValueError("never raised"))
    (only,) = seen(recorder)
    assert [0] == only.ends
    (_, first), (_, second) = only.events
    assert first["exception.type"].endswith("Strange")
    assert "<str() raised RuntimeError>" == first["exception.message"]
    assert 1 == first["attempt"]
    assert "never raised" == second["exception.message"]


def test_exception_is_not_kept(recorder: Recorder) -> None:
    """Neither the exception nor what its frames hold stays alive."""

    class Kept(Exception):
        pass

    def fail() -> None:
        with span("x") as one:
            held = Kept()
            held_by_frames.append(weakref.ref(held))
            one.record_exception(held)
            raise Kept

    held_by_frames: list[weakref.ref[Kept]] = []
    gc.disable()
    try:
        try:
            fail()
        except Kept as error:
            held_by_frames.append(weakref.ref(error))
        assert [None, None] == [reference() for reference in held_by_frames]
    finally:
        gc.enable()
    assert 1 == len(seen(recorder))


def test_cancellation_is_no_error(recorder: Recorder) -> None:
    """A cancelled span says so; it has no exception and has not failed."""

    async def wait() -> None:
        with span("x"):
            await asyncio.Event().wait()

    async def program() -> None:
        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    run(recorder, program())
    (only,) = seen(recorder)
    assert ([CloseFlag.CANCELLED], []) == (only.ends, only.events)


def test_task_itself(recorder: Recorder) -> None:
    """Where a task has opened no span, attributes and events go to the task's own."""

    async def program() -> None:
        with span("ended"):
            pass
        current_span().set_attribute("a", 1)
        current_span().add_event("happened", {"b": 2})
        current_span().record_exception(KeyError("k"))
        assert current_span().is_recording
        numbers.append((current_span().owner, current_span().seq))
        assert "" == current_span().name

    numbers: list[tuple[int, int]] = []
    run(recorder, program())
    records = [one for one in decode(recorder) if one.kind in (Kind.ATTRIBUTE, Kind.EVENT)]
    ((key, task),) = seen_in(recorder, records).items()
    assert numbers == [key]
    assert 0 == key[1]
    assert {"a": 1} == task.attributes
    assert ["happened", "exception"] == [name for name, _ in task.events]


def test_current_span(recorder: Recorder) -> None:
    """It is the innermost open one; a second handle can do all that it can, but not end it."""

    def deep() -> None:
        current_span().set_attribute("from", "deep")
        with current_span():
            pass
        assert current_span().is_recording

    with span("outer"), span("inner") as inner:
        assert inner == current_span()
        assert hash(inner) == hash(current_span())
        assert ("inner", inner.owner, inner.seq) == (
            current_span().name,
            current_span().owner,
            current_span().seq,
        )
        deep()
    assert inner != current_span()
    spans = named(seen(recorder))
    assert ({}, {"from": "deep"}) == (spans["outer"].attributes, spans["inner"].attributes)


def test_repr(recorder: Recorder) -> None:
    """A handle shows what it stands for, and whether it is open."""
    with span("x") as one:
        text = f"SpanBlock 'x' ({one.owner}, {one.seq})"
        assert f"<{text}: open>" == repr(one)
    assert f"<{text}: ended>" == repr(one)
    assert 1 == len(seen(recorder))


def test_full_ring(recorder: Recorder) -> None:
    """A span that finds the ring full is lost as a whole, and the program does not notice."""
    small = type(recorder)(Cold(), ring_slots=1024)
    small.armed = True
    activate(small)
    kept = 0
    for _ in range(2000):
        with span("x", a="text") as one:
            one.add_event("e", {"b": 1})
            kept += one.is_recording
    deactivate()
    assert 0 < kept < 2000
    assert 0 < small.dropped()
    spans = seen(small)
    assert kept == len(spans)
