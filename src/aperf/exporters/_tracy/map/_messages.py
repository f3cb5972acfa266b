"""Messages: what the program says, and what aperf has to say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aperf._recorder import MessageFlag

if TYPE_CHECKING:
    from aperf.protocol.tracy import Stream

    from ._task import Happening
    from ._thread import Thread

__all__ = ("ERROR", "WARNING", "Messages", "joined")

WARNING: Final = 3
ERROR: Final = 4
#: Severities as they are shown where the program gives no colour: trace … fatal.
COLORS: Final = (0x808080, 0x909090, None, 0xE0B040, 0xE06060, 0xFF4040)
_SEVERITY: Final = 15
#: Bytes of a text, longer than the program's calls allow.
_LONGEST: Final = 1 << 15


class Messages:
    """Writes messages to the row that the stream writes to."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def show(self, t_ns: int, text: str, severity: int, color: int | None = None) -> None:
        """Show a message."""
        if color is None:
            color = COLORS[min(severity, 5)]
        self._stream.message(t_ns, text, severity=severity, color=color)

    def record(self, happening: Happening, t_ns: int) -> None:
        """Show a MESSAGE, which is whole."""
        text = happening.payload.rstrip(b"\0").decode("utf-8", "replace")
        color = happening.b & 0xFF_FFFF if happening.flags & MessageFlag.COLORED else None
        self.show(t_ns, text, min(happening.flags & _SEVERITY, 5), color)

    def failure(self, happening: Happening, t_ns: int, task: str) -> None:
        """Show how a task failed; what goes on in further records is left out."""
        kind, _, message = happening.payload.rstrip(b"\0").partition(b"\0")
        text = b": ".join(filter(None, (kind, message))).decode("utf-8", "replace")
        self.show(t_ns, f"{task} failed: {text}", ERROR)


def joined(thread: Thread, event: Happening) -> Happening | None:
    """Return a MESSAGE with its whole text; None if that goes on in the thread's next record.

    All its records are of the same time. The rest of one that was lost does not come any more.
    """
    begun, thread.text = thread.text, None
    payload = event.payload
    if begun is not None and begun[0] == event.t_ns:
        payload = begun[1] + payload
    if event.flags & MessageFlag.MORE:
        thread.text = event.t_ns, payload[:_LONGEST]
        return None
    return event._replace(payload=payload)
