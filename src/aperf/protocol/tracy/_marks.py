"""Messages, plots and sections: what happens at a moment."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ._records import split_color
from ._rows import Rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._strings import Strings

__all__ = ("Marks", "PlotFormat")

PlotFormat: TypeAlias = Literal["number", "memory", "percentage"]

_FORMATS: Final[dict[PlotFormat, int]] = {"number": 0, "memory": 1, "percentage": 2}
#: The version from which messages have a severity.
_SEVERITY_SINCE: Final = 77
_INT64: Final = 1 << 63


class Marks(Rows):
    """Messages of the thread or fiber, plots, sections.

    Attributes:
        sections: those that were entered and not left.
    """

    def __init__(self, version: int, strings: Strings, *, strict: bool = False) -> None:
        super().__init__(version, strings, strict=strict)
        self.sections: set[int] = set()

    # ------------------------------------------------------------------------------------ messages

    def message(
        self,
        t_ns: int,
        text: str,
        severity: int = 2,
        color: int | None = None,
        stack: Sequence[int] = (),
    ) -> None:
        """Add a message to the thread, or to the fiber that it runs.

        Args:
            t_ns: when.
            text: what is shown, of at most `MAX_TEXT` bytes.
            severity: 0 trace, 1 debug, 2 info, 3 warning, 4 error, 5 fatal; viewers since 0.14
                show it.
            color: 0xRRGGBB; None for the viewer's choice.
            stack: the call stack, innermost first, from `Strings.frame`.

        Raises:
            LocalProtocolError: there is no such severity (strict).
        """
        values: list[int] = [t_ns, *(() if color is None else split_color(color))]
        meta = self._meta(severity)
        if self.version >= _SEVERITY_SINCE:
            values.append(meta)
        self._message("Message", values, color is not None, stack, self._single(text))

    def message_literal(
        self,
        t_ns: int,
        text: int,
        severity: int = 2,
        color: int | None = None,
        stack: Sequence[int] = (),
    ) -> None:
        """Add a message that is sent once and named by its id, from `Strings.text`, otherwise.

        The other arguments are those of `message`.
        """
        values: list[int] = [t_ns, *(() if color is None else split_color(color))]
        meta = self._meta(severity)
        values.append(text << 8 | meta if self.version >= _SEVERITY_SINCE else text)
        self._message("MessageLiteral", values, color is not None, stack, b"")

    def _message(
        self, name: str, values: list[int], colored: bool, stack: Sequence[int], before: bytes
    ) -> None:
        if colored:
            name += "Color"
        if stack:
            name += "Callstack"
            before = self._stack(stack, "Callstack") + before
        if self._put(name, *values, before=before):
            self._seen = True

    def _meta(self, severity: int) -> int:
        if not 0 <= severity <= 5:
            self._misuse(f"severity {severity}", "0 … 5")
            severity = min(max(severity, 0), 5)
        return severity << 4

    def app_info(self, t_ns: int, text: str) -> None:
        """Add a text about the program to the description of the trace."""
        self._put("MessageAppInfo", t_ns, before=self._single(text))

    # --------------------------------------------------------------------------------------- plots

    def plot(self, name: int, t_ns: int, value: float) -> None:
        """Add a point to a plot; NaN and infinities are left out, as viewers do.

        Args:
            name: id of the plot's name, from `Strings.text`.
            t_ns: when.
            value: an integer that 64 bits cannot hold becomes a float.

        Raises:
            LocalProtocolError: the name is 0 (strict).
        """
        if not name:
            self._misuse("plot 0", "a name from Strings.text")
            return
        kind = "PlotDataInt"
        if not isinstance(value, int) or not -_INT64 <= value < _INT64:
            kind, value = "PlotDataDouble", _to_float(value)
            if not math.isfinite(value):
                return
        if self._put(kind, name, t_ns - self._clock_ns, value):
            self._clock_ns = t_ns

    def plot_config(
        self, name: int, format: PlotFormat, step: bool = False, fill: bool = True, color: int = 0
    ) -> None:
        """Say how a plot is drawn.

        Args:
            name: id of the plot's name.
            format: what its values are: "number", "memory" (bytes) or "percentage".
            step: as steps, not as straight lines between the points.
            fill: with the area below filled.
            color: 0xRRGGBB; 0 for the viewer's choice.

        Raises:
            LocalProtocolError: the name is 0, or there is no such format (strict).
        """
        number = _FORMATS.get(format)
        if not name or number is None:
            self._misuse(f"plot {name} as {format!r}", f"a name and one of {tuple(_FORMATS)}")
            return
        # All viewers up to 0.14.0 read 0xBBGGRR. Later ones do not, but say the same version.
        blue, green, red = split_color(color)
        self._put("PlotConfig", name, number, step, fill, blue << 16 | green << 8 | red)

    # ------------------------------------------------------------------------------------ sections

    def section_setup(self, category: int, text: str) -> None:
        """Name a category of sections; viewers before 0.14 ignore it."""
        if "SectionSetup" in self._records:
            self._put("SectionSetup", category, before=self._single(text))

    def section_enter(self, t_ns: int, section: int, text: str, category: int = 0) -> None:
        """Begin a section, a stretch of the whole trace; viewers before 0.14 ignore it.

        Args:
            t_ns: when.
            section: number to end it by.
            text: its name.
            category: see `section_setup`.

        Raises:
            LocalProtocolError: it was entered already (strict).
        """
        if "SectionEnter" not in self._records:
            return
        if section in self.sections:
            self._misuse(f"enter section {section}", "one that was not entered")
            return
        dt_ns = t_ns - self._clock_ns
        if self._put("SectionEnter", dt_ns, section, category, before=self._single(text)):
            self._clock_ns = t_ns
            self.sections.add(section)

    def section_leave(self, t_ns: int, section: int) -> None:
        """End a section; viewers before 0.14 ignore it.

        Raises:
            LocalProtocolError: it was not entered (strict).
        """
        if "SectionLeave" not in self._records:
            return
        if section not in self.sections:
            self._misuse(f"leave section {section}", "one that was entered")
            return
        if self._put("SectionLeave", t_ns - self._clock_ns, section):
            self._clock_ns = t_ns
            self.sections.discard(section)


def _to_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf
