"""Messages, in rows, and what the application says about itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from ._context import Context, Handlers
    from ._rows import RowKey, Rows
    from ._stacks import SentStack, Stack, Stacks

__all__ = ("AppInfo", "Message", "Messages")

#: From this version on messages say how severe they are, literal ones in the low byte of the id.
_TAGGED: Final = 77


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message.

    Attributes:
        t_ns: when.
        row: the thread or fiber that wrote it.
        text: what it says.
        severity: 0 trace, 1 debug, 2 info, 3 warning, 4 error, 5 fatal; None in versions that do
            not send it.
        color: 0xRRGGBB; None for the viewer's choice.
        stack: where it was written.
    """

    t_ns: int
    row: RowKey
    text: str
    severity: int | None = None
    color: int | None = None
    stack: Stack = ()


class AppInfo(NamedTuple):
    """Something that the program tells about itself."""

    t_ns: int
    text: str


class _Sent(NamedTuple):
    t_ns: int
    row: RowKey
    text: str | int
    meta: int | None
    color: int | None
    stack: SentStack | None


class Messages:
    """The events of messages."""

    def __init__(self, context: Context, rows: Rows) -> None:
        self._context = context
        self._rows = rows
        self._messages: list[_Sent] = []
        self._app_info: list[AppInfo] = []
        stacked = partial(self._message, with_stack=True)
        literal_stacked = partial(self._literal, with_stack=True)
        self.handlers: Handlers = {
            "Message": self._message,
            "MessageColor": self._message,
            "MessageCallstack": stacked,
            "MessageColorCallstack": stacked,
            "MessageLiteral": self._literal,
            "MessageLiteralColor": self._literal,
            "MessageLiteralCallstack": literal_stacked,
            "MessageLiteralColorCallstack": literal_stacked,
            "MessageAppInfo": self._info,
        }

    def picture(self, stacks: Stacks) -> tuple[Message, ...]:
        """Return the messages in the order in which they were sent."""
        string = self._context.texts.string
        return tuple(
            Message(
                t_ns=sent.t_ns,
                row=sent.row,
                text=sent.text if isinstance(sent.text, str) else string(sent.text),
                severity=None if sent.meta is None else sent.meta >> 4,
                color=sent.color,
                stack=stacks.get(sent.stack),
            )
            for sent in self._messages
        )

    def app_info(self) -> tuple[AppInfo, ...]:
        """Return what the application said about itself."""
        return tuple(self._app_info)

    def _message(
        self, *, t: int, color: int | None = None, meta: int | None = None, with_stack: bool = False
    ) -> None:
        self._add(t, self._context.text.take(), meta, color, with_stack=with_stack)

    def _literal(
        self, *, t: int, text: int, color: int | None = None, with_stack: bool = False
    ) -> None:
        meta = None
        if self._context.version >= _TAGGED:
            text, meta = text >> 8, text & 0xFF
        self._context.texts.ask_string(text)
        self._add(t, text, meta, color, with_stack=with_stack)

    def _add(
        self, t_ns: int, text: str | int, meta: int | None, color: int | None, *, with_stack: bool
    ) -> None:
        stack = self._rows.next_stack.take() if with_stack else None
        self._rows.current()
        self._messages.append(_Sent(t_ns, self._rows.here, text, meta, color, stack))

    def _info(self, *, t: int) -> None:
        self._app_info.append(AppInfo(t, self._context.text.take()))
