from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aperf import ConfigurationError
from aperf._events import message
from aperf._events._recording import MAX_MESSAGE
from aperf._recorder import MAX_PAYLOAD, Kind
from tests.events.taking import messages, taking
from tests.records import decode, of_kind
from tests.watched import Story, watched

if TYPE_CHECKING:
    from aperf._recorder import Recorder


@pytest.mark.parametrize(
    ("severity", "number"),
    [("trace", 0), ("debug", 1), ("info", 2), ("warning", 3), ("error", 4), ("fatal", 5)],
)
def test_severities(recorder: Recorder, severity: Any, number: int) -> None:
    """Six severities have their numbers."""
    message("hello", severity=severity)
    [found] = messages(recorder)
    assert ("hello", number, None) == (found.text, found.severity, found.color)


@pytest.mark.parametrize("color", [0, 0xFF8000, 0xFFFFFF])
def test_colors(recorder: Recorder, color: int) -> None:
    """A colour is kept, black as well."""
    message("hello", color=color)
    [found] = messages(recorder)
    assert color == found.color


@pytest.mark.parametrize("length", [0, 1, 223, 224, 225, 448, 449, 4_095, 4_096, 4_097, 10_000])
def test_lengths(recorder: Recorder, length: int) -> None:
    """A text goes on over as many records as it takes, up to 4 KiB."""
    message("x" * length)
    [found] = messages(recorder)
    assert "x" * min(length, MAX_MESSAGE) == found.text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.text(max_size=3_000), repeat=st.integers(1, 4))
def test_any_text(recorder: Recorder, text: str, repeat: int) -> None:
    """Any text arrives, cut between two characters; what is no UTF-8 is replaced."""
    text *= repeat
    message(text)
    [found] = messages(recorder)
    whole = text.encode("utf-8", "replace").decode()
    assert whole.startswith(found.text)
    assert min(len(whole.encode().rstrip(b"\0")), MAX_MESSAGE - 3) <= len(found.text.encode())


def test_parts(recorder: Recorder) -> None:
    """All records of a message have the same time, so that its parts can be told from others."""
    message("x" * 1_000)
    records = of_kind(decode(recorder), Kind.MESSAGE)
    assert 5 == len(records)
    assert 1 == len({record.t_ns for record in records})


def test_no_room(recorder_class: type[Recorder]) -> None:
    """A message that the ring has no room for is given up, and the records after it are whole."""
    with taking(recorder_class, ring_slots=64) as recorder:
        for _ in range(30):
            message("x" * MAX_PAYLOAD * 3)
        assert recorder.dropped()
        assert of_kind(decode(recorder), Kind.MESSAGE)
        message("later")
        assert "later" in [found.text for found in messages(recorder)]


def test_task(recorder: Recorder) -> None:
    """A message belongs to the task that runs, or else to none."""

    async def program() -> None:
        asyncio.get_running_loop().call_soon(message, "of a callback")
        await asyncio.create_task(tell(), name="teller")

    async def tell() -> None:
        await asyncio.sleep(0)
        message("of a task")

    with asyncio.Runner() as runner, watched(recorder, runner.get_loop()):
        runner.run(program())
    recorder.armed = True
    message("of nobody")
    story = Story(decode(recorder))
    found = {record.text: record.a for record in of_kind(story.records, Kind.MESSAGE)}
    number = story.number("teller")
    assert {"of a callback": 0, "of a task": number, "of nobody": 0} == found


def test_threads(recorder: Recorder) -> None:
    """Threads without a loop write at the same time."""

    def work(number: int) -> None:
        for turn in range(50):
            message(f"{number} {turn} " + "x" * 500)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    starts = sorted(found.text.partition(" x")[0] for found in messages(recorder))
    assert sorted(f"{number} {turn}" for number in range(4) for turn in range(50)) == starts


@pytest.mark.usefixtures("off_and_on")
@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        ((1,), {}, TypeError, "message: text=1 is not accepted; a str is"),
        ((b"x",), {}, TypeError, "text=b'x'"),
        (("x",), {"severity": "bad"}, ConfigurationError, "severity='bad' .* one of trace, debug"),
        (("x",), {"severity": 3}, ConfigurationError, "severity=3"),
        (("x",), {"color": -1}, ConfigurationError, "color=-1 .* a number 0xRRGGBB or None"),
        (("x",), {"color": 1 << 24}, ConfigurationError, "color=16777216"),
        (("x",), {"color": "red"}, ConfigurationError, "color='red'"),
    ],
)
def test_wrong_arguments(
    arguments: Any,
    options: Any,
    error: type[Exception],
    words: str,
) -> None:
    """Wrong arguments are refused, whether anybody takes messages or not."""
    with pytest.raises(error, match=words):
        message(*arguments, **options)
