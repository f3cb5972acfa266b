"""Telling when a module has been imported that the program imports whenever it likes."""

from __future__ import annotations

import importlib.abc
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ("ImportWatch",)


class ImportWatch(importlib.abc.MetaPathFinder):
    """Calls a function once when a module has been imported; the import goes its usual way.

    Args:
        name: of the module, which is not imported yet.
        imported: called with it, on the thread that imports it, before that goes on.
    """

    def __init__(self, name: str, imported: Callable[[ModuleType], None]) -> None:
        self._name = name
        self._imported = imported

    def install(self) -> None:
        """Begin."""
        sys.meta_path.insert(0, self)

    def uninstall(self) -> None:
        """End."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Have the others find the module, and be told when it is loaded."""
        if fullname != self._name:
            return None
        # Who only asks where a module is does not load it, so the watch goes on.
        spec = _find(self, fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._tell)
        return spec

    def _tell(self, module: ModuleType) -> None:
        if self in sys.meta_path:
            self.uninstall()
            self._imported(module)


def _find(
    but: ImportWatch, fullname: str, path: Sequence[str] | None, target: ModuleType | None
) -> ModuleSpec | None:
    for finder in list(sys.meta_path):
        find_spec = getattr(finder, "find_spec", None)
        if finder is not but and find_spec is not None:
            spec: ModuleSpec | None = find_spec(fullname, path, target)
            if spec is not None:
                return spec
    return None


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

    def __getattr__(self, name: str) -> Any:
        # Who has only looked for the module may want its source.
        if name == "_loader":
            raise AttributeError(name)
        return getattr(self._loader, name)
