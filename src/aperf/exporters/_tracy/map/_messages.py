"""Messages: what the program says, and what aperf has to say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aperf._recorder import Kind, MessageFlag

if TYPE_CHECKING:
    from aperf.protocol.tracy import Stream

    from ._task import Happening

__all__ = ("ERROR", "WARNING", "Messages")

WARNING: Final = 3
ERROR: Final = 4
#: Severities as they are shown where the program gives no colour: trace … fatal.
COLORS: Final = (0x808080, 0x909090, None, 0xE0B040, 0xE06060, 0xFF4040)
_SEVERITY: Final = 15
_FAILURE: Final = int(Kind.FAILURE)


class Messages:
    """Writes messages to the row that the stream writes to."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._begun = bytearray()  # a text that goes on in the next record

    def show(self, t_ns: int, text: str, severity: int, color: int | None = None) -> None:
        """Show a message."""
        if color is None:
            color = COLORS[min(severity, 5)]
        self._stream.message(t_ns, text, severity=severity, color=color)

    def record(self, happening: Happening, t_ns: int) -> None:
        """Show a MESSAGE record, or keep its text until the rest has come."""
        self._begun += happening.payload
        if happening.flags & MessageFlag.MORE:
            return
        text = self._begun.rstrip(b"\0").decode("utf-8", "replace")
        self._begun.clear()
        color = happening.b if happening.flags & MessageFlag.COLORED else None
        self.show(t_ns, text, min(happening.flags & _SEVERITY, 5), color)

    def failure(self, happening: Happening, t_ns: int, task: str) -> None:
        """Show how a task failed; what goes on in further records is left out."""
        if happening.kind == _FAILURE:
            kind, _, message = happening.payload.rstrip(b"\0").partition(b"\0")
            text = b": ".join(filter(None, (kind, message))).decode("utf-8", "replace")
            self.show(t_ns, f"{task} failed: {text}", ERROR)
