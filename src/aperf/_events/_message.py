"""Messages on the timeline."""

from __future__ import annotations

from . import _active
from ._checks import check_choice, check_color

TYPE_CHECKING = False  # typing itself takes milliseconds to import
if TYPE_CHECKING:
    from typing import Literal, TypeAlias

    Severity: TypeAlias = Literal["trace", "debug", "info", "warning", "error", "fatal"]

__all__ = ("SEVERITIES", "message")

#: In the order of their numbers.
SEVERITIES = ("trace", "debug", "info", "warning", "error", "fatal")


def message(text: str, *, severity: Severity = "info", color: int | None = None) -> None:
    """Show a line of text at this moment, in the task or thread that runs.

    Args:
        text: is cut at 4 KiB of UTF-8.
        severity: how much it matters.
        color: of the text, as 0xRRGGBB.

    Raises:
        TypeError: the text is no str.
        ConfigurationError: there is no such severity or colour.
    """
    if type(text) is not str and not isinstance(text, str):
        raise TypeError(f"message: text={text!r} is not accepted; a str is")
    if severity not in SEVERITIES:
        check_choice("message", "severity", severity, SEVERITIES)
    if color is not None:
        check_color("message", color)
    recording = _active.recording
    if recording is not None and recording.recorder.armed:
        recording.message(text, SEVERITIES.index(severity), color)
