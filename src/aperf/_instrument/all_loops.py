"""Watching every loop that the process makes, without an event-loop policy.

Loops are caught where they are made: in the constructor of asyncio's base class, from which its
loops derive, and in that of uvloop's, which is imported whenever the program likes.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .imports import ImportWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

__all__ = ("AllLoops", "exempt")

_exempt = threading.local()


@contextmanager
def exempt() -> Iterator[None]:
    """Make loops that nobody watches: aperf's own."""
    _exempt.now = True
    try:
        yield
    finally:
        _exempt.now = False


def _is_suppressed() -> bool:
    """Say whether OpenTelemetry exports here: an exporter's loop is not the program's."""
    api: Any = sys.modules.get("opentelemetry.context")
    key = getattr(api, "_SUPPRESS_INSTRUMENTATION_KEY", None)
    return key is not None and bool(api.get_value(key))


class AllLoops:
    """Calls a function with every new loop while it is installed.

    Args:
        made: called on the thread that made the loop, before the loop runs.
    """

    def __init__(self, made: Callable[[Any], None]) -> None:
        self._made = made
        self._patched: list[tuple[type, Any, Any]] = []
        self._watch: ImportWatch | None = None

    def install(self) -> None:
        """Begin."""
        self._patch(asyncio.BaseEventLoop)
        if "uvloop" in sys.modules:
            self._patch_uvloop(sys.modules["uvloop"])
        else:
            self._watch = ImportWatch("uvloop", self._patch_uvloop)
            self._watch.install()

    def uninstall(self) -> None:
        """End; a constructor that somebody else has replaced since stays theirs."""
        if self._watch is not None:
            self._watch.uninstall()
        for cls, ours, original in self._patched:
            if cls.__dict__.get("__init__") is ours:
                if original is None:
                    del cls.__init__  # type: ignore[misc]
                else:
                    cls.__init__ = original  # type: ignore[misc]
        self._patched.clear()
        self._made = lambda loop: None

    def _patch_uvloop(self, uvloop: ModuleType) -> None:
        loop_type = getattr(uvloop, "Loop", None)
        if isinstance(loop_type, type):
            self._patch(loop_type)

    def _patch(self, cls: type) -> None:
        original = cls.__dict__.get("__init__")
        inherited = cls.__init__  # type: ignore[misc]

        def __init__(loop: Any, *args: Any, **kwargs: Any) -> None:
            inherited(loop, *args, **kwargs)
            if not getattr(_exempt, "now", False) and not _is_suppressed():
                self._made(loop)

        __init__.__wrapped__ = inherited  # type: ignore[attr-defined]
        cls.__init__ = __init__  # type: ignore[misc]
        self._patched.append((cls, __init__, original))
