"""End a program as Python would: the same words on stderr, the same exit code."""

from __future__ import annotations

import os
import sys
import traceback
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

__all__ = ("Ending", "die_of_interrupt", "report", "run_to_its_end")

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
#: Code of ours that calls the user's, as opposed to code that the user calls.
_OURS = tuple(os.path.join(_PACKAGE, room, "") for room in ("_cli", "_instrument", "_recorder"))


class Ending(NamedTuple):
    """How a program ended."""

    code: int = 0
    interrupted: bool = False  #: by Ctrl-C, which the parent is to see in the exit status


def run_to_its_end(execute: Callable[[], object]) -> Ending:
    """Run a program and report its exception, if there is one."""
    error = None
    try:
        execute()
    except BaseException as caught:
        error = caught
    try:
        # Outside of the except clause: no exception is being handled when sys.excepthook is called.
        return Ending() if error is None else report(error)
    finally:
        error = None  # its traceback holds this frame, which holds it: all locals would live on


def report(error: BaseException) -> Ending:
    """Show an exception that nobody caught, through sys.excepthook."""
    if isinstance(error, SystemExit):
        return Ending(_exit_code(error))
    for each in _related(error, set()):
        each.__traceback__ = _without_ours(each.__traceback__)
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except SystemExit as exit:
        return Ending(_exit_code(exit))
    except BaseException as failure:
        failure.__traceback__ = _without_ours(failure.__traceback__)
        print("Error in sys.excepthook:", file=sys.stderr)
        traceback.print_exception(failure)
        print("\nOriginal exception was:", file=sys.stderr)
        traceback.print_exception(error)
    return Ending(1, interrupted=type(error) is KeyboardInterrupt)


def die_of_interrupt() -> None:
    """Let the interpreter end the process by SIGINT, once its exit handlers have run.

    Raises:
        KeyboardInterrupt: nothing else goes through all of the interpreter's shutdown. Its
            traceback has been shown already.
    """
    sys.excepthook = lambda *_: None
    raise KeyboardInterrupt


def _exit_code(exit: SystemExit) -> int:
    if exit.code is None or isinstance(exit.code, int):
        return exit.code or 0
    print(exit.code, file=sys.stderr)
    return 1


def _related(error: BaseException, seen: set[int]) -> Iterator[BaseException]:
    """Yield an exception and all that would be shown with it."""
    if id(error) in seen:
        return
    seen.add(id(error))
    yield error
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    for other in (error.__cause__, error.__context__, *inner):
        if other is not None:
            yield from _related(other, seen)


def _without_ours(trace: TracebackType | None) -> TracebackType | None:
    """Return the traceback without the frames of aperf that lie between the user's."""
    kept = []
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(_OURS):
            kept.append(trace)
        trace = trace.tb_next
    following = None
    for entry in reversed(kept):
        entry.tb_next = following
        following = entry
    return following
