"""From records to what a Tracy viewer draws: a pure function, without sockets, clocks or threads.

Tasks are drawn on *lanes*, fibers that are used again: a viewer needs 64 KiB for each fiber. The
task is the outermost zone of its lane, coroutines that it is suspended in are zones inside, and
inside these is what it waits for. A lane is running while its task is.
"""

from ._mapper import Mapper

__all__ = ("Mapper",)
