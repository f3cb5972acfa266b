"""Memory that a program manages itself: arenas, shared memory, buffers of a device."""

from __future__ import annotations

import sys

from . import _active
from ._checks import check_name, integer

__all__ = ("MemoryPool", "memory_pool")

_MAX_ADDRESS = (1 << 64) - 1
#: What the formats of profilers have room for.
_MAX_SIZE = (1 << 48) - 1


def memory_pool(name: str) -> MemoryPool:
    """Return a pool of memory to be shown, with its size over time and what is still in use.

    Pools of one name are one pool.

    Args:
        name: what a viewer calls it.

    Raises:
        TypeError: the name is no str.
        ConfigurationError: the name is empty.
    """
    check_name("memory_pool", name)
    return MemoryPool(name)


class MemoryPool:
    """A pool of memory; made by `memory_pool`. It may be kept while nothing is recorded.

    Attributes:
        name: what a viewer calls it.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def alloc(self, address: int, size: int) -> None:
        """Say that memory is in use from now on.

        Args:
            address: where it is, or any other number that nothing else in the pool has meanwhile.
            size: in bytes.

        Raises:
            TypeError: an argument is no int.
            ConfigurationError: one is below 0, or the address above 64 bits, or the size above 48.
        """
        if type(address) is not int or not 0 <= address <= _MAX_ADDRESS:
            address = integer("alloc", "address", address, 0, _MAX_ADDRESS)
        if type(size) is not int or not 0 <= size <= _MAX_SIZE:
            size = integer("alloc", "size", size, 0, _MAX_SIZE)
        recording = _active.recording
        if recording is not None and recording.recorder.armed:
            frame = sys._getframe(1)
            recording.allocate(self.name, address, size, (frame.f_code, frame.f_lasti))

    def free(self, address: int) -> None:
        """Say that memory is not in use any more.

        Args:
            address: what `alloc` was given.

        Raises:
            TypeError: the address is no int.
            ConfigurationError: it is below 0 or above 64 bits.
        """
        if type(address) is not int or not 0 <= address <= _MAX_ADDRESS:
            address = integer("free", "address", address, 0, _MAX_ADDRESS)
        recording = _active.recording
        if recording is not None and recording.recorder.armed:
            recording.free(self.name, address)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"
