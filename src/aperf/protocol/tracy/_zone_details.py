"""What zones show besides where they are."""

from __future__ import annotations

from typing import Final

from ._records import split_color
from ._zones import Zones

__all__ = ("ZoneDetails",)

_UINT64: Final = (1 << 64) - 1


class ZoneDetails(Zones):
    """Texts, colours and numbers of the innermost open zone of the row."""

    __slots__ = ()

    def zone_begin_inline(
        self, t_ns: int, name: str, function: str, file: str, line: int, color: int = 0
    ) -> None:
        """Begin a zone whose place is sent with it, as `zone_begin` does with that of a table.

        Args:
            t_ns: when.
            name: what is shown; "" for the function.
            function: its name.
            file: of the source.
            line: in the file.
            color: 0xRRGGBB; 0 for the viewer's choice.
        """
        place = self.strings.inline(name, function, file, line, color)
        before = self._records["SourceLocationPayload"](0, len(place)) + place
        if self._put("ZoneBeginAllocSrcLoc", t_ns - self._clock_ns, before=before):
            self._began(t_ns)
            if self.strings.inline_is_generic(place):
                self.zone_name(name or function)

    def zone_text(self, text: str) -> None:
        """Add a line of text to the innermost open zone.

        Raises:
            LocalProtocolError: none is open (strict).
        """
        self._describe("ZoneText", before=self._single(text))

    def zone_name(self, text: str) -> None:
        """Let the innermost open zone show another name than its place has.

        Raises:
            LocalProtocolError: none is open (strict).
        """
        self._describe("ZoneName", before=self._single(text))

    def zone_color(self, rgb: int) -> None:
        """Colour the innermost open zone 0xRRGGBB.

        Raises:
            LocalProtocolError: none is open (strict).
        """
        self._describe("ZoneColor", *split_color(rgb))

    def zone_value(self, value: int) -> None:
        """Add a number, of which 64 bits are kept, to the text of the innermost open zone.

        Raises:
            LocalProtocolError: none is open (strict).
        """
        self._describe("ZoneValue", value & _UINT64)

    def _describe(self, name: str, *values: int, before: bytes = b"") -> None:
        if self._starts:
            self._put(name, *values, before=before)
        else:
            self._misuse(f"{name} for a zone", "an open one in this row")
