"""Zones for every function call, through pytracy's client."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ._arguments import check_port
from ._errors import InstrumentationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

__all__ = ("pytracy_zones",)

_lock = threading.Lock()
_open = 0


@contextmanager
def pytracy_zones(
    *, port: int = 8087, standard_library: bool = False, installed: bool = False
) -> Iterator[None]:
    """Let a Tracy 0.11 viewer show each function call of a stretch of code as a zone.

    This is pytracy's own client with a port of its own, which stays open until the process ends,
    beside aperf's (`TRACY_PORT`). It traces the calling thread and threads that start meanwhile; it
    knows no fibers, so a coroutine is shown as one zone for each time it runs. A function call
    costs some hundred nanoseconds more.

    Args:
        port: of pytracy's client on the loopback interface, at ``::1`` where there is IPv6; the
            next free one of 20 when it is taken. It counts the first time in a process.
        standard_library: whether calls within the standard library are shown, too.
        installed: whether those within installed packages are.

    Raises:
        InstrumentationError: pytracy is not installed here.
        ConfigurationError: the port is none.
    """
    global _open
    check_port("port", port)
    with _lock:
        pytracy = _load(port)
        pytracy.set_filtering_mode(not standard_library, not installed, False)
        _open += 1
        pytracy.enable_tracing(True)
    try:
        yield
    finally:
        with _lock:
            _open -= 1
            if not _open:
                pytracy.enable_tracing(False)


def _load(port: int) -> ModuleType:
    """Import pytracy, whose client listens from then on, and only where aperf's would."""
    loaded = sys.modules.get("pytracy")
    if loaded is not None:
        return loaded
    # There is no other way to tell it, and its client looks only once.
    before = {name: os.environ.get(name) for name in ("TRACY_ONLY_LOCALHOST", "TRACY_PORT")}
    os.environ |= {"TRACY_ONLY_LOCALHOST": "1", "TRACY_PORT": str(port)}
    try:
        import pytracy
    except ImportError as error:
        raise InstrumentationError(
            f"pytracy_zones() needs pytracy, which cannot be imported here ({error}): there are"
            " wheels for CPython 3.11 to 3.13 on x86-64 Linux and Windows;"
            " install with: python -m pip install 'aperf[pytracy]'"
        ) from error
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    return pytracy
