"""Records go into blocks whole, and misuse has one place where it is dealt with."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from ._blocks import BLOCK, MAX_BLOCK, frame
from ._errors import LocalProtocolError
from ._records import call_stack, records, single
from ._versions import VERSIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._strings import Strings

__all__ = ("Writer",)


class Writer:
    """What all parts of a stream share.

    Attributes:
        version: of the protocol.
        strings: where ids of texts and places come from.
        strict: whether misuse raises.
        repairs: how often it was repaired instead.
    """

    # Slots for this class and the hot ones: with all the attributes of a stream in one __dict__ the
    # interpreter would give up its fast way to them.
    __slots__ = ("_blocks", "_data", "_records", "repairs", "strict", "strings", "version")

    def __init__(self, version: int, strings: Strings, *, strict: bool = False) -> None:
        if version not in VERSIONS:
            raise LocalProtocolError(f"version is {version}, expected one of {VERSIONS}")
        self.version = version
        self.strings = strings
        self.strict = strict
        self.repairs = 0
        self._records = records(version)
        self._data = bytearray()
        self._blocks: list[bytes] = []

    @property
    def waiting(self) -> int:
        """How many bytes `take` would return, roughly."""
        return sum(map(len, self._blocks)) + len(self._data)

    def take(self) -> list[bytes]:
        """Return what there is, as complete frames ready to be sent, and forget it."""
        self._close_block()
        blocks, self._blocks = self._blocks, []
        return blocks

    def _close_block(self) -> None:
        if self._data:
            self._blocks.append(frame(self._data))
            self._data = bytearray()

    # ----------------------------------------------------------------------------------- records

    def _put(self, name: str, *values: float, before: bytes = b"") -> bool:
        """Append an event, directly after what belongs to it; say whether it could be expressed."""
        try:
            record = before + self._records[name](*values)
        except (struct.error, OverflowError) as error:
            self._misuse(f"{name} with {values}", f"values that fit ({error})")
            return False
        return self._append(record)

    def _append(self, record: bytes) -> bool:
        """Append bytes that must not be parted."""
        if len(self._data) + len(record) > MAX_BLOCK:
            self._close_block()
            if len(record) > MAX_BLOCK:
                self._misuse(f"record of {len(record)} bytes", f"at most {MAX_BLOCK}")
                return False
        self._data += record
        if len(self._data) >= BLOCK:
            self._close_block()
        return True

    def _single(self, text: str) -> bytes:
        return single(self.version, text)

    def _stack(self, stack: Sequence[int], event: str) -> bytes:
        """Return the frames and what attaches them to the next "…Callstack" event."""
        return call_stack(self.version, stack) + self._records[event]()

    # ------------------------------------------------------------------------------------ misuse

    def _misuse(self, done: str, expected: str) -> None:
        """Refuse what would break the viewer, or count that it is going to be repaired.

        Raises:
            LocalProtocolError: the stream is strict.
        """
        if self.strict:
            raise LocalProtocolError(f"{done}, expected {expected}")
        self.repairs += 1
