"""Call stacks: sent as ids of frames, or with all texts inline."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from aperf.protocol.tracy._blocks import MAX_BLOCK
from aperf.protocol.tracy._errors import RemoteProtocolError
from aperf.protocol.tracy._versions import QueryKind

from ._faults import Undiagnosed
from ._slot import Slot
from ._texts import UNKNOWN, text_of

if TYPE_CHECKING:
    from ._context import Context, Handlers

__all__ = ("SentStack", "Stack", "StackFrame", "Stacks")

#: The longest machine code of a symbol that fits a block: its event, id and length come with it.
_MAX_CODE: Final = MAX_BLOCK - 13

#: Ids of frames, or frames.
SentStack: TypeAlias = "tuple[int, ...] | Stack"

_MAX_INLINE: Final = 64

_LINE: Final = struct.Struct("<I")
_LENGTH: Final = struct.Struct("<H")


class StackFrame(NamedTuple):
    """A frame of a call stack."""

    function: str
    file: str
    line: int


#: Innermost first.
Stack: TypeAlias = tuple[StackFrame, ...]


class Stacks:
    """Asks for each frame once, and for the symbols that frames belong to."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._asked: set[tuple[QueryKind, int]] = set()
        self._frames: dict[int, list[StackFrame]] = {}
        self._symbols: dict[int, tuple[str, int]] = {}
        #: The frame being answered, and how many of its parts are still to come.
        self._answering: tuple[int, int] = (0, 0)
        #: What `CallstackPayload` and `CallstackAllocPayload` left.
        self.ids: Slot[tuple[int, ...]] = Slot("call stack")
        self.inline: Slot[Stack] = Slot("call stack with texts")
        self.handlers: Handlers = {
            "CallstackPayload": self._payload,
            "CallstackAllocPayload": self._inline_payload,
            "CallstackFrameSize": self._size,
            "CallstackFrame": self._frame,
            "SymbolInformation": self._symbol,
            "SymbolCode": self._code,
            "AckSymbolCodeNotAvailable": self._no_code,
        }

    def get(self, stack: SentStack | None) -> Stack:
        """Return a stack as far as its frames are known; what was inlined has its own frames."""
        unknown = [StackFrame(UNKNOWN, UNKNOWN, 0)]
        frames: list[StackFrame] = []
        for frame in stack or ():
            frames += [frame] if isinstance(frame, StackFrame) else self._frames.get(frame, unknown)
        return tuple(frames)

    def symbols(self) -> dict[int, tuple[str, int]]:
        """Return file and line of each symbol that was answered."""
        return dict(self._symbols)

    def _ask(self, kind: QueryKind, about: int, extra: int = 0) -> None:
        if (kind, about) not in self._asked:
            self._asked.add((kind, about))
            self._context.questions.ask(kind, about, extra)

    def _payload(self, *, id: int, payload: bytes) -> None:
        if len(payload) % 8:
            raise RemoteProtocolError(f"call stack of {len(payload)} bytes, 8 for each frame")
        ids = struct.unpack(f"<{len(payload) // 8}Q", payload)
        for frame in ids:
            self._ask(QueryKind.CALLSTACK_FRAME, frame)
        self.ids.put(ids)

    def _inline_payload(self, *, id: int, payload: bytes) -> None:
        try:
            stack = _decode(payload)
        except (IndexError, struct.error):
            raise RemoteProtocolError("call stack with texts is cut off") from None
        self.inline.put(stack)
        if len(stack) > _MAX_INLINE:
            raise Undiagnosed(f"call stack with {len(stack)} frames, of {_MAX_INLINE}")

    def _size(self, *, id: int, count: int) -> None:
        self._context.text.take()  # of the library or program
        self._frames[id] = []
        self._answering = (id, count)
        self._context.questions.answered(QueryKind.CALLSTACK_FRAME, id)

    def _frame(self, *, line: int, symbol: int, symbol_length: int) -> None:
        name, file = self._context.text.take(), self._context.second_text.take()
        frame, left = self._answering
        if not left:
            raise Undiagnosed("part of a frame that was not announced")
        self._answering = (frame, left - 1)
        self._frames[frame].append(StackFrame(name, file, line))
        self._context.files.want(file)
        if symbol:
            self._ask(QueryKind.SYMBOL, symbol)
            # Clients do not look whether the answer fits a block.
            if 0 < symbol_length <= _MAX_CODE and self._context.welcome.code_transfer:
                self._ask(QueryKind.SYMBOL_CODE, symbol, symbol_length)

    def _symbol(self, *, line: int, symbol: int) -> None:
        self._symbols[symbol] = (self._context.text.take(), line)
        self._context.questions.answered(QueryKind.SYMBOL, symbol)

    def _code(self, *, id: int, payload: bytes) -> None:
        self._context.questions.answered(QueryKind.SYMBOL_CODE, id)

    def _no_code(self) -> None:
        self._context.questions.answered(QueryKind.SYMBOL_CODE)


def _decode(payload: bytes) -> Stack:
    """Decode n, then n times: line, function, file."""
    frames = []
    position = 1
    for _ in range(payload[0]):
        (line,) = _LINE.unpack_from(payload, position)
        function, position = _string(payload, position + _LINE.size)
        file, position = _string(payload, position)
        frames.append(StackFrame(function, file, line))
    return tuple(frames)


def _string(payload: bytes, position: int) -> tuple[str, int]:
    (length,) = _LENGTH.unpack_from(payload, position)
    start = position + _LENGTH.size
    end = start + length
    if end > len(payload):
        raise IndexError
    return text_of(payload[start:end]), end
