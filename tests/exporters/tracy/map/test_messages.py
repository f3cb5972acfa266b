"""Messages: whole, on the row of who said them."""

from __future__ import annotations

from typing import Final

import pytest

from aperf._recorder._layout import Kind, MessageFlag
from tests.tracy_map import FIRST, Script, main, sleep

MORE, COLORED = int(MessageFlag.MORE), int(MessageFlag.COLORED)
INFO: Final = 2


def texts(script: Script) -> list[str]:
    """End a program, and return what it said."""
    return [message.text for message in script.finish().messages]


def test_a_task_speaks_on_its_lane_and_a_thread_on_its_own_row() -> None:
    """What an unknown task says is said by the thread."""
    script = Script()
    script.birth(1, 0, main)
    script.message(1, 15, "of the task")
    script.message(0, 16, "of the thread")
    script.message(77, 17, "of nobody")
    script.step(1, 10, 20, main, sleep, flags=FIRST)
    assert [
        (16, ("thread", 100), "of the thread"),
        (17, ("thread", 100), "of nobody"),
        (15, ("fiber", 1), "of the task"),
    ] == [(message.t_ns, message.row, message.text) for message in script.finish().messages]


@pytest.mark.parametrize(("severity", "color"), [(0, 0x808080), (2, None), (3, 0xE0B040)])
def test_severity_is_a_colour_where_the_program_gives_none(
    severity: int, color: int | None
) -> None:
    """Viewers before 0.14 do not show severities otherwise."""
    script = Script()
    script.message(0, 1, "plain", flags=severity)
    script.message(0, 2, "coloured", flags=severity | COLORED, b=0xFF123456)
    plain, coloured = script.finish().messages
    assert (severity, color) == (plain.severity, plain.color)
    assert (severity, 0x123456) == (coloured.severity, coloured.color)


def test_a_long_text_is_one_message() -> None:
    """Its records follow each other in one ring and are of one time."""
    script = Script()
    script.message(0, 5, "a" * 224, flags=INFO | MORE)
    script.message(0, 7, "of another thread", ring=1)
    script.message(0, 5, "b" * 224, flags=INFO | MORE)
    script.message(0, 5, "c", flags=INFO)
    assert ["of another thread", "a" * 224 + "b" * 224 + "c"] == texts(script)


def test_a_character_may_be_cut_between_two_records() -> None:
    """Text is decoded when it is whole."""
    script = Script()
    data = ("x" * 223 + "ä").encode()
    script.message(0, 5, data[:224], flags=INFO | MORE)
    script.message(0, 5, data[224:])
    assert ["x" * 223 + "ä"] == texts(script)


def test_a_text_whose_rest_was_lost_is_left_out() -> None:
    """The next one begins at another time, or after the record of a loss."""
    script = Script()
    script.message(0, 5, "begun", flags=INFO | MORE)
    script.message(0, 6, "another")
    script.message(0, 7, "begun", flags=INFO | MORE)
    script.put(Kind.LOST, 7, a=1)
    script.message(0, 7, "after the loss")
    script.message(0, 8, "begun", flags=INFO | MORE)
    script.mapper.gap(8, 5)
    script.message(0, 8, "after the gap")
    said = texts(script)
    assert ["another", "after the loss", "after the gap"] == [
        text for text in said if not text.startswith("aperf: ")
    ]


def test_what_one_step_says_is_bounded() -> None:
    """A task that talks without ever being suspended does not fill the memory."""
    script = Script()
    script.birth(1, 0, main)
    for t_ns in range(10, 10_030):
        script.message(1, t_ns, "so it goes")
    script.step(1, 5, 20_000, main, sleep, flags=FIRST)
    assert 10_000 == len(texts(script))
