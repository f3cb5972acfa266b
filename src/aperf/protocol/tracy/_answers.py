"""Answers to what the viewer asks: exactly one for each query, in the order they came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ._blocks import MAX_BLOCK
from ._errors import RemoteProtocolError
from ._records import second, split_color
from ._strings import Strings
from ._texts import cut
from ._versions import QueryKind
from ._writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._events import Query

__all__ = ("Answers",)

#: A path; viewers have no other use for a transfer.
_MAX_TRANSFER: Final = 64 << 10
_PART: Final = 12


class Answers(Writer):
    """Answers queries from the tables.

    Attributes:
        parameters: values that the viewer's user chose, by the parameter's index, not yet taken.
    """

    def __init__(self, version: int, strings: Strings, *, strict: bool = False) -> None:
        super().__init__(version, strings, strict=strict)
        self.parameters: dict[int, int] = {}
        self._transfer = bytearray()
        self._transfer_size = 0

    def answer(self, query: Query) -> None:
        """Append the answer to a query; queries to end have none.

        Raises:
            RemoteProtocolError: a transfer is larger than any path, or than it was said to be.
        """
        kind, ptr = query.kind, query.ptr
        if kind in _NAMES:
            event, name_of = _NAMES[kind]
            self._append(self._named(event, ptr, name_of(self.strings, ptr)))
        elif kind is QueryKind.SOURCE_LOCATION:
            self._source_location(ptr)
        elif kind is QueryKind.CALLSTACK_FRAME:
            self._callstack_frame(ptr)
        elif kind is QueryKind.SYMBOL:
            file, line = self.strings.symbol_of(ptr)
            self._put("SymbolInformation", line, ptr, before=self._single(file))
        elif kind is QueryKind.EXTERNAL_NAME:
            thread = self._named("ExternalThreadName", ptr, self.strings.thread_name(ptr))
            self._append(thread + self._named("ExternalName", ptr, self.strings.program))
        elif kind is QueryKind.SOURCE_CODE:
            self._source_code(ptr)
        elif kind is QueryKind.SYMBOL_CODE:
            self._put("AckSymbolCodeNotAvailable")
        elif kind not in (QueryKind.TERMINATE, QueryKind.DISCONNECT):
            self._take_in(query)
            self._put("AckServerQueryNoop")

    def _named(self, event: str, ptr: int, name: str) -> bytes:
        data = cut(name)
        return self._records[event](ptr, len(data)) + data

    def _source_location(self, ptr: int) -> None:
        place = self.strings.source_of(ptr)
        self._put(
            "SourceLocation",
            place.name,
            place.function,
            place.file,
            place.line,
            *split_color(place.color),
        )

    def _callstack_frame(self, ptr: int) -> None:
        frame = self.strings.frame_of(ptr)
        size = self._records["CallstackFrameSize"](ptr, 1)
        texts = self._single(frame.function) + second(self.version, frame.file)
        before = self._single(self.strings.program) + size + texts
        self._put("CallstackFrame", frame.line, frame.symbol, 0, before=before)

    # ------------------------------------------------------------------------------ what comes in

    def _take_in(self, query: Query) -> None:
        """Parameters, and paths of files, which come twelve bytes at a time."""
        if query.kind is QueryKind.PARAMETER:
            value = query.ptr & 0xFFFF_FFFF
            self.parameters[query.ptr >> 32] = value - (value >> 31 << 32)
        elif query.kind is QueryKind.DATA_TRANSFER:
            if query.ptr > _MAX_TRANSFER:
                raise RemoteProtocolError(
                    f"transfer of {query.ptr} bytes, expected at most {_MAX_TRANSFER}"
                )
            self._transfer_size = query.ptr
            self._transfer.clear()
        else:
            self._transfer += query.ptr.to_bytes(8, "little") + query.extra.to_bytes(4, "little")
            if len(self._transfer) >= self._transfer_size + _PART:
                raise RemoteProtocolError(
                    f"transfer of more than the {self._transfer_size} bytes that were announced"
                )

    def _source_code(self, ptr: int) -> None:
        path = bytes(self._transfer[: self._transfer_size]).partition(b"\0")[0]
        text = self.strings.source_text(path.decode("utf-8", "replace"))
        if text is not None:
            record = self._records["SourceCode"](ptr, len(text)) + text
            if len(record) <= MAX_BLOCK:
                self._append(record)
                return
        self._put("AckSourceCodeNotAvailable", ptr & 0xFFFF_FFFF)


_NAMES: Final[dict[QueryKind, tuple[str, Callable[[Strings, int], str]]]] = {
    QueryKind.STRING: ("StringData", Strings.text_of),
    QueryKind.THREAD_STRING: ("ThreadName", Strings.thread_name),
    QueryKind.PLOT_NAME: ("PlotName", Strings.text_of),
    QueryKind.FRAME_NAME: ("FrameName", Strings.text_of),
    QueryKind.FIBER_NAME: ("FiberName", Strings.fiber_name),
}
