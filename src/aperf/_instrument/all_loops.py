"""Watching every loop that the process makes, without an event-loop policy.

Loops are caught where they are made: in the constructor of asyncio's base class, from which its
loops derive, and in that of uvloop's, which is imported whenever the program likes.
"""

from __future__ import annotations

import asyncio
import importlib.abc
import importlib.util
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from importlib.machinery import ModuleSpec
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
        self._finder: _Finder | None = None

    def install(self) -> None:
        """Begin."""
        self._patch(asyncio.BaseEventLoop)
        if "uvloop" in sys.modules:
            self._patch_uvloop(sys.modules["uvloop"])
        else:
            self._finder = _Finder(self._patch_uvloop)
            sys.meta_path.insert(0, self._finder)

    def uninstall(self) -> None:
        """End; a constructor that somebody else has replaced since stays theirs."""
        if self._finder is not None and self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
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


class _Finder(importlib.abc.MetaPathFinder):
    """Tells when uvloop has been imported, and is gone then."""

    def __init__(self, imported: Callable[[ModuleType], None]) -> None:
        self._imported = imported

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "uvloop":
            return None
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        spec = importlib.util.find_spec("uvloop")
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._imported)
        return spec


class _Loader(importlib.abc.Loader):
    """The module's own loader, with a word at the end."""

    def __init__(self, loader: Any, imported: Callable[[ModuleType], None]) -> None:
        self._loader = loader
        self._imported = imported

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        if spec is not None:
            spec.loader = self._loader  # what the module is asked for its loader is its own again
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._imported(module)
