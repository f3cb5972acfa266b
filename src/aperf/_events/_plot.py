"""Values that change over time."""

from __future__ import annotations

from . import _active
from ._checks import check_choice, check_name, number

TYPE_CHECKING = False  # typing itself takes milliseconds to import
if TYPE_CHECKING:
    from typing import Literal, SupportsFloat

__all__ = ("plot",)

_FORMATS = ("number", "memory", "percentage")


def plot(
    name: str,
    value: SupportsFloat,
    *,
    format: Literal["number", "memory", "percentage"] = "number",
) -> None:
    """Show a value as a point of a plot.

    Example::

        aperf.plot("orders waiting", len(orders))

    Args:
        name: of the plot; few different ones, since a viewer never forgets one.
        value: any number; nan and infinities are left out, since nobody can draw them.
        format: what it counts: "memory" for bytes. A plot is of one format.

    Raises:
        TypeError: the name is no str, or the value no number.
        ConfigurationError: the name is empty, or the format unknown.
    """
    if type(name) is not str or not name:
        check_name("plot", name)
    if type(value) is not float and type(value) is not int:
        value = number("plot", "value", value)
    if format not in _FORMATS:
        check_choice("plot", "format", format, _FORMATS)
    recording = _active.recording
    if recording is not None and recording.recorder.armed:
        recording.plot(name, value, format)
